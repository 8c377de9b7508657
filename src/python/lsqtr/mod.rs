//! `raphson.lsqtr` and `raphson.LeastSquares`.

mod options;
mod report;
mod session;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString, PyType};

use crate::kernels::lsqtr::solver;
use crate::python::arrays::describe;
use crate::python::callable::{Callable, unpack};
use crate::python::lapack;
use crate::python::memory::expect_memory;
use crate::python::numbers::real;
use crate::python::options::{given, refuse_unknown};
use crate::python::presence::Inside;
use crate::python::root::jacobian::named_rule;
use crate::python::solver::Solver;
use crate::python::solver::approximation::Rule;
use crate::python::solver::functions::{Callbacks, Functions, Jacobians};
use crate::python::unknowns::{FieldOf, Start};
use options::Settings;
use session::{CLASS, Iteration, load};

/// Least squares in a trust region, step by step: `lsqtr` without its loop.
///
/// Parameters
/// ----------
/// x0 : array_like
///     Starting point, one-dimensional and real.
/// jac : {'exact', '2-point', '3-point', 'cs'}, optional
///     'exact', the default, asks for the Jacobian; the others approximate it from residuals at
///     nearby points, which ``ask`` then wants.
/// **options
///     Those of `lsqtr`: ``bounds``, ``x_scale``, ``ftol``, ``xtol``, ``gtol``, ``maxiter`` and
///     ``options``.
///
/// Attributes
/// ----------
/// done : bool
///     Whether the solve has ended.
/// x, fun : array
///     The current iterate and its residuals, which are None before they are known.
/// nit, nfev, njev : int
///     Iterations completed, residuals told (without those for an approximated Jacobian),
///     Jacobians told or approximated.
/// cost, optimality, relative_optimality : float
///     Half the sum of squares, the largest component of the scaled gradient, and the largest cosine
///     between the residuals and a column of the Jacobian.
/// step_norm, trust_radius : float
///     Euclidean norm of the last step, and the radius for the next one.
/// active_mask : ndarray
///     -1 or 1 where a lower or upper bound is active at the current iterate, 0 elsewhere.
///
/// See Also
/// --------
/// lsqtr : The same with a loop.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> import raphson
/// >>> solver = raphson.LeastSquares([-1.2, 1.0])
/// >>> while not solver.done:
/// ...     what, (x, y) = solver.ask()
/// ...     if what == "residual":
/// ...         solver.tell([10 * (y - x**2), 1 - x])
/// ...     else:
/// ...         solver.tell([[-20 * x, 10], [-1, 0]])
/// >>> solver.result().x.round(6)
/// array([1., 1.])
#[pyclass(extends = Solver, module = "raphson", name = "LeastSquares")]
pub struct LeastSquares;

/// The options of the class.
const OPTIONS: [&str; 7] = ["bounds", "x_scale", "ftol", "xtol", "gtol", "maxiter", "options"];

/// What DESC's tolerances are.
const TOLERANCE: f64 = 1e-6;

impl LeastSquares {
    fn begin(
        x0: &Bound<'_, PyAny>,
        rule: Option<Rule>,
        settings: &Bound<'_, PyDict>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let start = Start::read(x0, "x0")?.one_dimensional()?;
        let epsilon = match start.field()? {
            FieldOf::Single => f64::from(f32::EPSILON),
            FieldOf::Double => f64::EPSILON,
            FieldOf::ComplexSingle | FieldOf::ComplexDouble => {
                return Err(PyTypeError::new_err(format!("x0 must be real, got {}", describe(x0))));
            }
        };
        let values: Vec<f64> = start.values()?;
        expect_memory(solver::LeastSquares::room_to_begin(values.len()))?;
        let settings = Settings::read(settings, values.len(), epsilon)?;
        let bounds = &settings.solver.bounds;
        let outside = |&i: &usize| values[i] < bounds.lower[i] || values[i] > bounds.upper[i];
        if let Some(i) = (0..values.len()).find(outside) {
            return Err(PyValueError::new_err(format!(
                "x0 is infeasible: its element {i} is {}, outside of bounds {} and {}",
                values[i], bounds.lower[i], bounds.upper[i]
            )));
        }
        let lapack = lapack::load(x0.py())?;
        let kernel = solver::LeastSquares::new(values, settings.scaling, settings.solver, lapack);
        let session = Iteration::new(kernel, start.unknowns, rule, settings.relative_step);
        let solver = Solver::new(Box::new(session), true);
        Ok(PyClassInitializer::from(solver).add_subclass(LeastSquares))
    }
}

