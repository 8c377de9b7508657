//! Arrays between Python and the kernels. What Python gets is its own copy; what Python gives is
//! copied before the next line of Python runs.

use ndarray::{Array2, IxDyn};
use ndarray_linalg::c64;
use numpy::npyffi::PY_ARRAY_API;
use numpy::{
    Element, PyArrayDescr, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyAttributeError, PyException, PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    IntoPyDict, PyComplex, PyComplexMethods, PyFloat, PyFloatMethods, PyInt, PyList, PyTuple,
};

use super::call::call;
use super::memory::reserve;
use crate::linalg::{Field, tall};

/// A field whose elements NumPy holds.
pub trait Entry: Field + Element {}

impl<T: Field + Element> Entry for T {}

/// `numpy.asarray(object)`. `name` is the argument it came from, or the callable that returned it.
pub fn as_array<'py>(
    object: &Bound<'py, PyAny>,
    name: &str,
) -> PyResult<Bound<'py, PyUntypedArray>> {
    static ASARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    let asarray: &Bound<'_, PyAny> = ASARRAY.import(py, "numpy", "asarray")?;
    let array = call(asarray, (object,)).map_err(|error| {
        if error.is_instance_of::<PyValueError>(py) {
            // NumPy's word for a ragged list does not say whose list it was.
            PyValueError::new_err(format!("{name}: {}", error.value(py)))
        } else {
            error
        }
    })?;
    let array = array.cast_into()?;
    expect_few_dimensions(&array, name)?;
    Ok(array)
}

/// More than these rust-numpy cannot hold.
pub const MOST_DIMENSIONS: usize = 32;

fn expect_few_dimensions(array: &Bound<'_, PyUntypedArray>, name: &str) -> PyResult<()> {
    if array.ndim() <= MOST_DIMENSIONS {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "{name} has {} dimensions; at most {MOST_DIMENSIONS} are supported",
        array.ndim()
    )))
}

/// The error of a conversion, with the name of what was converted. Errors that are not about the
/// conversion, an interrupt say, stay what they are.
pub fn named(error: PyErr, name: &str, expected: &str, object: &Bound<'_, PyAny>) -> PyErr {
    let py = object.py();
    if error.is_instance_of::<PyTypeError>(py) || error.is_instance_of::<PyAttributeError>(py) {
        PyTypeError::new_err(format!("{name}: expected {expected}, got {}", describe(object)))
    } else if error.is_instance_of::<PyOverflowError>(py)
        || error.is_instance_of::<PyValueError>(py)
    {
        PyValueError::new_err(format!("{name}: {}", error.value(py)))
    } else {
        error
    }
}

/// What an object is, for error messages: its shape and dtype, or its type.
pub fn describe(object: &Bound<'_, PyAny>) -> String {
    let shape_and_dtype = || -> PyResult<String> {
        let shape = object.getattr("shape")?.str()?;
        let article = match object.is_instance_of::<PyUntypedArray>() {
            true => "an array".to_string(),
            false => object.get_type().name()?.to_string(),
        };
        Ok(format!("{article} of shape {shape} and dtype {}", object.getattr("dtype")?.str()?))
    };
    shape_and_dtype().unwrap_or_else(|_| {
        let name = object.get_type().name().map(|name| name.to_string());
        name.unwrap_or_else(|_| "an object".into())
    })
}

/// Reads numbers of any dtype and layout into `into`, in C order, and returns their shape.
/// Complex numbers are an error where the field is real.
pub fn read<T: Entry>(object: &Bound<'_, PyAny>, name: &str, into: &mut Vec<T>) -> PyResult<IxDyn> {
    into.clear();
    if copy_if_contiguous(object, into)? {
        return shape_of(object, name);
    }
    if let Some(shape) = read_sequence(object, into) {
        return Ok(shape);
    }
    let array = as_array(object, name)?;
    if copy_if_contiguous(&array, into)? {
        return Ok(IxDyn(array.shape()));
    }
    match array.dtype().kind() {
        b'b' | b'i' | b'u' | b'f' => {}
        b'c' if T::COMPLEX => {}
        b'c' => return Err(unexpected_complex(name)),
        b'O' => return read_objects(&array, name, into),
        _ => return Err(not_numbers(object, name)),
    }
    let order = [("order", "C")].into_py_dict(object.py())?;
    let converted = array.call_method("astype", (T::get_dtype(object.py()),), Some(&order))?;
    if !copy_if_contiguous(&converted, into)? {
        return Err(not_numbers(object, name));
    }
    Ok(IxDyn(array.shape()))
}

