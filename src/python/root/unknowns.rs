//! The unknowns as the user sees them: the shape and dtype of x0, and the library it came from.

use numpy::{PyArrayDescrMethods, PyArrayDyn, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use ndarray_linalg::{c32, c64};

use crate::python::arrays::{self, Entry, as_array, describe};

/// x0, and how to make more arrays like it.
pub struct Unknowns<'py> {
    /// What the argument is called.
    pub name: &'static str,
    /// x0 as a NumPy array.
    pub start: Bound<'py, PyUntypedArray>,
    /// What makes an array of the kind of x0 from NumPy's: the `asarray` of another library (JAX's,
    /// say), or the view of a subclass.
    convert: Option<Bound<'py, PyAny>>,
}

/// The number fields, by which x0 is sorted.
pub enum FieldOf {
    Single,
    Double,
    ComplexSingle,
    ComplexDouble,
}

impl FieldOf {
    /// The smallest field that holds both.
    pub fn join(self, other: FieldOf) -> FieldOf {
        use FieldOf::{ComplexDouble, ComplexSingle, Double, Single};
        match (self, other) {
            (Single, Single) => Single,
            (Single | Double, Single | Double) => Double,
            (Single | ComplexSingle, Single | ComplexSingle) => ComplexSingle,
            _ => ComplexDouble,
        }
    }
}

impl<'py> Unknowns<'py> {
    pub fn new(x0: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::like(x0, "x0")
    }

    /// The unknowns of an argument of this name.
    pub fn like(x0: &Bound<'py, PyAny>, name: &'static str) -> PyResult<Self> {
        let mut start = as_array(x0, name)?;
        if start.is_empty() {
            return Err(PyValueError::new_err(format!("{name} is empty: got {}", describe(x0))));
        }
        if matches!(start.dtype().kind(), b'b' | b'i' | b'u') {
            start = arrays::to_doubles(&start)?;
        }
        let convert = conversion(x0)?;
        Ok(Unknowns { name, start, convert })
    }

    /// The same as a vector, where x0 is a vector or a number.
    pub fn one_dimensional(mut self) -> PyResult<Self> {
        match self.start.ndim() {
            0 => {
                let py = self.start.py();
                self.start = self.start.call_method1(intern!(py, "reshape"), (1,))?.cast_into()?;
                Ok(self)
            }
            1 => Ok(self),
            _ => Err(PyValueError::new_err(format!(
                "{} must be one-dimensional, got {}",
                self.name,
                describe(&self.start)
            ))),
        }
    }

    pub fn field(&self) -> PyResult<FieldOf> {
        let dtype = self.start.dtype();
        match (dtype.kind(), dtype.char()) {
            (_, b'f') => Ok(FieldOf::Single),
            (_, b'F') => Ok(FieldOf::ComplexSingle),
            (b'c', _) => Ok(FieldOf::ComplexDouble),
            (b'b' | b'i' | b'u' | b'f' | b'O', _) => Ok(FieldOf::Double),
            _ => Err(PyTypeError::new_err(format!(
                "{} must be numeric, not {}",
                self.name,
                describe(&self.start)
            ))),
        }
    }

    /// The components of x0, all of which must be finite.
    pub fn start<T: Entry>(&self) -> PyResult<Vec<T>> {
        let mut start = Vec::new();
        arrays::read(&self.start, self.name, &mut start)?;
        if let Some(position) = start.iter().position(|component: &T| !component.finite()) {
            return Err(PyValueError::new_err(format!(
                "{} must be finite; its element {position} (in C order) is {:?}",
                self.name, start[position]
            )));
        }
        Ok(start)
    }

    pub fn shape(&self) -> &[usize] {
        self.start.shape()
    }

    /// The starting point itself, as a new array for the user to keep.
    pub fn first_point(&self) -> PyResult<Bound<'py, PyAny>> {
        fn copy<'py, T: Entry>(unknowns: &Unknowns<'py>) -> PyResult<Bound<'py, PyAny>> {
            unknowns.point::<T>(&unknowns.start()?)
        }
        match self.field()? {
            FieldOf::Single => copy::<f32>(self),
            FieldOf::Double => copy::<f64>(self),
            FieldOf::ComplexSingle => copy::<c32>(self),
            FieldOf::ComplexDouble => copy::<c64>(self),
        }
    }

    /// A new array, for the user to keep, of the kind and shape of x0.
    pub fn point<T: Entry>(&self, values: &[T]) -> PyResult<Bound<'py, PyAny>> {
        self.array(values, self.shape())
    }

    /// A new array, for the user to keep, of the kind of x0.
    pub fn array<T: Entry>(&self, values: &[T], shape: &[usize]) -> PyResult<Bound<'py, PyAny>> {
        let py = self.start.py();
        let array = arrays::to_python(py, values, shape).into_any();
        match &self.convert {
            Some(convert) => convert.call1((array,)),
            None => Ok(array),
        }
    }
}

/// The points that the user is asked about, one after the other. Every one is a new array, or the
/// last one again where nobody has kept it: fresh memory is what takes the longest about a large
/// array.
pub struct Points<'py, T: Entry> {
    last: Option<Bound<'py, PyArrayDyn<T>>>,
}

/// Arrays of fewer elements are made as fast as looked after.
const WORTH_REUSING: usize = 1 << 12;

impl<'py, T: Entry> Points<'py, T> {
    pub fn new() -> Self {
        Points { last: None }
    }

    pub fn next(&mut self, like: &Unknowns<'py>, values: &[T]) -> PyResult<Bound<'py, PyAny>> {
        if like.convert.is_some() || values.len() < WORTH_REUSING {
            return like.point(values);
        }
        if let Some(last) = &self.last
            && arrays::refill(last, values, like.shape())
        {
            return Ok(last.clone().into_any());
        }
        let array = arrays::to_python(like.start.py(), values, like.shape());
        self.last = Some(array.clone());
        Ok(array.into_any())
    }
}

fn conversion<'py>(x0: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = x0.py();
    // Most arguments are one of these, and asking a list for an attribute is slow.
    if x0.is_exact_instance_of::<PyUntypedArray>() || x0.is_exact_instance_of::<PyList>() {
        return Ok(None);
    }
    if x0.is_instance_of::<PyUntypedArray>() {
        return x0.getattr(intern!(py, "__array_wrap__")).map(Some);
    }
    let Some(namespace) = x0.getattr_opt(intern!(py, "__array_namespace__"))? else {
        return Ok(None);
    };
    namespace.call0()?.getattr(intern!(py, "asarray")).map(Some)
}
