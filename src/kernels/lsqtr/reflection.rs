//! Which step is taken where the solution p̂ of the trust-region problem leaves the bounds.
//!
//! Three candidates compete for the least value of the model q (see `geometry`):
//!
//! - p̂ shortened to stay a share θ of the way inside the bounds,
//! - the path along p̂ that is reflected where it meets its first bound,
//! - the path along −ĝ.
//!
//! On the last two, q is a parabola of the length, which is minimised within the bounds and the
//! radius.
//!
//! Reference: M. A. Branch, T. F. Coleman, Y. Li, "A subspace, interior, and conjugate gradient
//! method for large-scale bound-constrained minimization problems", SIAM Journal on Scientific
//! Computing 21(1), 1999.

use super::bounds::Bounds;
use super::geometry::Geometry;
use crate::saved;
use serde::{Deserialize, Serialize};

/// A step and what the model expects of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Candidate {
    /// p̂
    #[serde(with = "saved::vector")]
    pub scaled: Vec<f64>,
    /// p = d p̂
    #[serde(with = "saved::vector")]
    pub step: Vec<f64>,
    /// −q(p̂)
    pub reduction: f64,
}

/// The surroundings that the candidates are measured in.
pub struct Region<'a, Image: Fn(&[f64]) -> Vec<f64>> {
    pub point: &'a [f64],
    pub bounds: &'a Bounds,
    pub geometry: &'a Geometry,
    pub radius: f64,
    /// A vector with the length and the angles of (ĴᵀĴ + C)^½ p̂.
    pub image: Image,
}

impl<Image: Fn(&[f64]) -> Vec<f64>> Region<'_, Image> {
    /// The step to take for a solution p̂ of the trust-region problem; θ is the share of the way to
    /// a bound that a step may go.
    pub fn choose(&self, scaled: Vec<f64>, theta: f64) -> Candidate {
        let step = self.geometry.unscaled(&scaled);
        let end: Vec<f64> = self.point.iter().zip(&step).map(|(x, p)| x + p).collect();
        if self.bounds.contain(&end) {
            return self.candidate(scaled, step);
        }
        let reach = self.bounds.reach(self.point, &step);
        let reflected = self.reflected(&scaled, &step, reach, theta);
        let inside = |v: &[f64]| times(&times(v, reach), theta);
        let shortened = self.candidate(inside(&scaled), inside(&step));
        let descent = self.along_gradient(theta);
        [Some(shortened), reflected, Some(descent)]
            .into_iter()
            .flatten()
            .reduce(|best, other| if other.better_than(&best) { other } else { best })
            .unwrap_or_else(|| self.candidate(vec![f64::NAN; end.len()], end))
    }

    fn candidate(&self, scaled: Vec<f64>, step: Vec<f64>) -> Candidate {
        let image = (self.image)(&scaled);
        let value = 0.5 * dot(&image, &image) + dot(&self.geometry.gradient, &scaled);
        Candidate { scaled, step, reduction: -value }
    }

    /// Along p̂ to the bound, and from there with the components that met it turned around.
    fn reflected(&self, scaled: &[f64], step: &[f64], reach: f64, theta: f64) -> Option<Candidate> {
        let reaches = self.bounds.reaches(self.point, step);
        let turn = scaled.iter().zip(reaches);
        let direction: Vec<f64> = turn.map(|(&p, own)| if own == reach { -p } else { p }).collect();
        let unscaled = self.geometry.unscaled(&direction);
        let base = times(scaled, reach);
        let corner: Vec<f64> = self.point.iter().zip(step).map(|(x, p)| x + p * reach).collect();

        let to_radius = self.to_radius(&base, &direction);
        let to_bound = self.bounds.reach(&corner, &unscaled);
        let longest = to_bound.min(to_radius);
        if longest <= 0.0 || longest.is_nan() {
            return None;
        }
        let shortest = (1.0 - theta) * reach / longest;
        let longest = if longest == to_bound { theta * to_bound } else { to_radius };
        if shortest > longest {
            return None;
        }
        let (image, base_image) = ((self.image)(&direction), (self.image)(&base));
        let gradient = &self.geometry.gradient;
        let parabola = Parabola {
            square: 0.5 * dot(&image, &image),
            linear: dot(gradient, &direction) + dot(&base_image, &image),
            constant: 0.5 * dot(&base_image, &base_image) + dot(gradient, &base),
        };
        let (length, value) = parabola.minimum(shortest, longest);
        let path = base.iter().zip(&direction);
        let scaled: Vec<f64> = path.map(|(base, direction)| base + length * direction).collect();
        let step = self.geometry.unscaled(&scaled);
        Some(Candidate { scaled, step, reduction: -value })
    }

    fn along_gradient(&self, theta: f64) -> Candidate {
        let gradient = &self.geometry.gradient;
        let direction = times(gradient, -1.0);
        let unscaled = self.geometry.unscaled(&direction);
        let to_radius = self.radius / dot(gradient, gradient).sqrt();
        let to_bound = self.bounds.reach(self.point, &unscaled);
        let longest = if to_bound < to_radius { theta * to_bound } else { to_radius };
        let image = (self.image)(&direction);
        let parabola = Parabola {
            square: 0.5 * dot(&image, &image),
            linear: dot(gradient, &direction),
            constant: 0.0,
        };
        let (length, value) = parabola.minimum(0.0, longest);
        Candidate {
            scaled: times(&direction, length),
            step: times(&unscaled, length),
            reduction: -value,
        }
    }

    /// The largest t ≥ 0 with ‖p̂ + t r̂‖ ≤ Δ.
    fn to_radius(&self, base: &[f64], direction: &[f64]) -> f64 {
        let a = dot(direction, direction);
        let b = dot(base, direction);
        let c = (dot(base, base) - self.radius * self.radius).min(0.0);
        // The roots of a t² + 2 b t + c without cancellation.
        let root = (b * b - a * c).sqrt();
        let sum = -(b + if b == 0.0 { 0.0 } else { root.copysign(b) });
        let (first, second) = (sum / a, c / sum);
        // Where b is zero the second root is not one, and there is no limit, as DESC has it.
        first.max(second).max(0.0)
    }
}