/// The relative rounding error of the numbers in an array, or in a list of NumPy's numbers; None
/// where they are those of double precision, or of no type that says so.
pub fn precision(object: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    let py = object.py();
    match single_or_half(object) {
        // An object that cannot say it has none. An interrupt that comes meanwhile is not its own.
        Err(error) if error.is_instance_of::<PyException>(py) => Ok(None),
        outcome => outcome,
    }
}

fn single_or_half(object: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    let py = object.py();
    let first = match object.cast_exact::<PyList>() {
        Ok(list) => list.get_item(0)?,
        Err(_) => match object.cast_exact::<PyTuple>() {
            Ok(tuple) => tuple.get_item(0)?,
            Err(_) => object.clone(),
        },
    };
    if first.is_exact_instance_of::<PyFloat>() {
        return Ok(None);
    }
    let Some(dtype) = first.getattr_opt(intern!(py, "dtype"))? else { return Ok(None) };
    // Not the name, which NumPy puts together by Python code each time.
    let Ok(dtype) = dtype.cast_into::<PyArrayDescr>() else { return Ok(None) };
    Ok(match dtype.char() {
        b'f' | b'F' => Some(f32::EPSILON.into()),
        b'e' => Some(2f64.powi(-10)),
        _ => None,
    })
}

fn shape_of(object: &Bound<'_, PyAny>, name: &str) -> PyResult<IxDyn> {
    let array = object.cast::<PyUntypedArray>()?;
    expect_few_dimensions(array, name)?;
    Ok(IxDyn(array.shape()))
}

/// Copies a C-ordered array of the field's own dtype; false for anything else.
fn copy_if_contiguous<T: Entry>(object: &Bound<'_, PyAny>, into: &mut Vec<T>) -> PyResult<bool> {
    match object.cast::<PyArrayDyn<T>>() {
        Ok(array) if array.is_c_contiguous() => copy_contiguous(array, into).map(|()| true),
        _ => Ok(false),
    }
}

fn copy_contiguous<T: Entry>(array: &Bound<'_, PyArrayDyn<T>>, into: &mut Vec<T>) -> PyResult<()> {
    let length = array.len();
    reserve(into, length)?;
    // SAFETY: a contiguous array holds `length` elements from `data()` on, the reserved memory has
    // room for as many, and the two do not overlap. They are copied as bytes because NumPy does not
    // promise alignment; any bytes are a valid number.
    unsafe {
        let bytes = length * size_of::<T>();
        let target = into.as_mut_ptr().cast::<u8>();
        std::ptr::copy_nonoverlapping(array.data().cast::<u8>().cast_const(), target, bytes);
        into.set_len(length);
    }
    Ok(())
}

/// The quick way for a list or tuple of Python numbers, or of rows of them; None, with `into`
/// empty, for anything else, which NumPy then has to make sense of.
fn read_sequence<T: Entry>(object: &Bound<'_, PyAny>, into: &mut Vec<T>) -> Option<IxDyn> {
    if let Some(count) = read_row(object, into) {
        return Some(IxDyn(&[count]));
    }
    into.clear();
    let shape = read_rows(object, into);
    if shape.is_none() {
        into.clear();
    }
    shape
}

/// Whether this is a list or tuple of Python's real numbers.
pub fn holds_python_reals(object: &Bound<'_, PyAny>) -> bool {
    for_each_item(object, |item| {
        (item.is_instance_of::<PyFloat>() || item.is_exact_instance_of::<PyInt>()).then_some(())
    })
    .is_some()
}

