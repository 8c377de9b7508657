//! The kernel of Newton's method for systems, for Python values.

use ndarray::Dimension;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::{Deserialize, Serialize};

use super::jacobian::{Returned, SavedJacobian, refuse_large_order};
use super::options::{Options, usual_tolerance};
use crate::kernels::differences::{self, Distances};
use crate::kernels::newton::system::{self, Ask, Stop, System};
use crate::linalg::lapack::Lapack;
use crate::linalg::norm::max_norm;
use crate::python::arrays::{self, Entry};
use crate::python::lapack;
use crate::python::memory::{expect_memory, expect_memory_for};
use crate::python::presence::detached;
use crate::python::results::optimize_result;
use crate::python::solver::approximation::{Rule, Source, Way};
use crate::python::solver::errand::is_long;
use crate::python::solver::saving;
use crate::python::solver::session::{Figures, Next, Session};
use crate::python::unknowns::Unknowns;
use crate::saved;

/// The class of the solver.
pub const CLASS: &str = "NewtonSystem";

/// From this order on a factorization takes longer than handing the GIL over and back.
const WORTH_DETACHING: usize = 64;

/// A solve in progress.
pub struct Iteration<T: Entry> {
    state: State<T>,
    /// The last Jacobian; where it is sparse, with its factors.
    jacobian: Option<Returned<T>>,
    /// It is dense, and has to be factored.
    unfactored: Option<Lapack>,
    /// The last residual as it was read.
    buffer: Vec<T>,
}

/// What is saved of it, beside the Jacobian.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Entry")]
struct State<T: Entry> {
    unknowns: Unknowns,
    kernel: System<T>,
    jacobian_source: Source<T>,
    /// The shape in which the residual comes.
    residual_shape: Vec<usize>,
    #[serde(with = "saved::count")]
    evaluations: u64,
    #[serde(with = "saved::count")]
    jacobians: u64,
    /// `xtol` is the user's, and not what the precision of the residual suggests.
    chosen_tolerance: bool,
}

impl<T: Entry> Iteration<T> {
    pub fn new(start: Vec<T>, unknowns: Unknowns, rule: Option<Rule>, options: Options) -> Self {
        let distances = Distances::from_start(&start, options.relative_step);
        let jacobian_source = Source::new(rule, distances);
        let mut kernel = System::new(start, options.system);
        kernel.offer_improvements(jacobian_source.refinements());
        let state = State {
            jacobian_source,
            kernel,
            unknowns,
            chosen_tolerance: options.chosen_tolerance,
            residual_shape: Vec::new(),
            evaluations: 0,
            jacobians: 0,
        };
        Iteration { state, jacobian: None, unfactored: None, buffer: Vec::new() }
    }

    fn begin_approximation(&mut self) -> PyResult<()> {
        let State { kernel, jacobian_source, .. } = &mut self.state;
        let order = kernel.point().len();
        refuse_large_order::<T>(order)?;
        expect_memory_for("jac", differences::room::<T>(order, order))?;
        jacobian_source.refine(kernel.improvements());
        jacobian_source.begin(kernel.point(), kernel.residual(), None);
        // The last one is not needed any more, and its memory may be.
        self.jacobian = None;
        Ok(())
    }

    /// Lets the kernel know what the residuals are good for.
    fn follow_precision(&mut self) {
        let State { kernel, jacobian_source, chosen_tolerance, .. } = &mut self.state;
        let precision = jacobian_source.precision();
        let tolerance = if *chosen_tolerance { 0.0 } else { usual_tolerance(precision) };
        kernel.coarsen(precision, tolerance);
    }

    fn tell_jacobian(&mut self, py: Python<'_>, jacobian: Returned<T>) -> PyResult<()> {
        let kernel = &mut self.state.kernel;
        match &jacobian {
            Returned::Dense(_) => self.unfactored = Some(lapack::load(py)?),
            Returned::Sparse(sparse) => {
                let scales = sparse.scales(py, kernel.point())?;
                kernel.tell_kept_jacobian(&scales);
                self.state.jacobians += 1;
            }
        }
        self.jacobian = Some(jacobian);
        Ok(())
    }

