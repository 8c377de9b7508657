//! What the readers of options have in common.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyString};

use super::arrays::{describe, named};
use super::numbers::count;

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

/// A count that is not zero.
pub fn at_least_one(value: &Bound<'_, PyAny>, name: &str) -> PyResult<u64> {
    match count(value, name)? {
        0 => Err(PyValueError::new_err(format!("{name} must be at least 1, got {value}"))),
        number => Ok(number),
    }
}

/// Refuses what is not among the options of a class.
pub fn refuse_unknown(options: &Bound<'_, PyDict>, names: &[&str], class: &str) -> PyResult<()> {
    for name in options.keys() {
        let name = name.str()?;
        let name = name.to_string_lossy();
        if !names.contains(&&*name) {
            return Err(PyTypeError::new_err(format!(
                "{class}() got an unexpected keyword argument '{name}'"
            )));
        }
    }
    Ok(())
}
