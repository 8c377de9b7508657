//! The solvers, as state machines that ask for evaluations and are told the answers.
//!
//! A [`Kernel`] never calls user code: `ask` says what it needs next, `tell` gives it, and every
//! transition is one short function. It has no error type, no Python and no global state, so
//! drivers of any kind can run it:
//!
//!     kernel.start(x0);
//!     loop {
//!         match kernel.ask() {
//!             Ask::Residual(x) => { let f = fun(x); kernel.tell(Tell::Residual(&f)) }
//!             Ask::Jacobian(x) => { let j = jac(x); kernel.tell(Tell::Jacobian(j.view())) }
//!             Ask::Work { .. } => kernel.work(),
//!             Ask::Report => kernel.tell(Tell::Reported { stop: false }),
//!             Ask::Done => break,
//!             ...
//!         }
//!     }
//!
//! `start` gives the work space its size. A kernel that has solved a problem of the same size
//! allocates nothing from then on until it is done, but for the small matrices of Broyden's reduction
//! 'svd'.

#[cfg(test)]
mod allocator;
pub mod approximation;
#[cfg(test)]
mod arbitrary;
pub mod broyden;
pub mod differenced;
pub mod differences;
pub mod forward_differences;
pub mod hybrid;
pub mod lsqtr;
pub mod marquardt;
pub mod newton;
pub mod noise;
#[cfg(test)]
mod recordings;
#[cfg(all(test, feature = "system-lapack"))]
mod room;

use ndarray::ArrayView2;

use crate::linalg::Field;

/// What a kernel needs next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ask<'a, T> {
    /// F at this point.
    Residual(&'a [T]),
    /// J at this point. F was told there, but perhaps somewhere else since.
    Jacobian(&'a [T]),
    /// The solution of J s = this, with the Jacobian that the driver has kept.
    Solution(&'a [T]),
    /// How large these are, where the user measures them. The step is empty before there is one.
    Sizes { residual: &'a [T], point: &'a [T], step: &'a [T] },
    /// Nothing but time, for so many floating-point operations: `work` is to be called.
    Work { operations: f64 },
    /// Nothing, but an iteration is complete and may be looked at.
    Report,
    /// Nothing: the solve has ended, and `stop` says why.
    Done,
}

/// The answers. One that does not belong to what was asked changes nothing.
#[derive(Clone, Copy, Debug)]
pub enum Tell<'a, T> {
    /// F, of the same length every time.
    Residual(&'a [T]),
    /// J, a row for each component of F and a column for each unknown.
    Jacobian(ArrayView2<'a, T>),
    /// The driver keeps J and will be asked for solutions with it; these are |J| |x|, one for each
    /// equation.
    KeptJacobian {
        scales: &'a [f64],
    },
    /// The Jacobian that the driver has kept is singular.
    SingularJacobian,
    Solution(&'a [T]),
    Sizes(Sizes),
    /// The report has been made, and whether somebody wants the solve to end here.
    Reported {
        stop: bool,
    },
}

/// Norms of the residual, the point and the step, in the norm of the user's choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    pub residual: f64,
    pub point: f64,
    /// Infinite before there is a step.
    pub step: f64,
}

/// Why a solve has ended.
pub trait Stop: Copy {
    /// It has led where the caller wanted.
    fn success(self) -> bool;

    /// There was no memory for the size of the problem.
    fn out_of_memory(self) -> bool;
}

/// The figures of an iteration; NaN where a method has no such thing, or not yet.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Iterations completed.
    pub iterations: u64,
    /// ‖F‖₂; for least squares there is the cost.
    pub residual_norm: f64,
    /// ½ ‖F‖²
    pub cost: f64,
    pub optimality: f64,
    /// ‖Δx‖₂ of the last step.
    pub step_norm: f64,
    /// λ of the last step.
    pub step_length: f64,
    pub trust_radius: f64,
}

impl Default for Figures {
    fn default() -> Self {
        Figures {
            iterations: 0,
            residual_norm: f64::NAN,
            cost: f64::NAN,
            optimality: f64::NAN,
            step_norm: f64::NAN,
            step_length: f64::NAN,
            trust_radius: f64::NAN,
        }
    }
}

/// A solver.
pub trait Kernel {
    type T: Field;
    type Stop: Stop;

    /// Begins a solve at this point, which is finite and not empty. Whatever was before is forgotten.
    fn start(&mut self, x0: &[Self::T]);

    /// What is needed next; the same until it is told.
    fn ask(&self) -> Ask<'_, Self::T>;

    fn tell(&mut self, told: Tell<'_, Self::T>);

    /// Does what `Ask::Work` speaks of; nothing where that is not asked.
    fn work(&mut self) {}

    /// Ends the solve at the current iterate.
    fn interrupt(&mut self);

    /// Why the solve has ended; None before it has.
    fn stop(&self) -> Option<Self::Stop>;

    /// The current iterate.
    fn point(&self) -> &[Self::T];

    /// F at the current iterate; empty before it is told.
    fn residual(&self) -> &[Self::T];

    fn figures(&self) -> Figures;
}
