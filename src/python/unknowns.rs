//! The unknowns as the user sees them: the shape and dtype of x0, and the library it came from.

use numpy::{PyArrayDescrMethods, PyArrayDyn, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use serde::{Deserialize, Serialize};

use crate::linalg::threads;
use crate::python::arrays::{self, Entry, as_array, describe};
use crate::python::call::call;

/// What arrays of the kind of x0 are like, and how to make them.
#[derive(Default, Deserialize, Serialize)]
pub struct Unknowns {
    /// What the argument is called.
    #[serde(skip)]
    pub name: &'static str,
    shape: Vec<usize>,
    /// What makes an array of the kind of x0 from NumPy's: the `asarray` of another library (JAX's,
    /// say), or the view of a subclass.
    #[serde(skip)]
    convert: Option<Py<PyAny>>,
}

/// x0 as it was given.
pub struct Start<'py> {
    pub unknowns: Unknowns,
    array: Bound<'py, PyUntypedArray>,
}

/// The number fields, by which x0 is sorted.
#[derive(Clone, Copy, Deserialize, Serialize)]
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

impl<'py> Start<'py> {
    /// `name` is that of the argument.
    pub fn read(x0: &Bound<'py, PyAny>, name: &'static str) -> PyResult<Self> {
        let mut array = as_array(x0, name)?;
        if array.is_empty() {
            return Err(PyValueError::new_err(format!("{name} is empty: got {}", describe(x0))));
        }
        if matches!(array.dtype().kind(), b'b' | b'i' | b'u') {
            array = arrays::to_doubles(&array)?;
        }
        let convert = conversion(x0)?.map(Bound::unbind);
        let unknowns = Unknowns { name, shape: array.shape().to_vec(), convert };
        Ok(Start { unknowns, array })
    }

    /// The same as a vector, where x0 is a vector or a number.
    pub fn one_dimensional(mut self) -> PyResult<Self> {
        if self.array.ndim() > 1 {
            return Err(PyValueError::new_err(format!(
                "{} must be one-dimensional, got {}",
                self.unknowns.name,
                describe(&self.array)
            )));
        }
        self.unknowns.shape = vec![self.array.len()];
        Ok(self)
    }

    /// The same as a vector of NumPy's.
    pub fn flattened(mut self) -> Self {
        let Unknowns { name, .. } = self.unknowns;
        self.unknowns = Unknowns { name, ..Unknowns::with_shape(&[self.array.len()]) };
        self
    }

    /// A new array of the shape of the unknowns, in the precision that x0 was given in.
    pub fn in_its_precision(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let shape = PyTuple::new(py, &self.unknowns.shape)?;
        let copy = call(&self.array.getattr(intern!(py, "flatten"))?, ())?;
        call(&copy.getattr(intern!(py, "reshape"))?, (shape,))
    }

    pub fn field(&self) -> PyResult<FieldOf> {
        let dtype = self.array.dtype();
        match (dtype.kind(), dtype.char()) {
            (_, b'f') => Ok(FieldOf::Single),
            (_, b'F') => Ok(FieldOf::ComplexSingle),
            (b'c', _) => Ok(FieldOf::ComplexDouble),
            (b'b' | b'i' | b'u' | b'f' | b'O', _) => Ok(FieldOf::Double),
            _ => Err(PyTypeError::new_err(format!(
                "{} must be numeric, not {}",
                self.unknowns.name,
                describe(&self.array)
            ))),
        }
    }

    /// The components of x0, all of which must be finite.
    pub fn values<T: Entry>(&self) -> PyResult<Vec<T>> {
        threads::start_for(self.array.len());
        let mut start = Vec::new();
        arrays::read(&self.array, self.unknowns.name, &mut start)?;
        if let Some(position) = start.iter().position(|component: &T| !component.finite()) {
            return Err(PyValueError::new_err(format!(
                "{} must be finite; its element {position} (in C order) is {:?}",
                self.unknowns.name, start[position]
            )));
        }
        Ok(start)
    }
}

impl Unknowns {
    /// Those of NumPy arrays of this shape.
    pub fn with_shape(shape: &[usize]) -> Self {
        Unknowns { shape: shape.to_vec(), ..Unknowns::default() }
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of unknowns.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Refuses values of which there is not one for each unknown; `name` returned them.
    pub fn expect_count(
        &self,
        count: usize,
        returned: &Bound<'_, PyAny>,
        name: &str,
    ) -> PyResult<()> {
        let expected = self.count();
        if count == expected {
            return Ok(());
        }
        Err(PyValueError::new_err(format!(
            "{name}: expected {expected} values, one for each element of {}, got {count} ({})",
            self.name,
            describe(returned)
        )))
    }

    /// A new array, for the user to keep, of the kind and shape of x0.
    pub fn point<'py, T: Entry>(
        &self,
        py: Python<'py>,
        values: &[T],
    ) -> PyResult<Bound<'py, PyAny>> {
        self.array(py, values, &self.shape)
    }

    /// A new vector, for the user to keep, of the kind of x0.
    pub fn vector<'py, T: Entry>(
        &self,
        py: Python<'py>,
        values: &[T],
    ) -> PyResult<Bound<'py, PyAny>> {
        self.array(py, values, &[values.len()])
    }

    /// A new array, for the user to keep, of the kind of x0.
    pub fn array<'py, T: Entry>(
        &self,
        py: Python<'py>,
        values: &[T],
        shape: &[usize],
    ) -> PyResult<Bound<'py, PyAny>> {
        self.converted(arrays::to_python(py, values, shape)?.into_any())
    }

    /// An array of NumPy's as one of the kind of x0.
    pub fn converted<'py>(&self, array: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match &self.convert {
            Some(convert) => call(convert.bind(array.py()), (array,)),
            None => Ok(array),
        }
    }

    /// The Python objects that this holds, for the garbage collector.
    pub fn references(&self) -> Vec<&Py<PyAny>> {
        self.convert.iter().collect()
    }

    /// Whether the shape, which saved state brings along, is one of so many unknowns.
    pub fn fits(&self, unknowns: usize) -> bool {
        let product = self.shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        product == Some(unknowns) && self.shape.len() <= arrays::MOST_DIMENSIONS
    }
}

/// The points that the user is asked about, one after the other. Every one is a new array, or the
/// last one again where nobody has kept it: fresh memory is what takes the longest about a large
/// array.
pub struct Points<T: Entry> {
    last: Option<Py<PyArrayDyn<T>>>,
}

impl<T: Entry> Default for Points<T> {
    fn default() -> Self {
        Points { last: None }
    }
}

/// Arrays of fewer elements are made as fast as looked after.
const WORTH_REUSING: usize = 1 << 12;

impl<T: Entry> Points<T> {
    pub fn next<'py>(
        &mut self,
        py: Python<'py>,
        like: &Unknowns,
        values: &[T],
    ) -> PyResult<Bound<'py, PyAny>> {
        if like.convert.is_some() || values.len() < WORTH_REUSING {
            return like.point(py, values);
        }
        if let Some(last) = &self.last {
            // Borrowed, because a reference more would be one holder more.
            let last = last.bind(py);
            if arrays::refill(last, values, like.shape()) {
                return Ok(last.clone().into_any());
            }
        }
        let array = arrays::to_python(py, values, like.shape())?;
        self.last = Some(array.clone().unbind());
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
