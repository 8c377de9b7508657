//! An array of starting points: the driver of `kernels::newton::elementwise`.
//!
//! As in SciPy, the first point has the dtype of x0 and the later ones are float64, or complex128
//! from the first complex value on.

use numpy::{PyArrayDescrMethods, PyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use ndarray_linalg::c64;

use super::{Functions, Options, warn};
use crate::kernels::newton::elementwise::{self, Ask, Elementwise, Limits, Secant, Tangent};
use crate::linalg::Field;
use crate::linalg::memory::bytes_of;
use crate::python::arrays::{self, Entry, as_array, describe};
use crate::python::memory::{expect_memory, reserve};
use crate::python::numbers::Kind;
use crate::python::results::array_result;
use crate::python::text::formatted;

enum AnyElementwise {
    Real(Elementwise<f64>),
    Complex(Elementwise<c64>),
}

macro_rules! in_its_field {
    ($any:expr, $solver:ident => $result:expr) => {
        match $any {
            AnyElementwise::Real($solver) => $result,
            AnyElementwise::Complex($solver) => $result,
        }
    };
}

/// The values that a function returned, for every element. The vectors are used again and again.
#[derive(Default)]
struct Answer {
    real: Vec<f64>,
    complex: Vec<c64>,
    is_complex: bool,
    single: bool,
}

impl AnyElementwise {
    fn ask(&self) -> Ask {
        in_its_field!(self, solver => solver.ask())
    }

    fn untouched(&self) -> bool {
        in_its_field!(self, solver => solver.untouched())
    }

    fn points<'py>(&self, py: Python<'py>, shape: &[usize]) -> PyResult<Bound<'py, PyAny>> {
        in_its_field!(self, solver => Ok(arrays::to_python(py, solver.points(), shape)?.into_any()))
    }

    /// The second points of the secant method are made before any value is known, so they are
    /// real where the first ones are.
    fn real_points<'py>(&self, py: Python<'py>, shape: &[usize]) -> PyResult<Bound<'py, PyAny>> {
        expect_memory(bytes_of::<f64>(shape.iter().product()))?;
        let points: Vec<f64> = in_its_field!(self, solver => {
            solver.points().iter().map(|point| point.to_complex().re).collect()
        });
        Ok(arrays::to_python(py, &points, shape)?.into_any())
    }

    fn failing(&self) -> &[bool] {
        in_its_field!(self, solver => solver.failing())
    }

    fn stuck(&self) -> Vec<bool> {
        in_its_field!(self, solver => solver.stuck())
    }

    fn tell(&mut self, answer: &mut Answer) -> PyResult<()> {
        let single = answer.single;
        if let AnyElementwise::Complex(_) = self
            && !answer.is_complex
        {
            answer.complex.clear();
            reserve(&mut answer.complex, answer.real.len())?;
            answer.complex.extend(answer.real.iter().map(|&value| c64::from(value)));
        }
        if answer.is_complex
            && let AnyElementwise::Real(solver) = self
        {
            let points = solver.points().len();
            let room = Elementwise::<c64>::room(points);
            expect_memory(room.saturating_add(bytes_of::<c64>(points)))?;
            *self = AnyElementwise::Complex(solver.embed(c64::from));
        }
        match self {
            AnyElementwise::Real(solver) => {
                solver.tell(elementwise::Answer { values: &mut answer.real, single });
            }
            AnyElementwise::Complex(solver) => {
                solver.tell(elementwise::Answer { values: &mut answer.complex, single });
            }
        }
        Ok(())
    }

    /// SciPy's measure of how far apart the ends of the flat secants are.
    fn flat_distance<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            AnyElementwise::Real(Elementwise::Secant(secant)) => secant
                .flat_distance()
                .map(|distance| Ok(distance.into_pyobject(py)?.into_any()))
                .transpose(),
            AnyElementwise::Complex(Elementwise::Secant(secant)) => secant
                .flat_distance()
                .map(|distance| {
                    Ok(pyo3::types::PyComplex::from_doubles(py, distance.re, distance.im)
                        .into_any())
                })
                .transpose(),
            _ => Ok(None),
        }
    }
}

pub fn solve<'py>(
    functions: &mut Functions<'py>,
    x0: &Bound<'py, PyAny>,
    kind: Kind,
    options: &Options<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x0.py();
    let starts = copy(x0)?;
    let shape = as_array(&starts, "x0")?.shape().to_vec();
    let mut solver = begin(functions, &starts, kind, options)?;

    let secant = functions.derivative.is_none();
    let mut answer = Answer::default();
    let mut points = py.None().into_bound(py);
    loop {
        let (function, may_be_constant) = match solver.ask() {
            Ask::Values => {
                points = match functions.value.calls {
                    0 => starts.clone(),
                    1 if secant && !kind.complex => solver.real_points(py, &shape)?,
                    _ => solver.points(py, &shape)?,
                };
                (Some(&mut functions.value), false)
            }
            Ask::Derivatives => (functions.derivative.as_mut(), true),
            Ask::SecondDerivatives => (functions.second_derivative.as_mut(), true),
            Ask::Done => break,
        };
        let Some(function) = function else {
            return Err(PyRuntimeError::new_err("a function that was not given was asked for"));
        };
        let returned = function.call(&points)?;
        answer.read(&returned, function.name, &shape, may_be_constant)?;
        solver.tell(&mut answer)?;
    }
    let roots = if solver.untouched() { copy(x0)? } else { solver.points(py, &shape)? };
    // The flags of what is stuck, and of what has converged.
    expect_memory(bytes_of::<bool>(3 * solver.failing().len()))?;
    let stuck = solver.stuck();
    report_failures(py, &solver, &stuck, options.maxiter)?;
    if !options.full_output {
        return Ok(roots);
    }
    let converged: Vec<bool> = solver.failing().iter().map(|failing| !failing).collect();
    let flags = |flags: Vec<bool>| -> PyResult<Bound<'py, PyAny>> {
        let flags = ndarray::ArrayD::from_shape_vec(shape.clone(), flags);
        let flags = flags.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(PyArrayDyn::from_owned_array(py, flags).into_any())
    };
    array_result(roots, flags(converged)?, flags(stuck)?)
}

