//! What a kernel looks like from Python: it asks for Python values, and is told them.

use pyo3::prelude::*;

/// What a session needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The residual at a point.
    Residual,
    /// The Jacobian at a point.
    Jacobian,
    /// An iteration is complete, and may be looked at.
    Report,
    /// Nothing but time, and much of it.
    Work,
    /// Nothing: it has ended.
    Nothing,
}

/// The figures of the current iteration; NaN where a method has no such thing, or not yet.
pub struct Figures {
    pub iterations: u64,
    pub evaluations: u64,
    /// The same with those for approximated Jacobians.
    pub calls: u64,
    pub jacobians: u64,
    /// ‖F‖₂; for least squares there is the cost.
    pub residual_norm: f64,
    pub cost: Option<f64>,
    pub optimality: f64,
    pub relative_optimality: f64,
    /// ‖Δx‖₂ of the last step.
    pub step_norm: f64,
    /// λ of the last step.
    pub step_length: f64,
    pub trust_radius: f64,
}

/// Why a solve has not led where the caller wanted.
pub enum Failure {
    /// The iterations are used up; how far they came, and what to try.
    NoConvergence(String),
    /// A function misbehaved; `name` is what it is called.
    Invalid(PyErr),
}

/// A solve in progress, around the state machine of a kernel.
pub trait Session: Send + Sync {
    /// The bytes that taking an answer or a report, or working, may take. Whoever has it work or
    /// report looks first whether they are there.
    fn room(&self) -> usize;

    /// Works until something outside has to be done. Again after that, it says the same again.
    fn advance(&mut self, py: Python<'_>) -> PyResult<Next>;

    /// Does the work that `Next::Work` speaks of; without Python, and perhaps in another thread.
    fn work(&mut self) {}

    /// The point that the next residual or Jacobian is wanted at.
    fn question<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;

    /// Looks for memory, and takes the value that was asked for, which `name` gave. It is taken as a whole or, where it
    /// is an error, not at all. The solve may go on as another session.
    fn answer(
        &mut self,
        value: &Bound<'_, PyAny>,
        name: &str,
    ) -> PyResult<Option<Box<dyn Session>>>;

    /// Whether the Jacobian that is asked for is that of the point where the residual was told last.
    fn jacobian_is_of_the_last_residual(&self) -> bool {
        true
    }

    /// The report has been made, and perhaps somebody wants to stop.
    fn reported(&mut self, py: Python<'_>, stop: bool) -> PyResult<()>;

    /// Ends the solve at the current iterate.
    fn stop(&mut self) -> PyResult<()>;

    /// The current iterate.
    fn point<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;

    /// The residual there; None before it is known.
    fn residual<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>>;

    fn figures(&self) -> Figures;

    /// The tolerances that are in use, by their names as options.
    fn tolerances(&self) -> Vec<(&'static str, f64)>;

    /// −1 or 1 where a lower or upper bound is active, 0 elsewhere; None without bounds.
    fn active_mask<'py>(&self, _: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(None)
    }

    /// What a callback gets; None where it is not called.
    fn for_callback<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>>;

    /// Prints the iteration that is complete.
    fn print(&mut self, py: Python<'_>, verbosity: f64) -> PyResult<()>;

    /// Prints how the solve has ended.
    fn print_end(&self, _: Python<'_>, _verbosity: f64) -> PyResult<()> {
        Ok(())
    }

    /// None where the solve has ended as it should; `name` is that of the residual.
    fn failure(&self, _name: &str) -> Option<Failure> {
        None
    }

    /// The result of a solve that has ended.
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;

    fn to_bytes(&self, py: Python<'_>) -> PyResult<Vec<u8>>;

    /// The user's norm, which saved state does not have.
    fn norm(&self) -> Option<&Py<PyAny>> {
        None
    }

    /// The Python objects that it holds, for the garbage collector.
    fn references(&self) -> Vec<&Py<PyAny>>;
}
