//! The settings of `lsqtr`: its keywords, and what its `options` hold.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySequence, PyString};

use crate::kernels::lsqtr::bounds::Bounds;
use crate::kernels::lsqtr::radius::{Initial, RadiusOptions};
use crate::kernels::lsqtr::scaling::Scaling;
use crate::kernels::lsqtr::solver::Options;
use crate::kernels::lsqtr::subproblem::Method;
use crate::kernels::lsqtr::termination::Termination;
use crate::python::arrays::{self, describe};
use crate::python::numbers::{count, real};
use crate::python::options::{at_least_one, given, items, meant, step_length, truth};

pub struct Settings {
    pub solver: Options,
    pub scaling: Scaling,
    /// The relative step of differences, where it is the user's.
    pub relative_step: Option<f64>,
}

impl Settings {
    /// Reads the keywords of `lsqtr` by their names; `epsilon` is that of the numbers in x0.
    pub fn read<'py>(
        keywords: &Bound<'py, PyDict>,
        unknowns: usize,
        epsilon: f64,
    ) -> PyResult<Self> {
        let py = keywords.py();
        let given = |name: &Bound<'py, PyString>| given(keywords, name);
        let tolerance = |name: &Bound<'py, PyString>| -> PyResult<f64> {
            let given = given(name)?;
            let number = given.map(|value| not_nan(&value, &name.to_string_lossy())).transpose()?;
            // Negative is a common way to say off.
            Ok(number.unwrap_or(0.0).max(0.0))
        };
        let maxiter = given(intern!(py, "maxiter"))?
            .map_or(Ok(100 * unknowns as u64), |value| not_negative(&value, "maxiter"))?;
        let mut options = Options {
            bounds: read_bounds(given(intern!(py, "bounds"))?.as_ref(), unknowns)?,
            termination: Termination {
                cost: tolerance(intern!(py, "ftol"))?,
                step: tolerance(intern!(py, "xtol"))?,
                gradient: tolerance(intern!(py, "gtol"))?,
                relative_gradient: 0.0,
                shortest_step: epsilon,
                distance: f64::INFINITY,
                evaluations: maxiter.saturating_mul(5).saturating_add(1),
                iterations: maxiter,
            },
            radius: RadiusOptions {
                initial: Initial::Scaled,
                initial_ratio: 1.0,
                largest: f64::INFINITY,
                increase_threshold: 0.75,
                decrease_threshold: 0.25,
                increase_ratio: 2.0,
                decrease_ratio: 0.25,
            },
            method: Method::Qr,
            scaled_termination: true,
        };
        let mut relative_step = None;
        if let Some(given) = given(intern!(py, "options"))? {
            relative_step = read_options(&mut options, &given)?;
        }
        Ok(Settings {
            solver: options,
            relative_step,
            scaling: read_scale(given(intern!(py, "x_scale"))?.as_ref(), unknowns)?,
        })
    }
}

/// The options of the solver, and the relative step of differences.
fn read_options(options: &mut Options, given: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    let mut relative_step = None;
    let (termination, radius) = (&mut options.termination, &mut options.radius);
    let mut unknown = Vec::new();
    for item in items(given)?.iter() {
        let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        let key_text = key.str()?;
        let name = &*key_text.to_string_lossy();
        let between = |low, high| number_between(&value, name, low, high);
        match name {
            "max_nfev" => termination.evaluations = limit(&value, name)?,
            "relative_gtol" => termination.relative_gradient = not_nan(&value, name)?.max(0.0),
            "max_dx" => termination.distance = positive(&value, name)?,
            "min_trust_radius" => termination.shortest_step = between(0.0, f64::INFINITY)?,
            "scaled_termination" => options.scaled_termination = truth(&value, name)?,
            "initial_trust_radius" => radius.initial = read_initial_radius(&value)?,
            "initial_trust_ratio" => radius.initial_ratio = positive(&value, name)?,
            "max_trust_radius" => radius.largest = positive(&value, name)?,
            "tr_increase_threshold" => radius.increase_threshold = between(0.0, 1.0)?,
            "tr_decrease_threshold" => radius.decrease_threshold = between(0.0, 1.0)?,
            "tr_increase_ratio" => radius.increase_ratio = more_than_one(&value, name)?,
            "tr_decrease_ratio" => radius.decrease_ratio = proper_fraction(&value, name)?,
            "diff_step" if value.is_none() => relative_step = None,
            "diff_step" => relative_step = Some(step_length(&value, name)?),
            "tr_method" => options.method = read_method(&value)?,
            _ => unknown.push((key.repr()?.to_string(), hint(name))),
        }
    }
    if unknown.is_empty() {
        return Ok(relative_step);
    }
    let (names, hints): (Vec<_>, Vec<_>) = unknown.into_iter().unzip();
    Err(PyValueError::new_err(format!(
        "Unknown options: [{}]; lsqtr has {}{}",
        names.join(", "),
        NAMES.join(", "),
        hints.concat()
    )))
}

