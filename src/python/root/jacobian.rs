//! Where the Jacobian of a system comes from, and what the user may return as one.

use ndarray::{Array2, Dimension};
use numpy::{PyArray1, PyArrayDescr, PyArrayDescrMethods, PyArrayMethods, PyUntypedArray};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyList};
use serde::{Deserialize, Serialize};

use crate::kernels::differences::Scheme;
use crate::kernels::newton::system::System;
use crate::linalg::lu::LARGEST_ORDER;
use crate::linalg::memory::bytes_of;
use crate::python::arrays::{self, Entry, describe};
use crate::python::call::{call, import};
use crate::python::memory::{expect_memory, expect_memory_for};
use crate::python::solver::approximation::Rule;
use crate::python::solver::saving;
use crate::saved;

/// Where the Jacobian comes from.
pub enum Source {
    Callable,
    /// `fun` returns it along with the residual.
    WithResidual,
    Approximated(Rule),
}

impl Source {
    pub fn read(jac: &Bound<'_, PyAny>) -> PyResult<Self> {
        const USUAL: Source = Source::Approximated(Rule::Differences(Scheme::TwoPoint));
        if jac.is_none() {
            return Ok(USUAL);
        }
        if jac.is_callable() {
            return Ok(Source::Callable);
        }
        // True or False, also as NumPy's or as numbers.
        if let Some(flag) = jac.extract::<bool>().ok().or(jac.extract::<i64>().ok().map(|n| n != 0))
        {
            return Ok(if flag { Source::WithResidual } else { USUAL });
        }
        match jac.extract::<&str>().ok().and_then(Rule::named) {
            Some(rule) => Ok(Source::Approximated(rule)),
            None => Err(PyValueError::new_err(format!(
                "jac must be callable, True, None, '2-point', '3-point' or 'cs', not {}",
                jac.repr()?
            ))),
        }
    }
}

