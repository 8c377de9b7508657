//! The QR factors of the least-squares form.
//!
//! With [J f] = Q [R z; 0 ρ] the factor of Ĵ = J diag(d) is R̂ = R diag(d), because Householder QR
//! does not mind the lengths of columns, and Qᵀf = z comes along. The rows sqrt(C), and sqrt(α) I
//! for a multiplier, are diagonal, and merging a triangle with a triangle takes a fraction of
//! a factorization (LAPACK's tpqrt). Neither Q nor ĴᵀĴ is ever formed.

use super::{Factors, Trial};
use crate::kernels::lsqtr::geometry::Geometry;
use crate::linalg::lapack::Lapack;
use crate::linalg::lapack::routines::{
    Side, inverse_condition, qr, qr_of_triangles, solve_triangle,
};
use crate::linalg::tall::add_scaled;

/// From this many unknowns on LAPACK is as fast as rotations row by row or faster (measured with a
/// whole trial around it: rotations take two thirds of the time at 8 to 16, and 1.4 times it at 48).
const WORTH_LAPACK: usize = 32;

/// [R̂ z; 0 ρ], of order n + 1.
#[derive(Debug)]
pub struct Triangle {
    lapack: Lapack,
    r: Vec<f64>,
    /// The factor for a multiplier, and what is merged into it.
    trial: Vec<f64>,
    merged: Vec<f64>,
    work: Vec<f64>,
}

impl Triangle {
    pub fn new(lapack: Lapack) -> Self {
        Triangle { lapack, r: Vec::new(), trial: Vec::new(), merged: Vec::new(), work: Vec::new() }
    }

    /// Factors [J f], which has so many rows and is overwritten.
    pub fn factor(&mut self, stacked: &mut [f64], rows: usize, geometry: &Geometry) {
        let order = stacked.len() / rows;
        let unknowns = order - 1;
        qr(self.lapack, stacked, rows, order, &mut self.work);
        self.r.clear();
        self.r.resize(order * order, 0.0);
        for (j, (target, source)) in
            self.r.chunks_exact_mut(order).zip(stacked.chunks_exact(rows)).enumerate()
        {
            let unit = if j < unknowns { geometry.unit[j] } else { 1.0 };
            let filled = rows.min(j + 1);
            for (target, source) in target[..filled].iter_mut().zip(&source[..filled]) {
                *target = source * unit;
            }
        }
        if geometry.curvature.iter().any(|&curvature| curvature != 0.0) {
            let mut r = std::mem::take(&mut self.r);
            self.merge(&mut r, |i| geometry.curvature[i].sqrt());
            self.r = r;
        }
    }

    /// Makes a triangle that of itself with a diagonal matrix below.
    fn merge(&mut self, r: &mut [f64], diagonal: impl Fn(usize) -> f64) {
        let unknowns = self.unknowns_of(r.len());
        if unknowns < WORTH_LAPACK {
            return rotate(r, unknowns + 1, diagonal);
        }
        self.merged.resize(unknowns * (unknowns + 1), 0.0);
        // What is below the diagonal is not looked at.
        for (j, column) in self.merged.chunks_exact_mut(unknowns).enumerate() {
            column[..(j + 1).min(unknowns)].fill(0.0);
            if j < unknowns {
                column[j] = diagonal(j);
            }
        }
        let merged = &mut self.merged;
        qr_of_triangles(self.lapack, r, unknowns + 1, merged, unknowns, &mut self.work);
    }

    fn unknowns_of(&self, length: usize) -> usize {
        length.isqrt() - 1
    }

    pub fn unknowns(&self) -> usize {
        self.unknowns_of(self.r.len())
    }

    /// Column j of R̂ down to the diagonal, or z.
    pub fn column(&self, j: usize) -> &[f64] {
        let order = self.unknowns() + 1;
        &self.r[j * order..j * order + (j + 1).min(order - 1)]
    }

    /// Whether the columns of R̂ may depend on each other, to the rounding of so many rows.
    pub fn deficient(&self, rows: usize) -> bool {
        let unknowns = self.unknowns();
        let rounding = f64::EPSILON * (rows.max(unknowns) * unknowns) as f64;
        ill_conditioned(self.lapack, &self.r, unknowns + 1, unknowns, rounding)
    }

    /// −R⁻¹z, and ‖R⁻ᵀp‖² for that p.
    fn solve(&self, r: &[f64]) -> Trial {
        let unknowns = self.unknowns();
        let order = unknowns + 1;
        let mut step: Vec<f64> = r[unknowns * order..][..unknowns].iter().map(|z| -z).collect();
        solve_triangle(self.lapack, r, order, Side::Plain, &mut step);
        let mut q = step.clone();
        solve_triangle(self.lapack, r, order, Side::Transposed, &mut q);
        Trial { step, spread: q.iter().map(|q| q * q).sum() }
    }
}

impl Factors for Triangle {
    fn newton_step(&self) -> Vec<f64> {
        self.solve(&self.r).step
    }

    fn trial(&mut self, multiplier: f64) -> Option<Trial> {
        if multiplier == 0.0 {
            return Some(self.solve(&self.r));
        }
        let mut trial = std::mem::take(&mut self.trial);
        trial.resize(self.r.len(), 0.0);
        let order = self.unknowns() + 1;
        let columns = trial.chunks_exact_mut(order).zip(self.r.chunks_exact(order));
        for (j, (trial, column)) in columns.enumerate() {
            trial[..=j].copy_from_slice(&column[..=j]);
        }
        self.merge(&mut trial, |_| multiplier.sqrt());
        let solution = self.solve(&trial);
        self.trial = trial;
        Some(solution)
    }

    fn image(&self, step: &[f64]) -> Vec<f64> {
        let mut image = vec![0.0; step.len()];
        for (j, &step) in step.iter().enumerate() {
            add_scaled(&mut image[..=j], step, self.column(j));
        }
        image
    }
}

/// A triangle whose diagonal varies less is not worth a closer look.
const SMALL_PIVOT: f64 = 1e-3;

/// Whether the inverse of the condition of a triangle is at most this, which a small pivot is a
/// first sign of. The triangle is the leading one of a matrix with so many rows.
pub fn ill_conditioned(
    lapack: Lapack,
    r: &[f64],
    rows: usize,
    order: usize,
    tolerance: f64,
) -> bool {
    let diagonal = r.iter().step_by(rows + 1).take(order).map(|pivot| pivot.abs());
    let (smallest, largest) =
        diagonal.fold((f64::INFINITY, 0.0), |(s, l): (f64, f64), d| (s.min(d), l.max(d)));
    smallest <= SMALL_PIVOT * largest && inverse_condition(lapack, r, rows, order) <= tolerance
}

/// Makes a triangle that of itself with a diagonal matrix below, by a Givens rotation for each
/// element that is not zero.
fn rotate(r: &mut [f64], order: usize, diagonal: impl Fn(usize) -> f64) {
    let mut row = vec![0.0; order];
    for first in 0..order - 1 {
        row[first..].fill(0.0);
        row[first] = diagonal(first);
        for k in first..order - 1 {
            if row[k] == 0.0 {
                continue;
            }
            let pivot = r[k * order + k];
            let length = pivot.hypot(row[k]);
            let (cosine, sine) = (pivot / length, row[k] / length);
            for (j, row) in row.iter_mut().enumerate().skip(k) {
                let entry = &mut r[j * order + k];
                (*entry, *row) = (cosine * *entry + sine * *row, cosine * *row - sine * *entry);
            }
        }
    }
}
