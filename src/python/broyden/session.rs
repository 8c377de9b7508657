//! The kernel of Broyden's method for Python values.

use ndarray_linalg::{c32, c64};
use numpy::{PyArrayDescrMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat};
use serde::{Deserialize, Serialize};

use super::options::{Settings, expect_callable};
use crate::kernels::broyden::solver::{Broyden, Options, Stop};
use crate::kernels::{Ask, Kernel, Sizes, Tell};
use crate::linalg::norm::max_norm;
use crate::python::arrays::{self, Entry, as_array};
use crate::python::call::call;
use crate::python::lapack;
use crate::python::memory::{expect_memory, expect_memory_for, reserve};
use crate::python::numbers::real;
use crate::python::presence::detached;
use crate::python::results::optimize_result;
use crate::python::solver::saving;
use crate::python::solver::session::{Failure, Figures, Next, Session};
use crate::python::text::{formatted, print, scientific};
use crate::python::unknowns::{FieldOf, Points, Start, Unknowns};
use crate::saved::{self, Saved};

const NO_MEMORY: &str = "there is no memory for another vector of the inverse Jacobian";

/// The class of the solver.
pub const CLASS: &str = "Broyden1";

/// From so many operations on a step takes longer than handing the GIL over and back, and so many are
/// worth a thread that Ctrl-C need not wait for.
const WORTH_DETACHING: f64 = 1e5;
const LONG: f64 = 2.5e8;

/// Before F(x₀) is known, and with it the field to compute in: that of x₀ and F(x₀) together.
#[derive(Deserialize, Serialize)]
pub struct Beginning {
    unknowns: Unknowns,
    settings: Settings,
    field: FieldOf,
    /// x₀, in a field that holds it whatever it is.
    start: Vec<c64>,
}

impl Beginning {
    pub fn new(start: Start<'_>, settings: Settings) -> PyResult<Self> {
        let field = start.field()?;
        let values = match field {
            FieldOf::Single => widened::<f32>(&start)?,
            FieldOf::Double => widened::<f64>(&start)?,
            FieldOf::ComplexSingle => widened::<c32>(&start)?,
            FieldOf::ComplexDouble => widened::<c64>(&start)?,
        };
        Ok(Beginning { unknowns: start.unknowns, settings, field, start: values })
    }

    fn narrowed<T: Entry>(&self) -> PyResult<Vec<T>> {
        let mut start = Vec::new();
        reserve(&mut start, self.start.len())?;
        start.extend(self.start.iter().map(|&x| T::from_complex(x)));
        Ok(start)
    }

    fn begin<T: Entry>(
        &mut self,
        first: &Bound<'_, PyAny>,
        name: &str,
    ) -> PyResult<Option<Box<dyn Session>>> {
        let settings = &self.settings;
        let start = self.narrowed::<T>()?;
        let mut residual = Vec::new();
        arrays::read::<T>(first, name, &mut residual)?;
        self.unknowns.expect_count(residual.len(), first, name)?;
        let alpha = settings.alpha.map(|alpha| match alpha.im == 0.0 || T::COMPLEX {
            true => Ok(T::from_complex(alpha)),
            false => Err(PyTypeError::new_err("alpha is complex, but x and F(x) are real")),
        });
        expect_memory(Broyden::<T>::room_to_begin(start.len()))?;
        let options = Options {
            alpha: alpha.transpose()?,
            limit: settings.limit,
            termination: settings.termination,
            iterations: settings.iterations(start.len()),
            search: settings.search,
            own_norm: settings.norm.is_some(),
            keep_iterate: settings.keep_iterate,
        };
        let mut kernel = Broyden::new(options);
        kernel.start(&start);
        kernel.tell(Tell::Residual(&residual));
        Ok(Some(Box::new(Iteration {
            kernel,
            unknowns: std::mem::take(&mut self.unknowns),
            evaluations: 1,
            norm: self.settings.norm.take(),
            points: Points::default(),
            buffer: Vec::new(),
        })))
    }
}

