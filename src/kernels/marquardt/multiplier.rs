//! The multiplier λ of a step within the radius.
//!
//! With p(λ) the minimum of ‖F + J p‖² + λ‖D p‖², λ is zero where ‖D p(0)‖ is at most Δ, and
//! otherwise a zero of φ(λ) = ‖D p(λ)‖ − Δ, each to a tenth of Δ. Newton's method for 1/Δ − 1/‖D p‖
//! is kept between bounds,
//!
//!     −φ(0) / φ'(0) ≤ λ ≤ ‖D⁻¹JᵀF‖ / Δ,
//!
//! the first of which is zero where J is rank-deficient; they close in with every λ that is tried.
//! With q = D²p/‖D p‖ the correction is φ/Δ / ‖S⁻ᵀPᵀq‖², S of `damped`. Steps have their sign changed
//! here.

use serde::{Deserialize, Serialize};

use crate::linalg::damped::Damped;
use crate::linalg::householder::{Householder, product};
use crate::linalg::memory::{OutOfMemory, size};
use crate::linalg::scaled_norm::scaled_norm;
use crate::saved;

/// How far ‖D p‖ may be from the radius, relative to it.
const TOLERANCE: f64 = 0.1;

/// How many multipliers are tried.
const TRIALS: usize = 10;

/// A multiplier, and work space.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Multiplier {
    pub value: f64,
    /// D p
    #[serde(with = "saved::vector")]
    scaled_step: Vec<f64>,
    #[serde(with = "saved::vector")]
    work: Vec<f64>,
    damped: Damped,
}

/// A Jacobian that is factored, with the diagonal of R stored, and what belongs to it.
pub struct Model<'a> {
    pub factors: &'a mut Householder,
    /// D
    pub scale: &'a [f64],
    /// QᵀF
    pub b: &'a [f64],
}

impl Multiplier {
    pub fn size(&mut self, unknowns: usize) -> Result<(), OutOfMemory> {
        size(&mut self.scaled_step, unknowns)?;
        size(&mut self.work, unknowns)?;
        self.damped.size(unknowns)
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize) -> bool {
        self.scaled_step.len() == unknowns
            && self.work.len() == unknowns
            && self.damped.fits(unknowns)
    }

    /// Finds −p and its multiplier, beginning with the multiplier that was found last.
    pub fn find(&mut self, model: Model, radius: f64, step: &mut [f64]) {
        let full_rank = self.gauss_newton(&model, step);
        let mut length = self.measure(model.scale, step);
        let mut excess = length - radius;
        if excess <= TOLERANCE * radius {
            self.value = 0.0;
            return;
        }
        let mut lower =
            if full_rank { self.lower_bound(&model, length, excess / radius) } else { 0.0 };
        let slope = self.slope_at_zero(&model);
        let mut upper = slope / radius;
        if upper == 0.0 {
            upper = f64::MIN_POSITIVE / f64::min(radius, TOLERANCE);
        }
        self.value = f64::min(f64::max(self.value, lower), upper);
        if self.value == 0.0 {
            self.value = slope / length;
        }
        let Model { factors, scale, b } = model;
        for trial in 1.. {
            if self.value == 0.0 {
                self.value = f64::max(f64::MIN_POSITIVE, 0.001 * upper);
            }
            let root = self.value.sqrt();
            for (damping, scale) in self.work.iter_mut().zip(scale) {
                *damping = root * scale;
            }
            self.damped.solve(factors, &self.work, b, step);
            length = self.measure(scale, step);
            let last_excess = excess;
            excess = length - radius;
            let stays_short = lower == 0.0 && excess <= last_excess && last_excess < 0.0;
            if excess.abs() <= TOLERANCE * radius || stays_short || trial == TRIALS {
                return;
            }
            self.direct(factors, scale, length);
            self.damped.solve_transposed(factors, &mut self.work);
            let correction = divide_by_square(excess / radius, scaled_norm(&self.work));
            if excess > 0.0 {
                lower = f64::max(lower, self.value);
            }
            if excess < 0.0 {
                upper = f64::min(upper, self.value);
            }
            self.value = f64::max(lower, self.value + correction);
        }
    }

    /// −p(0), where components from the first zero pivot on are zero. Whether there is none.
    fn gauss_newton(&mut self, model: &Model, step: &mut [f64]) -> bool {
        let unknowns = step.len();
        let zero = |&j: &usize| model.factors.column(j)[j] == 0.0;
        let rank = (0..unknowns).find(zero).unwrap_or(unknowns);
        self.work[..rank].copy_from_slice(&model.b[..rank]);
        self.work[rank..].fill(0.0);
        for j in (0..rank).rev() {
            let column = model.factors.column(j);
            self.work[j] /= column[j];
            let multiple = self.work[j];
            for (component, entry) in self.work[..j].iter_mut().zip(column) {
                *component -= entry * multiple;
            }
        }
        for (&place, &component) in model.factors.permutation().iter().zip(&self.work) {
            step[place as usize] = component;
        }
        rank == unknowns
    }

    /// ‖D p‖
    fn measure(&mut self, scale: &[f64], step: &[f64]) -> f64 {
        for (product, (scale, step)) in self.scaled_step.iter_mut().zip(scale.iter().zip(step)) {
            *product = scale * step;
        }
        scaled_norm(&self.scaled_step)
    }

    /// Puts Pᵀq into the work space, for a D p of this length.
    fn direct(&mut self, factors: &Householder, scale: &[f64], length: f64) {
        for (component, &place) in self.work.iter_mut().zip(factors.permutation()) {
            let place = place as usize;
            *component = scale[place] * (self.scaled_step[place] / length);
        }
    }

    /// −φ(0) / φ'(0)
    fn lower_bound(&mut self, model: &Model, length: f64, relative_excess: f64) -> f64 {
        self.direct(model.factors, model.scale, length);
        for j in 0..self.work.len() {
            let column = model.factors.column(j);
            let sum = product(&column[..j], &self.work[..j]);
            self.work[j] = (self.work[j] - sum) / column[j];
        }
        divide_by_square(relative_excess, scaled_norm(&self.work))
    }

    /// ‖D⁻¹JᵀF‖
    fn slope_at_zero(&mut self, model: &Model) -> f64 {
        for (j, &place) in model.factors.permutation().iter().enumerate() {
            let sum = product(&model.factors.column(j)[..=j], &model.b[..=j]);
            self.work[j] = sum / model.scale[place as usize];
        }
        scaled_norm(&self.work)
    }
}

/// a / b², without the square.
fn divide_by_square(a: f64, b: f64) -> f64 {
    (a / b) / b
}