/// The options.
pub const NAMES: [&str; 14] = [
    "max_nfev",
    "max_dx",
    "relative_gtol",
    "scaled_termination",
    "initial_trust_radius",
    "initial_trust_ratio",
    "max_trust_radius",
    "min_trust_radius",
    "tr_increase_threshold",
    "tr_decrease_threshold",
    "tr_increase_ratio",
    "tr_decrease_ratio",
    "tr_method",
    "diff_step",
];

/// The arguments that might be taken for options.
const ARGUMENTS: [&str; 9] =
    ["bounds", "args", "x_scale", "ftol", "xtol", "gtol", "verbose", "maxiter", "callback"];

/// What to write in place of an unknown option.
fn hint(name: &str) -> String {
    if !ARGUMENTS.contains(&name)
        && let Some(option) = meant(name, &NAMES)
    {
        return format!(". Did you mean '{option}' by '{name}'?");
    }
    match meant(name, &ARGUMENTS) {
        Some(argument) => format!(". '{argument}' is an argument of its own, outside of options."),
        None => String::new(),
    }
}

fn read_method(value: &Bound<'_, PyAny>) -> PyResult<Method> {
    match value.extract::<&str>() {
        Ok("qr") => Ok(Method::Qr),
        Ok("svd") => Ok(Method::Svd),
        Ok("cho") => Ok(Method::Cholesky),
        _ => Err(PyValueError::new_err(format!(
            "tr_method should be one of 'cho', 'svd', 'qr', got {}",
            value.str()?
        ))),
    }
}

fn read_initial_radius(value: &Bound<'_, PyAny>) -> PyResult<Initial> {
    match value.extract::<&str>() {
        Ok("scipy") => Ok(Initial::Scaled),
        Ok("conngould") => Ok(Initial::Cauchy),
        Ok("mix") => Ok(Initial::Mean),
        _ => match value.extract::<f64>() {
            Ok(radius) if radius > 0.0 => Ok(Initial::Given(radius)),
            _ => Err(PyValueError::new_err(format!(
                "initial_trust_radius must be 'scipy', 'conngould', 'mix' or a positive number, \
                 got {}",
                value.repr()?
            ))),
        },
    }
}

fn not_nan(value: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    let number = real(value, name)?;
    if number.is_nan() {
        return Err(PyValueError::new_err(format!("{name} must not be NaN")));
    }
    Ok(number)
}

fn positive(value: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    let number = real(value, name)?;
    if number > 0.0 {
        return Ok(number);
    }
    Err(PyValueError::new_err(format!("{name} must be positive, got {number}")))
}

fn more_than_one(value: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    let number = real(value, name)?;
    if number > 1.0 && number.is_finite() {
        return Ok(number);
    }
    Err(PyValueError::new_err(format!("{name} must be more than 1 and finite, got {number}")))
}

fn number_between(value: &Bound<'_, PyAny>, name: &str, low: f64, high: f64) -> PyResult<f64> {
    let number = real(value, name)?;
    if (low..=high).contains(&number) {
        return Ok(number);
    }
    let expected = if high.is_finite() {
        format!("between {low} and {high}")
    } else {
        format!("at least {low}")
    };
    Err(PyValueError::new_err(format!("{name} must be {expected}, got {number}")))
}

