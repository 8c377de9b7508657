//! Every line that knows of Python: reading what users give, answering the kernels with users'
//! callables, and building what users get back.

mod arrays;
pub mod broyden;
mod call;
mod callable;
pub mod hybrid;
mod lapack;
pub mod lsqtr;
mod memory;
pub mod newton;
mod numbers;
mod options;
pub mod presence;
mod results;
pub mod root;
pub mod solver;
mod stack;
pub mod stand_in;
mod text;
mod unknowns;

use pyo3::exceptions::PyImportError;
use pyo3::ffi::{PyInterpreterState_Get, PyInterpreterState_GetID};
use pyo3::prelude::*;

use crate::linalg::vector_units;

/// Refuses subinterpreters: what is imported once is kept for the whole process, and the objects of
/// one interpreter are not for another.
pub fn expect_main_interpreter(_: Python<'_>) -> PyResult<()> {
    // SAFETY: this thread is attached to an interpreter, as the token proves.
    let number = unsafe { PyInterpreterState_GetID(PyInterpreterState_Get()) };
    if number == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "raphson works in the main interpreter only, not in subinterpreters",
    ))
}

/// Lets the environment choose the vector units, for tests.
pub fn read_vector_units() -> PyResult<()> {
    vector_units::read_environment().map_err(PyImportError::new_err)
}
