//! A function in place of another, which has no frame of Python's: warnings name the line that
//! called it, and tracebacks lead through none of ours, as with the other.

use pyo3::exceptions::PyBaseException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::call::{call, call_with};

/// What is called in place of a function.
///
/// Parameters
/// ----------
/// guide : object
///     Its ``choose(args, kwargs)`` says what to call: ``(function, args, kwargs, ticket)``. Where
///     the ticket is not None, ``returned(ticket, value)`` gives what the caller gets, and
///     ``raised(ticket, error, args, kwargs)`` a function to be called instead, or None if the
///     error is to come out.
#[pyclass(dict, weakref, frozen, module = "raphson._core")]
pub struct StandIn {
    guide: Py<PyAny>,
}

/// A function, its arguments and keywords, and what is told of the outcome.
type Choice<'py> = (Bound<'py, PyAny>, Bound<'py, PyTuple>, Bound<'py, PyDict>, Bound<'py, PyAny>);

#[pymethods]
impl StandIn {
    #[new]
    fn new(guide: Py<PyAny>) -> Self {
        StandIn { guide }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let guide = self.guide.bind(py);
        let kwargs = kwargs.map_or_else(|| PyDict::new(py), Bound::clone);
        let ask = |method: &Bound<'py, PyString>| guide.getattr(method);
        let choice = call(&ask(intern!(py, "choose"))?, (args, &kwargs))?;
        let (function, chosen, keywords, ticket): Choice<'_> = choice.extract()?;
        let outcome = call_with(&function, chosen, Some(&keywords));
        if ticket.is_none() {
            return outcome;
        }
        match outcome {
            Ok(value) => call(&ask(intern!(py, "returned"))?, (ticket, value)),
            Err(error) => {
                let raised: &Bound<'_, PyBaseException> = error.value(py);
                let arguments = (ticket, raised, args, &kwargs);
                let instead = call(&ask(intern!(py, "raised"))?, arguments)?;
                if instead.is_none() {
                    return Err(error);
                }
                call_with(&instead, args, Some(&kwargs))
            }
        }
    }

    /// As an attribute of a class it is a method, as functions are.
    fn __get__<'py>(
        slf: Bound<'py, Self>,
        instance: &Bound<'py, PyAny>,
        _class: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if instance.is_none() {
            return Ok(slf.into_any());
        }
        slf.py().import("types")?.getattr("MethodType")?.call1((slf, instance))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.getattr(intern!(slf.py(), "__qualname__"))?;
        let module = slf.getattr(intern!(slf.py(), "__module__"))?;
        Ok(format!("<raphson's {name} in place of that of {module}>"))
    }

    /// Pickled and copied by its name, as functions are.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyString>> {
        Ok(slf.getattr(intern!(slf.py(), "__qualname__"))?.cast_into()?)
    }
}
