//! One starting point: the driver of `kernels::newton::scalar`.
//!
//! As in SciPy, a point has the type that arithmetic gives it: a float32 x0 stays float32 until a
//! function returns a float64, a real one becomes complex with the first complex value, and
//! arrays of one element stay arrays.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::{Functions, Options, warn};
use crate::kernels::newton::scalar::{
    Arithmetic, Ask, Limits, Precision, Scalar, Secant, Stop, Tangent, Typed,
};
use crate::python::numbers::{self, Answer};
use crate::python::results::root_results;
use crate::python::text::formatted;

/// The solver: in double precision as long as nothing else is seen, then with NumPy's types.
enum AnyScalar {
    /// Also the precision of the answers of this iteration, which Python numbers do not have.
    Double(Scalar<f64>, Precision),
    Typed(Scalar<Typed>),
}

macro_rules! in_its_arithmetic {
    ($any:expr, $scalar:ident => $result:expr) => {
        match $any {
            AnyScalar::Double($scalar, _) => $result,
            AnyScalar::Typed($scalar) => $result,
        }
    };
}

fn real(value: f64, precision: Precision) -> Typed {
    Typed { value: value.into(), complex: false, precision }
}

fn double(value: f64) -> Typed {
    real(value, Precision::Double)
}

impl AnyScalar {
    fn new(start: Typed, second: Option<Typed>, method: Method, limits: Limits) -> Self {
        let plain = |number: Typed| !number.complex && number.precision != Precision::Single;
        if plain(start) && second.is_none_or(plain) {
            let second = second.map(|second| second.value.re);
            AnyScalar::Double(method.start(start.value.re, second, limits), Precision::Any)
        } else {
            AnyScalar::Typed(method.start(start, second, limits))
        }
    }

    fn ask(&self) -> Ask {
        in_its_arithmetic!(self, scalar => scalar.ask())
    }

    fn tell(&mut self, answer: Typed) {
        if let AnyScalar::Double(scalar, last) = self {
            if !answer.complex && answer.precision != Precision::Single {
                let begins = scalar.ask() == Ask::Value;
                *last = if begins { answer.precision } else { answer.precision.max(*last) };
                return scalar.tell(answer.value.re);
            }
            let last = *last;
            *self = AnyScalar::Typed(scalar.embed(double, |value| real(value, last)));
        }
        if let AnyScalar::Typed(scalar) = self {
            scalar.tell(answer);
        }
    }

    fn iterations(&self) -> u64 {
        in_its_arithmetic!(self, scalar => scalar.iterations())
    }

    fn point(&self) -> Typed {
        match self {
            AnyScalar::Double(scalar, _) => double(scalar.point()),
            AnyScalar::Typed(scalar) => scalar.point(),
        }
    }

