//! The least-squares kernel for Python values.

use ndarray::{Array2, ArrayView2, Dimension, Ix2};
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde::{Deserialize, Serialize};

use super::report;
use crate::kernels::differences::{self, Distances};
use crate::kernels::lsqtr::bounds::Margin;
use crate::kernels::lsqtr::solver::{Ask, LeastSquares, Options};
use crate::kernels::lsqtr::termination::Stop;
use crate::linalg::lu::LARGEST_ORDER;
use crate::linalg::memory::bytes_of;
use crate::linalg::norm::norm;
use crate::linalg::tall::threads_for;
use crate::linalg::threads;
use crate::python::arrays::{self, describe};
use crate::python::lapack;
use crate::python::memory::{expect_memory, expect_memory_for, no_memory};
use crate::python::presence::detached;
use crate::python::results::optimize_result;
use crate::python::solver::approximation::{Rule, Source, Way};
use crate::python::solver::errand::is_long;
use crate::python::solver::saving;
use crate::python::solver::session::{Figures, Next, Session};
use crate::python::text::print;
use crate::python::unknowns::Unknowns;
use crate::saved;

/// The class of the solver.
pub const CLASS: &str = "LeastSquares";

/// From this many elements of the Jacobian on, a step takes longer than handing the GIL over and
/// back.
const WORTH_DETACHING: usize = 2_000;

/// A solve in progress.
pub struct Iteration {
    state: State,
    /// The last Jacobian, as the user returned it.
    jacobian: Option<Py<PyAny>>,
    /// For residuals that cannot be read where they are.
    buffer: Vec<f64>,
}

/// What is saved of it, beside the Jacobian.
#[derive(Deserialize, Serialize)]
struct State {
    unknowns: Unknowns,
    kernel: LeastSquares,
    jacobian_source: Source<f64>,
    /// Residuals told, those for approximated Jacobians included.
    #[serde(with = "saved::count")]
    calls: u64,
    #[serde(with = "saved::vector")]
    first_residual: Vec<f64>,
    #[serde(with = "saved::vectors")]
    points: Vec<Vec<f64>>,
    #[serde(with = "saved::vector")]
    radii: Vec<f64>,
}

#[derive(Deserialize, Serialize)]
struct Saved<S> {
    state: S,
    jacobian: Option<SavedJacobian>,
}

