//! Single numbers between Python and the kernels: what NumPy would make of a scalar's type.

use numpy::npyffi::PY_ARRAY_API;
use numpy::{PyArrayDescrMethods, PyArrayDyn, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyComplex, PyComplexMethods, PyFloat, PyFloatMethods, PyInt};

use ndarray_linalg::{c32, c64};

use crate::kernels::newton::scalar::{Precision, Typed};
use crate::linalg::Field;

use super::arrays::{Entry, as_array, describe, named, to_complex};

/// A number that came from Python, and in how many array dimensions of length one.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub number: Typed,
    pub dimensions: usize,
}

impl Answer {
    fn new(value: c64, complex: bool, precision: Precision, dimensions: usize) -> Self {
        Answer { number: Typed { value, complex, precision }, dimensions }
    }
}

/// Reads one number. `name` is the argument it came from, or the callable that returned it.
pub fn read(object: &Bound<'_, PyAny>, name: &str) -> PyResult<Answer> {
    // numpy.float64 and numpy.complex128 are subclasses of Python's, with a precision.
    let precision = |is_python| if is_python { Precision::Any } else { Precision::Double };
    if let Ok(float) = object.cast::<PyFloat>() {
        let precision = precision(object.is_exact_instance_of::<PyFloat>());
        return Ok(Answer::new(float.value().into(), false, precision, 0));
    }
    if let Ok(complex) = object.cast::<PyComplex>() {
        let precision = precision(object.is_exact_instance_of::<PyComplex>());
        return Ok(Answer::new(c64::new(complex.real(), complex.imag()), true, precision, 0));
    }
    if object.is_instance_of::<PyInt>() {
        let value: f64 =
            object.extract().map_err(|error| named(error, name, "a number", object))?;
        return Ok(Answer::new(value.into(), false, Precision::Any, 0));
    }
    read_array_of_one(object, name)
}

fn read_array_of_one(object: &Bound<'_, PyAny>, name: &str) -> PyResult<Answer> {
    let array = as_array(object, name)?;
    if array.len() != 1 {
        return Err(PyValueError::new_err(format!(
            "{name}: expected one number, got {}",
            describe(object)
        )));
    }
    let dtype = array.dtype();
    let single = dtype.itemsize() <= 2 || matches!(dtype.char(), b'f' | b'F');
    let precision = if single { Precision::Single } else { Precision::Double };
    let value = to_complex(&array.call_method0("item")?)
        .map_err(|error| named(error, name, "a number", object))?;
    let complex = dtype.kind() == b'c' || value.im != 0.0;
    Ok(Answer::new(value, complex, precision, array.ndim()))
}

/// The NumPy object of this type: a NumPy scalar, or an array of one element.
pub fn to_python(py: Python<'_>, number: Typed, dimensions: usize) -> PyResult<Bound<'_, PyAny>> {
    match (number.complex, number.precision) {
        (false, Precision::Single) => typed(py, number.value.re as f32, dimensions),
        (false, _) => typed(py, number.value.re, dimensions),
        (true, Precision::Single) => typed(py, c32::from_complex(number.value), dimensions),
        (true, _) => typed(py, number.value, dimensions),
    }
}

fn typed<T: Entry>(py: Python<'_>, mut value: T, dimensions: usize) -> PyResult<Bound<'_, PyAny>> {
    if dimensions > 0 {
        let array = ndarray::ArrayD::from_elem(vec![1; dimensions], value);
        return Ok(PyArrayDyn::from_owned_array(py, array).into_any());
    }
    // SAFETY: `value` is alive and of the type that its descriptor states; NumPy copies it. The
    // result is a new reference, or null with an exception set.
    unsafe {
        let scalar = PY_ARRAY_API.PyArray_Scalar(
            py,
            (&raw mut value).cast(),
            T::get_dtype(py).as_dtype_ptr(),
            std::ptr::null_mut(),
        );
        Bound::from_owned_ptr_or_err(py, scalar)
    }
}

/// A real number that is a parameter.
pub fn real(value: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    value.extract().map_err(|error| named(error, name, "a number", value))
}

/// An integer, with negative ones as 0 and those too large as the largest.
pub fn count(value: &Bound<'_, PyAny>, name: &str) -> PyResult<u64> {
    if let Ok(count) = value.extract() {
        return Ok(count);
    }
    let index =
        value.call_method0("__index__").map_err(|error| named(error, name, "an integer", value))?;
    Ok(if index.gt(0)? { u64::MAX } else { 0 })
}

/// The type of an array's elements, if the kernels hold it.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub complex: bool,
    pub double: bool,
}

pub fn kind_of(array: &Bound<'_, PyUntypedArray>) -> Option<Kind> {
    let dtype = array.dtype();
    let (complex, double) = match dtype.char() {
        b'f' => (false, false),
        b'F' => (true, false),
        b'D' => (true, true),
        b'd' => (false, true),
        _ if matches!(dtype.kind(), b'b' | b'i' | b'u') => (false, true),
        _ => return None,
    };
    Some(Kind { complex, double })
}
