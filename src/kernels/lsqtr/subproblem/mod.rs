//! The trust-region problem
//!
//!     min ½ ‖Âp + b‖²  subject to  ‖p‖ ≤ Δ,   Â = [Ĵ; sqrt(C)],  b = [f; 0].
//!
//! Its solution is the Newton step where that is short enough, and otherwise the p(α) with
//! (ÂᵀÂ + αI) p(α) = −ĝ whose length is Δ. Moré's iteration for the multiplier α is Newton's for
//! 1/‖p(α)‖ = 1/Δ, kept between bounds:
//!
//!     α₊ = α + (‖p‖² / pᵀ(ÂᵀÂ + αI)⁻¹p) (‖p‖ − Δ)/Δ,
//!
//! and ends within a hundredth of Δ; the step is then scaled to Δ. The last α is where the next
//! problem begins.
//!
//! The factors come in three forms: `qr`, `svd`, and `cholesky`. All three take the same path, to
//! rounding. Where the condition of a triangle says that its columns may depend on each other, `svd`
//! takes over: the step of minimum norm does not depend on the order of the residuals.
//!
//! Reference: J. J. Moré, "The Levenberg-Marquardt algorithm: implementation and theory", Lecture
//! Notes in Mathematics 630, 1978, section 4.

use serde::{Deserialize, Serialize};

mod cholesky;
mod qr;
mod svd;

use ndarray::ArrayView2;

use crate::linalg::columns::{copy_columns, image, products_and_norms};
use crate::linalg::lapack::Lapack;
use crate::linalg::lapack::routines::{Side, solve_triangle};
use crate::linalg::memory::{self, OutOfMemory, bytes_of, missing};
use crate::linalg::norm::norm;
use crate::linalg::tall::room_for_sums;

use super::geometry::Geometry;
use crate::saved;
use cholesky::Normal;
use qr::Triangle;
use svd::Spectrum;

/// How near to the radius a step's length has to be, relative to it.
const NEAR: f64 = 0.01;

/// Evaluations of p(α) at most.
const EVALUATIONS: u32 = 10;

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Method {
    Qr,
    Svd,
    Cholesky,
}

/// The bytes that the singular values of so many columns take, which are looked for when they turn
/// out to be needed.
pub fn room_for_singular_values(unknowns: usize) -> usize {
    Spectrum::room(unknowns)
}

/// p(α), and pᵀ(ÂᵀÂ + αI)⁻¹p.
struct Trial {
    step: Vec<f64>,
    spread: f64,
}

impl Trial {
    /// From a p and the leading triangle R with RᵀR = ÂᵀÂ + αI of a matrix with so many rows:
    /// the last product is ‖R⁻ᵀp‖².
    fn new(lapack: Lapack, r: &[f64], rows: usize, step: Vec<f64>) -> Self {
        let mut q = step.clone();
        solve_triangle(lapack, r, rows, Side::Transposed, &mut q);
        Trial { step, spread: q.iter().map(|q| q * q).sum() }
    }
}

/// What a factored Â can do.
trait Factors {
    /// −Â⁺b
    fn newton_step(&self) -> Vec<f64>;

    /// None where the factorization fails.
    fn trial(&mut self, multiplier: f64) -> Option<Trial>;