fn widened<T: Entry>(start: &Start<'_>) -> PyResult<Vec<c64>> {
    let values = start.values::<T>()?;
    let mut widened = Vec::new();
    reserve(&mut widened, values.len())?;
    widened.extend(values.into_iter().map(|x| x.to_complex()));
    Ok(widened)
}

impl Session for Beginning {
    fn room(&self) -> usize {
        0
    }

    fn advance(&mut self, _: Python<'_>) -> PyResult<Next> {
        Ok(Next::Residual)
    }

    fn question<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.point(py)
    }

    fn answer(
        &mut self,
        value: &Bound<'_, PyAny>,
        name: &str,
    ) -> PyResult<Option<Box<dyn Session>>> {
        let returned = if arrays::holds_python_reals(value) {
            FieldOf::Double
        } else {
            let dtype = as_array(value, name)?.dtype();
            match (dtype.kind(), dtype.char()) {
                (_, b'f') => FieldOf::Single,
                (_, b'F') => FieldOf::ComplexSingle,
                (b'c', _) => FieldOf::ComplexDouble,
                _ => FieldOf::Double,
            }
        };
        match self.field.join(returned) {
            FieldOf::Single => self.begin::<f32>(value, name),
            FieldOf::Double => self.begin::<f64>(value, name),
            FieldOf::ComplexSingle => self.begin::<c32>(value, name),
            FieldOf::ComplexDouble => self.begin::<c64>(value, name),
        }
    }

    fn reported(&mut self, _: Python<'_>, _: bool) -> PyResult<()> {
        Ok(())
    }

    fn stop(&mut self) -> PyResult<()> {
        Err(PyRuntimeError::new_err("stop() comes too early: no residual is known yet"))
    }

    fn point<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.field {
            FieldOf::Single => self.unknowns.point(py, &self.narrowed::<f32>()?),
            FieldOf::Double => self.unknowns.point(py, &self.narrowed::<f64>()?),
            FieldOf::ComplexSingle => self.unknowns.point(py, &self.narrowed::<c32>()?),
            FieldOf::ComplexDouble => self.unknowns.point(py, &self.start),
        }
    }

    fn residual<'py>(&self, _: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(None)
    }

    fn figures(&self) -> Figures {
        figures(0, 0, f64::NAN, 0.0, f64::NAN)
    }

    fn tolerances(&self) -> Vec<(&'static str, f64)> {
        self.settings.termination.tolerances()
    }

    fn for_callback<'py>(&self, _: Python<'py>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
        Ok(None)
    }

    fn print(&mut self, _: Python<'_>, _: f64) -> PyResult<()> {
        Ok(())
    }

    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        optimize_result(py)
    }

    fn to_bytes(&self, _: Python<'_>) -> PyResult<Vec<u8>> {
        saving::save(CLASS, "", self)
    }

    fn norm(&self) -> Option<&Py<PyAny>> {
        self.settings.norm.as_ref()
    }

    fn references(&self) -> Vec<&Py<PyAny>> {
        self.unknowns.references().into_iter().chain(&self.settings.norm).collect()
    }
}

/// The iteration, in the field T.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Entry")]
struct Iteration<T: Entry> {
    unknowns: Unknowns,
    kernel: Broyden<T>,
    #[serde(with = "saved::count")]
    evaluations: u64,
    #[serde(skip)]
    norm: Option<Py<PyAny>>,
    #[serde(skip)]
    points: Points<T>,
    /// For residuals that cannot be read where they are.
    #[serde(skip)]
    buffer: Vec<T>,
}

impl<T: Entry> Iteration<T> {
    fn norm_of(&self, py: Python<'_>, values: &[T]) -> PyResult<f64> {
        match &self.norm {
            Some(norm) => {
                let values = self.unknowns.vector(py, values)?;
                let size = call(norm.bind(py), (values,))?;
                real(&size, "tol_norm: the result")
            }
            None => Ok(max_norm(values)),
        }
    }

