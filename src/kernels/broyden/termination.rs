//! When Broyden's method has arrived.
//!
//! All four tests have to hold: two on the residual, two on the direction (before a line search
//! shortens it),
//!
//!     ‖F‖ ≤ f_tol,   ‖F‖ / f_rtol ≤ ‖F(x₀)‖,   ‖p‖ ≤ x_tol,   ‖p‖ / x_rtol ≤ ‖x‖.
//!
//! A residual of zero is enough by itself. A fixed number of iterations, where it is asked for,
//! replaces the tests.

use crate::kernels::Sizes;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Termination {
    pub residual: f64,
    pub relative_residual: f64,
    pub step: f64,
    pub relative_step: f64,
    /// Stop after so many iterations, wherever that is.
    pub iterations: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The tests hold.
    Converged,
    /// The iterations that were asked for are made.
    IterationsMade,
}

impl Termination {
    /// The tolerances that are finite, as `broyden1` calls them.
    pub fn tolerances(&self) -> Vec<(&'static str, f64)> {
        let all = [
            ("f_tol", self.residual),
            ("f_rtol", self.relative_residual),
            ("x_tol", self.step),
            ("x_rtol", self.relative_step),
        ];
        all.into_iter().filter(|(_, tolerance)| tolerance.is_finite()).collect()
    }

    /// Whether any test needs the sizes of the step and the point.
    pub fn looks_at_steps(&self) -> bool {
        let tested = self.step.is_finite() || self.relative_step.is_finite();
        tested && self.iterations.is_none()
    }

    /// Checks after `iterations` iterations; `first_residual` is ‖F(x₀)‖.
    pub fn check(&self, iterations: u64, sizes: Sizes, first_residual: f64) -> Option<Arrival> {
        if sizes.residual == 0.0 {
            return Some(Arrival::Converged);
        }
        if let Some(wanted) = self.iterations {
            return (iterations >= wanted).then_some(Arrival::IterationsMade);
        }
        // Quotients rather than products: an infinite relative tolerance then rejects an infinite
        // step, so that nothing converges before the first iteration.
        let arrived = sizes.residual <= self.residual
            && sizes.residual / self.relative_residual <= first_residual
            && sizes.step <= self.step
            && sizes.step / self.relative_step <= sizes.point;
        arrived.then_some(Arrival::Converged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOSE: Termination = Termination {
        residual: 1e-3,
        relative_residual: f64::INFINITY,
        step: f64::INFINITY,
        relative_step: f64::INFINITY,
        iterations: None,
    };

    fn sizes(residual: f64, step: f64) -> Sizes {
        Sizes { residual, point: 1.0, step }
    }

    #[test]
    fn nothing_converges_before_the_first_iteration_but_a_root() {
        assert_eq!(LOOSE.check(0, sizes(1e-9, f64::INFINITY), 1e-9), None);
        let root = LOOSE.check(0, sizes(0.0, f64::INFINITY), 0.0);
        assert_eq!(root, Some(Arrival::Converged));
    }

    #[test]
    fn every_test_has_a_veto() {
        let strict = Termination { relative_residual: 1e-2, relative_step: 1e-2, ..LOOSE };
        assert_eq!(strict.check(3, sizes(1e-4, 1e-3), 1.0), Some(Arrival::Converged));
        assert_eq!(strict.check(3, sizes(1e-2, 1e-3), 1.0), None);
        assert_eq!(strict.check(3, sizes(1e-4, 1e-1), 1.0), None);
        assert_eq!(strict.check(3, sizes(1e-4, 1e-3), 1e-3), None);
        assert_eq!(Termination { step: 1e-4, ..strict }.check(3, sizes(1e-4, 1e-3), 1.0), None);
    }

    #[test]
    fn a_number_of_iterations_replaces_the_tests() {
        let counted = Termination { iterations: Some(2), ..LOOSE };
        assert_eq!(counted.check(1, sizes(1e-9, 1e-9), 1.0), None);
        assert_eq!(counted.check(2, sizes(5.0, 5.0), 1.0), Some(Arrival::IterationsMade));
    }
}
