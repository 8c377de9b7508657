//! Where the Jacobian of a system comes from, and what the user may return as one.

use ndarray::{Array2, Dimension};
use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, ToPyArray};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::kernels::differences::Scheme;
use crate::linalg::lu::LARGEST_ORDER;
use crate::python::arrays::{self, Entry, describe};
use crate::python::callable::Callable;

/// Where the Jacobian comes from.
pub enum Source<'py> {
    Callable(Callable<'py>),
    /// `fun` returns it along with the residual.
    WithResidual,
    Differences(Scheme),
    ComplexStep,
}

impl<'py> Source<'py> {
    pub fn new(
        jac: &Bound<'py, PyAny>,
        arguments: &Bound<'py, PyTuple>,
        complex: bool,
    ) -> PyResult<Self> {
        if jac.is_none() {
            return Ok(Source::Differences(Scheme::TwoPoint));
        }
        if jac.is_callable() {
            return Ok(Source::Callable(Callable::new(jac, arguments, "jac")?));
        }
        // True or False, also as NumPy's or as numbers.
        if let Some(flag) = jac.extract::<bool>().ok().or(jac.extract::<i64>().ok().map(|n| n != 0))
        {
            return Ok(if flag {
                Source::WithResidual
            } else {
                Source::Differences(Scheme::TwoPoint)
            });
        }
        match jac.extract::<&str>() {
            Ok("2-point") => Ok(Source::Differences(Scheme::TwoPoint)),
            Ok("3-point") => Ok(Source::Differences(Scheme::ThreePoint)),
            Ok("cs") if !complex => Ok(Source::ComplexStep),
            Ok("cs") => Err(PyValueError::new_err(
                "jac='cs' steps off the real axis and needs a real x0; use '2-point' or '3-point'",
            )),
            _ => Err(PyValueError::new_err(format!(
                "jac must be callable, True, None, '2-point', '3-point' or 'cs', not {}",
                jac.repr()?
            ))),
        }
    }
}

/// A Jacobian that the user returned.
pub enum Returned<'py, T: Entry> {
    Dense(Array2<T>),
    Sparse(Sparse<'py>),
}

/// A scipy.sparse matrix or array, in the column format that SuperLU works on, and its factors.
pub struct Sparse<'py> {
    matrix: Bound<'py, PyAny>,
    factors: Option<Bound<'py, PyAny>>,
}

impl<'py, T: Entry> Returned<'py, T> {
    /// Reads J of n equations and n unknowns: an array of shape (n, n), or with the shapes of F
    /// and x one after the other, or sparse.
    pub fn read(
        object: &Bound<'py, PyAny>,
        name: &str,
        shapes: (&[usize], &[usize]),
    ) -> PyResult<Self> {
        let order = shapes.1.iter().product::<usize>();
        let py = object.py();
        let cannot_be_sparse =
            object.is_exact_instance_of::<PyList>() || object.is_instance_of::<PyUntypedArray>();
        if !cannot_be_sparse && object.hasattr(intern!(py, "tocsc"))? {
            return Ok(Returned::Sparse(Sparse::read::<T>(object, name, order)?));
        }
        refuse_large_order::<T>(order)?;
        let mut entries = Vec::new();
        let shape = arrays::read::<T>(object, name, &mut entries)?;
        let fits = shape.slice() == [order, order]
            || shape.slice() == [shapes.0, shapes.1].concat()
            || (order == 1 && entries.len() == 1);
        if !fits {
            return Err(wrong_shape(object, name, order));
        }
        let dense = Array2::from_shape_vec((order, order), entries);
        Ok(Returned::Dense(dense.map_err(|error| PyRuntimeError::new_err(error.to_string()))?))
    }

    /// What the result carries as `jac`.
    pub fn to_python(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Returned::Dense(matrix) => matrix.to_pyarray(py).into_any(),
            Returned::Sparse(sparse) => sparse.matrix.clone(),
        }
    }
}

/// A dense Jacobian of this order can be factored.
pub fn refuse_large_order<T>(order: usize) -> PyResult<()> {
    if order <= LARGEST_ORDER {
        return expect_memory::<T>(2 * order * order);
    }
    Err(PyValueError::new_err(format!(
        "jac: a dense Jacobian of {order} unknowns is too large for LAPACK (at most \
         {LARGEST_ORDER}); return a scipy.sparse array"
    )))
}

/// An allocation that fails in Rust ends the process, so large ones are tried first.
fn expect_memory<T>(elements: usize) -> PyResult<()> {
    Vec::<T>::new().try_reserve_exact(elements).map_err(|_| {
        PyMemoryError::new_err("jac: there is no memory for a dense Jacobian and its factors")
    })
}

fn wrong_shape(object: &Bound<'_, PyAny>, name: &str, order: usize) -> PyErr {
    PyValueError::new_err(format!(
        "{name}: expected a Jacobian of shape ({order}, {order}), got {}",
        describe(object)
    ))
}

impl<'py> Sparse<'py> {
    fn read<T: Entry>(object: &Bound<'py, PyAny>, name: &str, order: usize) -> PyResult<Self> {
        let py = object.py();
        let columns = object.call_method0(intern!(py, "tocsc"))?;
        let shape: Vec<usize> = columns.getattr(intern!(py, "shape"))?.extract()?;
        if shape != [order, order] {
            return Err(wrong_shape(object, name, order));
        }
        let dtype = columns.getattr(intern!(py, "dtype"))?.cast_into::<PyArrayDescr>()?;
        match dtype.kind() {
            b'b' | b'i' | b'u' | b'f' => {}
            b'c' if T::COMPLEX => {}
            _ => {
                return Err(PyTypeError::new_err(format!(
                    "{name}: expected numbers of the kind of x0, got a sparse {dtype} matrix"
                )));
            }
        }
        // SciPy's routines trust the indices; this checks them.
        columns.call_method1(intern!(py, "check_format"), (true,))?;
        // `astype` copies, so that what the user does to their matrix later is not seen here.
        let matrix = columns.call_method1(intern!(py, "astype"), (T::get_dtype(py),))?;
        Ok(Sparse { matrix, factors: None })
    }

    /// |J| |x|
    pub fn scales<T: Entry>(&self, point: &[T]) -> PyResult<Vec<f64>> {
        let py = self.matrix.py();
        let sizes: Vec<f64> = point.iter().map(|x| x.size()).collect();
        let sizes = arrays::to_python(py, &sizes, &[sizes.len()]);
        let product = self.matrix.call_method0(intern!(py, "__abs__"))?.matmul(sizes)?;
        let mut scales = Vec::new();
        arrays::read(&product, "jac", &mut scales)?;
        Ok(scales)
    }

    /// The solution of J s = rhs by SciPy's sparse LU; None where J is singular.
    pub fn solve<T: Entry>(&mut self, rhs: &[T]) -> PyResult<Option<Vec<T>>> {
        let py = self.matrix.py();
        let factors = match &self.factors {
            Some(factors) => factors.clone(),
            None => match self.factor() {
                Ok(factors) => self.factors.insert(factors).clone(),
                // SuperLU's way to say that a pivot is zero.
                Err(error) if error.is_instance_of::<PyRuntimeError>(py) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let rhs = arrays::to_python(py, rhs, &[rhs.len()]);
        let mut solution = Vec::new();
        arrays::read(&factors.call_method1("solve", (rhs,))?, "jac", &mut solution)?;
        Ok(Some(solution))
    }

    fn factor(&self) -> PyResult<Bound<'py, PyAny>> {
        let module = self.matrix.py().import("scipy.sparse.linalg")?;
        module.getattr("splu")?.call1((&self.matrix,))
    }
}
