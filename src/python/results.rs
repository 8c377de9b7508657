//! The classes of the results: SciPy's own or made of them, imported when the first result is made.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// An empty `raphson.Result`, which is a `scipy.optimize.OptimizeResult` and a dict.
pub fn optimize_result(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class: &Bound<'_, PyAny> = CLASS.import(py, "raphson._result", "Result")?;
    class.call0()
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
    let class = root.py().import("scipy.optimize")?.getattr("RootResults")?;
    class.call1((root, iterations, function_calls, flag, method))
}

/// The named tuple (root, converged, zero_der).
pub fn array_result<'py>(
    root: Bound<'py, PyAny>,
    converged: Bound<'py, PyAny>,
    zero_derivative: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let class = root.py().import("raphson._results")?.getattr("result")?;
    class.call1((root, converged, zero_derivative))
}

/// `scipy.optimize.NoConvergence(result.x)`, which also carries the whole result.
pub fn no_convergence(result: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let class = result.py().import("scipy.optimize")?.getattr("NoConvergence")?;
    let error = class.call1((result.getattr("x")?,))?;
    error.setattr("result", result)?;
    Ok(PyErr::from_value(error))
}
