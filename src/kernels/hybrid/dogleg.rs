//! The step of least model norm along the dogleg.
//!
//! With the gradient g = D⁻¹Rᵀb of the scaled variables, b = QᵀF, the path runs
//!
//!     0 → −σ D⁻¹ g/‖g‖ → −R⁻¹b,   σ = ‖g‖ / ‖R D⁻¹ g/‖g‖‖²,
//!
//! and the model falls along it while ‖D p‖ grows, so that the radius is the only thing that ends
//! it. The step is found with its sign changed.

use serde::{Deserialize, Serialize};

use crate::linalg::memory::{OutOfMemory, size};
use crate::linalg::scaled_norm::scaled_norm;
use crate::linalg::triangle::Triangle;
use crate::saved;

/// Work space.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Dogleg {
    #[serde(with = "saved::vector")]
    gradient: Vec<f64>,
    #[serde(with = "saved::vector")]
    image: Vec<f64>,
}

impl Dogleg {
    pub fn size(&mut self, unknowns: usize) -> Result<(), OutOfMemory> {
        size(&mut self.gradient, unknowns)?;
        size(&mut self.image, unknowns)
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize) -> bool {
        self.gradient.len() == unknowns && self.image.len() == unknowns
    }

    /// Finds −p.
    pub fn find(&mut self, r: &Triangle, scale: &[f64], b: &[f64], radius: f64, step: &mut [f64]) {
        r.solve(b, step);
        for (image, (scale, step)) in self.image.iter_mut().zip(scale.iter().zip(&*step)) {
            *image = scale * step;
        }
        let newton = scaled_norm(&self.image);
        if newton <= radius {
            return;
        }
        r.multiply_transposed(b, &mut self.gradient);
        divide(&mut self.gradient, scale);
        let gradient = scaled_norm(&self.gradient);
        let (mut cauchy, mut share) = (0.0, radius / newton);
        if gradient != 0.0 {
            self.gradient.iter_mut().for_each(|component| *component /= gradient);
            divide(&mut self.gradient, scale);
            r.multiply(&self.gradient, &mut self.image);
            let slope = scaled_norm(&self.image);
            cauchy = (gradient / slope) / slope;
            share = if cauchy < radius {
                let b = scaled_norm(b);
                let scale = (b / gradient) * (b / newton);
                share_of_newton_step(scale, cauchy / radius, radius / newton)
            } else {
                0.0
            };
        }
        let length = (1.0 - share) * f64::min(cauchy, radius);
        for (step, gradient) in step.iter_mut().zip(&self.gradient) {
            *step = length * gradient + share * *step;
        }
    }
}

/// The α for which (1 − α) times the Cauchy step plus α times the Newton step has the length of the
/// radius. `cauchy` is σ/Δ, `newton` is Δ/‖D R⁻¹b‖, and `scale` is ‖b‖² / (‖g‖ ‖D R⁻¹b‖).
fn share_of_newton_step(scale: f64, cauchy: f64, newton: f64) -> f64 {
    let square = |x: f64| x * x;
    let cosine = scale * cauchy;
    let root = (square(cosine - newton) + (1.0 - square(newton)) * (1.0 - square(cauchy))).sqrt();
    let divisor = cosine - newton * square(cauchy) + root;
    (newton * (1.0 - square(cauchy))) / divisor
}

/// v ← D⁻¹v
fn divide(vector: &mut [f64], scale: &[f64]) {
    for (component, scale) in vector.iter_mut().zip(scale) {
        *component /= scale;
    }
}
