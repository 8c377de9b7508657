//! The options of `root(method='newton')`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::kernels::newton::system;
use crate::python::numbers::real;
use crate::python::options::{at_least_one, items, meant, step_length};

pub struct Options {
    pub system: system::Options,
    pub relative_step: Option<f64>,
    /// The user has chosen `xtol`.
    pub chosen_tolerance: bool,
}

pub const NAMES: [&str; 5] = ["xtol", "ftol", "maxiter", "line_search", "diff_step"];

impl Options {
    /// `epsilon` is that of the field; `tol` is the default for `xtol`.
    pub fn read(
        options: Option<&Bound<'_, PyAny>>,
        tol: Option<&Bound<'_, PyAny>>,
        epsilon: f64,
    ) -> PyResult<Self> {
        let mut read = Options {
            system: system::Options {
                step_tolerance: usual_tolerance(epsilon),
                residual_tolerance: 0.0,
                iterations: 100,
                line_search: true,
            },
            relative_step: None,
            chosen_tolerance: tol.is_some(),
        };
        if let Some(tol) = tol {
            read.system.step_tolerance = nonnegative(tol, "tol")?;
        }
        let Some(options) = options else { return Ok(read) };
        for item in items(options)?.iter() {
            let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
            match &*name.str()?.to_string_lossy() {
                "xtol" => {
                    read.system.step_tolerance = nonnegative(&value, "xtol")?;
                    read.chosen_tolerance = true;
                }
                "ftol" => read.system.residual_tolerance = nonnegative(&value, "ftol")?,
                "maxiter" => read.system.iterations = at_least_one(&value, "maxiter")?,
                "line_search" => read.system.line_search = line_search(&value)?,
                "diff_step" if value.is_none() => read.relative_step = None,
                "diff_step" => read.relative_step = Some(step_length(&value, "diff_step")?),
                unknown => {
                    return Err(PyValueError::new_err(format!(
                        "options: unknown option '{unknown}'; method 'newton' has {}{}",
                        NAMES.join(", "),
                        hint(unknown)
                    )));
                }
            }
        }
        Ok(read)
    }
}

/// Options that only method 'broyden1' has.
const OF_BROYDEN1: [&str; 6] =
    ["alpha", "reduction_method", "max_rank", "jac_options", "tol_norm", "disp"];

/// What an unknown option is likely meant for.
fn hint(unknown: &str) -> String {
    match meant(unknown, &NAMES) {
        Some(option) => format!(". Did you mean '{option}'?"),
        None if OF_BROYDEN1.contains(&unknown) => {
            format!(". '{unknown}' is one of method 'broyden1'.")
        }
        None => String::new(),
    }
}

/// What `xtol` is where residuals have this relative error.
pub fn usual_tolerance(precision: f64) -> f64 {
    precision.powf(0.75)
}

fn nonnegative(value: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    let number = real(value, name)?;
    if number >= 0.0 {
        return Ok(number);
    }
    Err(PyValueError::new_err(format!("{name} must not be negative or NaN, got {number}")))
}

fn line_search(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(wanted) = value.cast::<PyBool>() {
        return Ok(wanted.is_true());
    }
    if value.is_none() {
        return Ok(false);
    }
    if value.extract::<&str>().is_ok_and(|name| name == "armijo") {
        return Ok(true);
    }
    Err(PyValueError::new_err(format!(
        "line_search must be 'armijo' or None, got {}",
        value.repr()?
    )))
}