#[derive(Deserialize, Serialize)]
struct SavedJacobian(#[serde(with = "saved::matrix")] Array2<f64>);

impl Iteration {
    pub fn new(
        kernel: LeastSquares,
        unknowns: Unknowns,
        rule: Option<Rule>,
        relative_step: Option<f64>,
    ) -> Self {
        let distances = Distances::from_start(kernel.start(), relative_step);
        let state = State {
            unknowns,
            jacobian_source: Source::new(rule, distances),
            kernel,
            calls: 0,
            first_residual: Vec::new(),
            points: Vec::new(),
            radii: Vec::new(),
        };
        Iteration { state, jacobian: None, buffer: Vec::new() }
    }

    fn begin_approximation(&mut self) -> PyResult<()> {
        let State { kernel, jacobian_source, .. } = &mut self.state;
        let (point, residual) = (kernel.point(), kernel.residual());
        let (m, n) = (residual.len(), point.len());
        refuse_many_unknowns(n)?;
        threads_for(2 * m * n);
        // The Jacobian is also handed out.
        let room = kernel.room().saturating_add(differences::room::<f64>(n, 2 * m));
        expect_memory_for("jac", room)?;
        jacobian_source.begin(point, residual, Some(&kernel.options().bounds));
        Ok(())
    }

    fn tell_approximation(&mut self, py: Python<'_>, jacobian: Array2<f64>) -> PyResult<()> {
        expect_memory(self.state.kernel.room())?;
        let State { kernel, jacobian_source, .. } = &mut self.state;
        kernel.set_precision(jacobian_source.precision());
        kernel.tell_jacobian(jacobian.view());
        self.jacobian = Some(jacobian.into_pyarray(py).into_any().unbind());
        Ok(())
    }

    fn step(&mut self, py: Python<'_>) -> PyResult<()> {
        let room = self.room();
        let kernel = &mut self.state.kernel;
        if kernel.residual().len() * kernel.point().len() < WORTH_DETACHING {
            expect_memory(room)?;
            kernel.step();
            Ok(())
        } else {
            detached(py, room, || kernel.step())
        }
    }

    fn step_is_long(&self) -> bool {
        let (m, n) = (self.state.kernel.residual().len(), self.state.kernel.point().len());
        is_long([m, n, n])
    }

    fn tell_residual(&mut self, value: &Bound<'_, PyAny>, name: &str) -> PyResult<()> {
        expect_memory_for(name, self.room())?;
        let (kernel, buffer) = (&mut self.state.kernel, &mut self.buffer);
        let expected = kernel.residual().len();
        let first = expected == 0;
        let count = arrays::with_values(value, name, buffer, |residual| {
            let fits = if first { !residual.is_empty() } else { residual.len() == expected };
            if first {
                threads::start_for(residual.len());
                expect_memory(2 * LeastSquares::room_for_residuals(residual.len()))?;
            }
            if fits {
                kernel.tell_residual(residual);
            }
            PyResult::Ok(residual.len())
        })??;
        if !first {
            expect_count(count, expected, name, value)?;
            self.state.radii.push(self.state.kernel.radius());
        } else if count == 0 {
            return Err(PyValueError::new_err(format!(
                "{name}: expected at least one residual, got {}",
                describe(value)
            )));
        } else {
            self.state.first_residual = self.state.kernel.residual().to_vec();
        }
        Ok(())
    }

    /// Tells the Jacobian that the user returned, without writing to it.
    fn tell_jacobian(&mut self, returned: &Bound<'_, PyAny>, name: &str) -> PyResult<()> {
        let kernel = &mut self.state.kernel;
        let (m, n) = (kernel.residual().len(), kernel.point().len());
        refuse_many_unknowns(n)?;
        threads_for(2 * m * n);
        expect_memory_for("jac", kernel.room())?;
        if let Ok(array) = returned.cast::<PyArrayDyn<f64>>()
            && array.shape() == [m, n]
            && arrays::lies_regularly(array)
            && let Ok(array) = array.try_readonly()
            && let Ok(view) = array.as_array().into_dimensionality::<Ix2>()
        {
            kernel.tell_jacobian(view);
            self.jacobian = Some(returned.clone().unbind());
            return Ok(());
        }
        let mut entries: Vec<f64> = Vec::new();
        let shape = arrays::read(returned, name, &mut entries)?;
        let fits = shape.slice() == [m, n]
            || (shape.ndim() == 1 && (m == 1 || n == 1) && entries.len() == m * n);
        let view = ArrayView2::from_shape((m, n), &entries);
        let Some(view) = view.ok().filter(|_| fits) else {
            return Err(PyValueError::new_err(format!(
                "{name}: expected a Jacobian of shape ({m}, {n}), a row for each residual, got {}",
                describe(returned)
            )));
        };
        let kept = match returned.hasattr("shape")? {
            true => returned.clone(),
            false => arrays::to_python(returned.py(), &entries, &[m, n])?.into_any(),
        };
        expect_memory_for("jac", kernel.room())?;
        kernel.tell_jacobian(view);
        self.jacobian = Some(kept.unbind());
        Ok(())
    }

    fn message(&self, py: Python<'_>, stop: Stop) -> PyResult<String> {
        match stop {
            Stop::NotAnalytic => Ok(self.state.jacobian_source.refusal()),
            _ => report::message(py, &self.state.kernel, stop),
        }
    }

    /// The Jacobian as numbers, for saving; what the user returned may be of any kind.
    fn jacobian_to_save(&self, py: Python<'_>) -> PyResult<Option<SavedJacobian>> {
        let Some(jacobian) = &self.jacobian else { return Ok(None) };
        let mut entries: Vec<f64> = Vec::new();
        arrays::read(jacobian.bind(py), "jac", &mut entries)?;
        let kernel = &self.state.kernel;
        let shape = (kernel.residual().len(), kernel.point().len());
        // The array is the user's, who may have resized it.
        Ok(Array2::from_shape_vec(shape, entries).ok().map(SavedJacobian))
    }
}

impl Session for Iteration {
    fn room(&self) -> usize {
        let point = bytes_of::<f64>(self.state.kernel.point().len());
        self.state.kernel.room().saturating_add(point)
    }

    fn advance(&mut self, py: Python<'_>) -> PyResult<Next> {
        loop {
            if let Some(lack) = self.state.kernel.take_lack() {
                return Err(no_memory(lack));
            }
            match self.state.kernel.ask() {
                Ask::Residual(_) => return Ok(Next::Residual),
                Ask::Report => return Ok(Next::Report),
                Ask::Done(_) => return Ok(Next::Nothing),
                Ask::Step if self.step_is_long() => return Ok(Next::Work),
                Ask::Step => self.step(py)?,
                Ask::Jacobian => {
                    // The last one is that of another point, and the next may need its memory.
                    self.jacobian = None;
                    match self.state.jacobian_source.way() {
                        Way::Jacobian => return Ok(Next::Jacobian),
                        Way::Residual => return Ok(Next::Residual),
                        Way::Begin => self.begin_approximation()?,
                        Way::Complete(jacobian) => self.tell_approximation(py, jacobian)?,
                        Way::NotAnalytic => self.state.kernel.tell_not_analytic(),
                    }
                }
            }
        }
    }

    fn work(&mut self) {
        self.state.kernel.step();
    }

    fn question<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let State { kernel, unknowns, jacobian_source, .. } = &self.state;
        match (kernel.ask(), jacobian_source.question(py, unknowns)) {
            (Ask::Residual(x), _) => unknowns.point(py, x),
            (_, Some(question)) => question,
            _ => self.point(py),
        }
    }

    fn answer(
        &mut self,
        value: &Bound<'_, PyAny>,
        name: &str,
    ) -> PyResult<Option<Box<dyn Session>>> {
        let expected = self.state.kernel.residual().len();
        if self.state.jacobian_source.is_at_work() {
            let expect_count = |count| expect_count(count, expected, name, value);
            self.state.jacobian_source.answer(value, name, expect_count)?;
            self.state.calls += 1;
        } else if matches!(self.state.kernel.ask(), Ask::Jacobian) {
            self.tell_jacobian(value, name)?;
        } else {
            self.state.jacobian_source.look_at(value)?;
            self.tell_residual(value, name)?;
            self.state.calls += 1;
        }
        Ok(None)
    }

    fn reported(&mut self, _: Python<'_>, stop: bool) -> PyResult<()> {
        let State { kernel, points, radii, .. } = &mut self.state;
        let first = radii.is_empty();
        if first {
            radii.push(kernel.radius());
        }
        if first || kernel.report().accepted {
            points.push(kernel.point().to_vec());
        }
        kernel.tell_reported(stop);
        Ok(())
    }

    fn stop(&mut self) -> PyResult<()> {
        if self.state.kernel.evaluations() == 0 {
            return Err(PyRuntimeError::new_err(
                "stop() comes too early: no residual is known yet",
            ));
        }
        if matches!(self.state.kernel.ask(), Ask::Jacobian) {
            self.state.jacobian_source.abandon();
            self.jacobian = None;
        }
        self.state.kernel.interrupt();
        Ok(())
    }

    fn point<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.state.unknowns.point(py, self.state.kernel.point())
    }

    fn residual<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let known = self.state.kernel.evaluations() > 0;
        known.then(|| self.state.unknowns.vector(py, self.state.kernel.residual())).transpose()
    }

    fn figures(&self) -> Figures {
        let kernel = &self.state.kernel;
        let step = kernel.report().step;
        Figures {
            iterations: kernel.iterations(),
            evaluations: kernel.evaluations(),
            calls: self.state.calls,
            jacobians: kernel.jacobians(),
            residual_norm: f64::NAN,
            cost: Some(kernel.cost()),
            optimality: kernel.optimality(),
            relative_optimality: kernel.relative_optimality(),
            // The kernel says infinity before there is a step.
            step_norm: if step.is_finite() { step } else { 0.0 },
            step_length: f64::NAN,
            trust_radius: kernel.radius(),
        }
    }

    fn tolerances(&self) -> Vec<(&'static str, f64)> {
        let limits = &self.state.kernel.options().termination;
        let all = [
            ("ftol", limits.cost),
            ("xtol", limits.step),
            ("gtol", limits.gradient),
            ("relative_gtol", limits.relative_gradient),
        ];
        all.into_iter().filter(|&(_, tolerance)| tolerance > 0.0).collect()
    }

    fn active_mask<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Options { bounds, termination, .. } = self.state.kernel.options();
        let margin = match termination.step {
            0.0 => Margin::None,
            share => Margin::Relative(share),
        };
        let active = bounds.active(self.state.kernel.point(), margin);
        let mask = PyArray1::from_iter(py, active.into_iter().map(i64::from)).into_any();
        self.state.unknowns.converted(mask).map(Some)
    }

    fn for_callback<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
        let accepted = self.state.kernel.report().accepted;
        accepted.then(|| Ok(vec![self.point(py)?])).transpose()
    }

    fn print(&mut self, py: Python<'_>, verbosity: f64) -> PyResult<()> {
        let kernel = &self.state.kernel;
        let first = kernel.iterations() == 0;
        if verbosity <= 1.0 {
            return Ok(());
        }
        if first && verbosity > 2.0 {
            print(py, &report::settings(py, kernel.options(), kernel.radius())?)?;
        }
        if first {
            print(py, &report::header())?;
        }
        print(py, &report::row(py, kernel)?)
    }

    fn print_end(&self, py: Python<'_>, verbosity: f64) -> PyResult<()> {
        let kernel = &self.state.kernel;
        let Ask::Done(stop) = kernel.ask() else { return Ok(()) };
        if verbosity <= 0.0 {
            return Ok(());
        }
        let message = self.message(py, stop)?;
        expect_memory(bytes_of::<f64>(kernel.point().len()))?;
        let gaps = kernel.point().iter().zip(kernel.start()).map(|(x, start)| x - start);
        let distance = norm(&gaps.collect::<Vec<_>>());
        print(py, &report::summary(py, kernel, stop.success(), &message, distance)?)
    }

    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let State { kernel, unknowns, first_residual, points, radii, .. } = &self.state;
        // For the active mask.
        expect_memory(bytes_of::<i64>(2 * unknowns.count()))?;
        let Ask::Done(stop) = kernel.ask() else { return optimize_result(py) };
        let residual = unknowns.vector(py, kernel.residual())?;
        let allx = PyList::empty(py);
        for point in points {
            allx.append(unknowns.point(py, point)?)?;
        }
        let without_report = match stop {
            Stop::NonFiniteJacobian => kernel.jacobians() > 1,
            Stop::NotAnalytic => kernel.jacobians() > 0,
            _ => false,
        };
        if without_report {
            allx.append(self.point(py)?)?;
        }

        let result = optimize_result(py)?;
        let fields = result.cast::<PyDict>()?;
        fields.set_item(intern!(py, "x"), self.point(py)?)?;
        fields.set_item(intern!(py, "success"), stop.success())?;
        fields.set_item(intern!(py, "status"), report::status(stop))?;
        fields.set_item(intern!(py, "message"), self.message(py, stop)?)?;
        fields.set_item(intern!(py, "cost"), kernel.cost())?;
        fields.set_item(intern!(py, "fun"), &residual)?;
        fields.set_item(intern!(py, "grad"), unknowns.point(py, kernel.gradient())?)?;
        fields.set_item(intern!(py, "v"), unknowns.point(py, kernel.distances())?)?;
        fields.set_item(intern!(py, "jac"), &self.jacobian)?;
        fields.set_item(intern!(py, "optimality"), kernel.optimality())?;
        fields.set_item(intern!(py, "relative_optimality"), kernel.relative_optimality())?;
        fields.set_item(intern!(py, "nfev"), kernel.evaluations())?;
        fields.set_item(intern!(py, "calls"), self.state.calls)?;
        fields.set_item(intern!(py, "njev"), kernel.jacobians())?;
        fields.set_item(intern!(py, "nit"), kernel.iterations())?;
        fields.set_item(intern!(py, "active_mask"), self.active_mask(py)?)?;
        fields.set_item(intern!(py, "allx"), allx)?;
        fields.set_item(intern!(py, "alltr"), radii)?;
        fields.set_item(intern!(py, "fse"), residual)?;
        fields.set_item(intern!(py, "f0se"), unknowns.vector(py, first_residual)?)?;
        if let (Stop::Confined, Some(point)) = (stop, kernel.undefined_at()) {
            fields.set_item(intern!(py, "undefined_at"), unknowns.point(py, point)?)?;
        }
        Ok(result)
    }

    fn to_bytes(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        let jacobian = self.jacobian_to_save(py)?;
        saving::save(CLASS, "float64", &Saved { state: &self.state, jacobian })
    }

    fn references(&self) -> Vec<&Py<PyAny>> {
        self.state.unknowns.references().into_iter().chain(&self.jacobian).collect()
    }
}

