//! The variables in which a step is computed.
//!
//! Coleman and Li measure a variable by its distance v to the bound that −g points at, and 1 where
//! there is none, so that the first-order conditions of the bounded problem are v g = 0. With the
//! scales s of the variables (see `scaling`) the hatted quantities of the trust-region problem are
//!
//!     d = sqrt(v) s,   ĝ = d g,   Ĵ = J diag(d),   C = diag(g v' s) ≥ 0,
//!
//! where v' = ±1 is the derivative of v and 0 for a free variable; the model of the cost is
//!
//!     q(p̂) = ĝᵀp̂ + ½ p̂ᵀ(ĴᵀĴ + C) p̂,   p = d p̂.
//!
//! The distances of variables that have one are in units of their scale.
//!
//! Reference: T. F. Coleman, Y. Li, "An interior trust region approach for nonlinear minimization
//! subject to bounds", SIAM Journal on Optimization 6, 1996.

use super::bounds::Bounds;
use super::scaling::Scaling;
use crate::saved;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Geometry {
    /// v
    #[serde(with = "saved::vector")]
    pub distance: Vec<f64>,
    /// d
    #[serde(with = "saved::vector")]
    pub unit: Vec<f64>,
    /// The diagonal of C.
    #[serde(with = "saved::vector")]
    pub curvature: Vec<f64>,
    /// ĝ
    #[serde(with = "saved::vector")]
    pub gradient: Vec<f64>,
    /// max |v g|, with scaled variables or as they are.
    pub optimality: f64,
}

impl Geometry {
    pub fn new(
        x: &[f64],
        gradient: &[f64],
        bounds: &Bounds,
        scaling: &Scaling,
        scaled_optimality: bool,
    ) -> Self {
        let mut geometry = Geometry::default();
        for i in 0..x.len() {
            let (g, scale) = (gradient[i], scaling.scale[i]);
            let (lower, upper) = (bounds.lower[i], bounds.upper[i]);
            let (distance, slope) = if g < 0.0 && upper.is_finite() {
                ((upper - x[i]) * scaling.inverse[i], -1.0)
            } else if g > 0.0 && lower.is_finite() {
                ((x[i] - lower) * scaling.inverse[i], 1.0)
            } else {
                (1.0, 0.0)
            };
            let unit = distance.sqrt() * scale;
            geometry.distance.push(distance);
            geometry.unit.push(unit);
            geometry.curvature.push(g * slope * scale);
            geometry.gradient.push(g * unit);
            let size = (g * distance * if scaled_optimality { scale } else { 1.0 }).abs();
            if size > geometry.optimality || size.is_nan() {
                geometry.optimality = size;
            }
        }
        geometry
    }

    /// Whether it is that of a point with so many unknowns.
    pub fn fits(&self, unknowns: usize) -> bool {
        let vectors = [&self.distance, &self.unit, &self.curvature, &self.gradient];
        vectors.iter().all(|vector| vector.len() == unknowns)
    }

    /// Whether C is not zero.
    pub fn curved(&self) -> bool {
        self.curvature.iter().any(|&curvature| curvature != 0.0)
    }

    /// d p̂
    pub fn unscaled(&self, step: &[f64]) -> Vec<f64> {
        step.iter().zip(&self.unit).map(|(step, unit)| step * unit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_that_the_cost_falls_towards_counts() {
        let bounds = Bounds { lower: vec![0.0; 4], upper: vec![4.0, 4.0, f64::INFINITY, 4.0] };
        let (x, unscaled) = ([1.0; 4], Scaling::given(&[1.0; 4]));
        let geometry = Geometry::new(&x, &[-2.0, 2.0, -2.0, 0.0], &bounds, &unscaled, true);
        assert_eq!(geometry.distance, [3.0, 1.0, 1.0, 1.0]);
        assert_eq!(geometry.curvature, [2.0, 2.0, 0.0, 0.0]);
        assert_eq!(geometry.optimality, 6.0);
    }

    #[test]
    fn nan_is_not_lost() {
        let bounds = Bounds { lower: vec![f64::NEG_INFINITY; 2], upper: vec![f64::INFINITY; 2] };
        let geometry =
            Geometry::new(&[1.0; 2], &[f64::NAN, 1.0], &bounds, &Scaling::given(&[1.0; 2]), true);
        assert!(geometry.optimality.is_nan());
    }
}
