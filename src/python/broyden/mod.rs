//! `raphson.broyden1` and `root(method='broyden1')`: the drivers of `kernels::broyden`.

mod driver;
mod options;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::python::callable::Callable;
use crate::python::results::no_convergence;
use crate::python::root::unknowns::Unknowns;
use driver::{Functions, solve};
use options::Settings;

/// `broyden1(F, xin, **settings)`: the solution, or NoConvergence.
#[pyfunction]
pub fn broyden1<'py>(
    function: &Bound<'py, PyAny>,
    xin: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    settings: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let settings = Settings::read(settings)?;
    let residual = Callable::new(function, &PyTuple::empty(function.py()), "F")?;
    let functions = Functions::new(residual, callback, &settings)?;
    let solution = solve(functions, Unknowns::like(xin, "xin")?, &settings)?;
    if solution.wanted() { Ok(solution.x) } else { Err(no_convergence(&solution.result()?)?) }
}

/// `root(method='broyden1')`: an OptimizeResult.
#[pyfunction]
pub fn root_broyden1<'py>(
    fun: &Bound<'py, PyAny>,
    x0: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    callback: &Bound<'py, PyAny>,
    settings: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let settings = Settings::read(settings)?;
    let functions = Functions::new(Callable::new(fun, args, "fun")?, callback, &settings)?;
    solve(functions, Unknowns::like(x0, "x0")?, &settings)?.result()
}