    fn measure(&self, py: Python<'_>, residual: &[T], point: &[T], step: &[T]) -> PyResult<Sizes> {
        // Before there is a direction, SciPy measures a vector of infinities.
        let mut first = Vec::new();
        if step.is_empty() {
            reserve(&mut first, point.len())?;
            first.resize(point.len(), T::of(f64::INFINITY));
        }
        let step = if step.is_empty() { &first } else { step };
        Ok(Sizes {
            residual: self.norm_of(py, residual)?,
            point: self.norm_of(py, point)?,
            step: self.norm_of(py, step)?,
        })
    }

    fn ended(&self) -> Option<Stop> {
        self.kernel.stop()
    }

    /// How far the iterations came, and what to try.
    fn shortfall(&self) -> String {
        let options = self.kernel.options();
        let aim = if options.own_norm {
            "the tolerances are in the norm of tol_norm".into()
        } else {
            let tolerances = options.termination.tolerances().into_iter();
            let tolerances =
                tolerances.map(|(name, value)| format!("{name} = {}", scientific(value)));
            tolerances.collect::<Vec<_>>().join(", ")
        };
        let alpha = self.kernel.alpha().to_complex();
        let imaginary =
            if T::COMPLEX { format!(" + {}j", scientific(alpha.im)) } else { "".into() };
        format!(
            "no convergence after {} iterations: max |F| = {} ({aim}; alpha = {}{imaginary}). \
             Try an alpha of another size or sign, another xin, a larger maxiter, or \
             raphson.root, which approximates the Jacobian.",
            self.kernel.figures().iterations,
            scientific(max_norm(self.kernel.residual())),
            scientific(alpha.re),
        )
    }

    /// What is wrong, where the iteration has broken off.
    fn fault(&self) -> Option<String> {
        let at = format!("at iteration {}", self.kernel.figures().iterations + 1);
        match self.ended()? {
            Stop::NonFiniteResidual => {
                Some(format!("the residual must not contain infs or NaNs, but does {at}"))
            }
            Stop::NonFiniteStep => {
                Some(format!("the step {at} contains infs or NaNs; the residual is too large"))
            }
            Stop::ZeroStep => Some(format!(
                "Jacobian inversion yielded zero vector {at}: alpha is zero, or the residual too \
                 small"
            )),
            _ => None,
        }
    }
}

impl<T: Entry> Session for Iteration<T> {
    fn room(&self) -> usize {
        self.kernel.room()
    }

    fn advance(&mut self, py: Python<'_>) -> PyResult<Next> {
        loop {
            match self.kernel.ask() {
                Ask::Residual(_) => return Ok(Next::Residual),
                Ask::Report => return Ok(Next::Report),
                Ask::Work { operations } if operations > LONG => return Ok(Next::Work),
                Ask::Work { operations } if operations > WORTH_DETACHING => {
                    let (room, kernel) = (self.kernel.room(), &mut self.kernel);
                    detached(py, room, || kernel.work())?;
                }
                Ask::Work { .. } => {
                    expect_memory(self.kernel.room())?;
                    self.kernel.work();
                }
                Ask::Sizes { residual, point, step } => {
                    expect_memory(self.room())?;
                    let sizes = self.measure(py, residual, point, step)?;
                    self.kernel.tell(Tell::Sizes(sizes));
                }
                Ask::Done if self.kernel.stop() == Some(Stop::OutOfMemory) => {
                    return Err(PyMemoryError::new_err(NO_MEMORY));
                }
                Ask::Done => return Ok(Next::Nothing),
                Ask::Jacobian(_) | Ask::Solution(_) => {
                    return Err(PyRuntimeError::new_err("Broyden's method has no Jacobian"));
                }
            }
        }
    }

    fn work(&mut self) {
        self.kernel.work();
    }

