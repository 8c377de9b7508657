//! Single numbers between Python and the kernels: what NumPy would make of a scalar's type.

use numpy::npyffi::PY_ARRAY_API;
use numpy::{PyArrayDescrMethods, PyArrayDyn, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyComplex, PyComplexMethods, PyFloat, PyFloatMethods, PyInt};

use ndarray_linalg::{c32, c64};

use crate::linalg::Field;

use super::arrays::{Entry, as_array, describe, named, to_complex};

/// A number in one of the fields of the kernels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    F32(f32),
    F64(f64),
    C32(c32),
    C64(c64),
}

impl Number {
    pub fn to_complex(self) -> c64 {
        match self {
            Number::F32(value) => value.to_complex(),
            Number::F64(value) => value.to_complex(),
            Number::C32(value) => value.to_complex(),
            Number::C64(value) => value,
        }
    }
}

/// The type of a number: which field, and in how many array dimensions of length one it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub complex: bool,
    pub double: bool,
    pub dimensions: usize,
}

impl Kind {
    /// The kind of the result when numbers of the two kinds meet.
    pub fn join(self, other: Kind) -> Kind {
        Kind {
            complex: self.complex || other.complex,
            double: self.double || other.double,
            dimensions: self.dimensions.max(other.dimensions),
        }
    }

    /// The value as a number of this kind, which must be wide enough for it.
    pub fn hold(self, value: c64) -> Number {
        match (self.complex, self.double) {
            (false, false) => Number::F32(value.re as f32),
            (false, true) => Number::F64(value.re),
            (true, false) => Number::C32(c32::new(value.re as f32, value.im as f32)),
            (true, true) => Number::C64(value),
        }
    }
}

/// A number that came from Python. A Python number has no precision of its own: it takes that of
/// the NumPy number it meets.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub value: c64,
    pub kind: Kind,
}

impl Answer {
    fn new(value: c64, complex: bool, double: bool, dimensions: usize) -> Self {
        Answer { value, kind: Kind { complex, double, dimensions } }
    }
}

/// Reads one number. `name` is the argument it came from, or the callable that returned it.
pub fn read(object: &Bound<'_, PyAny>, name: &str) -> PyResult<Answer> {
    if let Ok(float) = object.cast::<PyFloat>() {
        // numpy.float64 is a subclass of float, with a precision.
        let double = !object.is_exact_instance_of::<PyFloat>();
        return Ok(Answer::new(c64::new(float.value(), 0.0), false, double, 0));
    }
    if let Ok(complex) = object.cast::<PyComplex>() {
        let double = !object.is_exact_instance_of::<PyComplex>();
        return Ok(Answer::new(c64::new(complex.real(), complex.imag()), true, double, 0));
    }
    if object.is_instance_of::<PyInt>() {
        let value =
            object.extract::<f64>().map_err(|error| named(error, name, "a number", object))?;
        return Ok(Answer::new(c64::new(value, 0.0), false, false, 0));
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
    let double = !matches!(dtype.char(), b'f' | b'F' | b'e' | b'?');
    let value = to_complex(&array.call_method0("item")?)
        .map_err(|error| named(error, name, "a number", object))?;
    let complex = dtype.kind() == b'c' || value.im != 0.0;
    Ok(Answer::new(value, complex, double, array.ndim()))
}

/// The NumPy object of this kind: a NumPy scalar, or an array of one element.
pub fn to_python(py: Python<'_>, number: Number, dimensions: usize) -> PyResult<Bound<'_, PyAny>> {
    match number {
        Number::F32(value) => typed(py, value, dimensions),
        Number::F64(value) => typed(py, value, dimensions),
        Number::C32(value) => typed(py, value, dimensions),
        Number::C64(value) => typed(py, value, dimensions),
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

/// The kind of an array's elements, if the kernels hold it.
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
    Some(Kind { complex, double, dimensions: array.ndim() })
}