fn proper_fraction(value: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    let number = real(value, name)?;
    if number > 0.0 && number < 1.0 {
        return Ok(number);
    }
    Err(PyValueError::new_err(format!("{name} must be more than 0 and less than 1, got {number}")))
}

fn not_negative(value: &Bound<'_, PyAny>, name: &str) -> PyResult<u64> {
    let number = count(value, name)?;
    if number == 0 && value.lt(0)? {
        return Err(PyValueError::new_err(format!("{name} must not be negative, got {value}")));
    }
    Ok(number)
}

/// Infinity is a common way to say that there is no limit.
fn limit(value: &Bound<'_, PyAny>, name: &str) -> PyResult<u64> {
    if value.extract::<f64>().is_ok_and(|number| number == f64::INFINITY) {
        return Ok(u64::MAX);
    }
    at_least_one(value, name)
}

fn read_scale(value: Option<&Bound<'_, PyAny>>, unknowns: usize) -> PyResult<Scaling> {
    let Some(value) = value else { return Ok(Scaling::from_jacobian(unknowns)) };
    if let Ok(name) = value.cast::<PyString>() {
        return match &*name.to_string_lossy() {
            "jac" | "auto" => Ok(Scaling::from_jacobian(unknowns)),
            other => Err(PyValueError::new_err(format!(
                "x_scale should be one of 'jac', 'auto' or array-like, got {other}"
            ))),
        };
    }
    let scale = read_vector(value, "x_scale", unknowns)?;
    if scale.iter().all(|&scale| scale > 0.0 && scale.is_finite()) {
        return Ok(Scaling::given(&scale));
    }
    Err(PyValueError::new_err(format!(
        "x_scale must be positive and finite, got {}",
        value.repr()?
    )))
}

/// A pair of lower and upper bounds, or an object with `lb` and `ub` like scipy.optimize.Bounds.
fn read_bounds(value: Option<&Bound<'_, PyAny>>, unknowns: usize) -> PyResult<Bounds> {
    let Some(value) = value else {
        let (lower, upper) = (vec![f64::NEG_INFINITY; unknowns], vec![f64::INFINITY; unknowns]);
        return Ok(Bounds { lower, upper });
    };
    let py = value.py();
    let pair = match (value.getattr_opt(intern!(py, "lb"))?, value.getattr_opt(intern!(py, "ub"))?)
    {
        (Some(lower), Some(upper)) => vec![lower, upper],
        // A set or a dict has no first and second.
        _ => match value.cast::<PySequence>() {
            Ok(items) => items.try_iter()?.collect::<PyResult<Vec<_>>>()?,
            Err(_) => value.extract().unwrap_or_default(),
        },
    };
    let [lower, upper] = pair.as_slice() else {
        return Err(PyValueError::new_err(format!(
            "bounds must be a pair (lower, upper), got {}",
            value.repr()?
        )));
    };
    let bounds = Bounds {
        lower: read_vector(lower, "bounds[0]", unknowns)?,
        upper: read_vector(upper, "bounds[1]", unknowns)?,
    };
    let mut pairs = bounds.lower.iter().zip(&bounds.upper);
    match pairs.position(|(lower, upper)| lower > upper || lower.is_nan() || upper.is_nan()) {
        None => Ok(bounds),
        Some(i) => Err(PyValueError::new_err(format!(
            "bounds: the lower bound of element {i} is {}, the upper one {}",
            bounds.lower[i], bounds.upper[i]
        ))),
    }
}

/// One number for each unknown; a single one counts for all.
fn read_vector(value: &Bound<'_, PyAny>, name: &str, unknowns: usize) -> PyResult<Vec<f64>> {
    let mut numbers = Vec::new();
    arrays::read::<f64>(value, name, &mut numbers)?;
    if numbers.len() == unknowns {
        return Ok(numbers);
    }
    if let [number] = numbers[..] {
        return Ok(vec![number; unknowns]);
    }
    Err(PyValueError::new_err(format!(
        "{name} must be one number or {unknowns}, like x0, got {}",
        describe(value)
    )))
}