fn read_rows<T: Entry>(object: &Bound<'_, PyAny>, into: &mut Vec<T>) -> Option<IxDyn> {
    let mut rows = 0;
    let mut columns = None;
    for_each_item(object, |row| {
        let count = read_row(row, into)?;
        rows += 1;
        (*columns.get_or_insert(count) == count).then_some(())
    })?;
    Some(IxDyn(&[rows, columns?]))
}

/// Appends the numbers of a list or tuple and returns how many there are.
fn read_row<T: Entry>(object: &Bound<'_, PyAny>, into: &mut Vec<T>) -> Option<usize> {
    let before = into.len();
    for_each_item(object, |item| {
        let value = match item.cast::<PyFloat>() {
            Ok(float) => float.value(),
            Err(_) => item.cast_exact::<PyInt>().ok()?.extract().ok()?,
        };
        if into.len() == into.capacity() {
            reserve(into, into.len().max(4)).ok()?;
        }
        into.push(T::of(value));
        Some(())
    })?;
    Some(into.len() - before)
}

/// Visits the items of a list or tuple until a visit fails.
fn for_each_item<'py>(
    object: &Bound<'py, PyAny>,
    mut visit: impl FnMut(&Bound<'py, PyAny>) -> Option<()>,
) -> Option<()> {
    if let Ok(list) = object.cast_exact::<PyList>() {
        list.iter().try_for_each(|item| visit(&item))
    } else {
        object.cast_exact::<PyTuple>().ok()?.iter().try_for_each(|item| visit(&item))
    }
}

/// Numbers of other classes, one by one: Decimal, Fraction, SymPy's or mpmath's. They run code of
/// their own, which must not find the array that is being read.
fn read_objects<T: Entry>(
    array: &Bound<'_, PyUntypedArray>,
    name: &str,
    into: &mut Vec<T>,
) -> PyResult<IxDyn> {
    let shape = IxDyn(array.shape());
    reserve(into, array.len())?;
    for item in array.call_method0("flatten")?.try_iter()? {
        let item = item?;
        let value = to_complex(&item).map_err(|error| named(error, name, EXPECTED, &item))?;
        if value.im != 0.0 && !T::COMPLEX {
            return Err(unexpected_complex(name));
        }
        into.push(T::from_complex(value));
    }
    Ok(shape)
}

/// A number of any class that has `__float__` or `__complex__`.
pub fn to_complex(item: &Bound<'_, PyAny>) -> PyResult<c64> {
    match item.extract::<f64>() {
        Ok(real) => return Ok(c64::new(real, 0.0)),
        Err(error) if error.is_instance_of::<PyTypeError>(item.py()) => {}
        Err(error) => return Err(error),
    }
    let complex = item.call_method0("__complex__")?.cast_into::<PyComplex>()?;
    Ok(c64::new(complex.real(), complex.imag()))
}

fn unexpected_complex(name: &str) -> PyErr {
    PyTypeError::new_err(format!("{name}: got complex numbers, where x0 is real"))
}

const EXPECTED: &str = "numbers";

fn not_numbers(object: &Bound<'_, PyAny>, name: &str) -> PyErr {
    PyTypeError::new_err(format!("{name}: expected {EXPECTED}, got {}", describe(object)))
}

/// The same numbers in double precision.
pub fn to_doubles<'py>(array: &Bound<'py, PyUntypedArray>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let py = array.py();
    let converted = array.call_method1(intern!(py, "astype"), (f64::get_dtype(py),))?;
    Ok(converted.cast_into()?)
}

/// Whether the elements are where Rust may read them: aligned, and whole elements apart. A field of
/// a structured array need not be.
pub fn lies_regularly<T: Entry>(array: &Bound<'_, PyArrayDyn<T>>) -> bool {
    let size = size_of::<T>() as isize;
    array.data().is_aligned() && array.strides().iter().all(|stride| stride % size == 0)
}

