//! What the readers of options have in common.

use std::ffi::CString;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyString};

use super::arrays::{describe, named};
use super::call::import;
use super::numbers::{count, real};

/// The value of a keyword; None where it is missing or None.
pub fn given<'py>(
    keywords: &Bound<'py, PyDict>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(keywords.get_item(name)?.filter(|value| !value.is_none()))
}

/// Whether a value is true; some arrays are neither.
pub fn truth(value: &Bound<'_, PyAny>, name: &str) -> PyResult<bool> {
    value.is_truthy().map_err(|error| named(error, name, "a truth value", value))
}

/// The pairs of name and value in a dict or another mapping.
pub fn items<'py>(options: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    let mapping = options.cast::<PyMapping>().map_err(|_| {
        PyTypeError::new_err(format!("options must be a dict, not {}", describe(options)))
    })?;
    mapping.items()
}

/// The relative step of differences.
pub fn step_length(value: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    let number = real(value, name)?;
    if number > 0.0 && number.is_finite() {
        return Ok(number);
    }
    Err(PyValueError::new_err(format!("{name} must be positive and finite, got {number}")))
}

/// A count that is not zero.
pub fn at_least_one(value: &Bound<'_, PyAny>, name: &str) -> PyResult<u64> {
    match count(value, name)? {
        0 => Err(PyValueError::new_err(format!("{name} must be at least 1, got {value}"))),
        number => Ok(number),
    }
}

/// An option of a method.
pub struct Setting<S> {
    pub name: &'static str,
    /// Reads a value of it into all settings.
    pub read: fn(&mut S, &Bound<'_, PyAny>) -> PyResult<()>,
}

/// The names in a table of options.
pub fn names<S>(table: &[Setting<S>]) -> Vec<&'static str> {
    table.iter().map(|setting| setting.name).collect()
}

/// Settings by a table of options; what is not given has its default. Other names are left alone.
pub fn read_settings<S: Default>(table: &[Setting<S>], given: &Bound<'_, PyDict>) -> PyResult<S> {
    let mut settings = S::default();
    for Setting { name, read } in table {
        if let Some(value) = given.get_item(name)? {
            read(&mut settings, &value)?;
        }
    }
    Ok(settings)
}

/// Warns of options that a method does not have, as SciPy does; `depth` counts the Python functions
/// from the one that called us to the user's.
pub fn warn_of_unknown(
    given: &Bound<'_, PyDict>,
    names: &[&str],
    method: &str,
    depth: i32,
) -> PyResult<()> {
    let mut unknown = Vec::new();
    let mut hints = String::new();
    for name in given.keys() {
        let name = name.str()?.to_string_lossy().into_owned();
        if names.contains(&&*name) {
            continue;
        }
        if let Some(option) = meant(&name, names) {
            hints += &format!("; for '{name}' write '{option}'");
        }
        unknown.push(name);
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let py = given.py();
    let category = import(py, "scipy.optimize")?.getattr("OptimizeWarning")?;
    let text = format!(
        "Unknown solver options: {}{hints}; method '{method}' has {}",
        unknown.join(", "),
        names.join(", ")
    );
    PyErr::warn(py, &category, &CString::new(text)?, depth)
}

/// Refuses what is not among the options of a class.
pub fn refuse_unknown(options: &Bound<'_, PyDict>, names: &[&str], class: &str) -> PyResult<()> {
    for name in options.keys() {
        let name = name.str()?;
        let name = name.to_string_lossy();
        if !names.contains(&&*name) {
            let hint = match meant(&name, names) {
                Some(option) => format!(". Did you mean '{option}'?"),
                None => String::new(),
            };
            return Err(PyTypeError::new_err(format!(
                "{class}() got an unexpected keyword argument '{name}'{hint}"
            )));
        }
    }
    Ok(())
}

/// Names that solvers, here and in SciPy, have for options of the same meaning; the likeliest first.
const ALIKE: [&[&str]; 7] = [
    &["maxiter", "max_nfev", "maxfev"],
    &["ftol", "f_tol", "fatol", "f_rtol"],
    &["xtol", "x_tol", "xatol", "x_rtol", "tol"],
    &["gtol", "relative_gtol"],
    &["diff_step", "eps", "epsfcn", "rel_step"],
    &["verbose", "disp"],
    &["tr_method", "tr_solver", "lsq_solver"],
];

/// The known option that an unknown name is likely meant for: one that is spelled almost the same,
/// or that has the same meaning elsewhere.
pub fn meant<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let letters = |name: &str| name.to_lowercase().replace('_', "");
    let name = letters(unknown);
    let alike = |option: &&&str| {
        let option = letters(option);
        option == name
            || (name.len() >= 4
                && option.len() >= 4
                && (name.starts_with(&option) || option.starts_with(&name)))
    };
    let group = || ALIKE.into_iter().find(|group| group.contains(&unknown));
    let same = || group()?.iter().find_map(|name| known.iter().find(|option| *option == name));
    known.iter().find(alike).or_else(same).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_spelling_and_by_meaning() {
        let known = ["xtol", "maxiter", "line_search", "diff_step"];
        assert_eq!(meant("linesearch", &known), Some("line_search"));
        assert_eq!(meant("max_iter", &known), Some("maxiter"));
        assert_eq!(meant("XTol", &known), Some("xtol"));
        assert_eq!(meant("diff_steps", &known), Some("diff_step"));
        assert_eq!(meant("eps", &known), Some("diff_step"));
        assert_eq!(meant("maxfev", &known), Some("maxiter"));
        assert_eq!(meant("max_nfev", &["iter", "maxiter"]), Some("maxiter"));
        assert_eq!(meant("factor", &known), None);
        assert_eq!(meant("x", &known), None);
    }
}
