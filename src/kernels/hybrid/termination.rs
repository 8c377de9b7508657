//! Why Powell's hybrid method ends.

use serde::{Deserialize, Serialize};

use crate::kernels;
use crate::saved;

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Stop {
    /// The radius is within the tolerance, relative to x, or F is zero.
    SmallRadius,
    /// The evaluations are used up.
    OutOfEvaluations,
    /// The tolerance is too small: rounding leaves nothing of a shorter step.
    ToleranceTooSmall,
    /// The last five Jacobians have brought no progress.
    SlowJacobians,
    /// The last ten iterations have brought no progress.
    SlowIterations,
    /// The radius is within the tolerance, but F or x is not finite.
    NonFinite,
    /// The options, or the number of equations, are such that nothing can be done.
    ImproperInput,
    /// There is no memory for a problem of this size.
    OutOfMemory,
    /// The driver asked for it.
    Interrupted,
}

impl Stop {
    /// MINPACK's number; none for what it does not know.
    pub fn info(self) -> Option<i32> {
        match self {
            Stop::ImproperInput => Some(0),
            Stop::SmallRadius | Stop::NonFinite => Some(1),
            Stop::OutOfEvaluations => Some(2),
            Stop::ToleranceTooSmall => Some(3),
            Stop::SlowJacobians => Some(4),
            Stop::SlowIterations => Some(5),
            Stop::OutOfMemory | Stop::Interrupted => None,
        }
    }
}

impl kernels::Stop for Stop {
    fn success(self) -> bool {
        self == Stop::SmallRadius
    }

    fn out_of_memory(self) -> bool {
        self == Stop::OutOfMemory
    }
}

/// For how long there has been no progress.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Progress {
    /// Iterations since the norm last fell by a thousandth of its square.
    #[serde(with = "saved::count")]
    slow_iterations: u64,
    /// Jacobians since it last fell by a tenth of it.
    #[serde(with = "saved::count")]
    slow_jacobians: u64,
}

impl Progress {
    /// An iteration has reduced the square of the norm by this share.
    pub fn note(&mut self, reduction: f64, first_with_jacobian: bool) {
        self.slow_iterations = if reduction >= 0.001 { 0 } else { self.slow_iterations + 1 };
        self.slow_jacobians += u64::from(first_with_jacobian);
        if reduction >= 0.1 {
            self.slow_jacobians = 0;
        }
    }

    pub fn stop(&self) -> Option<Stop> {
        if self.slow_iterations >= 10 {
            Some(Stop::SlowIterations)
        } else if self.slow_jacobians >= 5 {
            Some(Stop::SlowJacobians)
        } else {
            None
        }
    }
}
