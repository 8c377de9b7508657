//! `raphson.fsolve`, `root(method='hybr')` and `raphson.PowellHybrid`.

use ndarray::Dimension;
use numpy::{PyArrayDescrMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyTuple, PyType};
use serde::{Deserialize, Serialize};

use crate::kernels::Kernel;
use crate::kernels::differenced::{self, Differenced};
use crate::kernels::forward_differences::{Band, ForwardDifferences, evaluations};
use crate::kernels::hybrid::solver::{Hybrid, Options};
use crate::kernels::hybrid::termination::Stop;
use crate::python::arrays::{self, as_array, describe, named};
use crate::python::callable::Callable;
use crate::python::numbers::real;
use crate::python::options::{
    Setting, names, read_settings, refuse_unknown, truth, warn_of_unknown,
};
use crate::python::presence::Inside;
use crate::python::root::jacobian::named_rule;
use crate::python::solver::Solver;
use crate::python::solver::approximation::Rule;
use crate::python::solver::functions::{Callbacks, Functions, Jacobians};
use crate::python::solver::of_kernel::{Counts, Method, OfKernel};
use crate::python::text::formatted;
use crate::python::unknowns::{FieldOf, Start, Unknowns};

/// More evaluations than anybody lives to see.
const NO_LIMIT: u64 = 1 << 53;

/// The options. With the number of unknowns and the kernel they are all that a solve needs.
#[derive(Deserialize, Serialize)]
struct Settings {
    xtol: f64,
    /// Zero or negative for the default; as in SciPy, the message has a negative one as it is.
    maxfev: i64,
    /// Diagonals below and above the main one; a negative number stands for all.
    band: Option<[i64; 2]>,
    relative_error: Option<f64>,
    factor: f64,
    scale: Option<Vec<f64>>,
    by_columns: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            xtol: 1.49012e-8,
            maxfev: 0,
            band: None,
            relative_error: None,
            factor: 100.0,
            scale: None,
            by_columns: false,
        }
    }
}

const OPTIONS: [Setting<Settings>; 7] = [
    Setting {
        name: "xtol",
        read: |to, value| refuse_if(|x| x < 0.0, value, "xtol").map(|x| to.xtol = x),
    },
    Setting { name: "maxfev", read: |to, value| whole(value, "maxfev").map(|n| to.maxfev = n) },
    Setting { name: "band", read: |to, value| band(value).map(|band| to.band = band) },
    Setting {
        name: "eps",
        read: |to, value| {
            to.relative_error = (!value.is_none()).then(|| real(value, "eps")).transpose()?;
            Ok(())
        },
    },
    Setting {
        name: "factor",
        read: |to, value| refuse_if(|x| x <= 0.0, value, "factor").map(|x| to.factor = x),
    },
    Setting { name: "diag", read: |to, value| scale(value).map(|scale| to.scale = scale) },
    Setting {
        name: "col_deriv",
        read: |to, value| truth(value, "col_deriv").map(|wanted| to.by_columns = wanted),
    },
];

fn refuse_if(bad: fn(f64) -> bool, value: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    let number = real(value, name)?;
    if bad(number) {
        let least = if bad(0.0) { "positive" } else { "zero or positive" };
        return Err(PyValueError::new_err(format!("{name} must be {least}, got {number}")));
    }
    Ok(number)
}

fn whole(value: &Bound<'_, PyAny>, name: &str) -> PyResult<i64> {
    value.extract().map_err(|error| named(error, name, "an integer", value))
}

fn band(value: &Bound<'_, PyAny>) -> PyResult<Option<[i64; 2]>> {
    if value.is_none() {
        return Ok(None);
    }
    let items = value.try_iter().map_err(|_| {
        PyTypeError::new_err(format!("band must be a pair of integers, not {}", describe(value)))
    })?;
    let items: Vec<_> = items.take(2).collect::<PyResult<_>>()?;
    match items.as_slice() {
        [below, above] => Ok(Some([whole(below, "band")?, whole(above, "band")?])),
        _ => Err(PyValueError::new_err("band must have two integers, one for each side")),
    }
}

fn scale(value: &Bound<'_, PyAny>) -> PyResult<Option<Vec<f64>>> {
    if value.is_none() {
        return Ok(None);
    }
    let mut scale: Vec<f64> = Vec::new();
    let shape = arrays::read(value, "diag", &mut scale)?;
    if shape.slice().len() != 1 || scale.iter().any(|&d| d <= 0.0) {
        return Err(PyValueError::new_err(format!(
            "diag must be a vector of positive numbers, got {value}"
        )));
    }
    Ok(Some(scale))
}

