//! The options of `root(method='newton')`.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyMapping};

use crate::kernels::newton::system;
use crate::python::arrays::describe;
use crate::python::numbers::{count, real};

pub struct Options {
    pub system: system::Options,
    pub relative_step: Option<f64>,
}

const NAMES: [&str; 5] = ["xtol", "ftol", "maxiter", "line_search", "diff_step"];

impl Options {
    /// `epsilon` is that of the field; `tol` is the default for `xtol`.
    pub fn read(
        options: Option<&Bound<'_, PyAny>>,
        tol: Option<&Bound<'_, PyAny>>,
        epsilon: f64,
    ) -> PyResult<Self> {
        let mut read = Options {
            system: system::Options {
                step_tolerance: epsilon.powf(0.75),
                residual_tolerance: 0.0,
                iterations: 100,
                line_search: true,
            },
            relative_step: None,
        };
        if let Some(tol) = tol {
            read.system.step_tolerance = nonnegative(tol, "tol")?;
        }
        for item in items(options)? {
            let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
            match name.str()?.to_str()? {
                "xtol" => read.system.step_tolerance = nonnegative(&value, "xtol")?,
                "ftol" => read.system.residual_tolerance = nonnegative(&value, "ftol")?,
                "maxiter" => read.system.iterations = positive_count(&value)?,
                "line_search" => read.system.line_search = line_search(&value)?,
                "diff_step" if value.is_none() => read.relative_step = None,
                "diff_step" => read.relative_step = Some(positive(&value, "diff_step")?),
                unknown => {
                    return Err(PyValueError::new_err(format!(
                        "options: unknown option '{unknown}'; method 'newton' has {}",
                        NAMES.join(", ")
                    )));
                }
            }
        }
        Ok(read)
    }
}

/// The pairs of name and value in a dict or another mapping.
fn items<'py>(
    options: Option<&Bound<'py, PyAny>>,
) -> PyResult<impl Iterator<Item = PyResult<Bound<'py, PyAny>>>> {
    let pairs = match options {
        Some(options) => {
            let mapping = options.cast::<PyMapping>().map_err(|_| {
                PyTypeError::new_err(format!("options must be a dict, not {}", describe(options)))
            })?;
            Some(mapping.items()?.try_iter()?)
        }
        None => None,
    };
    Ok(pairs.into_iter().flatten())
}

fn nonnegative(value: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    let number = real(value, name)?;
    if number >= 0.0 {
        return Ok(number);
    }
    Err(PyValueError::new_err(format!("{name} must not be negative or NaN, got {number}")))
}

fn positive(value: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    let number = real(value, name)?;
    if number > 0.0 && number.is_finite() {
        return Ok(number);
    }
    Err(PyValueError::new_err(format!("{name} must be positive and finite, got {number}")))
}

fn positive_count(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    match count(value, "maxiter")? {
        0 => Err(PyValueError::new_err(format!("maxiter must be at least 1, got {value}"))),
        positive => Ok(positive),
    }
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