#[pymethods]
impl LeastSquares {
    #[new]
    #[pyo3(
        signature = (x0, jac=None, **options),
        text_signature = "(x0, jac='exact', *, bounds=None, x_scale='jac', ftol=1e-06, \
                          xtol=1e-06, gtol=1e-06, maxiter=None, options=None)"
    )]
    fn new(
        x0: &Bound<'_, PyAny>,
        jac: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let py = x0.py();
        let _inside = Inside::new(py)?;
        let settings = match options {
            Some(options) => options.copy()?,
            None => PyDict::new(py),
        };
        for name in options::NAMES {
            if settings.contains(name)? {
                return Err(PyTypeError::new_err(format!(
                    "{CLASS}() takes {name} in its options: options={{'{name}': ...}}"
                )));
            }
        }
        refuse_unknown(&settings, &OPTIONS, CLASS)?;
        for name in ["ftol", "xtol", "gtol"] {
            if !settings.contains(name)? {
                settings.set_item(name, TOLERANCE)?;
            }
        }
        Self::begin(x0, named_rule(jac)?, &settings)
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
    /// solver : LeastSquares
    ///
    /// Raises
    /// ------
    /// ValueError
    ///     If the data is truncated, altered, of a newer version, or of another class.
    #[classmethod]
    fn from_bytes<'py>(class: &Bound<'py, PyType>, data: &[u8]) -> PyResult<Bound<'py, Self>> {
        let solver = Solver::new(load(class.py(), data)?, true);
        let solver = PyClassInitializer::from(solver).add_subclass(LeastSquares);
        Bound::new(class.py(), solver)
    }

    /// Half the sum of squares at the current iterate.
    #[getter]
    fn cost(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Solver::figures(slf.as_super())?.cost.unwrap_or(f64::NAN))
    }

    /// The largest component of the scaled gradient at the current iterate.
    #[getter]
    fn optimality(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Solver::figures(slf.as_super())?.optimality)
    }

    /// The largest cosine between the residuals and a column of the Jacobian at the current iterate,
    /// or less where a bound is near.
    #[getter]
    fn relative_optimality(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Solver::figures(slf.as_super())?.relative_optimality)
    }

    /// The radius for the next step.
    #[getter]
    fn trust_radius(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Solver::figures(slf.as_super())?.trust_radius)
    }

    /// -1 or 1 where a lower or upper bound is active at the current iterate, 0 elsewhere.
    #[getter]
    fn active_mask<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Solver::hold(slf.as_super())?.session()?.active_mask(slf.py())
    }

    /// Jacobians told or approximated.
    #[getter]
    fn njev(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Ok(Solver::figures(slf.as_super())?.jacobians)
    }
}

/// `lsqtr(fun, x0, jac, args=args, callback=callback, **keywords)`: a Result.
#[pyfunction]
pub fn lsqtr<'py>(
    fun: &Bound<'py, PyAny>,
    x0: &Bound<'py, PyAny>,
    jac: &Bound<'py, PyAny>,
    args: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    keywords: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = fun.py();
    let _inside = Inside::new(py)?;
    let verbose = given(keywords, intern!(py, "verbose"))?;
    let args = unpack(args)?;
    let residual = Callable::new(fun, &args, "fun")?;
    let (rule, jacobians) = if jac.is_callable() && !jac.is_instance_of::<PyBool>() {
        (None, Jacobians::Callable(Callable::new(jac, &args, "jac")?))
    } else {
        let name = jac.cast::<PyString>().map(|name| name.to_string());
        match Rule::named(&name.unwrap_or_default()) {
            Some(rule) => (Some(rule), Jacobians::None),
            None => {
                return Err(PyValueError::new_err(format!(
                    "jac must be callable, '2-point', '3-point' or 'cs', not {}",
                    jac.repr()?
                )));
            }
        }
    };
    let mut functions = Functions {
        residual,
        jacobians,
        callbacks: Callbacks::read(callback, &args, true)?,
        verbosity: verbose.map_or(Ok(0.0), |value| real(&value, "verbose"))?,
    };
    let solver = Bound::new(py, LeastSquares::begin(x0, rule, keywords)?)?.into_super();
    functions.solve(&solver)?;
    Solver::hold(&solver)?.session()?.result(py)
}
