//! The classes of the results: SciPy's own or made of them, imported when the first result is made.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::call::{call, import};

/// An empty `raphson.Result`, which is a `scipy.optimize.OptimizeResult` and a dict.
pub fn optimize_result(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if let Some(class) = CLASS.get(py) {
        return call(class.bind(py), ());
    }
    let class = import(py, "raphson._result")?.getattr("Result")?;
    // It may be set by now, to the same.
    let _ = CLASS.set(py, class.clone().unbind());
    call(&class, ())
}

/// `scipy.optimize.RootResults(...)`
pub fn root_results<'py>(
    root: &Bound<'py, PyAny>,
    iterations: u64,
    function_calls: u64,
    converged: bool,
    method: &str,
) -> PyResult<Bound<'py, PyAny>> {
    // The codes that SciPy turns into the flags 'converged' and 'convergence error'.
    let flag = if converged { 0 } else { -2 };
    let class = import(root.py(), "scipy.optimize")?.getattr("RootResults")?;
    call(&class, (root, iterations, function_calls, flag, method))
}

/// The named tuple (root, converged, zero_der).
pub fn array_result<'py>(
    root: Bound<'py, PyAny>,
    converged: Bound<'py, PyAny>,
    zero_derivative: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let class = root.py().import("raphson._results")?.getattr("result")?;
    call(&class, (root, converged, zero_derivative))
}

/// `scipy.optimize.NoConvergence(result.x)`, which also carries the whole result and prints the
/// explanation.
pub fn no_convergence(result: &Bound<'_, PyAny>, explanation: &str) -> PyResult<PyErr> {
    let class = import(result.py(), "raphson._result")?.getattr("NoConvergence")?;
    let error = call(&class, (result.getattr("x")?,))?;
    error.setattr("result", result)?;
    error.setattr("explanation", explanation)?;
    Ok(PyErr::from_value(error))
}
