//! Calls of Python code, which may be where a thread ends.
//!
//! Before 3.14, Python ends a daemon thread that comes back to an interpreter that is gone with
//! `pthread_exit`, which unwinds the stack as an exception of C++ does. No Rust frame lets that
//! through: it would end the whole process. So the unwinding is held up in the first Rust frame
//! that it gets to, and the thread sleeps until the process has ended, as in 3.14. A thread that is
//! inside a solve is waited for (`presence.rs`), but most of the time it is in a function of the
//! user's, which is called from here.

use std::mem::forget;

use pyo3::BoundObject;
use pyo3::ffi::{PyObject, PyObject_Call};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::presence::outside;

type Declared = unsafe extern "C" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;
type Call =
    unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

/// Dropped by nothing but unwinding.
struct SleepForever;

impl Drop for SleepForever {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// `function(*arguments)`
pub fn call<'py>(
    function: &Bound<'py, PyAny>,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Error: Into<PyErr>>,
) -> PyResult<Bound<'py, PyAny>> {
    call_with(function, arguments, None)
}

/// `function(*arguments, **keywords)`
pub fn call_with<'py>(
    function: &Bound<'py, PyAny>,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Error: Into<PyErr>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let arguments = arguments.into_pyobject(py).map_err(Into::into)?.into_bound();
    let keywords = keywords.map_or(std::ptr::null_mut(), |keywords| keywords.as_ptr());
    let declared: Declared = PyObject_Call;
    // SAFETY: it is a function of C, which unwinding may pass, and the type read says so. The read
    // is volatile to hide that it is the function which is declared without. Where the unwinding is
    // that of a thread's end, it gets no farther than this frame, as with PyO3's own HangThread.
    let call = unsafe { (&raw const declared).cast::<Call>().read_volatile() };
    outside(py, || {
        let awake = SleepForever;
        // SAFETY: the thread is attached, and holds the objects; keywords may be null.
        let returned = unsafe { call(function.as_ptr(), arguments.as_ptr(), keywords) };
        forget(awake);
        // SAFETY: it is a new reference, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(py, returned) }
    })
}

/// The module of this name, which may have to be loaded.
///
/// Parts of SciPy import each other. Threads that begin with different ones wait for each other, and
/// Python ends that with an error; so whatever is wanted of SciPy, this comes first.
pub fn import<'py>(py: Python<'py>, module: &str) -> PyResult<Bound<'py, PyAny>> {
    let load = py.import("importlib")?.getattr("import_module")?;
    if module.starts_with("scipy.") {
        call(&load, ("scipy.optimize",))?;
    }
    call(&load, (module,))
}