/// How a solver approximates the Jacobian; None where it asks for it.
pub fn named_rule(jac: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Rule>> {
    let Some(jac) = jac else { return Ok(None) };
    let name = jac.extract::<&str>().unwrap_or_default();
    match Rule::named(name) {
        None if name == "exact" => Ok(None),
        Some(rule) => Ok(Some(rule)),
        None => Err(PyValueError::new_err(format!(
            "jac must be 'exact', '2-point', '3-point' or 'cs', not {}",
            jac.repr()?
        ))),
    }
}

/// A Jacobian that the user returned.
pub enum Returned<T: Entry> {
    Dense(Array2<T>),
    Sparse(Sparse),
}

/// What is saved of it.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Entry")]
pub enum SavedJacobian<T: Entry> {
    Dense(#[serde(with = "saved::matrix")] Array2<T>),
    Sparse {
        #[serde(with = "saved::vector")]
        entries: Vec<T>,
        #[serde(with = "saved::vector")]
        rows: Vec<i64>,
        #[serde(with = "saved::vector")]
        starts: Vec<i64>,
    },
}

/// A scipy.sparse matrix or array, in the column format that SuperLU works on, and its factors.
pub struct Sparse {
    matrix: Py<PyAny>,
    factors: Option<Py<PyAny>>,
}

impl<T: Entry> Returned<T> {
    /// Reads J of n equations and n unknowns: an array of shape (n, n), or with the shapes of F
    /// and x one after the other, or sparse.
    pub fn read(
        object: &Bound<'_, PyAny>,
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
    pub fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Returned::Dense(matrix) => arrays::matrix_to_python(py, matrix),
            Returned::Sparse(sparse) => Ok(sparse.matrix.bind(py).clone()),
        }
    }

    pub fn to_save(&self, py: Python<'_>) -> PyResult<SavedJacobian<T>> {
        match self {
            Returned::Dense(matrix) => {
                expect_memory(bytes_of::<T>(matrix.len()))?;
                Ok(SavedJacobian::Dense(matrix.clone()))
            }
            Returned::Sparse(sparse) => sparse.to_save(py),
        }
    }

    /// The Python objects that this holds, for the garbage collector.
    pub fn references(&self) -> Vec<&Py<PyAny>> {
        match self {
            Returned::Dense(_) => Vec::new(),
            Returned::Sparse(Sparse { matrix, factors }) => {
                std::iter::once(matrix).chain(factors).collect()
            }
        }
    }
}

impl<T: Entry> SavedJacobian<T> {
    /// The Jacobian of so many unknowns; SciPy checks a sparse one.
    pub fn restore(self, py: Python<'_>, order: usize) -> PyResult<Returned<T>> {
        match self {
            SavedJacobian::Dense(matrix) if matrix.dim() == (order, order) => {
                Ok(Returned::Dense(matrix))
            }
            SavedJacobian::Dense(_) => Err(saving::inconsistent()),
            SavedJacobian::Sparse { entries, rows, starts } => {
                let parts = (
                    arrays::to_python(py, &entries, &[entries.len()])?,
                    PyArray1::from_vec(py, rows),
                    PyArray1::from_vec(py, starts),
                );
                let keywords = [("shape", (order, order))].into_py_dict(py)?;
                let class = import(py, "scipy.sparse")?.getattr("csc_array")?;
                let matrix = class.call((parts,), Some(&keywords))?;
                Ok(Returned::Sparse(Sparse::read::<T>(&matrix, "data", order)?))
            }
        }
    }
}

/// A dense Jacobian of this order can be read and factored.
pub fn refuse_large_order<T: Entry>(order: usize) -> PyResult<()> {
    if order <= LARGEST_ORDER {
        return expect_memory_for("jac", 2 * System::<T>::room_for_jacobian(order));
    }
    Err(PyValueError::new_err(format!(
        "jac: a dense Jacobian of {order} unknowns is too large for LAPACK (at most \
         {LARGEST_ORDER}); return a scipy.sparse array"
    )))
}

fn wrong_shape(object: &Bound<'_, PyAny>, name: &str, order: usize) -> PyErr {
    PyValueError::new_err(format!(
        "{name}: expected a Jacobian of shape ({order}, {order}), got {}",
        describe(object)
    ))
}

impl Sparse {
    fn read<T: Entry>(object: &Bound<'_, PyAny>, name: &str, order: usize) -> PyResult<Self> {
        let py = object.py();
        let columns = call(&object.getattr(intern!(py, "tocsc"))?, ())?;
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
        call(&columns.getattr(intern!(py, "check_format"))?, (true,))?;
        // `astype` copies, so that what the user does to their matrix later is not seen here.
        let matrix = call(&columns.getattr(intern!(py, "astype"))?, (T::get_dtype(py),))?;
        Ok(Sparse { matrix: matrix.unbind(), factors: None })
    }

    /// |J| |x|
    pub fn scales<T: Entry>(&self, py: Python<'_>, point: &[T]) -> PyResult<Vec<f64>> {
        expect_memory(bytes_of::<f64>(2 * point.len()))?;
        let sizes: Vec<f64> = point.iter().map(|x| x.size()).collect();
        let sizes = arrays::to_python(py, &sizes, &[sizes.len()])?;
        let product = self.matrix.bind(py).call_method0(intern!(py, "__abs__"))?.matmul(sizes)?;
        let mut scales = Vec::new();
        arrays::read(&product, "jac", &mut scales)?;
        Ok(scales)
    }

    /// The solution of J s = rhs by SciPy's sparse LU; None where J is singular.
    pub fn solve<T: Entry>(&mut self, py: Python<'_>, rhs: &[T]) -> PyResult<Option<Vec<T>>> {
        let factors = match &self.factors {
            Some(factors) => factors.bind(py).clone(),
            None => match self.factor(py) {
                Ok(factors) => self.factors.insert(factors.unbind()).bind(py).clone(),
                // SuperLU's way to say that a pivot is zero.
                Err(error) if error.is_instance_of::<PyRuntimeError>(py) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let rhs = arrays::to_python(py, rhs, &[rhs.len()])?;
        let mut solution = Vec::new();
        arrays::read(&call(&factors.getattr("solve")?, (rhs,))?, "jac", &mut solution)?;
        Ok(Some(solution))
    }

    fn to_save<T: Entry>(&self, py: Python<'_>) -> PyResult<SavedJacobian<T>> {
        let matrix = self.matrix.bind(py);
        let indices = |name: &str| -> PyResult<Vec<i64>> {
            let array = matrix.getattr(name)?.call_method1("astype", ("int64",))?;
            Ok(array.cast_into::<PyArray1<i64>>()?.to_vec()?)
        };
        let mut entries = Vec::new();
        arrays::read(&matrix.getattr("data")?, "jac", &mut entries)?;
        let (rows, starts) = (indices("indices")?, indices("indptr")?);
        Ok(SavedJacobian::Sparse { entries, rows, starts })
    }

    fn factor<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let module = import(py, "scipy.sparse.linalg")?;
        call(&module.getattr("splu")?, (&self.matrix,))
    }
}