/// The user's starting points, to be given to the user's functions.
fn copy<'py>(x0: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let keywords = PyDict::new(x0.py());
    keywords.set_item("copy", true)?;
    x0.py().import("numpy")?.call_method("array", (x0,), Some(&keywords))
}

fn begin(
    functions: &Functions<'_>,
    starts: &Bound<'_, PyAny>,
    kind: Kind,
    options: &Options<'_>,
) -> PyResult<AnyElementwise> {
    let limits = Limits { tolerance: options.tol, iterations: options.maxiter };
    let halley = functions.second_derivative.is_some();
    let secant = functions.derivative.is_none();
    fn start<T: Entry>(
        starts: &Bound<'_, PyAny>,
        secant: bool,
        halley: bool,
        limits: Limits,
    ) -> PyResult<Elementwise<T>> {
        let mut values = Vec::new();
        arrays::read::<T>(starts, "x0", &mut values)?;
        expect_memory(Elementwise::<T>::room(values.len()))?;
        Ok(if secant {
            Elementwise::Secant(Secant::new(values, limits))
        } else {
            Elementwise::Tangent(Tangent::new(values, halley, limits))
        })
    }
    Ok(if kind.complex {
        AnyElementwise::Complex(start(starts, secant, halley, limits)?)
    } else {
        AnyElementwise::Real(start(starts, secant, halley, limits)?)
    })
}

impl Answer {
    /// Reads one value for each element; a derivative may also be one number for all of them.
    fn read(
        &mut self,
        returned: &Bound<'_, PyAny>,
        name: &str,
        expected: &[usize],
        may_be_constant: bool,
    ) -> PyResult<()> {
        let array = as_array(returned, name)?;
        let constant = may_be_constant && array.ndim() == 0;
        if !constant && array.shape() != expected {
            return Err(PyValueError::new_err(format!(
                "{name}: expected one value for each element of x0 (shape {}), got {}",
                tuple(expected),
                describe(&array)
            )));
        }
        let dtype = array.dtype();
        self.single = matches!(dtype.char(), b'f' | b'F' | b'e');
        self.is_complex = matches!(dtype.kind(), b'c' | b'O');
        if self.is_complex {
            arrays::read(&array, name, &mut self.complex)?;
            self.drop_imaginary_zeros(dtype.kind() == b'O')?;
        } else {
            arrays::read(&array, name, &mut self.real)?;
        }
        if constant {
            let count = expected.iter().product();
            repeat(&mut self.real, count)?;
            repeat(&mut self.complex, count)?;
        }
        Ok(())
    }

    /// Objects may be real after all, and zeros end the iteration at points that are real.
    fn drop_imaginary_zeros(&mut self, objects: bool) -> PyResult<()> {
        let real = |value: &c64| value.im == 0.0 && (objects || value.re == 0.0);
        if self.complex.iter().all(real) {
            self.real.clear();
            reserve(&mut self.real, self.complex.len())?;
            self.real.extend(self.complex.iter().map(|value| value.re));
            self.is_complex = false;
        }
        Ok(())
    }
}

/// One number, if there is one, as many times.
fn repeat<T: Copy>(number: &mut Vec<T>, count: usize) -> PyResult<()> {
    if let Some(&value) = number.first() {
        reserve(number, count)?;
        number.resize(count, value);
    }
    Ok(())
}

/// Raises where no element converged and warns where some did not, in SciPy's words.
fn report_failures(
    py: Python<'_>,
    solver: &AnyElementwise,
    stuck: &[bool],
    maxiter: u64,
) -> PyResult<()> {
    let all_or_some = |flags: &[bool]| if flags.contains(&false) { "some" } else { "all" };
    let secant = in_its_field!(solver, solver => matches!(solver, Elementwise::Secant(_)));
    if stuck.contains(&true) {
        if !secant {
            return warn(py, &format!("{} derivatives were zero", all_or_some(stuck)));
        }
        return match solver.flat_distance(py)? {
            Some(distance) => warn(py, &format!("RMS of {} reached", formatted(&distance, "g")?)),
            None => Ok(()),
        };
    }
    let failing = solver.failing();
    if !failing.contains(&true) {
        return Ok(());
    }
    let message = format!("{} failed to converge after {maxiter} iterations", all_or_some(failing));
    if failing.contains(&false) {
        warn(py, &message)
    } else {
        Err(PyRuntimeError::new_err(message))
    }
}

/// A shape as Python writes it.
fn tuple(shape: &[usize]) -> String {
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    if let [length] = &lengths[..] {
        format!("({length},)")
    } else {
        format!("({})", lengths.join(", "))
    }
}