impl Settings {
    /// A kernel for so many unknowns. `maxfev` becomes the number that the message has.
    fn kernel(&mut self, unknowns: usize, exact: bool) -> PyResult<Differenced<Hybrid>> {
        if let Some(scale) = &self.scale
            && scale.len() != unknowns
        {
            return Err(PyValueError::new_err(format!(
                "diag must have {unknowns} elements, one for each unknown, got {}",
                scale.len()
            )));
        }
        let usual = if exact { 100 } else { 200 } * (unknowns as u64 + 1);
        let given = u64::try_from(self.maxfev).ok().filter(|&given| given > 0);
        if self.maxfev == 0 {
            self.maxfev = usual as i64;
        }
        let side = |count: i64| usize::try_from(count).unwrap_or(unknowns - 1);
        let band = self.band.map(|[below, above]| Band { below: side(below), above: side(above) });
        let error = self.relative_error.unwrap_or(0.0);
        let differences = (!exact).then(|| ForwardDifferences::new(error, band));
        let each = if exact { 0 } else { evaluations(unknowns, band) as u64 };
        Ok(Differenced::new(
            Hybrid::new(Options {
                tolerance: self.xtol,
                evaluations: given.unwrap_or(usual).min(NO_LIMIT),
                evaluations_per_jacobian: each,
                radius_factor: self.factor,
                scale: self.scale.clone(),
            }),
            differences,
        ))
    }
}

impl Method for Settings {
    type T = f64;
    type Kernel = Differenced<Hybrid>;

    const CLASS: &'static str = "PowellHybrid";
    const NAME: &'static str = "hybr";
    const SQUARE: bool = true;

    fn transposed(&self) -> bool {
        self.by_columns
    }

    fn tolerances(&self) -> Vec<(&'static str, f64)> {
        vec![("xtol", self.xtol)]
    }

    fn jacobians(kernel: &Self::Kernel) -> u64 {
        kernel.jacobians()
    }

    fn status(stop: differenced::Stop<Stop>) -> i32 {
        match stop {
            differenced::Stop::Inner(Stop::NonFinite) => -3,
            differenced::Stop::Inner(stop) => stop.info().unwrap_or(-5),
            differenced::Stop::OutOfMemory => -5,
        }
    }

    fn message(&self, py: Python<'_>, stop: differenced::Stop<Stop>) -> PyResult<String> {
        let differenced::Stop::Inner(stop) = stop else { return Ok(String::new()) };
        let xtol = formatted(&PyFloat::new(py, self.xtol), "f")?;
        Ok(match stop {
            Stop::SmallRadius => "The solution converged.".into(),
            Stop::OutOfEvaluations => {
                format!("The number of calls to function has reached maxfev = {}.", self.maxfev)
            }
            Stop::ToleranceTooSmall => format!(
                "xtol={xtol} is too small, no further improvement in the approximate\n solution \
                 is possible."
            ),
            Stop::SlowJacobians => "The iteration is not making good progress, as measured by the \
                                    \n improvement from the last five Jacobian evaluations."
                .into(),
            Stop::SlowIterations => {
                "The iteration is not making good progress, as measured by the \
                                     \n improvement from the last ten iterations."
                    .into()
            }
            Stop::NonFinite => "The solution or its residual has NaN or inf.".into(),
            Stop::ImproperInput => "Improper input parameters were entered.".into(),
            Stop::OutOfMemory | Stop::Interrupted => "Stopped by the caller.".into(),
        })
    }

    fn add_fields(&self, kernel: &Self::Kernel, fields: &Bound<'_, PyDict>) -> PyResult<()> {
        let (py, unknowns) = (fields.py(), kernel.point().len());
        let hybrid = kernel.inner();
        if !kernel.approximates() {
            fields.set_item(intern!(py, "njev"), kernel.jacobians())?;
        }
        // Its rows are the columns of Q.
        let q = arrays::to_python(py, hybrid.q(), &[unknowns, unknowns])?;
        fields.set_item(intern!(py, "fjac"), q)?;
        let r = arrays::to_python(py, hybrid.r(), &[hybrid.r().len()])?;
        fields.set_item(intern!(py, "r"), r)?;
        let rotated = arrays::to_python(py, hybrid.rotated_residual(), &[unknowns])?;
        fields.set_item(intern!(py, "qtf"), rotated)
    }