    /// The older and the newer end of the secant.
    fn ends(&self) -> Option<[Typed; 2]> {
        match self {
            AnyScalar::Double(Scalar::Secant(secant), _) => Some(secant.ends().map(double)),
            AnyScalar::Typed(Scalar::Secant(secant)) => Some(secant.ends()),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Method {
    Tangent { halley: bool },
    Secant,
}

impl Method {
    fn start<T: Arithmetic>(self, start: T, second: Option<T>, limits: Limits) -> Scalar<T> {
        match self {
            Method::Tangent { halley } => Scalar::Tangent(Tangent::new(start, halley, limits)),
            Method::Secant => {
                let second = second.unwrap_or_else(|| Secant::second_point(start));
                Scalar::Secant(Secant::new(start, second, limits))
            }
        }
    }
}

pub fn solve<'py>(
    py: Python<'py>,
    functions: &mut Functions<'py>,
    start: Answer,
    options: &Options<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let method = match &functions.derivative {
        Some(_) => Method::Tangent { halley: functions.second_derivative.is_some() },
        None => Method::Secant,
    };
    let given_second = match method {
        Method::Secant => given_second_point(start, options)?,
        Method::Tangent { .. } => None,
    };
    let limits =
        Limits { absolute: options.tol, relative: options.rtol, iterations: options.maxiter };
    let second = given_second.map(|second| second.number);
    let mut scalar = AnyScalar::new(start.number, second, method, limits);
    let mut dimensions = given_second.map_or(0, |second| second.dimensions).max(start.dimensions);

    let mut point = py.None().into_bound(py);
    let stop = loop {
        let function = match scalar.ask() {
            Ask::Value => {
                point = match functions.value.calls {
                    0 => numbers::to_python(py, start.number, start.dimensions)?,
                    1 if given_second.is_some() => options.x1.clone(),
                    1 if matches!(method, Method::Secant) => {
                        numbers::to_python(py, scalar.point(), start.dimensions)?
                    }
                    _ => numbers::to_python(py, scalar.point(), dimensions)?,
                };
                Some(&mut functions.value)
            }
            Ask::Derivative => functions.derivative.as_mut(),
            Ask::SecondDerivative => functions.second_derivative.as_mut(),
            Ask::Done(stop) => break stop,
        };
        let Some(function) = function else {
            return Err(PyRuntimeError::new_err("a function that was not given was asked for"));
        };
        let answer = numbers::read(&function.call(&point)?, function.name)?;
        dimensions = dimensions.max(answer.dimensions);
        scalar.tell(answer.number);
    };
    let root = match stop {
        Stop::ExactRoot | Stop::ZeroDerivative => point,
        _ => numbers::to_python(py, scalar.point(), dimensions)?,
    };
    report_failure(py, stop, &scalar, dimensions, &root, options.disp)?;
    if !options.full_output {
        return Ok(root);
    }
    let converged = matches!(stop, Stop::ExactRoot | Stop::SmallStep);
    let name = match method {
        Method::Secant => "secant",
        Method::Tangent { .. } if halley_was_used(functions) => "halley",
        Method::Tangent { .. } => "newton",
    };
    let results = root_results(&root, scalar.iterations(), functions.calls(), converged, name)?;
    Ok((root, results).into_pyobject(py)?.into_any())
}

fn given_second_point(start: Answer, options: &Options<'_>) -> PyResult<Option<Answer>> {
    if options.x1.is_none() {
        return Ok(None);
    }
    let second = numbers::read(&options.x1, "x1")?;
    if second.number == start.number {
        return Err(PyValueError::new_err("x1 and x0 must be different"));
    }
    Ok(Some(second))
}

fn halley_was_used(functions: &Functions<'_>) -> bool {
    functions.second_derivative.as_ref().is_some_and(|function| function.calls > 0)
}

/// Raises (with `disp`) or warns where the iteration did not converge, in SciPy's words.
fn report_failure(
    py: Python<'_>,
    stop: Stop,
    scalar: &AnyScalar,
    dimensions: usize,
    root: &Bound<'_, PyAny>,
    disp: bool,
) -> PyResult<()> {
    let (what, value) = match stop {
        Stop::ExactRoot | Stop::SmallStep => return Ok(()),
        Stop::ZeroDerivative => (Some("Derivative was zero.".to_string()), root.clone()),
        Stop::OutOfIterations => (None, root.clone()),
        Stop::FlatSecant => match scalar.ends() {
            Some([older, newer]) if older != newer => {
                let python = |number| numbers::to_python(py, number, dimensions);
                let gap = formatted(&python(newer.minus(older))?, "")?;
                (Some(format!("Tolerance of {gap} reached.")), python(newer)?)
            }
            _ => return Ok(()),
        },
    };
    if disp {
        let what = what.map_or(String::new(), |what| what + " ");
        return Err(PyRuntimeError::new_err(format!(
            "{what}Failed to converge after {} iterations, value is {}.",
            scalar.iterations(),
            formatted(&value, "")?
        )));
    }
    what.map_or(Ok(()), |what| warn(py, &what))
}
