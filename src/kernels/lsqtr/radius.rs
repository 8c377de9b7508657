//! The trust radius: where it begins, and how it follows the quality of the model.

use crate::linalg::norm::norm;
use serde::{Deserialize, Serialize};

use super::geometry::Geometry;

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub enum Initial {
    /// ‖x / scale / sqrt(v)‖, the rule of SciPy's least squares.
    Scaled,
    /// ‖ĝ‖² / ‖Ĵĝ‖², the length of the Cauchy step in units of −ĝ.
    Cauchy,
    /// The geometric mean of the two.
    Mean,
    Given(f64),
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct RadiusOptions {
    pub initial: Initial,
    /// What the initial radius is multiplied by.
    pub initial_ratio: f64,
    pub largest: f64,
    /// The radius grows where the reduction exceeds this share of what the model promised.
    pub increase_threshold: f64,
    /// The radius shrinks where the reduction falls below this share.
    pub decrease_threshold: f64,
    pub increase_ratio: f64,
    pub decrease_ratio: f64,
}

impl RadiusOptions {
    /// The first radius; 1 where the rule gives nothing positive. `image_norm` is ‖Ĵĝ‖, for
    /// the rules that need it.
    pub fn first(
        &self,
        x: &[f64],
        scale_inverse: &[f64],
        geometry: &Geometry,
        image_norm: f64,
    ) -> f64 {
        let scaled = || {
            let sizes = x.iter().zip(scale_inverse).zip(&geometry.distance);
            norm(&sizes.map(|((x, inverse), v)| x * inverse / v.sqrt()).collect::<Vec<_>>())
        };
        let cauchy = || {
            let gradient = norm(&geometry.gradient);
            if image_norm == 0.0 { 0.0 } else { (gradient / image_norm).powi(2) }
        };
        let radius = match self.initial {
            Initial::Scaled => scaled(),
            Initial::Cauchy => cauchy(),
            Initial::Mean => (cauchy() * scaled()).sqrt(),
            Initial::Given(radius) => radius,
        };
        let radius = radius * self.initial_ratio;
        if radius > 0.0 { radius } else { 1.0 }
    }

    /// The radius after a step of this length, whose reduction was this multiple of what the model
    /// promised.
    pub fn next(&self, radius: f64, step: f64, ratio: f64) -> f64 {
        let next = if ratio < self.decrease_threshold || ratio.is_nan() {
            self.decrease_ratio * step
        } else if ratio > self.increase_threshold {
            radius.max(self.increase_ratio * step)
        } else {
            radius
        };
        next.min(self.largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: RadiusOptions = RadiusOptions {
        initial: Initial::Given(2.0),
        initial_ratio: 1.0,
        largest: 5.0,
        increase_threshold: 0.75,
        decrease_threshold: 0.25,
        increase_ratio: 2.0,
        decrease_ratio: 0.25,
    };

    #[test]
    fn the_radius_follows_the_ratio() {
        assert_eq!(OPTIONS.next(2.0, 1.5, 0.1), 0.375);
        assert_eq!(OPTIONS.next(2.0, 1.5, f64::NAN), 0.375);
        assert_eq!(OPTIONS.next(2.0, 1.5, f64::NEG_INFINITY), 0.375);
        assert_eq!(OPTIONS.next(2.0, 1.5, 0.5), 2.0);
        assert_eq!(OPTIONS.next(2.0, 1.5, 0.9), 3.0);
        assert_eq!(OPTIONS.next(2.0, 0.5, 0.9), 2.0);
        assert_eq!(OPTIONS.next(2.0, 4.0, 0.9), 5.0);
    }
}
