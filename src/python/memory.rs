//! What memory is needed, or a MemoryError.

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

use crate::linalg::memory::{self, OutOfMemory};

/// Looks whether there are so many bytes.
pub fn expect_memory(bytes: usize) -> PyResult<()> {
    memory::expect(bytes).map_err(no_memory)
}

/// The same for what `name` has asked for or returned, in the words of the error.
pub fn expect_memory_for(name: &str, bytes: usize) -> PyResult<()> {
    memory::expect(bytes).map_err(|lack| PyMemoryError::new_err(format!("{name}: {}", words(lack))))
}

/// Makes room in a vector for so many more elements.
pub fn reserve<T>(vector: &mut Vec<T>, additional: usize) -> PyResult<()> {
    memory::reserve(vector, additional).map_err(no_memory)
}

pub fn no_memory(lack: OutOfMemory) -> PyErr {
    PyMemoryError::new_err(words(lack))
}

fn words(OutOfMemory(bytes): OutOfMemory) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    format!("there is no memory for the {mebibytes:.3} MiB that the solver needs")
}
