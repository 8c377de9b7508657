//! Backtracking along a Newton step d, on φ(λ) = ‖F(x + λd)‖² / ‖F(x)‖².
//!
//! Because J d = −F, φ(0) = 1 and φ'(0) = −2 whatever the problem. A length λ is accepted when φ
//! falls by a fraction of what its tangent promises (Armijo),
//!
//!     φ(λ) ≤ 1 − 2αλ,   α = 10⁻⁴,
//!
//! and otherwise replaced by the minimiser of the parabola, from the second time on the cubic,
//! that interpolates what is known of φ, kept between λ/10 and λ/2.
//!
//! Reference: J. E. Dennis, R. B. Schnabel, "Numerical Methods for Unconstrained Optimization and
//! Nonlinear Equations", SIAM, 1996, section 6.3 and algorithm A6.3.1.

use serde::{Deserialize, Serialize};

const ARMIJO: f64 = 1e-4;
const MOST_TRIALS: u32 = 50;

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Backtracking {
    length: f64,
    /// λ and φ(λ) of the trial before this one.
    previous: Option<(f64, f64)>,
    trials: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    /// Try the new length.
    Shorten,
}

impl Backtracking {
    /// Begins with the full step.
    pub fn start() -> Self {
        Backtracking { length: 1.0, previous: None, trials: 0 }
    }

    /// λ
    pub fn length(&self) -> f64 {
        self.length
    }

    /// No acceptable length was found within the trials that a search is given.
    pub fn exhausted(&self) -> bool {
        self.trials >= MOST_TRIALS
    }

    /// Whether it is one that can have been saved.
    pub fn fits(&self) -> bool {
        self.trials <= MOST_TRIALS
    }

    /// Judges the current length by ‖F(x + λd)‖ / ‖F(x)‖, None where F was not finite.
    pub fn judge(&mut self, ratio: Option<f64>) -> Verdict {
        self.trials += 1;
        let merit = ratio.map(|ratio| ratio * ratio).filter(|merit| merit.is_finite());
        let Some(merit) = merit else {
            self.previous = None;
            self.length *= 0.1;
            return Verdict::Shorten;
        };
        if merit <= 1.0 - 2.0 * ARMIJO * self.length {
            return Verdict::Accept;
        }
        let minimiser = match self.previous {
            None => self.parabola_minimiser(merit),
            Some(previous) => cubic_minimiser(previous, (self.length, merit)),
        };
        self.previous = Some((self.length, merit));
        self.length = clamp(minimiser, 0.1 * self.length, 0.5 * self.length);
        Verdict::Shorten
    }

    fn parabola_minimiser(&self, merit: f64) -> f64 {
        self.length * self.length / (merit - 1.0 + 2.0 * self.length)
    }
}

/// The minimiser of 1 − 2λ + bλ² + aλ³ through two known values.
fn cubic_minimiser((l1, m1): (f64, f64), (l2, m2): (f64, f64)) -> f64 {
    let excess = |length: f64, merit: f64| (merit - 1.0 + 2.0 * length) / (length * length);
    let (e1, e2) = (excess(l1, m1), excess(l2, m2));
    let a = (e2 - e1) / (l2 - l1);
    let b = (e1 * l2 - e2 * l1) / (l2 - l1);
    if a == 0.0 {
        return 1.0 / b;
    }
    let discriminant = b * b + 6.0 * a;
    if discriminant < 0.0 {
        return 0.5 * l2;
    }
    (-b + discriminant.sqrt()) / (3.0 * a)
}

/// `value` within bounds; the upper bound in place of a NaN.
fn clamp(value: f64, low: f64, high: f64) -> f64 {
    if value < low {
        low
    } else if value <= high {
        value
    } else {
        high
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::arbitrary::{cases, number};
    use proptest::prelude::*;

    #[test]
    fn a_full_step_that_does_what_it_promises_is_accepted() {
        assert_eq!(Backtracking::start().judge(Some(0.5)), Verdict::Accept);
        assert_eq!(Backtracking::start().judge(Some(1.0)), Verdict::Shorten);
    }

    #[test]
    fn the_parabola_is_minimised_within_its_bounds() {
        let shortened = |ratio: f64| {
            let mut search = Backtracking::start();
            search.judge(Some(ratio));
            search.length()
        };
        assert_eq!(shortened(2.0), 0.2);
        assert_eq!(shortened(1.0), 0.5);
        assert_eq!(shortened(100.0), 0.1);
        assert_eq!(shortened(f64::INFINITY), 0.1);
    }

    #[test]
    fn the_cubic_is_minimised() {
        let cubic = |x: f64| 1.0 - 2.0 * x + 3.0 * x * x + 5.0 * x * x * x;
        let minimiser = cubic_minimiser((1.0, cubic(1.0)), (0.5, cubic(0.5)));
        let slope = -2.0 + 6.0 * minimiser + 15.0 * minimiser * minimiser;
        assert!(slope.abs() < 1e-13);
    }

    #[test]
    fn a_count_of_trials_that_cannot_be_does_not_fit() {
        assert!(Backtracking::start().fits());
        assert!(!Backtracking { trials: u32::MAX, ..Backtracking::start() }.fits());
    }

    proptest! {
        #![proptest_config(cases(300))]

        #[test]
        fn any_search_ends_within_its_trials(
            ratios in prop::collection::vec(prop::option::of(number()), MOST_TRIALS as usize),
        ) {
            let mut search = Backtracking::start();
            for ratio in ratios {
                prop_assert!(search.length() >= 0.0 && search.length() <= 1.0 && search.fits());
                if search.judge(ratio) == Verdict::Accept {
                    return Ok(());
                }
            }
            prop_assert!(search.exhausted());
        }
    }

    #[test]
    fn a_search_that_never_succeeds_ends() {
        let mut search = Backtracking::start();
        while !search.exhausted() {
            assert_eq!(search.judge(None), Verdict::Shorten);
        }
        assert!(search.length() > 0.0);
    }
}
