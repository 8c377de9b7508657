//! `raphson.newton`: decides whether x0 is one starting point or many, and who solves it.

mod elementwise;
mod scalar;

use pyo3::exceptions::{PyRuntimeWarning, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyComplex, PyFloat, PyInt};

use ndarray_linalg::c64;
use numpy::{PyUntypedArray, PyUntypedArrayMethods};

use super::arrays::{as_array, describe};
use super::call::{call, import};
use super::callable::{Callable, unpack};
use super::numbers::{self, Kind, count, real};
use super::options::truth;
use super::presence::Inside;
use super::text::formatted;
use crate::kernels::newton::scalar::Precision;

/// f and its derivatives, as far as they were given.
struct Functions<'py> {
    value: Callable<'py>,
    derivative: Option<Callable<'py>>,
    second_derivative: Option<Callable<'py>>,
}

impl Functions<'_> {
    fn calls(&self) -> u64 {
        let of = |function: &Option<Callable<'_>>| function.as_ref().map_or(0, |f| f.calls);
        self.value.calls + of(&self.derivative) + of(&self.second_derivative)
    }
}

/// What the user chose, beside the functions and the starting points.
struct Options<'py> {
    tol: f64,
    rtol: f64,
    maxiter: u64,
    x1: Bound<'py, PyAny>,
    full_output: bool,
    disp: bool,
}

#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub fn newton<'py>(
    func: &Bound<'py, PyAny>,
    x0: &Bound<'py, PyAny>,
    fprime: &Bound<'py, PyAny>,
    args: &Bound<'py, PyAny>,
    tol: &Bound<'py, PyAny>,
    maxiter: &Bound<'py, PyAny>,
    fprime2: &Bound<'py, PyAny>,
    x1: &Bound<'py, PyAny>,
    rtol: &Bound<'py, PyAny>,
    full_output: &Bound<'py, PyAny>,
    disp: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let _inside = Inside::new(x0.py())?;
    let options = Options {
        tol: real(tol, "tol")?,
        rtol: real(rtol, "rtol")?,
        maxiter: positive_count(maxiter)?,
        x1: x1.clone(),
        full_output: truth(full_output, "full_output")?,
        disp: truth(disp, "disp")?,
    };
    if options.tol <= 0.0 {
        let tol = formatted(tol, "g")?;
        return Err(PyValueError::new_err(format!("tol too small ({tol} <= 0)")));
    }
    let arguments = unpack(args)?;
    let start = Start::read(x0)?;
    let mut functions = Functions {
        value: Callable::new(func, &arguments, "func")?,
        derivative: Callable::optional(fprime, &arguments, "fprime")?,
        second_derivative: None,
    };
    // SciPy looks at the second derivative only beside a first, and from one starting point takes
    // anything false for None.
    let ignored = functions.derivative.is_none()
        || (matches!(start, Start::One(_)) && !truth(fprime2, "fprime2")?);
    if !ignored {
        functions.second_derivative = Callable::optional(fprime2, &arguments, "fprime2")?;
    }
    match start {
        Start::One(start) => scalar::solve(x0.py(), &mut functions, start, &options),
        Start::Many(kind) => elementwise::solve(&mut functions, x0, kind, &options),
        Start::NotOurs => {
            let scipy = import(x0.py(), "scipy.optimize")?.getattr("newton")?;
            let arguments =
                (func, x0, fprime, args, tol, maxiter, fprime2, x1, rtol, full_output, disp);
            call(&scipy, arguments)
        }
    }
}

enum Start {
    One(numbers::Answer),
    Many(Kind),
    /// Extended precision, half precision or objects: SciPy's own implementation computes in the
    /// arithmetic of the type, which the kernels do not have.
    NotOurs,
}

impl Start {
    fn read(x0: &Bound<'_, PyAny>) -> PyResult<Start> {
        if x0.is_instance_of::<PyFloat>()
            || x0.is_instance_of::<PyInt>()
            || x0.is_instance_of::<PyComplex>()
        {
            return Ok(Start::one(numbers::read(x0, "x0")?, true));
        }
        let array = as_array(x0, "x0")?;
        if array.is_empty() {
            return Err(PyValueError::new_err(format!("x0 is empty: got {}", describe(x0))));
        }
        let kind = match numbers::kind_of(&array) {
            Some(kind) => kind,
            None if is_arithmetic(&array)? => return Ok(Start::NotOurs),
            None => {
                return Err(PyTypeError::new_err(format!(
                    "x0 must be numeric, not {}",
                    describe(x0)
                )));
            }
        };
        if array.len() > 1 {
            return Ok(Start::Many(kind));
        }
        Ok(Start::one(numbers::read(x0, "x0")?, kind.double))
    }

    fn one(mut start: numbers::Answer, double: bool) -> Start {
        start.number.precision = if double { Precision::Double } else { Precision::Single };
        if start.number.complex {
            // SciPy multiplies by 1.0, which is complex too and so changes the sign of zeros.
            start.number.value *= c64::new(1.0, 0.0);
        }
        Start::One(start)
    }
}

/// An element of the array, of a type unknown to the kernels, can be multiplied by a float.
fn is_arithmetic(array: &Bound<'_, PyUntypedArray>) -> PyResult<bool> {
    let element = array.getattr("flat")?.get_item(0)?;
    Ok(element.mul(1.0).is_ok())
}

fn positive_count(maxiter: &Bound<'_, PyAny>) -> PyResult<u64> {
    match count(maxiter, "maxiter")? {
        0 => Err(PyValueError::new_err("maxiter must be greater than 0")),
        positive => Ok(positive),
    }
}

/// Warns the caller of `raphson.newton`, which is a Python function one frame up.
fn warn(py: Python<'_>, message: &str) -> PyResult<()> {
    let message = std::ffi::CString::new(message)?;
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &message, 2)
}
