//! One starting point: the driver of `kernels::newton::scalar`.
//!
//! As in SciPy, a point has the type that arithmetic gives it: a float32 x0 stays float32 until a
//! function returns a float64, a real one becomes complex with the first complex value, and
//! arrays of one element stay arrays.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use ndarray_linalg::{c32, c64};

use super::{Functions, Options, formatted, warn};
use crate::kernels::newton::scalar::{Ask, Limits, Scalar, Secant, Stop, Tangent};
use crate::linalg::Field;
use crate::python::arrays::Entry;
use crate::python::numbers::{self, Answer, Kind, Number};
use crate::python::results::root_results;

/// The solver, in the narrowest field that holds all numbers seen so far.
enum AnyScalar {
    F32(Scalar<f32>),
    F64(Scalar<f64>),
    C32(Scalar<c32>),
    C64(Scalar<c64>),
}

macro_rules! in_its_field {
    ($any:expr, $scalar:ident => $result:expr) => {
        match $any {
            AnyScalar::F32($scalar) => $result,
            AnyScalar::F64($scalar) => $result,
            AnyScalar::C32($scalar) => $result,
            AnyScalar::C64($scalar) => $result,
        }
    };
}

impl AnyScalar {
    fn new(start: Number, second: Option<c64>, method: Method, limits: Limits) -> Self {
        match start {
            Number::F32(x) => AnyScalar::F32(method.start(x, second, limits)),
            Number::F64(x) => AnyScalar::F64(method.start(x, second, limits)),
            Number::C32(x) => AnyScalar::C32(method.start(x, second, limits)),
            Number::C64(x) => AnyScalar::C64(method.start(x, second, limits)),
        }
    }

    fn ask(&self) -> Ask {
        in_its_field!(self, scalar => scalar.ask())
    }

    fn tell(&mut self, answer: c64) {
        in_its_field!(self, scalar => scalar.tell(Field::from_complex(answer)))
    }

    fn iterations(&self) -> u64 {
        in_its_field!(self, scalar => scalar.iterations())
    }

    fn point(&self) -> Number {
        match self {
            AnyScalar::F32(scalar) => Number::F32(scalar.point()),
            AnyScalar::F64(scalar) => Number::F64(scalar.point()),
            AnyScalar::C32(scalar) => Number::C32(scalar.point()),
            AnyScalar::C64(scalar) => Number::C64(scalar.point()),
        }
    }

    /// The older and the newer end of the secant.
    fn ends(&self) -> Option<[c64; 2]> {
        fn of<T: Entry>(scalar: &Scalar<T>) -> Option<[c64; 2]> {
            match scalar {
                Scalar::Secant(secant) => Some(secant.ends().map(T::to_complex)),
                Scalar::Tangent(_) => None,
            }
        }
        in_its_field!(self, scalar => of(scalar))
    }

    /// Moves into a field that also holds numbers of this kind.
    fn widen(&mut self, kind: Kind) {
        let wider = match (&*self, kind.complex, kind.double) {
            (AnyScalar::F32(scalar), false, true) => AnyScalar::F64(scalar.embed(f64::from)),
            (AnyScalar::F32(scalar), true, false) => AnyScalar::C32(scalar.embed(c32::from)),
            (AnyScalar::F32(scalar), true, true) => {
                AnyScalar::C64(scalar.embed(|x| f64::from(x).into()))
            }
            (AnyScalar::F64(scalar), true, _) => AnyScalar::C64(scalar.embed(c64::from)),
            (AnyScalar::C32(scalar), _, true) => {
                AnyScalar::C64(scalar.embed(|x| c64::new(x.re.into(), x.im.into())))
            }
            _ => return,
        };
        *self = wider;
    }
}

#[derive(Clone, Copy)]
enum Method {
    Tangent { halley: bool },
    Secant,
}

impl Method {
    fn start<T: Entry>(self, start: T, second: Option<c64>, limits: Limits) -> Scalar<T> {
        match self {
            Method::Tangent { halley } => Scalar::Tangent(Tangent::new(start, halley, limits)),
            Method::Secant => {
                let second = second.map_or_else(|| Secant::second_point(start), T::from_complex);
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
    let mut kind = given_second.map_or(start.kind, |second| start.kind.join(second.kind));
    let second = given_second.map(|second| second.value);
    let mut scalar = AnyScalar::new(kind.hold(start.value), second, method, limits);

    let mut point = py.None().into_bound(py);
    let stop = loop {
        let function = match scalar.ask() {
            Ask::Value => {
                point = match functions.value.calls {
                    0 => {
                        numbers::to_python(py, start.kind.hold(start.value), start.kind.dimensions)?
                    }
                    1 if given_second.is_some() => options.x1.clone(),
                    1 if matches!(method, Method::Secant) => {
                        let second = start.kind.hold(scalar.point().to_complex());
                        numbers::to_python(py, second, start.kind.dimensions)?
                    }
                    _ => numbers::to_python(py, scalar.point(), kind.dimensions)?,
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
        kind = kind.join(answer.kind);
        scalar.widen(kind);
        scalar.tell(answer.value);
    };
    let root = match stop {
        Stop::ExactRoot | Stop::ZeroDerivative => point,
        _ => numbers::to_python(py, scalar.point(), kind.dimensions)?,
    };
    report_failure(py, stop, &scalar, kind, &root, options.disp)?;
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
    if second.value == start.value {
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
    kind: Kind,
    root: &Bound<'_, PyAny>,
    disp: bool,
) -> PyResult<()> {
    let (what, value) = match stop {
        Stop::ExactRoot | Stop::SmallStep => return Ok(()),
        Stop::ZeroDerivative => (Some("Derivative was zero.".to_string()), root.clone()),
        Stop::OutOfIterations => (None, root.clone()),
        Stop::FlatSecant => match scalar.ends() {
            Some([older, newer]) if older != newer => {
                let python = |number| numbers::to_python(py, kind.hold(number), kind.dimensions);
                let gap = formatted(&python(newer - older)?, "")?;
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
