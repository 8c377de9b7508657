//! When the iteration has arrived, and when it gives up.
//!
//! After a step that changed the cost F by −ΔF, which is ρ times what the model said,
//!
//!     ΔF < ftol F,   ‖Δx‖ < xtol (xtol + ‖x‖),   each where ρ > ¼,   max |v g| < gtol.
//!
//! A test of the relative optimality (see `optimality`) can be added, which does not depend on the
//! units of f. All tests are strict, so a tolerance of zero switches its test off.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Termination {
    pub cost: f64,
    pub step: f64,
    pub gradient: f64,
    pub relative_gradient: f64,
    /// Steps that are shorter lead nowhere.
    pub shortest_step: f64,
    /// Largest ‖x − x₀‖.
    pub distance: f64,
    pub evaluations: u64,
    pub iterations: u64,
}

/// Why the iteration ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Stop {
    /// The tests on the cost or the step hold.
    Converged {
        cost: bool,
        step: bool,
    },
    /// The gradient is within its tolerance.
    SmallGradient,
    /// The relative optimality is within its tolerance.
    SmallRelativeGradient,
    OutOfIterations,
    OutOfEvaluations,
    /// The step is too short to predict an improvement.
    ShortStep,
    /// x is farther from x₀ than allowed.
    TooFar,
    /// The driver asked for it; the tests may hold all the same.
    Interrupted {
        converged: bool,
    },
    /// The step is short because residuals farther away were not finite.
    Confined,
    /// The first residual has components that are not finite.
    NonFiniteResidual,
    /// A Jacobian has components that are not finite.
    NonFiniteJacobian,
    /// A Jacobian cannot be had by the complex step.
    NotAnalytic,
    /// The errors of the residual are more than what there is to gain.
    Noise,
}

impl Stop {
    pub fn success(self) -> bool {
        matches!(
            self,
            Stop::Converged { .. }
                | Stop::SmallGradient
                | Stop::SmallRelativeGradient
                | Stop::Noise
                | Stop::Interrupted { converged: true }
        )
    }
}

/// A step as the tests see it.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// The cost before.
    pub cost: f64,
    pub reduction: f64,
    /// ρ
    pub ratio: f64,
    /// ‖Δx‖ and ‖x‖, in the units of the tests.
    pub step: f64,
    pub point: f64,
    /// ‖x − x₀‖ of the point that the iteration goes on from.
    pub distance: f64,
    pub evaluations: u64,
}

/// A step whose reduction is a smaller share of the prediction says nothing.
const TRUSTED: f64 = 0.25;

impl Termination {
    pub fn check(&self, trial: Trial) -> Option<Stop> {
        let trusted = trial.ratio > TRUSTED;
        let cost =
            trusted && trial.reduction > 0.0 && trial.reduction < (self.cost * trial.cost).abs();
        let step = trusted && trial.step < self.step * (self.step + trial.point);
        if cost || step {
            Some(Stop::Converged { cost, step })
        } else if trial.evaluations >= self.evaluations {
            Some(Stop::OutOfEvaluations)
        } else if trial.step < self.shortest_step {
            Some(Stop::ShortStep)
        } else if trial.distance > self.distance {
            Some(Stop::TooFar)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Termination = Termination {
        cost: 1e-3,
        step: 1e-3,
        gradient: 1e-3,
        relative_gradient: 0.0,
        shortest_step: 1e-9,
        distance: 10.0,
        evaluations: 50,
        iterations: 20,
    };

    const TRIAL: Trial = Trial {
        cost: 2.0,
        reduction: 0.5,
        ratio: 0.9,
        step: 0.1,
        point: 1.0,
        distance: 1.0,
        evaluations: 7,
    };

    #[test]
    fn each_test_has_its_own_reason() {
        let check = |trial| LIMITS.check(trial);
        assert_eq!(check(TRIAL), None);
        let flat = Trial { reduction: 1e-3, ..TRIAL };
        assert_eq!(check(flat), Some(Stop::Converged { cost: true, step: false }));
        let short = Trial { step: 1e-4, ..TRIAL };
        assert_eq!(check(short), Some(Stop::Converged { cost: false, step: true }));
        assert_eq!(check(Trial { ratio: 0.25, ..flat }), None);
        assert_eq!(check(Trial { evaluations: 50, ..TRIAL }), Some(Stop::OutOfEvaluations));
        let tiny = Trial { step: 1e-10, ratio: 0.0, ..TRIAL };
        assert_eq!(check(tiny), Some(Stop::ShortStep));
        assert_eq!(check(Trial { distance: 11.0, ..TRIAL }), Some(Stop::TooFar));
    }

    #[test]
    fn zero_switches_a_test_off() {
        let off = Termination { cost: 0.0, step: 0.0, shortest_step: 0.0, ..LIMITS };
        assert_eq!(off.check(Trial { reduction: 1e-300, step: 0.0, ..TRIAL }), None);
    }
}
