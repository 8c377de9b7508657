//! How far to go along a step d from x, by the merit φ(s) = ‖F(x + s d)‖² of the length s.
//!
//! `armijo` shortens the full step until φ falls enough:
//!
//!     φ(s) ≤ φ(0) + c s φ'(0).
//!
//! `more_thuente` also needs slopes and may lengthen the step: it looks for a length where φ has
//! become flat as well, |φ'(s)| ≤ η |φ'(0)|. [`LineSearch`] is either of them.
//!
//! Both try the lengths that SciPy's Broyden methods try, to the last bit. Arithmetic is IEEE
//! throughout: a merit that is infinite or NaN ends a search, it never traps it.
//!
//! Reference: J. Nocedal, S. J. Wright, "Numerical Optimization", second edition, Springer, 2006,
//! chapter 3.

use serde::{Deserialize, Serialize};

mod armijo;
mod more_thuente;

pub use armijo::Armijo;
pub use more_thuente::{Limits, MoreThuente};

use std::hint::black_box;

/// What a search needs to know next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ask {
    /// φ at this length.
    Merit(f64),
    /// φ and φ' at this length.
    MeritAndSlope(f64),
    /// Nothing: this length is accepted, or none was found.
    Done(Option<f64>),
}

/// Armijo's rule alone or the search of Moré and Thuente.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum LineSearch {
    Armijo(Armijo),
    MoreThuente(MoreThuente),
}

impl LineSearch {
    pub fn ask(&self) -> Ask {
        match self {
            LineSearch::Armijo(armijo) => armijo.ask(),
            LineSearch::MoreThuente(more_thuente) => more_thuente.ask(),
        }
    }

    /// The answer to what was asked; the slope is ignored where it was not.
    pub fn tell(&mut self, merit: f64, slope: f64) {
        match self {
            LineSearch::Armijo(armijo) => armijo.tell(merit),
            LineSearch::MoreThuente(more_thuente) => more_thuente.tell(merit, slope),
        }
    }
}

/// A power as Python computes it, by C's `pow`.
///
/// About one square in a thousand differs from `base * base` in its last bit. A compiler that saw
/// the exponent would multiply.
pub(crate) fn power(base: f64, exponent: f64) -> f64 {
    base.powf(black_box(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths that a search tries on a merit with its slope, and how it ends.
    pub(super) fn run(
        mut search: LineSearch,
        phi: impl Fn(f64) -> (f64, f64),
    ) -> (Vec<f64>, Option<f64>) {
        let mut tried = Vec::new();
        loop {
            let step = match search.ask() {
                Ask::Merit(step) | Ask::MeritAndSlope(step) => step,
                Ask::Done(accepted) => return (tried, accepted),
            };
            tried.push(step);
            let (merit, slope) = phi(step);
            search.tell(merit, slope);
        }
    }

    #[test]
    fn a_finished_search_ignores_answers() {
        let mut search = LineSearch::Armijo(Armijo::new(1.0, -1.0, 1e-2));
        search.tell(0.5, f64::NAN);
        assert_eq!(search.ask(), Ask::Done(Some(1.0)));
        search.tell(7.0, 7.0);
        assert_eq!(search.ask(), Ask::Done(Some(1.0)));
    }

    /// The exact square lies so near to halfway between two numbers that glibc's `pow` misses it.
    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn powers_are_those_of_python() {
        assert_eq!(0.8329 * 0.8329, 0.69372241);
        assert_eq!(power(0.8329, 2.0), 0.6937224099999999);
    }
}
