//! One kernel and one problem, to the end.

use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::{ArrayViewMut2, ShapeBuilder};

use super::Problem;
use crate::kernels::{Ask, Kernel, Sizes, Tell};
use crate::linalg::Field;
use crate::linalg::norm::max_norm;

/// How often the problem was evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub residuals: u64,
    pub jacobians: u64,
}

/// The memory of a loop, to be used again for problems of the same size.
pub struct One<T> {
    residual: Vec<T>,
    jacobian: Vec<T>,
    pub counts: Counts,
}

/// Why a loop has ended before its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken<E> {
    /// The problem could not be evaluated.
    Problem(E),
    /// The flag was raised.
    Cancelled,
    /// There is no memory for the values.
    OutOfMemory,
    /// The kernel asks for solutions with a Jacobian that nobody has kept.
    NoJacobianKept,
}

impl<T: Field> One<T> {
    /// For a problem with so many residuals and unknowns; none where there is no memory for that.
    pub fn new<E>(residuals: usize, unknowns: usize) -> Result<Self, Broken<E>> {
        let zeroed = |count| bytemuck::allocation::try_zeroed_vec(count);
        let entries = residuals.checked_mul(unknowns).ok_or(Broken::OutOfMemory)?;
        let residual = zeroed(residuals).map_err(|()| Broken::OutOfMemory)?;
        let jacobian = zeroed(entries).map_err(|()| Broken::OutOfMemory)?;
        Ok(One { residual, jacobian, counts: Counts::default() })
    }

    /// Answers a kernel that has been started until it is done. The flag is looked at before every
    /// evaluation. Sizes are maximum norms.
    pub fn run<K: Kernel<T = T>, P: Problem<T>>(
        &mut self,
        kernel: &mut K,
        problem: &mut P,
        cancelled: &AtomicBool,
    ) -> Result<(), Broken<P::Error>> {
        self.counts = Counts::default();
        let rows = self.residual.len();
        loop {
            if cancelled.load(Ordering::Relaxed) {
                return Err(Broken::Cancelled);
            }
            match kernel.ask() {
                Ask::Residual(x) => {
                    self.counts.residuals += 1;
                    problem.residual(x, &mut self.residual).map_err(Broken::Problem)?;
                    kernel.tell(Tell::Residual(&self.residual));
                }
                Ask::Jacobian(x) => {
                    self.counts.jacobians += 1;
                    let shape = (rows, self.jacobian.len() / rows).f();
                    let mut jacobian = ArrayViewMut2::from_shape(shape, &mut self.jacobian)
                        .map_err(|_| Broken::OutOfMemory)?;
                    problem.jacobian(x, jacobian.view_mut()).map_err(Broken::Problem)?;
                    kernel.tell(Tell::Jacobian(jacobian.view()));
                }
                Ask::Sizes { residual, point, step } => {
                    let step = if step.is_empty() { f64::INFINITY } else { max_norm(step) };
                    let sizes =
                        Sizes { residual: max_norm(residual), point: max_norm(point), step };
                    kernel.tell(Tell::Sizes(sizes));
                }
                Ask::Solution(_) => return Err(Broken::NoJacobianKept),
                Ask::Work { .. } => kernel.work(),
                Ask::Report => kernel.tell(Tell::Reported { stop: false }),
                Ask::Done => return Ok(()),
            }
        }
    }
}