impl Candidate {
    fn better_than(&self, other: &Candidate) -> bool {
        self.reduction > other.reduction || other.reduction.is_nan()
    }
}

/// square t² + linear t + constant
struct Parabola {
    square: f64,
    linear: f64,
    constant: f64,
}

impl Parabola {
    /// Where it is least between two lengths, and how little.
    fn minimum(&self, low: f64, high: f64) -> (f64, f64) {
        let value = |t: f64| t * (self.square * t + self.linear) + self.constant;
        let vertex = -0.5 * self.linear / self.square;
        let mut best = (low, value(low));
        for t in [high, vertex] {
            let inside = t == high || (low < t && t < high);
            if inside && (value(t) < best.1 || best.1.is_nan()) {
                best = (t, value(t));
            }
        }
        best
    }
}

fn times(v: &[f64], factor: f64) -> Vec<f64> {
    v.iter().map(|v| v * factor).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    crate::linalg::tall::dot(a, b)
}

#[cfg(test)]
mod tests {
    use super::super::scaling::Scaling;
    use super::*;

    #[test]
    fn a_parabola_is_least_at_its_vertex_or_an_end() {
        let parabola = Parabola { square: 1.0, linear: -2.0, constant: 5.0 };
        assert_eq!(parabola.minimum(0.0, 3.0), (1.0, 4.0));
        assert_eq!(parabola.minimum(1.5, 3.0), (1.5, 4.25));
        assert_eq!(parabola.minimum(0.0, 0.5), (0.5, 4.25));
        let line = Parabola { square: 0.0, linear: -1.0, constant: 0.0 };
        assert_eq!(line.minimum(0.0, 2.0), (2.0, -2.0));
    }

    fn chosen(point: &[f64], gradient: &[f64], scaled: Vec<f64>, radius: f64) -> Candidate {
        let bounds = Bounds { lower: vec![0.0; 2], upper: vec![f64::INFINITY; 2] };
        let scaling = Scaling::given(&[1.0; 2]);
        let mut geometry = Geometry::new(point, gradient, &bounds, &scaling, true);
        geometry.unit = vec![1.0; 2];
        geometry.gradient = gradient.to_vec();
        let region = Region {
            point,
            bounds: &bounds,
            geometry: &geometry,
            radius,
            image: |step: &[f64]| step.to_vec(),
        };
        region.choose(scaled, 0.995)
    }

    #[test]
    fn a_step_within_the_bounds_is_taken_as_it_is() {
        let candidate = chosen(&[1.0, 1.0], &[0.5, 0.5], vec![-0.5, -0.5], 5.0);
        assert_eq!(candidate.step, [-0.5, -0.5]);
        assert_eq!(candidate.reduction, 0.25);
    }

    #[test]
    fn whatever_is_taken_stays_within_bounds_and_radius_and_reduces_the_model() {
        for k in 0..200 {
            let part = |i: usize| ((k * 7919 + i * 104_729) % 1009) as f64 / 1009.0;
            let gradient = [4.0 * part(1) - 1.0, 4.0 * part(2) - 1.0];
            let (point, radius) = ([part(3) + 1e-3, part(4) + 1e-3], 2.0 * part(5) + 0.1);
            let mut scaled: Vec<f64> = gradient.iter().map(|g| -g).collect();
            let length = dot(&scaled, &scaled).sqrt();
            scaled = times(&scaled, (radius / length).min(1.0));
            let candidate = chosen(&point, &gradient, scaled, radius);
            let end = [point[0] + candidate.step[0], point[1] + candidate.step[1]];
            assert!(end.iter().all(|&x| x >= 0.0), "{end:?}");
            assert!(dot(&candidate.scaled, &candidate.scaled).sqrt() <= radius * (1.0 + 1e-12));
            assert!(candidate.reduction > 0.0);
        }
    }
}
