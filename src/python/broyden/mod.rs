//! `raphson.broyden1`, `root(method='broyden1')` and `raphson.Broyden1`.

mod options;
mod session;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::python::callable::Callable;
use crate::python::options::{refuse_unknown, truth};
use crate::python::presence::Inside;
use crate::python::results::no_convergence;
use crate::python::solver::Solver;
use crate::python::solver::functions::{Callbacks, Functions, Jacobians};
use crate::python::solver::session::Failure;
use crate::python::unknowns::Start;
use options::{Names, Settings};
use session::{Beginning, load};

/// Broyden's first method, step by step: `broyden1` without its loop.
///
/// Parameters
/// ----------
/// xin : array_like
///     Starting point, of any shape, real or complex, in single or double precision.
/// **options
///     Those of `broyden1`: ``iter``, ``alpha``, ``reduction_method``, ``max_rank``, ``maxiter``,
///     ``f_tol``, ``f_rtol``, ``x_tol``, ``x_rtol``, ``tol_norm`` and ``line_search``.
///
/// Attributes
/// ----------
/// done : bool
///     Whether the solve has ended.
/// x, fun : array
///     The current iterate and its residual, which is None before it is known.
/// nit, nfev : int
///     Iterations completed, and residuals told.
/// residual_norm, step_norm : float
///     Euclidean norms of the residual at the current iterate and of the last step.
/// step_length : float
///     What the last step was multiplied by, from the line search.
///
/// See Also
/// --------
/// broyden1 : The same with a loop.
///
/// Examples
/// --------
/// The functions are evaluated wherever you like; here, at once:
///
/// >>> import numpy as np
/// >>> import raphson
/// >>> solver = raphson.Broyden1([1.0, 1.0], f_tol=1e-10)
/// >>> while not solver.done:
/// ...     what, x = solver.ask()
/// ...     solver.tell(np.cos(x) - x)
/// >>> solver.result().x
/// array([0.73908513, 0.73908513])
///
/// Half of the way, a break, and the rest in another process:
///
/// >>> solver = raphson.Broyden1([1.0, 1.0], f_tol=1e-10)
/// >>> while solver.nit < 3:
/// ...     what, x = solver.ask()
/// ...     solver.tell(np.cos(x) - x)
/// >>> data = solver.to_bytes()
/// >>> raphson.Broyden1.from_bytes(data).solve(lambda x: np.cos(x) - x).x
/// array([0.73908513, 0.73908513])
#[pyclass(extends = Solver, module = "raphson", name = "Broyden1")]
pub struct Broyden1;

/// The options of the class.
const OPTIONS: [&str; 11] = [
    "iter",
    "alpha",
    "reduction_method",
    "max_rank",
    "maxiter",
    "f_tol",
    "f_rtol",
    "x_tol",
    "x_rtol",
    "tol_norm",
    "line_search",
];

impl Broyden1 {
    fn begin(start: Start<'_>, settings: Settings) -> PyResult<PyClassInitializer<Self>> {
        let solver = Solver::new(Box::new(Beginning::new(start, settings)?), false);
        Ok(PyClassInitializer::from(solver).add_subclass(Broyden1))
    }
}

