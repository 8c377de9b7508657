//! What memory is needed, or a MemoryError.

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

use crate::linalg::memory::{self, OutOfMemory};

/// Looks whether there are so many bytes.
pub fn expect_memory(bytes: usize) -> PyResult<()> {
    memory::expect(bytes).map_err(no_memory)
}

/// Makes room in a vector for so many more elements.
pub fn reserve<T>(vector: &mut Vec<T>, additional: usize) -> PyResult<()> {
    memory::reserve(vector, additional).map_err(no_memory)
}

pub fn no_memory(OutOfMemory(bytes): OutOfMemory) -> PyErr {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    PyMemoryError::new_err(format!("there is no memory for {mebibytes:.3} MiB that a solver needs"))
}
