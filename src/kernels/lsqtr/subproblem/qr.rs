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
    Side, inverse_condition, qr, qr_of_triangles, solve_triangle, work_space,
};
use crate::linalg::memory::missing;
use crate::linalg::tall::add_scaled;
use crate::saved;
use serde::{Deserialize, Serialize};

/// From this many unknowns on LAPACK is as fast as rotations row by row or faster (measured with a
/// whole trial around it: rotations take two thirds of the time at 8 to 16, and 1.4 times it at 48).
const WORTH_LAPACK: usize = 32;

/// [R̂ z; 0 ρ], of order n + 1.
#[derive(Debug, Deserialize, Serialize)]
pub struct Triangle {
    lapack: Lapack,
    #[serde(with = "saved::vector")]
    r: Vec<f64>,
    order: usize,
    /// The factor for a multiplier, and what is merged into it.
    #[serde(skip)]
    trial: Vec<f64>,
    #[serde(skip)]
    merged: Vec<f64>,
    #[serde(skip)]
    work: Vec<f64>,
}

impl Triangle {
    pub fn new(lapack: Lapack) -> Self {
        Triangle {
            lapack,
            r: Vec::new(),
            order: 0,
            trial: Vec::new(),
            merged: Vec::new(),
            work: Vec::new(),
        }
    }

    /// The bytes that factoring, merging and solving take.
    pub fn room(&self, rows: usize, unknowns: usize) -> usize {
        let order = unknowns + 1;
        // What is too short may be extended to twice its length.
        missing(&self.r, order * order)
            + missing(&self.trial, order * order)
            + missing(&self.merged, unknowns * order)
            + 2 * missing(&self.work, work_space(rows, order))
    }

    /// Factors [J f], which has so many rows and is overwritten.
    pub fn factor(&mut self, stacked: &mut [f64], rows: usize, geometry: &Geometry) {
        let order = stacked.len() / rows;
        let unknowns = order - 1;
        self.order = order;
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
        if geometry.curved() {
            let mut r = std::mem::take(&mut self.r);
            self.merge(&mut r, |i| geometry.curvature[i].sqrt());
            self.r = r;
        }
    }

    /// Makes a triangle that of itself with a diagonal matrix below.
    fn merge(&mut self, r: &mut [f64], diagonal: impl Fn(usize) -> f64) {
        let unknowns = self.unknowns();
        if unknowns < WORTH_LAPACK {
            return rotate(r, self.order, diagonal);
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
        qr_of_triangles(self.lapack, r, self.order, merged, unknowns, &mut self.work);
    }

    /// Whether it has the factors of a matrix with so many columns.
    pub fn fits(&self, unknowns: usize) -> bool {
        self.order == unknowns + 1 && self.r.len() == self.order * self.order
    }

    pub fn unknowns(&self) -> usize {
        self.order - 1
    }

    /// Column j of R̂ down to the diagonal, or z.
    pub fn column(&self, j: usize) -> &[f64] {
        &self.r[j * self.order..][..(j + 1).min(self.unknowns())]
    }

    /// Whether the columns of R̂ may depend on each other, to the rounding of so many rows.
    pub fn deficient(&self, rows: usize) -> bool {
        let unknowns = self.unknowns();
        let rounding = f64::EPSILON * (rows.max(unknowns) * unknowns) as f64;
        ill_conditioned(self.lapack, &self.r, self.order, unknowns, rounding)
    }

    /// −R⁻¹z
    fn step(&self, r: &[f64]) -> Vec<f64> {
        let unknowns = self.unknowns();
        let z = &r[unknowns * self.order..][..unknowns];
        let mut step: Vec<f64> = z.iter().map(|z| -z).collect();
        solve_triangle(self.lapack, r, self.order, Side::Plain, &mut step);
        step
    }

    fn solve(&self, r: &[f64]) -> Trial {
        Trial::new(self.lapack, r, self.order, self.step(r))
    }
}

impl Factors for Triangle {
    fn newton_step(&self) -> Vec<f64> {
        self.step(&self.r)
    }

    fn trial(&mut self, multiplier: f64) -> Option<Trial> {
        if multiplier == 0.0 {
            return Some(self.solve(&self.r));
        }
        let mut trial = std::mem::take(&mut self.trial);
        trial.resize(self.r.len(), 0.0);
        let columns = trial.chunks_exact_mut(self.order).zip(self.r.chunks_exact(self.order));
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
