//! The normal equations, (ĴᵀĴ + C + αI) p = −ĝ, by Cholesky factors RᵀR of the matrix.
//!
//! Forming JᵀJ costs half of a QR factorization and runs at the full speed of the processor, but
//! has the square of the condition of J. Where that leaves no digits, the QR factors take over.

use super::qr::ill_conditioned;
use super::{Factors, Trial};
use crate::kernels::lsqtr::geometry::Geometry;
use crate::linalg::columns;
use crate::linalg::lapack::Lapack;
use crate::linalg::lapack::routines::{Side, cholesky, gram, solve_triangle};
use crate::linalg::memory::{bytes_of, missing};
use crate::linalg::tall::room_for_sums;
use crate::saved;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
pub struct Normal {
    lapack: Lapack,
    /// The upper triangle of ĴᵀĴ + C.
    #[serde(with = "saved::vector")]
    matrix: Vec<f64>,
    /// The factor for a multiplier.
    #[serde(with = "saved::vector")]
    factor: Vec<f64>,
    /// [J f], d, C and ĝ
    #[serde(with = "saved::vector")]
    stacked: Vec<f64>,
    rows: usize,
    geometry: Geometry,
}

impl Normal {
    pub fn new(lapack: Lapack) -> Self {
        Normal {
            lapack,
            matrix: Vec::new(),
            factor: Vec::new(),
            stacked: Vec::new(),
            rows: 0,
            geometry: Geometry::default(),
        }
    }

    /// The bytes that factoring and solving take, with the images of steps.
    pub fn room(&self, rows: usize, unknowns: usize) -> usize {
        let square = unknowns * unknowns;
        missing(&self.matrix, square)
            + missing(&self.factor, square)
            + bytes_of::<f64>(6 * (rows + unknowns) + 4 * unknowns)
            + room_for_sums::<f64>(rows, 1)
    }

    /// [J f], if it is here.
    pub fn held(&self) -> &Vec<f64> {
        &self.stacked
    }

    /// Takes [J f] with so many rows, and factors its matrix; false where that is not positive
    /// definite to rounding.
    pub fn form(&mut self, stacked: &mut Vec<f64>, rows: usize, geometry: &Geometry) -> bool {
        self.stacked = std::mem::take(stacked);
        self.rows = rows;
        self.geometry.clone_from(geometry);
        let unknowns = geometry.unit.len();
        self.matrix.resize(unknowns * unknowns, 0.0);
        gram(self.lapack, &self.stacked, rows, unknowns, &mut self.matrix);
        for (j, column) in self.matrix.chunks_exact_mut(unknowns).enumerate() {
            for (entry, unit) in column.iter_mut().zip(&geometry.unit) {
                *entry *= unit * geometry.unit[j];
            }
            column[j] += geometry.curvature[j];
        }
        self.factor(0.0) && !self.deficient()
    }

    /// Whether it has the factors for a Jacobian of this shape.
    pub fn fits(&self, rows: usize, unknowns: usize) -> bool {
        let square = unknowns * unknowns;
        self.matrix.len() == square
            && self.factor.len() == square
            && self.rows == rows
            && self.stacked.len() == rows * (unknowns + 1)
            && self.geometry.fits(unknowns)
    }

    /// Gives [J f] back, if it is here.
    pub fn release(&mut self, stacked: &mut Vec<f64>) {
        if !self.stacked.is_empty() {
            *stacked = std::mem::take(&mut self.stacked);
        }
    }

    fn factor(&mut self, multiplier: f64) -> bool {
        let unknowns = self.geometry.unit.len();
        self.factor.clone_from(&self.matrix);
        for diagonal in self.factor.iter_mut().step_by(unknowns + 1) {
            *diagonal += multiplier;
        }
        cholesky(self.lapack, &mut self.factor, unknowns)
    }

    /// Whether the condition of R is more than that of a square that rounding leaves digits of.
    fn deficient(&self) -> bool {
        let unknowns = self.geometry.unit.len();
        let rounding = (f64::EPSILON * unknowns as f64).sqrt() * unknowns as f64;
        ill_conditioned(self.lapack, &self.factor, unknowns, unknowns, rounding)
    }

    /// −R⁻¹R⁻ᵀĝ for the last factor R.
    fn step(&self) -> Vec<f64> {
        let unknowns = self.geometry.unit.len();
        let solve = |side, b: &mut [f64]| {
            solve_triangle(self.lapack, &self.factor, unknowns, side, b);
        };
        let mut step: Vec<f64> = self.geometry.gradient.iter().map(|g| -g).collect();
        solve(Side::Transposed, &mut step);
        solve(Side::Plain, &mut step);
        step
    }
}

impl Factors for Normal {
    /// The factor is still that of the matrix itself when this is called.
    fn newton_step(&self) -> Vec<f64> {
        self.step()
    }

    fn trial(&mut self, multiplier: f64) -> Option<Trial> {
        let unknowns = self.geometry.unit.len();
        self.factor(multiplier)
            .then(|| Trial::new(self.lapack, &self.factor, unknowns, self.step()))
    }

    fn image(&self, step: &[f64]) -> Vec<f64> {
        let unscaled = self.geometry.unscaled(step);
        let mut image = columns::image(&self.stacked, self.rows, &unscaled);
        let curved = step.iter().zip(&self.geometry.curvature);
        image.extend(curved.map(|(step, curvature)| step * curvature.sqrt()));
        image
    }
}
