//! `raphson.lsqtr`: the driver of `kernels::lsqtr`.

mod driver;
mod jacobian;
mod options;
mod report;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::kernels::lsqtr::solver::LeastSquares;
use crate::python::arrays::describe;
use crate::python::callable::{Callable, unpack};
use crate::python::lapack;
use crate::python::root::unknowns::{FieldOf, Unknowns};
use driver::Driver;
use jacobian::Source;
use options::Settings;

/// `lsqtr(fun, x0, jac, args=args, callback=callback, **keywords)`: an OptimizeResult.
#[pyfunction]
pub fn lsqtr<'py>(
    fun: &Bound<'py, PyAny>,
    x0: &Bound<'py, PyAny>,
    jac: &Bound<'py, PyAny>,
    args: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    keywords: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let unknowns = Unknowns::new(x0)?.one_dimensional()?;
    if matches!(unknowns.field()?, FieldOf::ComplexSingle | FieldOf::ComplexDouble) {
        return Err(PyTypeError::new_err(format!("x0 must be real, got {}", describe(x0))));
    }
    let start: Vec<f64> = unknowns.start()?;
    let settings = Settings::read(keywords, start.len())?;
    let bounds = &settings.solver.bounds;
    if let Some(i) =
        (0..start.len()).find(|&i| start[i] < bounds.lower[i] || start[i] > bounds.upper[i])
    {
        return Err(PyValueError::new_err(format!(
            "x0 is infeasible: its element {i} is {}, outside of bounds {} and {}",
            start[i], bounds.lower[i], bounds.upper[i]
        )));
    }
    let args = unpack(args)?;
    let fun = Callable::new(fun, &args, "fun")?;
    let source = Source::new(jac, &args, &start)?;
    let callback = Callable::optional(callback, &args, "callback")?;
    let lapack = lapack::load(x0.py())?;
    let solver = LeastSquares::new(start, settings.scaling, settings.solver, lapack);
    Driver::new(solver, unknowns, fun, source, callback, settings.verbose).run()
}
