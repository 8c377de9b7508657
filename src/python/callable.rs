//! A user's function with its extra arguments, and what to call it in error messages.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::arrays::describe;
use super::call::call;

/// After so many calls the GIL is offered to other threads.
const CALLS_A_TURN: u64 = 64;

pub struct Callable<'py> {
    function: Bound<'py, PyAny>,
    arguments: Bound<'py, PyTuple>,
    pub name: &'static str,
    pub calls: u64,
}

impl<'py> Callable<'py> {
    pub fn new(
        function: &Bound<'py, PyAny>,
        arguments: &Bound<'py, PyTuple>,
        name: &'static str,
    ) -> PyResult<Self> {
        if !function.is_callable() {
            return Err(PyTypeError::new_err(format!(
                "{name} must be callable, not {}",
                describe(function)
            )));
        }
        Ok(Callable { function: function.clone(), arguments: arguments.clone(), name, calls: 0 })
    }

    /// None where the argument was None.
    pub fn optional(
        function: &Bound<'py, PyAny>,
        arguments: &Bound<'py, PyTuple>,
        name: &'static str,
    ) -> PyResult<Option<Self>> {
        if function.is_none() { Ok(None) } else { Self::new(function, arguments, name).map(Some) }
    }

    /// function(x, *arguments). Ctrl-C is seen, and other threads get their turn, even where the
    /// function is not Python code and the interpreter never comes to look for them.
    pub fn call(&mut self, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = x.py();
        py.check_signals()?;
        self.calls += 1;
        if self.calls.is_multiple_of(CALLS_A_TURN) {
            py.detach(|| ());
        }
        if self.arguments.is_empty() {
            return call(&self.function, (x,));
        }
        self.call_with(py, vec![x.clone()])
    }

    /// function(*leading, *arguments)
    pub fn call_with(
        &self,
        py: Python<'py>,
        leading: Vec<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = leading.into_iter().chain(self.arguments.iter());
        call(&self.function, PyTuple::new(py, arguments.collect::<Vec<_>>())?)
    }
}

/// `tuple(args)`, for the functions that take any iterable.
pub fn unpack<'py>(args: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    if let Ok(tuple) = args.cast::<PyTuple>() {
        return Ok(tuple.clone());
    }
    let items = args.try_iter().map_err(|_| {
        PyTypeError::new_err(format!("args must be a tuple, not {}", describe(args)))
    })?;
    PyTuple::new(args.py(), items.collect::<PyResult<Vec<_>>>()?)
}
