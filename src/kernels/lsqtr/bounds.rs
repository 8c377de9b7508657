//! Lower and upper bounds l ≤ x ≤ u.
//!
//! Every point that the residual is asked at lies strictly between its bounds, so that the
//! distances to them, which scale the variables (see `geometry`), are positive.

use crate::saved;
use serde::{Deserialize, Serialize};

/// One lower and one upper bound for each variable; infinite where there is none.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Bounds {
    #[serde(with = "saved::vector")]
    pub lower: Vec<f64>,
    #[serde(with = "saved::vector")]
    pub upper: Vec<f64>,
}

/// How close to a bound an active variable is.
#[derive(Clone, Copy, Debug)]
pub enum Margin {
    /// On the bound.
    None,
    /// Within this times max(1, |bound|).
    Relative(f64),
}

impl Bounds {
    pub fn any(&self) -> bool {
        let bounded = |(&l, &u): (&f64, &f64)| l != f64::NEG_INFINITY || u != f64::INFINITY;
        self.lower.iter().zip(&self.upper).any(bounded)
    }

    pub fn contain(&self, x: &[f64]) -> bool {
        self.all().zip(x).all(|((l, u), &x)| l <= x && x <= u)
    }

    fn all(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.lower.iter().copied().zip(self.upper.iter().copied())
    }

    /// −1 where the lower bound is active, 1 where the upper one is, and 0 elsewhere.
    pub fn active(&self, x: &[f64], margin: Margin) -> Vec<i8> {
        let side = |((l, u), &x): ((f64, f64), &f64)| side(x, l, u, margin);
        self.all().zip(x).map(side).collect()
    }

    /// Moves a point off its bounds: by the margin, or to the next number.
    pub fn move_inside(&self, x: &mut [f64], margin: Margin) {
        for ((l, u), x) in self.all().zip(x) {
            let moved = match (side(*x, l, u, margin), margin) {
                (-1, Margin::None) => toward(l, u),
                (1, Margin::None) => toward(u, l),
                (-1, Margin::Relative(share)) => l + share * l.abs().max(1.0),
                (1, Margin::Relative(share)) => u - share * u.abs().max(1.0),
                _ => *x,
            };
            *x = match moved {
                _ if moved < l || moved > u => f64::midpoint(l, u),
                // Beyond the largest number there is no room either.
                f64::INFINITY | f64::NEG_INFINITY => *x,
                _ => moved,
            };
        }
    }

    /// The largest t for which x + t s is within the bounds.
    pub fn reach(&self, x: &[f64], s: &[f64]) -> f64 {
        self.reaches(x, s).fold(f64::INFINITY, f64::min)
    }

    /// How far each variable can go along s until it meets a bound, in units of s.
    pub fn reaches<'a>(&'a self, x: &'a [f64], s: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        self.all().zip(x.iter().zip(s)).map(|((l, u), (&x, &s))| match s {
            0.0 => f64::INFINITY,
            _ => ((l - x) / s).max((u - x) / s),
        })
    }
}

fn side(x: f64, l: f64, u: f64, margin: Margin) -> i8 {
    let (below, above) = (x - l, u - x);
    let (at_lower, at_upper) = match margin {
        Margin::None => (x <= l, x >= u),
        Margin::Relative(share) => (
            l.is_finite() && below <= above.min(share * l.abs().max(1.0)),
            u.is_finite() && above <= below.min(share * u.abs().max(1.0)),
        ),
    };
    match (at_lower, at_upper) {
        (_, true) => 1,
        (true, false) => -1,
        (false, false) => 0,
    }
}

/// The next number from `a` in the direction of `b`.
fn toward(a: f64, b: f64) -> f64 {
    if b > a {
        a.next_up()
    } else if b < a {
        a.next_down()
    } else {
        a
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(l: f64, u: f64) -> Bounds {
        Bounds { lower: vec![l], upper: vec![u] }
    }

    fn inside(l: f64, u: f64, x: f64, margin: Margin) -> f64 {
        let mut x = [x];
        bounds(l, u).move_inside(&mut x, margin);
        x[0]
    }

    #[test]
    fn points_on_a_bound_are_moved_off_it() {
        assert_eq!(inside(1.0, 2.0, 1.0, Margin::None), 1.0f64.next_up());
        assert_eq!(inside(1.0, 2.0, 5.0, Margin::None), 2.0f64.next_down());
        assert_eq!(inside(-3.0, 2.0, -3.0, Margin::Relative(0.5)), -1.5);
        assert_eq!(inside(0.0, f64::INFINITY, 0.0, Margin::Relative(0.25)), 0.25);
        assert_eq!(inside(0.0, 1.0, 0.3, Margin::Relative(0.25)), 0.3);
    }

    #[test]
    fn where_there_is_no_room_the_middle_is_taken() {
        assert_eq!(inside(1.0, 1.0, 1.0, Margin::None), 1.0);
        assert_eq!(inside(0.0, 1.0, 0.0, Margin::Relative(3.0)), 0.5);
        assert_eq!(inside(1.2e308, 1.4e308, 1.2e308, Margin::Relative(0.5)), 1.3e308);
        assert_eq!(inside(f64::MAX, f64::INFINITY, f64::MAX, Margin::Relative(0.5)), f64::MAX);
    }

    #[test]
    fn reach_is_the_way_to_the_first_bound() {
        let box_ = Bounds { lower: vec![0.0, 0.0], upper: vec![1.0, f64::INFINITY] };
        assert_eq!(box_.reach(&[0.5, 1.0], &[1.0, -4.0]), 0.25);
        assert_eq!(box_.reach(&[0.5, 1.0], &[0.0, 4.0]), f64::INFINITY);
    }

    #[test]
    fn the_nearer_of_two_close_bounds_is_active() {
        let active = |x| bounds(0.0, 1e-9).active(&[x], Margin::Relative(1e-6))[0];
        assert_eq!((active(0.2e-9), active(0.8e-9), active(0.5e-9)), (-1, 1, 1));
    }
}
