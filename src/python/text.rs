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