    /// Factors a dense Jacobian, unless that takes long.
    fn factor(&mut self, py: Python<'_>) -> PyResult<Option<Next>> {
        let order = self.state.kernel.point().len();
        if is_long([order; 3]) {
            return Ok(Some(Next::Work));
        }
        let room = self.room();
        if order < WORTH_DETACHING {
            expect_memory(room)?;
            self.work();
        } else {
            let Iteration { state, jacobian, unfactored, .. } = self;
            detached(py, room, || state.factor(jacobian.as_ref(), unfactored.take()))?;
        }
        Ok(None)
    }

    fn solve_sparse(&mut self, py: Python<'_>) -> PyResult<()> {
        let kernel = &mut self.state.kernel;
        if let (Ask::Solution(rhs), Some(Returned::Sparse(sparse))) =
            (kernel.ask(), &mut self.jacobian)
        {
            match sparse.solve(py, rhs)? {
                Some(solution) => kernel.tell_solution(&solution),
                None => kernel.tell_singular_jacobian(),
            }
        }
        Ok(())
    }
}

impl<T: Entry> State<T> {
    fn factor(&mut self, jacobian: Option<&Returned<T>>, lapack: Option<Lapack>) {
        if let (Some(Returned::Dense(matrix)), Some(lapack)) = (jacobian, lapack) {
            self.kernel.tell_jacobian(lapack, matrix.view());
            self.jacobians += 1;
        }
    }
}

impl<T: Entry> Session for Iteration<T> {
    fn room(&self) -> usize {
        match self.unfactored {
            Some(_) => System::<T>::room_for_jacobian(self.state.kernel.point().len()),
            None => self.state.kernel.room(),
        }
    }

    fn advance(&mut self, py: Python<'_>) -> PyResult<Next> {
        loop {
            if self.unfactored.is_some()
                && let Some(long) = self.factor(py)?
            {
                return Ok(long);
            }
            match self.state.kernel.ask() {
                Ask::Residual(_) => return Ok(Next::Residual),
                Ask::Report => return Ok(Next::Report),
                Ask::Done(_) => return Ok(Next::Nothing),
                Ask::Solution(_) => self.solve_sparse(py)?,
                Ask::Jacobian => match self.state.jacobian_source.way() {
                    Way::Jacobian => return Ok(Next::Jacobian),
                    Way::Residual => return Ok(Next::Residual),
                    Way::Begin => self.begin_approximation()?,
                    Way::Complete(jacobian) => {
                        self.follow_precision();
                        self.tell_jacobian(py, Returned::Dense(jacobian))?;
                    }
                    Way::NotAnalytic => self.state.kernel.tell_not_analytic(),
                },
            }
        }
    }

    fn work(&mut self) {
        self.state.factor(self.jacobian.as_ref(), self.unfactored.take());
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
        expect_memory_for(name, self.room())?;
        let State { unknowns, jacobian_source, .. } = &mut self.state;
        if jacobian_source.is_at_work() {
            let expect_count = |count| unknowns.expect_count(count, value, name);
            jacobian_source.answer(value, name, expect_count)?;
            self.state.evaluations += 1;
        } else if matches!(self.state.kernel.ask(), Ask::Jacobian) {
            let shapes = (self.state.residual_shape.as_slice(), self.state.unknowns.shape());
            let jacobian = Returned::read(value, name, shapes)?;
            self.tell_jacobian(value.py(), jacobian)?;
        } else {
            let shape = arrays::read(value, name, &mut self.buffer)?;
            self.state.unknowns.expect_count(self.buffer.len(), value, name)?;
            self.state.residual_shape.clear();
            self.state.residual_shape.extend_from_slice(shape.slice());
            self.state.jacobian_source.look_at(value)?;
            self.follow_precision();
            self.state.kernel.tell_residual(&self.buffer);
            self.state.evaluations += 1;
        }
        Ok(None)
    }

