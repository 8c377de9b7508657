//! The session of any kernel. What is particular to a method is a `Method`.

use ndarray::{ArrayView2, Dimension, Ix2};
use numpy::{Element, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::saving;
use super::session::{Figures, Next, Session};
use crate::kernels::{Ask, Kernel, Sizes, Stop, Tell};
use crate::linalg::memory::bytes_of;
use crate::linalg::norm::max_norm;
use crate::python::arrays::{self, Entry, describe};
use crate::python::memory::expect_memory_for;
use crate::python::presence::detached;
use crate::python::results::optimize_result;
use crate::python::text::print;
use crate::python::unknowns::{Points, Unknowns};
use crate::saved;

/// From so many operations on, work takes longer than handing the GIL over and back, and so many are
/// worth a thread that Ctrl-C need not wait for.
const WORTH_DETACHING: f64 = 1e5;
const LONG: f64 = 2.5e8;

/// What a method adds to its kernel. It is saved with the solver.
pub trait Method: Serialize + DeserializeOwned + Send + Sync + 'static {
    type T: Entry;
    type Kernel: Kernel<T = Self::T> + Serialize + DeserializeOwned + Send + Sync;

    /// The class of the solver.
    const CLASS: &'static str;
    /// What results call the method.
    const NAME: &'static str;
    /// Whether there are as many equations as unknowns; otherwise it is least squares.
    const SQUARE: bool;

    /// Whether Jacobians have a row for each unknown, the other way round than usual.
    fn transposed(&self) -> bool {
        false
    }

    /// The tolerances by their names as options; those of zero are not in use.
    fn tolerances(&self) -> Vec<(&'static str, f64)>;

    /// Jacobians told or approximated.
    fn jacobians(kernel: &Self::Kernel) -> u64;

    fn status(stop: StopOf<Self>) -> i32;

    fn message(&self, py: Python<'_>, stop: StopOf<Self>) -> PyResult<String>;

    /// Adds what only this method has to a result.
    fn add_fields(&self, kernel: &Self::Kernel, fields: &Bound<'_, PyDict>) -> PyResult<()>;

    /// Whether the parts of the kernel go together; those of saved state may not.
    fn fits(kernel: &Self::Kernel) -> bool;
}

pub type StopOf<M> = <<M as Method>::Kernel as Kernel>::Stop;

/// How often the functions were called. Before the solver was asked, the original may have called
/// them, and counted that.
#[derive(Clone, Copy, Default, Deserialize, Serialize)]
pub struct Counts {
    #[serde(with = "saved::count")]
    pub evaluations: u64,
    #[serde(with = "saved::count")]
    pub calls: u64,
}

/// A solve in progress.
#[derive(Deserialize, Serialize)]
#[serde(bound = "M: Method")]
pub struct OfKernel<M: Method> {
    unknowns: Unknowns,
    method: M,
    kernel: M::Kernel,
    counts: Counts,
    #[serde(skip)]
    points: Points<M::T>,
    /// Where the residual was told last.
    #[serde(skip)]
    last: Vec<M::T>,
    /// For values that cannot be read where they are.
    #[serde(skip)]
    buffer: Vec<M::T>,
}

impl<M: Method> OfKernel<M> {
    /// Begins at a finite point.
    pub fn new(
        method: M,
        mut kernel: M::Kernel,
        unknowns: Unknowns,
        x0: &[M::T],
        counts: Counts,
    ) -> Self {
        kernel.start(x0);
        let (points, last, buffer) = (Points::default(), Vec::new(), Vec::new());
        OfKernel { unknowns, method, kernel, counts, points, last, buffer }
    }

    /// A session from bytes.
    pub fn load(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let saved = saving::open(data, M::CLASS)?;
        if saved.label.dtype != M::T::get_dtype(py).to_string() {
            return Err(saving::inconsistent());
        }
        let mut session: Self = saved.state().map_err(saving::refuse)?;
        if !M::fits(&session.kernel) || !session.unknowns.fits(session.kernel.point().len()) {
            return Err(saving::inconsistent());
        }
        session.unknowns.name = "x0";
        Ok(session)
    }

    fn expect_count(&self, count: usize, value: &Bound<'_, PyAny>, name: &str) -> PyResult<()> {
        let expected = self.kernel.residual().len();
        if M::SQUARE {
            return self.unknowns.expect_count(count, value, name);
        }
        if count > 0 && (count == expected || expected == 0) {
            return Ok(());
        }
        Err(PyValueError::new_err(format!(
            "{name}: expected {}, got {count} ({})",
            match expected {
                0 => "at least one residual".to_string(),
                _ => format!("{expected} residuals, as at x0"),
            },
            describe(value)
        )))
    }

    fn tell_residual(&mut self, value: &Bound<'_, PyAny>, name: &str) -> PyResult<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let told = arrays::with_values(value, name, &mut buffer, |residual| {
            self.expect_count(residual.len(), value, name)?;
            if let Ask::Residual(x) = self.kernel.ask() {
                self.last.clear();
                self.last.extend_from_slice(x);
            }
            self.kernel.tell(Tell::Residual(residual));
            PyResult::Ok(())
        });
        self.buffer = buffer;
        told??;
        self.counts.evaluations += 1;
        self.counts.calls += 1;
        Ok(())
    }

    /// Tells the Jacobian that the user returned, in place where that is possible.
    fn tell_jacobian(&mut self, returned: &Bound<'_, PyAny>, name: &str) -> PyResult<()> {
        let (rows, columns) = (self.kernel.residual().len(), self.kernel.point().len());
        let shape = if self.method.transposed() { [columns, rows] } else { [rows, columns] };
        if let Ok(array) = returned.cast::<PyArrayDyn<M::T>>()
            && array.shape() == shape
            && arrays::lies_regularly(array)
            && let Ok(array) = array.try_readonly()
            && let Ok(view) = array.as_array().into_dimensionality::<Ix2>()
        {
            self.tell_oriented(view);
            return Ok(());
        }
        let mut entries = Vec::new();
        let found = arrays::read::<M::T>(returned, name, &mut entries)?;
        let fits = found.slice() == shape || (rows == 1 && columns == 1 && entries.len() == 1);
        match ArrayView2::from_shape(shape, &entries) {
            Ok(view) if fits => self.tell_oriented(view),
            _ => {
                return Err(PyValueError::new_err(format!(
                    "{name}: expected a Jacobian of shape ({}, {}), got {}",
                    shape[0],
                    shape[1],
                    describe(returned)
                )));
            }
        }
        Ok(())
    }

    fn tell_oriented(&mut self, view: ArrayView2<'_, M::T>) {
        let view = if self.method.transposed() { view.reversed_axes() } else { view };
        self.kernel.tell(Tell::Jacobian(view));
    }
}

impl<M: Method> Session for OfKernel<M> {
    /// The kernel has all of its memory from the start; there are copies of what is told.
    fn room(&self) -> usize {
        bytes_of::<M::T>(2 * self.kernel.point().len().max(self.kernel.residual().len()))
    }

    fn advance(&mut self, py: Python<'_>) -> PyResult<Next> {
        loop {
            match self.kernel.ask() {
                Ask::Residual(_) => return Ok(Next::Residual),
                Ask::Jacobian(_) => return Ok(Next::Jacobian),
                Ask::Report => return Ok(Next::Report),
                Ask::Work { operations } if operations > LONG => return Ok(Next::Work),
                Ask::Work { operations } if operations > WORTH_DETACHING => {
                    let (room, kernel) = (self.room(), &mut self.kernel);
                    detached(py, room, || kernel.work())?;
                }
                Ask::Work { .. } => self.kernel.work(),
                Ask::Sizes { residual, point, step } => {
                    let step = if step.is_empty() { f64::INFINITY } else { max_norm(step) };
                    let (residual, point) = (max_norm(residual), max_norm(point));
                    self.kernel.tell(Tell::Sizes(Sizes { residual, point, step }));
                }
                Ask::Done if self.kernel.stop().is_some_and(Stop::out_of_memory) => {
                    let unknowns = self.unknowns.count();
                    return Err(PyMemoryError::new_err(format!(
                        "there is no memory for a problem of {unknowns} unknowns"
                    )));
                }
                Ask::Done => return Ok(Next::Nothing),
                Ask::Solution(_) => {
                    return Err(PyRuntimeError::new_err("nobody has kept a Jacobian"));
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
        if matches!(self.kernel.ask(), Ask::Jacobian(_)) {
            self.tell_jacobian(value, name)?;
        } else {
            self.tell_residual(value, name)?;
        }
        Ok(None)
    }

    fn jacobian_is_of_the_last_residual(&self) -> bool {
        self.last == self.kernel.point()
    }

    fn reported(&mut self, _: Python<'_>, stop: bool) -> PyResult<()> {
        self.kernel.tell(Tell::Reported { stop });
        Ok(())
    }

    fn stop(&mut self) -> PyResult<()> {
        if self.kernel.residual().is_empty() {
            return Err(PyRuntimeError::new_err(
                "stop() comes too early: no residual is known yet",
            ));
        }
        self.kernel.interrupt();
        Ok(())
    }

    fn point<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.unknowns.point(py, self.kernel.point())
    }

    fn residual<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let residual = self.kernel.residual();
        (!residual.is_empty()).then(|| self.unknowns.vector(py, residual)).transpose()
    }

    fn figures(&self) -> Figures {
        let figures = self.kernel.figures();
        // What was called before the kernel has asked shows with its first residual.
        let known = !self.kernel.residual().is_empty();
        let Counts { evaluations, calls } = if known { self.counts } else { Counts::default() };
        Figures {
            iterations: figures.iterations,
            evaluations,
            calls,
            jacobians: M::jacobians(&self.kernel),
            residual_norm: figures.residual_norm,
            cost: (!M::SQUARE).then_some(figures.cost),
            optimality: figures.optimality,
            relative_optimality: f64::NAN,
            step_norm: if figures.step_norm.is_nan() { 0.0 } else { figures.step_norm },
            step_length: figures.step_length,
            trust_radius: figures.trust_radius,
        }
    }

    fn tolerances(&self) -> Vec<(&'static str, f64)> {
        let mut tolerances = self.method.tolerances();
        tolerances.retain(|&(_, tolerance)| tolerance > 0.0);
        tolerances
    }

    fn for_callback<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
        Ok(Some(vec![self.point(py)?, self.unknowns.vector(py, self.kernel.residual())?]))
    }

    fn print(&mut self, py: Python<'_>, _: f64) -> PyResult<()> {
        let figures = self.kernel.figures();
        print(
            py,
            &format!(
                "{}:  |F(x)| = {:.6e}; step {:.6e}\n",
                figures.iterations, figures.residual_norm, figures.step_norm
            ),
        )
    }

    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let result = optimize_result(py)?;
        let Some(stop) = self.kernel.stop() else { return Ok(result) };
        let fields = result.cast::<PyDict>()?;
        let figures = self.figures();
        fields.set_item(intern!(py, "x"), self.point(py)?)?;
        fields.set_item(intern!(py, "success"), stop.success())?;
        fields.set_item(intern!(py, "status"), M::status(stop))?;
        fields.set_item(intern!(py, "message"), self.method.message(py, stop)?)?;
        fields.set_item(intern!(py, "method"), M::NAME)?;
        fields.set_item(intern!(py, "fun"), self.residual(py)?)?;
        fields.set_item(intern!(py, "nit"), figures.iterations)?;
        fields.set_item(intern!(py, "nfev"), figures.evaluations)?;
        fields.set_item(intern!(py, "calls"), figures.calls)?;
        self.method.add_fields(&self.kernel, fields)?;
        Ok(result)
    }

    fn to_bytes(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        saving::save(M::CLASS, &M::T::get_dtype(py).to_string(), self)
    }

    fn references(&self) -> Vec<&Py<PyAny>> {
        self.unknowns.references()
    }
}
