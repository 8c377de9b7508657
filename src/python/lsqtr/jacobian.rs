//! Where the Jacobian of the residuals comes from, and how it is read.

use ndarray::{ArrayView2, Dimension, Ix2};
use ndarray_linalg::c64;
use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods, ToPyArray};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyString, PyTuple};

use crate::kernels::differences::{ComplexStep, Distances, FiniteDifferences, Scheme};
use crate::kernels::lsqtr::solver::LeastSquares;
use crate::python::arrays::{self, describe};
use crate::python::callable::Callable;
use crate::python::root::unknowns::Unknowns;

pub enum Source<'py> {
    Callable(Callable<'py>),
    Differences(Scheme, Distances),
    ComplexStep(Distances),
}

impl<'py> Source<'py> {
    pub fn new(
        jac: &Bound<'py, PyAny>,
        arguments: &Bound<'py, PyTuple>,
        start: &[f64],
    ) -> PyResult<Self> {
        if jac.is_callable() && !jac.is_instance_of::<PyBool>() {
            return Ok(Source::Callable(Callable::new(jac, arguments, "jac")?));
        }
        let distances = Distances::from_start(start, None);
        match jac.cast::<PyString>().ok().map(|name| name.to_string()).as_deref() {
            Some("2-point") => Ok(Source::Differences(Scheme::TwoPoint, distances)),
            Some("3-point") => Ok(Source::Differences(Scheme::ThreePoint, distances)),
            Some("cs") => Ok(Source::ComplexStep(distances)),
            _ => Err(PyValueError::new_err(format!(
                "jac must be callable, '2-point', '3-point' or 'cs', not {}",
                jac.repr()?
            ))),
        }
    }

    /// Evaluates J at the solver's point and tells it; returns J as Python has it.
    pub fn answer(
        &mut self,
        solver: &mut LeastSquares,
        unknowns: &Unknowns<'py>,
        fun: &mut Callable<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (m, n) = (solver.residual().len(), solver.point().len());
        let jacobian = match self {
            Source::Callable(jac) => {
                let returned = jac.call(&unknowns.point(solver.point())?)?;
                return tell_returned(solver, returned, jac.name, (m, n));
            }
            Source::Differences(scheme, distances) => {
                let bounds = &solver.options().bounds;
                let (point, residual) = (solver.point(), solver.residual());
                let mut differences = FiniteDifferences::new(*scheme, point, residual, distances)
                    .within(&bounds.lower, &bounds.upper);
                let mut values = Vec::new();
                while let Some(x) = differences.ask() {
                    let returned = fun.call(&unknowns.point(x)?)?;
                    arrays::read(&returned, fun.name, &mut values)?;
                    expect_count(values.len(), m, fun.name, &returned)?;
                    differences.tell(&values);
                }
                differences.into_jacobian()
            }
            Source::ComplexStep(distances) => {
                let mut step: ComplexStep<f64> = ComplexStep::new(solver.point(), m, distances);
                let mut values: Vec<c64> = Vec::new();
                while let Some(x) = step.ask() {
                    let returned = fun.call(&unknowns.point(x)?)?;
                    arrays::read(&returned, fun.name, &mut values)?;
                    expect_count(values.len(), m, fun.name, &returned)?;
                    step.tell(&values);
                }
                step.into_jacobian()
            }
        };
        solver.tell_jacobian(jacobian.view());
        Ok(jacobian.to_pyarray(unknowns.start.py()).into_any())
    }
}

/// Tells the Jacobian that the user returned, without writing to it.
fn tell_returned<'py>(
    solver: &mut LeastSquares,
    returned: Bound<'py, PyAny>,
    name: &str,
    (m, n): (usize, usize),
) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(array) = returned.cast::<PyArrayDyn<f64>>()
        && array.shape() == [m, n]
        && arrays::lies_regularly(array)
        && let Ok(array) = array.try_readonly()
        && let Ok(view) = array.as_array().into_dimensionality::<Ix2>()
    {
        solver.tell_jacobian(view);
        return Ok(returned);
    }
    let mut entries: Vec<f64> = Vec::new();
    let shape = arrays::read(&returned, name, &mut entries)?;
    let fits = shape.slice() == [m, n]
        || (shape.ndim() == 1 && (m == 1 || n == 1) && entries.len() == m * n);
    match ArrayView2::from_shape((m, n), &entries) {
        Ok(view) if fits => solver.tell_jacobian(view),
        _ => {
            return Err(PyValueError::new_err(format!(
                "{name}: expected a Jacobian of shape ({m}, {n}), a row for each residual, got {}",
                describe(&returned)
            )));
        }
    }
    if returned.hasattr("shape")? {
        return Ok(returned);
    }
    Ok(arrays::to_python(returned.py(), &entries, &[m, n]).into_any())
}

pub fn expect_count(
    count: usize,
    expected: usize,
    name: &str,
    returned: &Bound<'_, PyAny>,
) -> PyResult<()> {
    if count == expected {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "{name}: expected {expected} residuals, as at x0, got {count} ({})",
        describe(returned)
    )))
}
