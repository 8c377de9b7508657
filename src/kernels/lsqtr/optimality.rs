//! How near a point is to a minimum, in whatever units f and x are.
//!
//! A change of variable j alone by p changes the residual by Jⱼ p, where Jⱼ is column j of J. What
//! reduces the linear model ½ ‖f + Jⱼ p‖² most is
//!
//!     pⱼ = −gⱼ / ‖Jⱼ‖²,   or the way to the bound, where that is shorter.
//!
//! The relative optimality is the largest ‖Jⱼ pⱼ‖ / ‖f‖. For a free variable this is the cosine of
//! the angle between f and Jⱼ, as in the test of MINPACK's `gtol`; for one on its bound it is zero.
//!
//! Where f vanishes at the solution, the cosines do not, and an f that is nearly zero has any. So a
//! large one speaks against a point only if pⱼ is large as well, beside x and the way from x₀.
//!
//! Reference: J. J. Moré, "The Levenberg-Marquardt algorithm: implementation and theory", Lecture
//! Notes in Mathematics 630, 1978, section 2.

use serde::{Deserialize, Serialize};

use super::bounds::Bounds;

/// A relative optimality beyond this is large.
const LARGE_CHANGE: f64 = 1e-2;

/// A pⱼ beyond this is large, relative to xⱼ.
const LARGE_STEP: f64 = 1e-3;

/// A variable that is smaller than this beside the others, in their effect on f, counts as zero.
const NEGLIGIBLE: f64 = 1e-8;

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Optimality {
    /// The largest ‖Jⱼ pⱼ‖ / ‖f‖; 0 where f is zero.
    pub relative: f64,
    /// Some variable alone would change f and itself by much.
    pub large: bool,
}

impl Optimality {
    pub const UNKNOWN: Optimality = Optimality { relative: f64::NAN, large: false };

    /// At x, which the iteration began at `start`; g = Jᵀf is finite.
    pub fn new(
        [x, start]: [&[f64]; 2],
        gradient: &[f64],
        column_norms: &[f64],
        residual_norm: f64,
        bounds: &Bounds,
    ) -> Self {
        let sizes = x.iter().zip(column_norms).map(|(x, size)| (x * size).abs());
        let negligible = NEGLIGIBLE * sizes.fold(0.0, f64::max);
        let mut optimality = Optimality { relative: 0.0, large: false };
        for j in 0..x.len() {
            let (slope, size) = (gradient[j], column_norms[j]);
            let room = if slope > 0.0 { x[j] - bounds.lower[j] } else { bounds.upper[j] - x[j] };
            let change = (slope.abs() / size).min(size * room);
            // A column of zeros changes nothing.
            if slope == 0.0 || change == 0.0 {
                continue;
            }
            let relative = (change / residual_norm).min(1.0);
            let way = x[j].abs().max((x[j] - start[j]).abs());
            optimality.relative = optimality.relative.max(relative);
            optimality.large |= relative > LARGE_CHANGE
                && change > LARGE_STEP * (way * size)
                && change > negligible;
        }
        optimality
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: f64 = f64::INFINITY;

    fn of(gradient: &[f64], lower: f64) -> f64 {
        let bounds = Bounds { lower: vec![lower; 2], upper: vec![FREE; 2] };
        Optimality::new([&[1.0; 2]; 2], gradient, &[2.0, 4.0], 5.0, &bounds).relative
    }

    fn of_one(x: f64, start: f64, column: f64, residual: f64) -> Optimality {
        let bounds = Bounds { lower: vec![-FREE], upper: vec![FREE] };
        Optimality::new([&[x], &[start]], &[column * residual], &[column], residual, &bounds)
    }

    #[test]
    fn free_variables_count_with_their_cosine() {
        assert_eq!(of(&[3.0, 8.0], -FREE), 0.4);
        assert_eq!(of(&[-6.0, 8.0], -FREE), 0.6);
        assert_eq!(of(&[0.0, 0.0], -FREE), 0.0);
    }

    #[test]
    fn a_bound_that_is_near_leaves_the_way_to_it() {
        assert_eq!(of(&[0.0, 8.0], 1.0), 0.0);
        assert_eq!(of(&[0.0, 8.0], 0.75), 0.2);
        assert_eq!(of(&[0.0, -8.0], 1.0), 0.4);
    }

    #[test]
    fn units_do_not_matter() {
        for (unit, size) in [(1.0, 1.0), (1024.0, 1.0), (1.0, 0.125), (0.5f64.powi(40), 1e100)] {
            let far = of_one(unit, unit, 2.0 * size / unit, size);
            assert_eq!(far, Optimality { relative: 1.0, large: true });
            let near = of_one(unit, 2.0 * unit, 2e6 * size / unit, size);
            assert_eq!(near, Optimality { relative: 1.0, large: false });
        }
    }

    #[test]
    fn a_solution_at_zero_is_measured_by_the_way_there() {
        assert!(!of_one(1e-9, 1.0, 1.0, 1e-9).large);
        assert!(of_one(0.0, 0.0, 1.0, 1e-9).large);
    }

    #[test]
    fn a_residual_of_zero_is_optimal() {
        assert_eq!(of_one(1.0, 1.0, 1.0, 0.0), Optimality { relative: 0.0, large: false });
    }
}
