//! Text that is made and printed the way Python does it.

use pyo3::intern;
use pyo3::prelude::*;

use super::call::call;

/// `format(object, specification)`
pub fn formatted(object: &Bound<'_, PyAny>, specification: &str) -> PyResult<String> {
    object.call_method1("__format__", (specification,))?.extract()
}

/// Writes to Python's `sys.stdout`, wherever that leads, at once.
pub fn print(py: Python<'_>, text: &str) -> PyResult<()> {
    let stdout = py.import(intern!(py, "sys"))?.getattr(intern!(py, "stdout"))?;
    // A program without a console has none.
    if stdout.is_none() {
        return Ok(());
    }
    call(&stdout.getattr(intern!(py, "write"))?, (text,))?;
    call(&stdout.getattr(intern!(py, "flush"))?, ())?;
    Ok(())
}

/// A number as Python writes it with three digits behind the point: 1.234e-05.
pub fn scientific(value: f64) -> String {
    let text = format!("{value:.3e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let sign = if exponent.starts_with('-') { '-' } else { '+' };
            format!("{digits}e{sign}{:0>2}", exponent.trim_start_matches('-'))
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::scientific;

    #[test]
    fn numbers_look_as_in_python() {
        assert_eq!(scientific(1.5), "1.500e+00");
        assert_eq!(scientific(-2e-5), "-2.000e-05");
        assert_eq!(scientific(1e300), "1.000e+300");
        assert_eq!(scientific(f64::NAN), "NaN");
    }
}
