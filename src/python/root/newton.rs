//! `root(method='newton')` and `raphson.NewtonSystem`.

use ndarray_linalg::{c32, c64};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::jacobian::{Source, named_rule};
use super::options::{NAMES, Options};
use super::session::{CLASS, Iteration, load};
use crate::kernels::newton::system::System;
use crate::python::arrays::Entry;
use crate::python::callable::Callable;
use crate::python::lapack;
use crate::python::memory::expect_memory;
use crate::python::options::refuse_unknown;
use crate::python::presence::Inside;
use crate::python::solver::approximation::Rule;
use crate::python::solver::functions::{Callbacks, Functions, Jacobians};
use crate::python::solver::session::Session;
use crate::python::solver::{Solver, saving};
use crate::python::unknowns::{FieldOf, Start};

/// Newton's method for a system, step by step: `root` with ``method='newton'`` without its loop.
///
/// Parameters
/// ----------
/// x0 : array_like
///     Starting point, of any shape, real or complex, in single or double precision.
/// jac : {'exact', '2-point', '3-point', 'cs'}, optional
///     'exact', the default, asks for the Jacobian; the others approximate it from residuals at
///     nearby points, which ``ask`` then wants.
/// **options
///     Those of `root`: ``xtol``, ``ftol``, ``maxiter``, ``line_search`` and ``diff_step``.
///
/// Attributes
/// ----------
/// done : bool
///     Whether the solve has ended.
/// x, fun : array
///     The current iterate and its residual, which is None before it is known.
/// nit, nfev, njev : int
///     Iterations completed, residuals told, Jacobians told or approximated.
/// residual_norm, step_norm : float
///     Euclidean norms of the residual at the current iterate and of the last step.
/// step_length : float
///     What the last step was multiplied by, from the line search.
///
/// See Also
/// --------
/// root : The same with a loop.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> import raphson
/// >>> solver = raphson.NewtonSystem([2.0, -2.0])
/// >>> while not solver.done:
/// ...     what, (x, y) = solver.ask()
/// ...     if what == "residual":
/// ...         solver.tell([np.exp(x) + y - 2, x**2 + 2 * y**2 - 6])
/// ...     else:
/// ...         solver.tell([[np.exp(x), 1], [2 * x, 4 * y]])
/// >>> solver.result().x
/// array([ 1.24979638, -1.48963234])
#[pyclass(extends = Solver, module = "raphson", name = "NewtonSystem")]
pub struct NewtonSystem;

impl NewtonSystem {
    fn begin(
        start: Start<'_>,
        rule: Option<Rule>,
        tol: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let session = match start.field()? {
            FieldOf::Single => session::<f32>(start, rule, tol, options)?,
            FieldOf::Double => session::<f64>(start, rule, tol, options)?,
            FieldOf::ComplexSingle => session::<c32>(start, rule, tol, options)?,
            FieldOf::ComplexDouble => session::<c64>(start, rule, tol, options)?,
        };
        Ok(PyClassInitializer::from(Solver::new(session, false)).add_subclass(NewtonSystem))
    }
}

fn session<T: Entry>(
    start: Start<'_>,
    rule: Option<Rule>,
    tol: Option<&Bound<'_, PyAny>>,
    options: Option<&Bound<'_, PyAny>>,
) -> PyResult<Box<dyn Session>> {
    if rule == Some(Rule::ComplexStep) && T::COMPLEX {
        return Err(PyValueError::new_err(
            "jac='cs' steps off the real axis and needs a real x0; use '2-point' or '3-point'",
        ));
    }
    let options = Options::read(options, tol, T::EPSILON)?;
    let values = start.values::<T>()?;
    expect_memory(System::<T>::room_to_begin(values.len()))?;
    let unknowns = start.unknowns;
    Ok(Box::new(Iteration::new(values, unknowns, rule, options)))
}

#[pymethods]
impl NewtonSystem {
    #[new]
    #[pyo3(
        signature = (x0, jac=None, **options),
        text_signature = "(x0, jac='exact', *, xtol=None, ftol=0.0, maxiter=100, \
                          line_search='armijo', diff_step=None)"
    )]
    fn new(
        x0: &Bound<'_, PyAny>,
        jac: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let _inside = Inside::new(x0.py())?;
        if let Some(options) = options {
            refuse_unknown(options, &NAMES, CLASS)?;
        }
        let rule = named_rule(jac)?;
        Self::begin(Start::read(x0, "x0")?, rule, None, options.map(|options| options.as_any()))
    }

    /// A solver from what ``to_bytes`` gave.
    ///
    /// Parameters
    /// ----------
    /// data : bytes
    ///     The saved solver.
    ///
    /// Returns
    /// -------
    /// solver : NewtonSystem
    ///
    /// Raises
    /// ------
    /// ValueError
    ///     If the data is truncated, altered, of a newer version, or of another class.
    #[classmethod]
    fn from_bytes<'py>(class: &Bound<'py, PyType>, data: &[u8]) -> PyResult<Bound<'py, Self>> {
        let py = class.py();
        let saved = saving::open(data, CLASS)?;
        // What is loaded below may need LAPACK, and only looks whether it is there.
        lapack::load(py)?;
        let session = match saved.label.dtype.as_str() {
            "float32" => load::<f32>(py, saved)?,
            "float64" => load::<f64>(py, saved)?,
            "complex64" => load::<c32>(py, saved)?,
            "complex128" => load::<c64>(py, saved)?,
            _ => return Err(saving::inconsistent()),
        };
        let solver = PyClassInitializer::from(Solver::new(session, false));
        Bound::new(py, solver.add_subclass(NewtonSystem))
    }

    /// Euclidean norm of the residual at the current iterate.
    #[getter]
    fn residual_norm(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Solver::figures(slf.as_super())?.residual_norm)
    }

    /// What the last step was multiplied by.
    #[getter]
    fn step_length(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Solver::figures(slf.as_super())?.step_length)
    }

    /// Jacobians told or approximated.
    #[getter]
    fn njev(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Ok(Solver::figures(slf.as_super())?.jacobians)
    }
}

#[pyfunction]
pub fn root_newton<'py>(
    fun: &Bound<'py, PyAny>,
    x0: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    jac: &Bound<'py, PyAny>,
    tol: Option<&Bound<'py, PyAny>>,
    callback: &Bound<'py, PyAny>,
    options: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = fun.py();
    let _inside = Inside::new(py)?;
    let start = Start::read(x0, "x0")?;
    let residual = Callable::new(fun, args, "fun")?;
    let (rule, jacobians) = match Source::read(jac)? {
        Source::Callable => (None, Jacobians::Callable(Callable::new(jac, args, "jac")?)),
        Source::WithResidual => (None, Jacobians::WithResidual(None)),
        Source::Approximated(rule) => (Some(rule), Jacobians::None),
    };
    let callbacks = Callbacks::read(callback, &PyTuple::empty(py), false)?;
    let solver = Bound::new(py, NewtonSystem::begin(start, rule, tol, options)?)?.into_super();
    Functions { residual, jacobians, callbacks, verbosity: 0.0 }.solve(&solver)?;
    Solver::hold(&solver)?.session()?.result(py)
}