    fn fits(kernel: &Self::Kernel) -> bool {
        kernel.fits() && kernel.inner().fits()
    }
}

/// Powell's hybrid method, step by step: `fsolve` without its loop.
///
/// Parameters
/// ----------
/// x0 : array_like
///     Starting point, real, of any shape. All is computed in double precision.
/// jac : {'exact', '2-point'}, optional
///     'exact', the default, asks for the Jacobian; with '2-point' forward differences are made of
///     residuals at nearby points, which ``ask`` then wants.
/// **options
///     Those of `fsolve`: ``xtol``, ``maxfev``, ``band``, ``eps`` (there ``epsfcn``), ``factor``,
///     ``diag`` and ``col_deriv``.
///
/// Attributes
/// ----------
/// done : bool
///     Whether the solve has ended.
/// x, fun : array
///     The current iterate and its residual, which is None before it is known.
/// nit, nfev, njev : int
///     Steps taken, residuals told, Jacobians told or approximated.
/// residual_norm, step_norm : float
///     Euclidean norms of the residual at the current iterate and of the last step.
/// trust_radius : float
///     How far a step may go, in units of ``diag``; NaN before the first Jacobian.
///
/// See Also
/// --------
/// fsolve : The same with a loop.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> import raphson
/// >>> solver = raphson.PowellHybrid([2.0, -2.0])
/// >>> while not solver.done:
/// ...     what, (x, y) = solver.ask()
/// ...     if what == "residual":
/// ...         solver.tell([np.exp(x) + y - 2, x**2 + 2 * y**2 - 6])
/// ...     else:
/// ...         solver.tell([[np.exp(x), 1], [2 * x, 4 * y]])
/// >>> solver.result().x
/// array([ 1.24979638, -1.48963234])
#[pyclass(extends = Solver, module = "raphson", name = "PowellHybrid")]
pub struct PowellHybrid;

impl PowellHybrid {
    fn begin(
        mut settings: Settings,
        exact: bool,
        x0: &[f64],
        unknowns: Unknowns,
        counts: Counts,
    ) -> PyResult<PyClassInitializer<Self>> {
        let kernel = settings.kernel(x0.len(), exact)?;
        Ok(Self::around(OfKernel::new(settings, kernel, unknowns, x0, counts)))
    }

    fn around(session: OfKernel<Settings>) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Solver::new(Box::new(session), false)).add_subclass(PowellHybrid)
    }
}

/// x0, which must be real.
fn read_start<'py>(x0: &Bound<'py, PyAny>) -> PyResult<Start<'py>> {
    let start = Start::read(x0, "x0")?;
    match start.field()? {
        FieldOf::Single | FieldOf::Double => Ok(start),
        _ => Err(PyTypeError::new_err(format!("x0 must be real, got {}", describe(x0)))),
    }
}

#[pymethods]
impl PowellHybrid {
    #[new]
    #[pyo3(
        signature = (x0, jac=None, **options),
        text_signature = "(x0, jac='exact', *, xtol=1.49012e-08, maxfev=0, band=None, eps=None, \
                          factor=100, diag=None, col_deriv=False)"
    )]
    fn new(
        x0: &Bound<'_, PyAny>,
        jac: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let _inside = Inside::new(x0.py())?;
        let none = PyDict::new(x0.py());
        let options = options.unwrap_or(&none);
        refuse_unknown(options, &names(&OPTIONS), Settings::CLASS)?;
        let settings = read_settings(&OPTIONS, options)?;
        let rule = named_rule(jac)?;
        if rule.is_some_and(|rule| Some(rule) != Rule::named("2-point")) {
            return Err(PyValueError::new_err(
                "jac must be 'exact' or '2-point': MINPACK's differences are the only ones here",
            ));
        }
        let start = read_start(x0)?;
        let values = start.values::<f64>()?;
        Self::begin(settings, rule.is_none(), &values, start.unknowns, Counts::default())
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
    /// solver : PowellHybrid
    ///
    /// Raises
    /// ------
    /// ValueError
    ///     If the data is truncated, altered, of a newer version, or of another class.
    #[classmethod]
    fn from_bytes<'py>(class: &Bound<'py, PyType>, data: &[u8]) -> PyResult<Bound<'py, Self>> {
        let py = class.py();
        Bound::new(py, Self::around(OfKernel::load(py, data)?))
    }

    /// Euclidean norm of the residual at the current iterate.
    #[getter]
    fn residual_norm(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Solver::figures(slf.as_super())?.residual_norm)
    }

    /// How far a step may go, in units of ``diag``.
    #[getter]
    fn trust_radius(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Solver::figures(slf.as_super())?.trust_radius)
    }

    /// Jacobians told or approximated.
    #[getter]
    fn njev(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Ok(Solver::figures(slf.as_super())?.jacobians)
    }
}