    fn question<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.kernel.ask() {
            Ask::Residual(x) => self.points.next(py, &self.unknowns, x),
            _ => self.point(py),
        }
    }

    fn answer(
        &mut self,
        value: &Bound<'_, PyAny>,
        name: &str,
    ) -> PyResult<Option<Box<dyn Session>>> {
        expect_memory_for(name, self.room())?;
        let (kernel, expected) = (&mut self.kernel, self.unknowns.count());
        let count = arrays::with_values(value, name, &mut self.buffer, |residual| {
            if residual.len() == expected {
                kernel.tell(Tell::Residual(residual));
            }
            residual.len()
        })?;
        self.unknowns.expect_count(count, value, name)?;
        self.evaluations += 1;
        Ok(None)
    }

    fn reported(&mut self, _: Python<'_>, stop: bool) -> PyResult<()> {
        self.kernel.tell(Tell::Reported { stop });
        Ok(())
    }

    fn stop(&mut self) -> PyResult<()> {
        self.kernel.interrupt();
        Ok(())
    }

    fn point<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.unknowns.point(py, self.kernel.point())
    }

    fn residual<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.unknowns.vector(py, self.kernel.residual()).map(Some)
    }

    fn figures(&self) -> Figures {
        figures(
            self.kernel.figures().iterations,
            self.evaluations,
            self.kernel.figures().residual_norm,
            self.kernel.figures().step_norm,
            self.kernel.figures().step_length,
        )
    }

    fn tolerances(&self) -> Vec<(&'static str, f64)> {
        self.kernel.options().termination.tolerances()
    }

    fn for_callback<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
        let vector = |values: &[T]| self.unknowns.vector(py, values);
        Ok(Some(vec![vector(self.kernel.point())?, vector(self.kernel.residual())?]))
    }

    fn print(&mut self, py: Python<'_>, _: f64) -> PyResult<()> {
        let size = PyFloat::new(py, self.norm_of(py, self.kernel.residual())?);
        let length = PyFloat::new(py, self.kernel.figures().step_length);
        print(
            py,
            &format!(
                "{}:  |F(x)| = {}; step {}\n",
                self.kernel.figures().iterations.saturating_sub(1),
                formatted(&size, "g")?,
                formatted(&length, "g")?
            ),
        )
    }

    fn failure(&self, name: &str) -> Option<Failure> {
        if self.ended() == Some(Stop::OutOfIterations) {
            return Some(Failure::NoConvergence(self.shortfall()));
        }
        let fault = self.fault()?;
        Some(Failure::Invalid(PyValueError::new_err(format!("{name}: {fault}"))))
    }

    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let stop = self.ended();
        let (status, message) = match stop {
            Some(Stop::Converged) => (1, "A solution was found at the specified tolerance.".into()),
            Some(Stop::Interrupted) => (3, "Stopped by the caller.".into()),
            Some(Stop::NonFiniteResidual) => (-1, self.fault().unwrap_or_default()),
            Some(Stop::NonFiniteStep) => (-2, self.fault().unwrap_or_default()),
            Some(Stop::ZeroStep) => (-3, self.fault().unwrap_or_default()),
            Some(Stop::OutOfMemory) => (-4, NO_MEMORY.into()),
            Some(Stop::OutOfIterations | Stop::IterationsMade) | None => {
                (2, "The maximum number of iterations allowed has been reached.".into())
            }
        };
        // SciPy counts how often it has looked at its tolerances.
        let looks = match stop {
            Some(Stop::OutOfIterations | Stop::Interrupted) => self.kernel.figures().iterations,
            _ => self.kernel.figures().iterations + 1,
        };
        let result = optimize_result(py)?;
        let fields = result.cast::<PyDict>()?;
        fields.set_item(intern!(py, "x"), self.point(py)?)?;
        fields.set_item(intern!(py, "method"), intern!(py, "broyden1"))?;
        fields.set_item(intern!(py, "nit"), looks)?;
        fields.set_item(intern!(py, "fun"), self.residual(py)?)?;
        fields.set_item(intern!(py, "status"), status)?;
        fields.set_item(intern!(py, "success"), stop == Some(Stop::Converged))?;
        fields.set_item(intern!(py, "message"), message)?;
        fields.set_item(intern!(py, "nfev"), self.evaluations)?;
        fields.set_item(intern!(py, "calls"), self.evaluations)?;
        Ok(result)
    }

    fn to_bytes(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        let dtype = T::get_dtype(py).to_string();
        saving::save(CLASS, &dtype, self)
    }

    fn norm(&self) -> Option<&Py<PyAny>> {
        self.norm.as_ref()
    }

    fn references(&self) -> Vec<&Py<PyAny>> {
        self.unknowns.references().into_iter().chain(&self.norm).collect()
    }
}