/// A Jacobian of so many columns can be factored.
fn refuse_many_unknowns(n: usize) -> PyResult<()> {
    if n < LARGEST_ORDER {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "jac: {n} unknowns are too many for LAPACK (fewer than {LARGEST_ORDER})"
    )))
}

fn expect_count(
    count: usize,
    expected: usize,
    name: &str,
    returned: &Bound<'_, PyAny>,
) -> PyResult<()> {
    if count == expected {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "{name}: expected {expected} residuals, as at x0, got {count} ({})",
        describe(returned)
    )))
}

/// A session from bytes.
pub fn load(py: Python<'_>, data: &[u8]) -> PyResult<Box<dyn Session>> {
    let saved = saving::open(data, CLASS)?;
    // What is loaded below has a proof that LAPACK is there.
    lapack::load(py)?;
    let Saved { mut state, jacobian }: Saved<State> = saved.state().map_err(saving::refuse)?;
    let (rows, unknowns) = (state.kernel.residual().len(), state.kernel.point().len());
    let asks_for_jacobian = matches!(state.kernel.ask(), Ask::Jacobian);
    let fits = state.kernel.fits()
        && state.unknowns.fits(unknowns)
        && state.jacobian_source.fits(unknowns, rows, asks_for_jacobian)
        && jacobian.as_ref().is_none_or(|jacobian| jacobian.0.dim() == (rows, unknowns))
        && state.points.iter().all(|point| point.len() == unknowns);
    if !fits {
        return Err(saving::inconsistent());
    }
    state.unknowns.name = "x0";
    let to_python = |SavedJacobian(matrix)| arrays::matrix_to_python(py, &matrix);
    let jacobian = jacobian.map(to_python).transpose()?.map(Bound::unbind);
    Ok(Box::new(Iteration { state, jacobian, buffer: Vec::new() }))
}