    fn reported(&mut self, _: Python<'_>, stop: bool) -> PyResult<()> {
        if stop {
            self.state.kernel.interrupt();
        } else {
            self.state.kernel.tell_reported();
        }
        Ok(())
    }

    fn stop(&mut self) -> PyResult<()> {
        if self.state.evaluations == 0 {
            return Err(PyRuntimeError::new_err(
                "stop() comes too early: no residual is known yet",
            ));
        }
        self.state.jacobian_source.abandon();
        self.state.kernel.interrupt();
        Ok(())
    }

    fn point<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.state.unknowns.point(py, self.state.kernel.point())
    }

    fn residual<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let State { unknowns, kernel, residual_shape, evaluations, .. } = &self.state;
        let known = *evaluations > 0;
        known.then(|| unknowns.array(py, kernel.residual(), residual_shape)).transpose()
    }

    fn figures(&self) -> Figures {
        let kernel = &self.state.kernel;
        let (step_length, step_norm) = kernel.last_step();
        Figures {
            iterations: kernel.iterations(),
            evaluations: self.state.evaluations,
            calls: self.state.evaluations,
            jacobians: self.state.jacobians,
            residual_norm: kernel.residual_norm(),
            cost: None,
            optimality: f64::NAN,
            relative_optimality: f64::NAN,
            step_norm,
            step_length,
            trust_radius: f64::NAN,
        }
    }

    fn tolerances(&self) -> Vec<(&'static str, f64)> {
        let system::Options { step_tolerance, residual_tolerance, .. } =
            *self.state.kernel.options();
        let all = [("xtol", step_tolerance), ("ftol", residual_tolerance)];
        all.into_iter().filter(|&(_, tolerance)| tolerance > 0.0).collect()
    }

    fn for_callback<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
        let State { unknowns, kernel, residual_shape, .. } = &self.state;
        let x = unknowns.point(py, kernel.point())?;
        Ok(Some(vec![x, unknowns.array(py, kernel.residual(), residual_shape)?]))
    }

    fn print(&mut self, _: Python<'_>, _: f64) -> PyResult<()> {
        Ok(())
    }

    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let State { unknowns, kernel, residual_shape, evaluations, jacobians, .. } = &self.state;
        let jacobian_source = &self.state.jacobian_source;
        let Ask::Done(stop) = kernel.ask() else { return optimize_result(py) };
        let current = matches!(stop, Stop::SmallResidual | Stop::SmallStep | Stop::Interrupted);
        let (x, f) = if current { (kernel.point(), kernel.residual()) } else { kernel.best() };
        let result = optimize_result(py)?;
        let fields = result.cast::<PyDict>()?;
        let message = match stop {
            Stop::NotAnalytic => jacobian_source.refusal(),
            _ => message(stop, kernel, f),
        };
        fields.set_item(intern!(py, "message"), message)?;
        fields.set_item(
            intern!(py, "success"),
            matches!(stop, Stop::SmallResidual | Stop::SmallStep),
        )?;
        fields.set_item(intern!(py, "status"), status(stop))?;
        fields.set_item(intern!(py, "method"), intern!(py, "newton"))?;
        fields.set_item(intern!(py, "fun"), unknowns.array(py, f, residual_shape)?)?;
        fields.set_item(intern!(py, "x"), unknowns.point(py, x)?)?;
        let jacobian = self.jacobian.as_ref().map(|jacobian| jacobian.to_python(py)).transpose()?;
        fields.set_item(intern!(py, "jac"), jacobian)?;
        fields.set_item(intern!(py, "nit"), kernel.iterations())?;
        fields.set_item(intern!(py, "nfev"), evaluations)?;
        fields.set_item(intern!(py, "calls"), evaluations)?;
        fields.set_item(intern!(py, "njev"), jacobians)?;
        Ok(result)
    }

    fn to_bytes(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        let jacobian = self.jacobian.as_ref().map(|jacobian| jacobian.to_save(py)).transpose()?;
        let dtype = T::get_dtype(py).to_string();
        saving::save(CLASS, &dtype, &Saved { state: &self.state, jacobian })
    }

    fn references(&self) -> Vec<&Py<PyAny>> {
        let sparse = self.jacobian.as_ref().map(Returned::references).unwrap_or_default();
        self.state.unknowns.references().into_iter().chain(sparse).collect()
    }
}