#[pymethods]
impl Broyden1 {
    #[new]
    #[pyo3(
        signature = (xin, **options),
        text_signature = "(xin, *, iter=None, alpha=None, reduction_method='restart', \
                          max_rank=None, maxiter=None, f_tol=None, f_rtol=None, x_tol=None, \
                          x_rtol=None, tol_norm=None, line_search='armijo')"
    )]
    fn new(
        xin: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let _inside = Inside::new(xin.py())?;
        let none = PyDict::new(xin.py());
        let options = options.unwrap_or(&none);
        refuse_unknown(options, &OPTIONS, "Broyden1")?;
        let mut settings = Settings::read(options, &Names::of_broyden1(xin.py()))?;
        settings.keep_iterate = true;
        Self::begin(Start::read(xin, "xin")?, settings)
    }

    /// A solver from what ``to_bytes`` gave.
    ///
    /// Parameters
    /// ----------
    /// data : bytes
    ///     The saved solver.
    /// tol_norm : callable, optional
    ///     The norm of the solver, if it had one: functions are not saved.
    ///
    /// Returns
    /// -------
    /// solver : Broyden1
    ///
    /// Raises
    /// ------
    /// ValueError
    ///     If the data is truncated, altered, of a newer version, or of another class.
    /// TypeError
    ///     If `tol_norm` is missing, or the solver had none.
    #[classmethod]
    #[pyo3(signature = (data, tol_norm=None))]
    fn from_bytes<'py>(
        class: &Bound<'py, PyType>,
        data: &[u8],
        tol_norm: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = class.py();
        let solver = Solver::new(load(py, data, tol_norm)?, false);
        Bound::new(py, PyClassInitializer::from(solver).add_subclass(Broyden1))
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
}

/// `broyden1(F, xin, **settings)`: the solution, or NoConvergence.
#[pyfunction]
pub fn broyden1<'py>(
    function: &Bound<'py, PyAny>,
    xin: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    settings: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let _inside = Inside::new(py)?;
    let residual = Callable::new(function, &PyTuple::empty(py), "F")?;
    let (start, names) = (Start::read(xin, "xin")?, Names::of_broyden1(py));
    let solver = solve(residual, Jacobians::None, start, callback, settings, &names)?;
    match failure(&solver, "F")? {
        Some(Failure::NoConvergence(explanation)) => {
            Err(no_convergence(&result(&solver)?, &explanation)?)
        }
        Some(Failure::Invalid(error)) => Err(error),
        None => Solver::hold(&solver)?.session()?.point(py),
    }
}

/// `root(method='broyden1')`: a Result. `pairs` says that the function returns (F, J).
#[pyfunction]
pub fn root_broyden1<'py>(
    fun: &Bound<'py, PyAny>,
    x0: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    pairs: bool,
    callback: &Bound<'py, PyAny>,
    settings: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let _inside = Inside::new(fun.py())?;
    let residual = Callable::new(fun, args, "fun")?;
    let jacobians = if pairs { Jacobians::WithResidual(None) } else { Jacobians::None };
    let (start, names) = (Start::read(x0, "x0")?, Names::of_root(fun.py()));
    let solver = solve(residual, jacobians, start, callback, settings, &names)?;
    match failure(&solver, "fun")? {
        Some(Failure::Invalid(error)) => Err(error),
        _ => result(&solver),
    }
}

fn solve<'py>(
    residual: Callable<'py>,
    jacobians: Jacobians<'py>,
    start: Start<'py>,
    callback: &Bound<'py, PyAny>,
    settings: &Bound<'py, PyDict>,
    names: &Names<'py>,
) -> PyResult<Bound<'py, Solver>> {
    let py = callback.py();
    let verbose = settings.get_item(names.verbose)?;
    let verbose = verbose.map_or(Ok(false), |verbose| truth(&verbose, names.verbose.to_str()?))?;
    let mut settings = Settings::read(settings, names)?;
    let callbacks = Callbacks::read(callback, &PyTuple::empty(py), false)?;
    settings.keep_iterate = callbacks.observed();
    let verbosity = f64::from(u8::from(verbose));
    let mut functions = Functions { residual, jacobians, callbacks, verbosity };
    let solver = Bound::new(py, Broyden1::begin(start, settings)?)?.into_super();
    functions.solve(&solver)?;
    Ok(solver)
}

fn failure(solver: &Bound<'_, Solver>, name: &str) -> PyResult<Option<Failure>> {
    Ok(Solver::hold(solver)?.session()?.failure(name))
}

fn result<'py>(solver: &Bound<'py, Solver>) -> PyResult<Bound<'py, PyAny>> {
    Solver::hold(solver)?.session()?.result(solver.py())
}