/// Lets `use_values` see the numbers that `read` would give: in place, without a copy, where they
/// lie in memory as the kernels want them.
pub fn with_values<T: Entry, R>(
    object: &Bound<'_, PyAny>,
    name: &str,
    buffer: &mut Vec<T>,
    use_values: impl FnOnce(&[T]) -> R,
) -> PyResult<R> {
    if let Ok(array) = object.cast::<PyArrayDyn<T>>()
        && lies_regularly(array)
        && let Ok(array) = array.try_readonly()
        && let Ok(values) = array.as_slice()
    {
        return Ok(use_values(values));
    }
    read(object, name, buffer)?;
    Ok(use_values(buffer))
}

/// Overwrites an array that nobody else holds; false where somebody does, or where it is not what
/// it was when it was made.
pub fn refill<T: Entry>(array: &Bound<'_, PyArrayDyn<T>>, values: &[T], shape: &[usize]) -> bool {
    // SAFETY: the pointer is that of a live object.
    let holders = unsafe { pyo3::ffi::Py_REFCNT(array.as_ptr()) };
    if holders != 1
        || has_weak_references(array)
        || array.cast::<PyArrayDyn<T>>().is_err()
        || array.shape() != shape
    {
        return false;
    }
    let Ok(mut array) = array.try_readwrite() else { return false };
    let Ok(target) = array.as_slice_mut() else { return false };
    tall::copy(target, values);
    true
}

fn has_weak_references(object: &Bound<'_, PyAny>) -> bool {
    static COUNT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let count = || -> PyResult<usize> {
        let function: &Bound<'_, PyAny> =
            COUNT.import(object.py(), "weakref", "getweakrefcount")?;
        function.call1((object,))?.extract()
    };
    count().is_ok_and(|count| count > 0)
}

/// A new C-ordered array of this shape, which has as many elements as there are values.
pub fn to_python<'py, T: Entry>(
    py: Python<'py>,
    values: &[T],
    shape: &[usize],
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    assert_eq!(shape.iter().product::<usize>(), values.len());
    let array = zeros::<T>(py, shape)?;
    // SAFETY: the new array is contiguous, has room for as many values, and nobody else has it.
    tall::copy(unsafe { std::slice::from_raw_parts_mut(array.data(), values.len()) }, values);
    Ok(array)
}

/// A new array with the shape and the order of a matrix.
pub fn matrix_to_python<'py, T: Entry>(
    py: Python<'py>,
    matrix: &Array2<T>,
) -> PyResult<Bound<'py, PyAny>> {
    if let Some(by_rows) = matrix.as_slice() {
        return Ok(to_python(py, by_rows, &[matrix.nrows(), matrix.ncols()])?.into_any());
    }
    let transposed = zeros::<T>(py, &[matrix.ncols(), matrix.nrows()])?;
    if let Some(by_columns) = matrix.t().as_slice() {
        // SAFETY: as above.
        let target = unsafe { std::slice::from_raw_parts_mut(transposed.data(), matrix.len()) };
        tall::copy(target, by_columns);
    } else if let Ok(mut target) = transposed.try_readwrite() {
        target.as_array_mut().assign(&matrix.t());
    }
    transposed.getattr(intern!(py, "T"))
}

/// `numpy.zeros(shape)`, or NumPy's MemoryError. What rust-numpy makes panics instead.
fn zeros<'py, T: Entry>(py: Python<'py>, shape: &[usize]) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    let dtype = T::get_dtype(py).into_dtype_ptr();
    // SAFETY: the shape has as many lengths as are told, which NumPy only reads, and it takes the reference to the type.
    // The result is a new array of this type and dimension, or null with an exception set.
    unsafe {
        let (count, lengths) = (shape.len() as i32, shape.as_ptr().cast_mut().cast());
        let array = PY_ARRAY_API.PyArray_Zeros(py, count, lengths, dtype, 0);
        Ok(Bound::from_owned_ptr_or_err(py, array)?.cast_into_unchecked())
    }
}