/// `fsolve` and `root(method='hybr')`: a Result. `jac` is a function, True for pairs (F, J), or None;
/// `function_names` are what the functions are called. `depth` is for the warnings of `root`, which
/// unknown options lead to.
///
/// F is called at x0 as often as by SciPy, which looks at its shape, then at its values, and then
/// begins.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub fn fsolve<'py>(
    fun: &Bound<'py, PyAny>,
    x0: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    jac: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    settings: &Bound<'py, PyDict>,
    of_root: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = fun.py();
    let _inside = Inside::new(py)?;
    let [residual_name, jacobian_name] = if of_root { ["fun", "jac"] } else { ["func", "fprime"] };
    let residual = Callable::new(fun, args, residual_name)?;
    let pairs = of_root && !jac.is_callable() && truth(jac, "jac")?;
    let jacobians = match Callable::optional(jac, args, jacobian_name) {
        _ if pairs => Jacobians::WithResidual(None),
        _ if of_root && !jac.is_callable() => Jacobians::None,
        read => read?.map_or(Jacobians::None, Jacobians::Callable),
    };
    let exact = !matches!(jacobians, Jacobians::None);
    let callbacks = Callbacks::read(callback, &PyTuple::empty(py), false)?;
    if of_root {
        warn_of_unknown(settings, &names(&OPTIONS), "hybr", 3)?;
    }
    let mut settings: Settings = read_settings(&OPTIONS, settings)?;
    let start = read_start(x0)?.flattened();
    let values = start.values::<f64>()?;
    let n = values.len();
    settings.kernel(n, exact)?;

    let mut functions = Functions { residual, jacobians, callbacks, verbosity: 0.0 };
    let first = functions.residual_at(&start.in_its_precision(py)?)?;
    let error = expect_shape(&first, residual_name, &[n])?;
    settings.relative_error = settings.relative_error.or(Some(error));
    if exact {
        let (first, name) = functions.jacobian_at(&start.unknowns.point(py, &values)?)?;
        expect_shape(&first, name, &[n, n])?;
        if let Jacobians::WithResidual(kept) = &mut functions.jacobians {
            *kept = Some(first);
        }
    }
    if !pairs {
        functions.residual_at(&start.unknowns.point(py, &values)?)?;
    }
    let counts = Counts { evaluations: 2, calls: if pairs { 0 } else { 2 } };
    let solver = PowellHybrid::begin(settings, exact, &values, start.unknowns, counts)?;
    let solver = Bound::new(py, solver)?.into_super();
    if pairs {
        // SciPy remembers the last pair.
        Solver::tell_first(&solver, &first, residual_name)?;
    }
    functions.solve(&solver)?;
    Solver::hold(&solver)?.session()?.result(py)
}

/// Refuses values of another shape, as SciPy does: one unknown may have any. Returns the relative
/// error of the type of the values.
fn expect_shape(value: &Bound<'_, PyAny>, name: &str, shape: &[usize]) -> PyResult<f64> {
    let array = as_array(value, name)?;
    let dtype = array.dtype();
    if dtype.kind() == b'c' {
        return Err(PyTypeError::new_err(format!("{name}: got complex numbers, where x0 is real")));
    }
    if array.shape() == shape || shape[0] == 1 {
        return Ok(match (dtype.kind(), dtype.itemsize()) {
            (b'f', 2) => f64::powi(2.0, -10),
            (b'f', 4) => f32::EPSILON.into(),
            _ => f64::EPSILON,
        });
    }
    let words: Vec<_> = shape.iter().map(usize::to_string).collect();
    Err(PyTypeError::new_err(format!(
        "{name}: expected an array of shape ({}{}), for the shape of x0, got {}",
        words.join(", "),
        if shape.len() == 1 { "," } else { "" },
        describe(value)
    )))
}
