//! Solvers from bytes.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::Serialize;

use crate::python::memory::{expect_memory, no_memory};
use crate::saved::{Failure, Label, Refusal, Saved, to_bytes};

/// The state of a solver of this class, which computes in this dtype.
pub fn save(solver: &str, dtype: &str, state: &impl Serialize) -> PyResult<Vec<u8>> {
    let label = Label {
        solver: solver.into(),
        dtype: dtype.into(),
        release: env!("CARGO_PKG_VERSION").into(),
    };
    to_bytes(&label, state).map_err(|failure| match failure {
        Failure::Memory(lack) => no_memory(lack),
        Failure::Unwritable(reason) => PyValueError::new_err(reason),
    })
}

/// The saved state of a solver of this class.
pub fn open<'a>(data: &'a [u8], solver: &str) -> PyResult<Saved<'a>> {
    // What is read is as large as what it is read from.
    expect_memory(data.len())?;
    let saved = Saved::open(data).map_err(refuse)?;
    if saved.label.solver == solver {
        return Ok(saved);
    }
    Err(PyValueError::new_err(format!(
        "data: this is the saved state of {}, not of {solver}",
        saved.label.solver
    )))
}

pub fn refuse(refusal: Refusal) -> PyErr {
    PyValueError::new_err(format!("data: {refusal}"))
}

/// The parts of the state do not go together.
pub fn inconsistent() -> PyErr {
    refuse(Refusal::Inconsistent("its parts do not fit".into()))
}

/// The name of the class whose saved state this is.
#[pyfunction]
pub fn saved_class(data: &[u8]) -> PyResult<String> {
    Ok(Saved::open(data).map_err(refuse)?.label.solver)
}
