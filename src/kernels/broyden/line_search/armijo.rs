//! Backtracking to Armijo's condition.
//!
//! The full step s = 1 is tried first, and a length s is accepted when
//!
//!     φ(s) ≤ φ₀ + c s φ'₀,   c = 10⁻⁴.
//!
//! If the full step is not, the next is the minimiser of the parabola through φ₀, φ'₀ and φ(1).
//! From then on it is the minimiser of the cubic
//!
//!     φ₀ + φ'₀ s + b s² + a s³
//!
//! through the last two lengths s₀ and s₁. With eᵢ = φ(sᵢ) − φ₀ − φ'₀ sᵢ, what φ exceeds its tangent
//! by,
//!
//!     a = (s₀² e₁ − s₁² e₀) / (s₀² s₁² (s₁ − s₀))
//!     b = (s₁³ e₀ − s₀³ e₁) / (s₀² s₁² (s₁ − s₀))
//!     s = (−b + √|b² − 3 a φ'₀|) / 3a.
//!
//! Reference: J. Nocedal, S. J. Wright, "Numerical Optimization", second edition, Springer, 2006,
//! section 3.5.

use super::{Ask, power};
use serde::{Deserialize, Serialize};

const DECREASE: f64 = 1e-4;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Armijo {
    /// φ₀
    merit: f64,
    /// φ'₀
    slope: f64,
    /// No cubic is drawn from a length that is not above this.
    shortest: f64,
    /// What is known of φ, the newer trial last.
    trials: [Trial; 2],
    /// The length to evaluate.
    step: f64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Trial {
    step: f64,
    merit: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Phase {
    FullStep,
    Parabola,
    Cubic,
    Done(Option<f64>),
}

impl Armijo {
    /// `merit` is φ(0), `slope` φ'(0) or an estimate of it; `shortest` is not negative.
    pub fn new(merit: f64, slope: f64, shortest: f64) -> Self {
        Armijo {
            merit,
            slope,
            shortest,
            trials: [Trial { step: 0.0, merit }; 2],
            step: 1.0,
            phase: Phase::FullStep,
        }
    }

    /// Whether it was begun with this shortest length; what was saved may not have been.
    pub fn fits(&self, shortest: f64) -> bool {
        self.shortest == shortest
    }

    pub fn ask(&self) -> Ask {
        match self.phase {
            Phase::Done(accepted) => Ask::Done(accepted),
            _ => Ask::Merit(self.step),
        }
    }

    pub fn tell(&mut self, merit: f64) {
        self.phase = match self.phase {
            Phase::Done(accepted) => Phase::Done(accepted),
            _ if self.acceptable(merit) => Phase::Done(Some(self.step)),
            Phase::FullStep => self.refuse_full_step(merit),
            Phase::Parabola => self.refuse_parabola(merit),
            Phase::Cubic => self.refuse_cubic(merit),
        }
    }

    fn acceptable(&self, merit: f64) -> bool {
        merit <= self.merit + DECREASE * self.step * self.slope
    }

    fn refuse_full_step(&mut self, merit: f64) -> Phase {
        self.remember(Trial { step: self.step, merit });
        self.step = self.parabola_minimiser();
        Phase::Parabola
    }

    fn refuse_parabola(&mut self, merit: f64) -> Phase {
        self.remember(Trial { step: self.step, merit });
        self.draw_cubic()
    }

    /// The merit at the minimiser of a cubic is kept as if it were that at half the length before.
    ///
    /// SciPy means to do so only where the minimiser is too near that length or too far from it,
    /// but its bounds leave nothing between them.
    fn refuse_cubic(&mut self, merit: f64) -> Phase {
        if self.step.is_nan() {
            return Phase::Done(None);
        }
        let [_, newer] = self.trials;
        self.remember(Trial { step: newer.step / 2.0, merit });
        self.draw_cubic()
    }

    fn draw_cubic(&mut self) -> Phase {
        let [_, newer] = self.trials;
        if newer.step > self.shortest {
            self.step = self.cubic_minimiser();
            Phase::Cubic
        } else {
            Phase::Done(None)
        }
    }

    fn remember(&mut self, trial: Trial) {
        let [_, newer] = self.trials;
        self.trials = [newer, trial];
    }

    fn parabola_minimiser(&self) -> f64 {
        let [_, full] = self.trials;
        -self.slope / 2.0 / self.excess(full)
    }

    fn cubic_minimiser(&self) -> f64 {
        let [Trial { step: s0, .. }, Trial { step: s1, .. }] = self.trials;
        let [e0, e1] = self.trials.map(|trial| self.excess(trial));
        let (square0, square1) = (power(s0, 2.0), power(s1, 2.0));
        let determinant = square0 * square1 * (s1 - s0);
        let a = (square0 * e1 - square1 * e0) / determinant;
        let b = (power(s1, 3.0) * e0 - power(s0, 3.0) * e1) / determinant;
        let discriminant = power(b, 2.0) - 3.0 * a * self.slope;
        (-b + discriminant.abs().sqrt()) / (3.0 * a)
    }

    /// φ above its tangent at 0.
    fn excess(&self, trial: Trial) -> f64 {
        trial.merit - self.merit - self.slope * trial.step
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LineSearch, tests::run};
    use super::*;

    /// As Broyden's methods search: the slope is put at −φ(0), the shortest length at 0.01.
    fn search(phi: impl Fn(f64) -> f64) -> (Vec<f64>, Option<f64>) {
        let merit = phi(0.0);
        let armijo = Armijo::new(merit, -merit, 1e-2);
        run(LineSearch::Armijo(armijo), |step| (phi(step), f64::NAN))
    }

    #[test]
    fn a_full_step_that_falls_enough_is_accepted() {
        assert_eq!(search(|s| 1.0 - 1e-4 * s), (vec![1.0], Some(1.0)));
    }

    #[test]
    fn the_parabola_is_minimised() {
        assert_eq!(search(|s| 1.0 - s + 10.0 * s * s), (vec![1.0, 0.05], Some(0.05)));
    }

    #[test]
    fn the_cubic_is_minimised() {
        let mut armijo = Armijo::new(1.0, -1.0, 1e-2);
        let phi = |s: f64| 1.0 - s + 2.0 * s * s + 3.0 * s * s * s;
        armijo.trials = [1.0, 0.5].map(|step| Trial { step, merit: phi(step) });
        let step = armijo.cubic_minimiser();
        assert!((-1.0 + 4.0 * step + 9.0 * step * step).abs() < 1e-14);
    }

    #[test]
    fn a_search_that_would_not_end_does_not_fit() {
        let saved = |shortest| Armijo::new(1.0, -1.0, shortest);
        assert!(saved(1e-2).fits(1e-2));
        assert!(!saved(-1.0).fits(1e-2));
    }

    // The lengths below were recorded from SciPy 1.17.1.

    #[test]
    fn cubics_are_drawn_until_the_merit_falls() {
        let cliff = |s: f64| if s > 0.1 { 1.0 + 0.3 * s } else { 1.0 - 0.5 * s };
        let tried = [1.0, 0.3846153846153846, 0.12331010363402768, 0.06607620376676876];
        assert_eq!(search(cliff), (tried.to_vec(), Some(0.06607620376676876)));
    }

    #[test]
    fn a_merit_that_only_rises_ends_the_search() {
        let tried = [
            1.0,
            0.125,
            0.014156081756483863,
            0.020594434706474297,
            0.003269540551021928,
            0.004580075459166881,
        ];
        assert_eq!(search(|s| 1.0 + 3.0 * s), (tried.to_vec(), None));
    }

    #[test]
    fn an_infinite_merit_at_the_full_step_leads_back_to_the_start() {
        let wall = |s: f64| if s > 0.3 { f64::INFINITY } else { 1.0 - s };
        assert_eq!(search(wall), (vec![1.0, 0.0], Some(0.0)));
    }

    #[test]
    fn an_infinite_merit_at_the_second_length_leads_to_a_nan_and_no_further() {
        let (tried, accepted) = search(|s| {
            if s == 1.0 {
                2.0
            } else if s == 0.0 {
                1.0
            } else {
                f64::INFINITY
            }
        });
        assert_eq!((&tried[..2], tried.len()), (&[1.0, 0.25][..], 3));
        assert!(tried[2].is_nan());
        assert_eq!(accepted, None);
    }
}
