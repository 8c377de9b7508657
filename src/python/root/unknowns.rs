//! The unknowns as the user sees them: the shape and dtype of x0, and the library it came from.

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::python::arrays::{self, Entry, as_array, describe};

/// x0, and how to make more arrays like it.
pub struct Unknowns<'py> {
    /// x0 as a NumPy array.
    pub start: Bound<'py, PyUntypedArray>,
    /// The array namespace of x0, where that is not NumPy's (JAX's, say).
    namespace: Option<Bound<'py, PyAny>>,
}

/// The number fields, by which x0 is sorted.
pub enum FieldOf {
    Single,
    Double,
    ComplexSingle,
    ComplexDouble,
}

impl<'py> Unknowns<'py> {
    pub fn new(x0: &Bound<'py, PyAny>) -> PyResult<Self> {
        let start = as_array(x0, "x0")?;
        if start.is_empty() {
            return Err(PyValueError::new_err(format!("x0 is empty: got {}", describe(x0))));
        }
        // What rust-numpy and ndarray hold.
        if start.ndim() > 32 {
            return Err(PyValueError::new_err(format!(
                "x0 has {} dimensions; at most 32 are supported",
                start.ndim()
            )));
        }
        let namespace = foreign_namespace(x0)?;
        Ok(Unknowns { start, namespace })
    }

    pub fn field(&self) -> PyResult<FieldOf> {
        let dtype = self.start.dtype();
        match (dtype.kind(), dtype.char()) {
            (_, b'f') => Ok(FieldOf::Single),
            (_, b'F') => Ok(FieldOf::ComplexSingle),
            (b'c', _) => Ok(FieldOf::ComplexDouble),
            (b'b' | b'i' | b'u' | b'f' | b'O', _) => Ok(FieldOf::Double),
            _ => Err(PyTypeError::new_err(format!(
                "x0 must be numeric, not {}",
                describe(&self.start)
            ))),
        }
    }

    /// The components of x0, all of which must be finite.
    pub fn start<T: Entry>(&self) -> PyResult<Vec<T>> {
        let mut start = Vec::new();
        arrays::read(&self.start, "x0", &mut start)?;
        if let Some(position) = start.iter().position(|component: &T| !component.finite()) {
            return Err(PyValueError::new_err(format!(
                "x0 must be finite; its element {position} (in C order) is {:?}",
                start[position]
            )));
        }
        Ok(start)
    }

    pub fn shape(&self) -> &[usize] {
        self.start.shape()
    }

    /// A new array, for the user to keep, of the kind and shape of x0.
    pub fn point<T: Entry>(&self, values: &[T]) -> PyResult<Bound<'py, PyAny>> {
        self.array(values, self.shape())
    }

    /// A new array, for the user to keep, of the kind of x0.
    pub fn array<T: Entry>(&self, values: &[T], shape: &[usize]) -> PyResult<Bound<'py, PyAny>> {
        let py = self.start.py();
        let array = arrays::to_python(py, values, shape).into_any();
        match &self.namespace {
            Some(namespace) => namespace.call_method1(intern!(py, "asarray"), (array,)),
            None => Ok(array),
        }
    }
}

fn foreign_namespace<'py>(x0: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    // Most arguments are one of these, and asking a list for an attribute is slow.
    if x0.is_instance_of::<PyUntypedArray>() || x0.is_exact_instance_of::<PyList>() {
        return Ok(None);
    }
    let Some(namespace) = x0.getattr_opt(intern!(x0.py(), "__array_namespace__"))? else {
        return Ok(None);
    };
    let namespace = namespace.call0()?;
    let numpy = x0.py().import("numpy")?;
    Ok((!namespace.is(&numpy)).then_some(namespace))
}