fn figures(
    iterations: u64,
    evaluations: u64,
    residual_norm: f64,
    step_norm: f64,
    step_length: f64,
) -> Figures {
    Figures {
        iterations,
        evaluations,
        calls: evaluations,
        jacobians: 0,
        residual_norm,
        cost: None,
        optimality: f64::NAN,
        relative_optimality: f64::NAN,
        step_norm,
        step_length,
        trust_radius: f64::NAN,
    }
}

/// A session from bytes; `norm` is the user's norm, if the solver had one.
pub fn load(py: Python<'_>, data: &[u8], norm: Option<Py<PyAny>>) -> PyResult<Box<dyn Session>> {
    let saved = saving::open(data, CLASS)?;
    // What is loaded below may need LAPACK, and only looks whether it is there.
    lapack::load(py)?;
    match saved.label.dtype.clone().as_str() {
        "" => load_beginning(py, saved, norm),
        "float32" => load_iteration::<f32>(py, saved, norm),
        "float64" => load_iteration::<f64>(py, saved, norm),
        "complex64" => load_iteration::<c32>(py, saved, norm),
        "complex128" => load_iteration::<c64>(py, saved, norm),
        _ => Err(saving::inconsistent()),
    }
}

fn load_beginning(
    py: Python<'_>,
    saved: Saved<'_>,
    norm: Option<Py<PyAny>>,
) -> PyResult<Box<dyn Session>> {
    let mut beginning: Beginning = saved.state().map_err(saving::refuse)?;
    let unknowns = beginning.start.len();
    if unknowns == 0 || !beginning.unknowns.fits(unknowns) {
        return Err(saving::inconsistent());
    }
    expect_norm(py, beginning.settings.own_norm, norm.as_ref())?;
    beginning.unknowns.name = "xin";
    beginning.settings.norm = norm;
    Ok(Box::new(beginning))
}

fn load_iteration<T: Entry>(
    py: Python<'_>,
    saved: Saved<'_>,
    norm: Option<Py<PyAny>>,
) -> PyResult<Box<dyn Session>> {
    let mut iteration: Iteration<T> = saved.state().map_err(saving::refuse)?;
    if !iteration.kernel.fits() || !iteration.unknowns.fits(iteration.kernel.point().len()) {
        return Err(saving::inconsistent());
    }
    expect_norm(py, iteration.kernel.options().own_norm, norm.as_ref())?;
    iteration.unknowns.name = "xin";
    iteration.norm = norm;
    Ok(Box::new(iteration))
}

fn expect_norm(py: Python<'_>, expected: bool, norm: Option<&Py<PyAny>>) -> PyResult<()> {
    match (expected, norm) {
        (true, Some(norm)) => expect_callable(norm.bind(py)),
        (true, None) => Err(PyTypeError::new_err(
            "tol_norm is missing: the solver had one, and functions are not saved",
        )),
        (false, Some(_)) => Err(PyTypeError::new_err("tol_norm: the solver had none")),
        _ => Ok(()),
    }
}
