//! Why Levenberg-Marquardt ends.

use serde::{Deserialize, Serialize};

use crate::kernels;
use crate::saved;

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Stop {
    /// The reductions of the sum of squares, real and predicted, are within the tolerance.
    SmallReduction,
    /// The radius is within the tolerance, relative to x.
    SmallRadius,
    SmallReductionAndRadius,
    /// The cosines of the angles between F and the columns of J are within the tolerance.
    SmallGradient,
    /// The evaluations are used up.
    OutOfEvaluations,
    /// The tolerance is too small: rounding leaves nothing of a further reduction.
    ReductionToleranceTooSmall,
    /// The same for a shorter step.
    RadiusToleranceTooSmall,
    /// F is orthogonal to the columns of J to machine precision.
    GradientToleranceTooSmall,
    /// A test with this number was passed, but F, J or x is not finite.
    NonFinite {
        info: i32,
    },
    /// The options, or the number of residuals, are such that nothing can be done.
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
            Stop::SmallReduction => Some(1),
            Stop::SmallRadius => Some(2),
            Stop::SmallReductionAndRadius => Some(3),
            Stop::SmallGradient => Some(4),
            Stop::OutOfEvaluations => Some(5),
            Stop::ReductionToleranceTooSmall => Some(6),
            Stop::RadiusToleranceTooSmall => Some(7),
            Stop::GradientToleranceTooSmall => Some(8),
            Stop::NonFinite { info } => Some(info),
            Stop::OutOfMemory | Stop::Interrupted => None,
        }
    }
}

impl kernels::Stop for Stop {
    fn success(self) -> bool {
        matches!(
            self,
            Stop::SmallReduction
                | Stop::SmallRadius
                | Stop::SmallReductionAndRadius
                | Stop::SmallGradient
        )
    }

    fn out_of_memory(self) -> bool {
        self == Stop::OutOfMemory
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Tolerances {
    /// Of the sum of squares, relative.
    pub reduction: f64,
    /// Of the radius, relative to x.
    pub radius: f64,
    /// Of the cosines between F and the columns of J.
    pub gradient: f64,
    /// How often F may be evaluated; looked at at the end of each iteration.
    #[serde(with = "saved::count")]
    pub evaluations: u64,
}

/// How a trial went, in parts of the sum of squares or of x.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    pub reduction: f64,
    pub predicted: f64,
    pub ratio: f64,
    pub radius: f64,
    pub point_size: f64,
    /// The largest cosine between F and a column of J.
    pub cosine: f64,
    pub evaluations: u64,
}

impl Tolerances {
    pub fn are_proper(&self) -> bool {
        // Written so that NaN is let through, as in MINPACK.
        let negative = self.reduction < 0.0 || self.radius < 0.0 || self.gradient < 0.0;
        !negative && self.evaluations != 0
    }

    pub fn check(&self, trial: &Trial) -> Option<Stop> {
        let converged = (
            trial.reduction_is_within(self.reduction),
            trial.radius <= self.radius * trial.point_size,
        );
        match converged {
            (true, true) => Some(Stop::SmallReductionAndRadius),
            (false, true) => Some(Stop::SmallRadius),
            (true, false) => Some(Stop::SmallReduction),
            (false, false) => self.check_limits(trial),
        }
    }

    fn check_limits(&self, trial: &Trial) -> Option<Stop> {
        if trial.cosine <= f64::EPSILON {
            Some(Stop::GradientToleranceTooSmall)
        } else if trial.radius <= f64::EPSILON * trial.point_size {
            Some(Stop::RadiusToleranceTooSmall)
        } else if trial.reduction_is_within(f64::EPSILON) {
            Some(Stop::ReductionToleranceTooSmall)
        } else if trial.evaluations >= self.evaluations {
            Some(Stop::OutOfEvaluations)
        } else {
            None
        }
    }
}

impl Trial {
    fn reduction_is_within(&self, tolerance: f64) -> bool {
        self.reduction.abs() <= tolerance && self.predicted <= tolerance && 0.5 * self.ratio <= 1.0
    }
}