    /// A vector with the length and the angles of Âp.
    fn image(&self, step: &[f64]) -> Vec<f64>;
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Form {
    Triangle,
    Spectrum,
    Normal,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Subproblem {
    lapack: Lapack,
    method: Method,
    /// [J f], until it is factored in place.
    #[serde(with = "saved::vector")]
    stacked: Vec<f64>,
    rows: usize,
    form: Form,
    /// What was loaded has become the triangle.
    #[serde(default)]
    triangular: bool,
    triangle: Triangle,
    spectrum: Option<Spectrum>,
    normal: Normal,
    gradient_norm: f64,
    #[serde(with = "saved::vector")]
    newton_step: Vec<f64>,
    newton_norm: f64,
}

impl Subproblem {
    pub fn new(lapack: Lapack, method: Method) -> Self {
        Subproblem {
            lapack,
            method,
            stacked: Vec::new(),
            rows: 0,
            form: Form::Triangle,
            triangular: false,
            triangle: Triangle::new(lapack),
            spectrum: None,
            normal: Normal::new(lapack),
            gradient_norm: 0.0,
            newton_step: Vec::new(),
            newton_norm: 0.0,
        }
    }

    /// The bytes that loading takes.
    pub fn room_to_load(&self, rows: usize, unknowns: usize) -> usize {
        let held = if self.stacked.is_empty() { self.normal.held() } else { &self.stacked };
        missing(held, rows.saturating_mul(unknowns + 1))
            .saturating_add(room_for_sums::<f64>(rows, 2 * unknowns))
            .saturating_add(bytes_of::<f64>(4 * unknowns))
    }

    /// The bytes that factoring and solving take, as long as the columns do not depend on each
    /// other.
    pub fn room_to_solve(&self, unknowns: usize) -> usize {
        let vectors = bytes_of::<f64>(12 * unknowns);
        let normal = match self.method {
            Method::Cholesky => self.normal.room(self.rows, unknowns),
            Method::Qr | Method::Svd => 0,
        };
        self.triangle.room(self.rows, unknowns) + normal + vectors
    }

    /// Copies a Jacobian and its residual; returns Jᵀf and the norms of the columns of J.
    pub fn load(&mut self, jacobian: ArrayView2<f64>, residual: &[f64]) -> (Vec<f64>, Vec<f64>) {
        self.normal.release(&mut self.stacked);
        self.rows = residual.len();
        self.triangular = false;
        let elements = jacobian.len();
        self.stacked.resize(elements + self.rows, 0.0);
        let (columns, last) = self.stacked.split_at_mut(elements);
        copy_columns(columns, jacobian);
        last.copy_from_slice(residual);
        let unknowns = elements / self.rows;
        let mut products = vec![0.0; 2 * unknowns];
        products_and_norms(columns, last, &mut products, &mut Vec::new());
        let norms = products.split_off(unknowns);
        (products, norms)
    }

    /// ‖J p‖ for the Jacobian that was loaded and is not factored yet.
    pub fn image_norm(&self, unscaled: &[f64]) -> f64 {
        norm(&image(&self.stacked, self.rows, unscaled))
    }

    /// Factors what was loaded; false where no factorization converges. Where there is no memory
    /// for the singular values it can be tried again.
    pub fn factor(&mut self, geometry: &Geometry) -> Result<bool, OutOfMemory> {
        let rows = self.rows;
        self.gradient_norm = norm(&geometry.gradient);
        if !self.triangular {
            self.form = Form::Normal;
            if self.method != Method::Cholesky
                || !self.normal.form(&mut self.stacked, rows, geometry)
            {
                self.normal.release(&mut self.stacked);
                self.triangle.factor(&mut self.stacked, rows, geometry);
                self.triangular = true;
            }
        }
        if self.triangular {
            self.form = Form::Triangle;
            let all_rows = if geometry.curved() { rows + geometry.unit.len() } else { rows };
            if self.method == Method::Svd || self.triangle.deficient(all_rows) {
                self.spectrum = None;
                memory::expect(room_for_singular_values(self.triangle.unknowns()))?;
                self.form = Form::Spectrum;
                self.spectrum = Spectrum::of(self.lapack, &self.triangle, all_rows);
                if self.spectrum.is_none() {
                    return Ok(false);
                }
            }
        }
        self.newton_step = self.factors().newton_step();
        self.newton_norm = norm(&self.newton_step);
        Ok(true)
    }

    /// Whether it has a Jacobian of this shape, loaded or factored as the case is; saved state may
    /// not.
    pub fn fits(&self, rows: usize, unknowns: usize, factored: bool) -> bool {
        if !factored {
            return self.rows == rows
                && self.stacked.len() == rows * (unknowns + 1)
                && (!self.triangular || self.triangle.fits(unknowns));
        }
        let factors = match self.form {
            Form::Normal => self.normal.fits(rows, unknowns),
            Form::Triangle => self.triangle.fits(unknowns),
            Form::Spectrum => self.spectrum.as_ref().is_some_and(|form| form.fits(unknowns)),
        };
        factors && self.newton_step.len() == unknowns
    }

    fn factors(&self) -> &dyn Factors {
        match (&self.spectrum, self.form) {
            (_, Form::Normal) => &self.normal,
            (Some(spectrum), Form::Spectrum) => spectrum,
            _ => &self.triangle,
        }
    }

    fn factors_mut(&mut self) -> &mut dyn Factors {
        match (&mut self.spectrum, self.form) {
            (_, Form::Normal) => &mut self.normal,
            (Some(spectrum), Form::Spectrum) => spectrum,
            _ => &mut self.triangle,
        }
    }

    /// A vector with the length and the angles of Âp.
    pub fn image(&self, step: &[f64]) -> Vec<f64> {
        self.factors().image(step)
    }

    /// The solution for a radius, and the multiplier to begin the next search with, which this one
    /// begins with the last.
    pub fn solve(&mut self, radius: f64, multiplier: f64) -> (Vec<f64>, f64) {
        if self.newton_norm <= radius {
            return (self.newton_step.clone(), 0.0);
        }
        let (mut low, mut high) = (0.0, self.gradient_norm / radius);
        let clip = |value: f64, low: f64, high: f64| value.max(low).min(high);
        let mut multiplier = clip(multiplier, low, high);
        let mut step = self.newton_step.clone();
        for _ in 0..EVALUATIONS {
            let Some(trial) = self.factors_mut().trial(multiplier) else { break };
            step = trial.step;
            let length = norm(&step);
            let excess = length - radius;
            if excess < 0.0 {
                high = multiplier;
            } else if excess > 0.0 {
                low = multiplier;
            }
            let change = length * length / trial.spread * excess / radius;
            multiplier = clip(multiplier + change, low, high);
            if excess.abs() <= NEAR * radius || excess.is_nan() {
                break;
            }
        }
        let shrink = radius / norm(&step);
        step.iter_mut().for_each(|step| *step *= shrink);
        (step, multiplier)
    }
}