#[derive(Deserialize, Serialize)]
struct Saved<S, J> {
    state: S,
    jacobian: J,
}

/// A session from bytes whose numbers are of this field.
pub fn load<T: Entry>(
    py: Python<'_>,
    saved: crate::saved::Saved<'_>,
) -> PyResult<Box<dyn Session>> {
    let Saved { mut state, jacobian }: Saved<State<T>, Option<SavedJacobian<T>>> =
        saved.state().map_err(saving::refuse)?;
    let unknowns = state.kernel.residual().len();
    let kept = matches!(jacobian, Some(SavedJacobian::Sparse { .. }));
    let asks_for_jacobian = matches!(state.kernel.ask(), Ask::Jacobian);
    let shape = Unknowns::with_shape(&state.residual_shape);
    let untouched = state.kernel.is_untouched() && state.evaluations == 0;
    let fits = state.kernel.fits()
        && state.unknowns.fits(unknowns)
        && (shape.fits(unknowns) || untouched)
        && state.jacobian_source.fits(unknowns, unknowns, asks_for_jacobian)
        && (kept || !state.kernel.needs_kept_jacobian());
    if !fits {
        return Err(saving::inconsistent());
    }
    state.unknowns.name = "x0";
    let jacobian = jacobian.map(|jacobian| jacobian.restore(py, unknowns)).transpose()?;
    Ok(Box::new(Iteration { state, jacobian, unfactored: None, buffer: Vec::new() }))
}

fn status(stop: Stop) -> i32 {
    match stop {
        Stop::SmallResidual => 1,
        Stop::SmallStep => 2,
        Stop::OutOfIterations => 0,
        Stop::SingularJacobian => -1,
        Stop::NonFiniteJacobian => -2,
        Stop::NonFiniteResidual => -3,
        Stop::Stalled => -4,
        Stop::Interrupted => -5,
        Stop::NotAnalytic => -6,
    }
}

fn message<T: Entry>(stop: Stop, kernel: &System<T>, residual: &[T]) -> String {
    let iterations = kernel.iterations();
    let largest = max_norm(residual);
    let at = format!("at iteration {}", iterations + 1);
    match stop {
        Stop::SmallResidual => "Converged: the residual is within ftol.".into(),
        Stop::SmallStep if kernel.precision() > T::EPSILON => format!(
            "Converged as far as the rounding errors of fun let it, which computes to a relative \
             precision of about {:.0e}.",
            kernel.precision()
        ),
        Stop::SmallStep => "Converged: the next step and the residual are within xtol.".into(),
        Stop::OutOfIterations => {
            format!("No convergence after {iterations} iterations (max |F| = {largest:.3e}).")
        }
        Stop::SingularJacobian => format!("The Jacobian is singular {at}."),
        Stop::NonFiniteJacobian => format!("The Jacobian has NaN or inf {at}."),
        Stop::NonFiniteResidual if iterations == 0 && !largest.is_finite() => {
            "The residual has NaN or inf at x0.".into()
        }
        Stop::NonFiniteResidual => format!("The residual has NaN or inf along the step {at}."),
        Stop::Stalled => format!(
            "No step along the Newton direction reduces the residual {at} (max |F| = \
             {largest:.3e}): x is near a local minimum of its norm, the residual is lost in \
             rounding errors, or the Jacobian is wrong."
        ),
        Stop::Interrupted => format!("Stopped by the caller after {iterations} iterations."),
        Stop::NotAnalytic => "The complex step cannot give the Jacobian.".into(),
    }
}
