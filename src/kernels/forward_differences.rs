//! Jacobians by forward differences, as MINPACK's programs form them.
//!
//! Column j of J is (F(x + hⱼeⱼ) − F(x)) / hⱼ with hⱼ = ε |xⱼ|, or ε where that is zero, and
//! ε = sqrt(max(η, 2⁻⁵²)) for an F whose relative errors are of the size η. Where J has a band,
//! columns that share no row are displaced together: with l subdiagonals and u superdiagonals each
//! (l + u + 1)-th one.
//!
//!     start ─→ ask, tell: once for each group of columns ─→ jacobian
//!
//! Reference: J. J. Moré, B. S. Garbow, K. E. Hillstrom, "User Guide for MINPACK-1", report
//! ANL-80-74, Argonne National Laboratory, 1980.

use ndarray::{ArrayView2, ShapeBuilder};
use serde::{Deserialize, Serialize};

use crate::linalg::memory::{OutOfMemory, size};
use crate::saved;

/// The diagonals beside the main one that are not zero.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Band {
    pub below: usize,
    pub above: usize,
}

impl Band {
    fn contains(self, row: usize, column: usize) -> bool {
        row.saturating_sub(column) <= self.below && column.saturating_sub(row) <= self.above
    }

    fn width(self) -> usize {
        self.below.saturating_add(self.above).saturating_add(1)
    }
}

/// Evaluations of F that the Jacobian for so many unknowns takes.
pub fn evaluations(unknowns: usize, band: Option<Band>) -> usize {
    band.map_or(unknowns, |band| band.width().min(unknowns))
}

/// A Jacobian in the making: asks for F at one displaced point after another.
#[derive(Debug, Deserialize, Serialize)]
pub struct ForwardDifferences {
    /// ε
    relative_step: f64,
    band: Option<Band>,
    #[serde(with = "saved::vector")]
    point: Vec<f64>,
    #[serde(with = "saved::vector")]
    residual: Vec<f64>,
    #[serde(with = "saved::vector")]
    displaced: Vec<f64>,
    /// By columns.
    #[serde(with = "saved::vector")]
    entries: Vec<f64>,
    /// The first column that is displaced, and how many come first.
    group: usize,
    groups: usize,
}

impl ForwardDifferences {
    /// For an F with relative errors of this size.
    pub fn new(relative_error: f64, band: Option<Band>) -> Self {
        ForwardDifferences {
            relative_step: f64::max(relative_error, f64::EPSILON).sqrt(),
            band,
            point: Vec::new(),
            residual: Vec::new(),
            displaced: Vec::new(),
            entries: Vec::new(),
            group: 0,
            groups: 0,
        }
    }

    /// Begins a Jacobian at a point that has this residual.
    pub fn start(&mut self, point: &[f64], residual: &[f64]) -> Result<(), OutOfMemory> {
        let count = point.len().saturating_mul(residual.len());
        (self.group, self.groups) = (0, 0);
        size(&mut self.entries, count)?;
        for (vector, values) in
            [(&mut self.point, point), (&mut self.displaced, point), (&mut self.residual, residual)]
        {
            size(vector, values.len())?;
            vector.copy_from_slice(values);
        }
        self.groups = evaluations(point.len(), self.band);
        self.displace();
        Ok(())
    }

    /// Where F is needed next; None once the Jacobian is complete.
    pub fn ask(&self) -> Option<&[f64]> {
        (self.group < self.groups).then_some(&self.displaced)
    }

    /// F at the point that was asked.
    pub fn tell(&mut self, residual: &[f64]) {
        if self.group >= self.groups {
            return;
        }
        let (rows, step) = (self.residual.len(), self.relative_step);
        // A band that reaches all columns is none.
        let band = self.band.filter(|_| self.groups < self.point.len());
        for j in (self.group..self.point.len()).step_by(self.groups) {
            let h = length(self.point[j], step);
            let column = &mut self.entries[j * rows..(j + 1) * rows];
            let values = residual.iter().zip(&self.residual);
            for (i, (entry, (displaced, value))) in column.iter_mut().zip(values).enumerate() {
                let within = band.is_none_or(|band| band.contains(i, j));
                *entry = if within { (displaced - value) / h } else { 0.0 };
            }
            self.displaced[j] = self.point[j];
        }
        self.group += 1;
        self.displace();
    }

    /// The Jacobian, once it is complete.
    pub fn jacobian(&self) -> ArrayView2<'_, f64> {
        let shape = (self.residual.len(), self.point.len());
        ArrayView2::from_shape(shape.f(), &self.entries).unwrap_or(ArrayView2::from(&[[]]))
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize, equations: usize) -> bool {
        let complete = evaluations(unknowns, self.band);
        self.point.len() == unknowns
            && self.displaced.len() == unknowns
            && self.residual.len() == equations
            && unknowns.checked_mul(equations) == Some(self.entries.len())
            && (self.groups == complete && self.group <= complete)
    }

    fn displace(&mut self) {
        if self.group < self.groups {
            for j in (self.group..self.point.len()).step_by(self.groups) {
                self.displaced[j] = self.point[j] + length(self.point[j], self.relative_step);
            }
        }
    }
}

/// hⱼ
fn length(x: f64, relative: f64) -> f64 {
    let length = relative * x.abs();
    if length == 0.0 { relative } else { length }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    /// The Jacobian of a linear function, and how often that was evaluated.
    fn jacobian(matrix: &Array2<f64>, band: Option<Band>) -> (Array2<f64>, usize) {
        let f = |x: &[f64]| matrix.dot(&ndarray::aview1(x)).to_vec();
        let point = vec![0.0; matrix.ncols()];
        let mut differences = ForwardDifferences::new(0.0, band);
        differences.start(&point, &f(&point)).unwrap();
        let mut calls = 0;
        while let Some(x) = differences.ask() {
            calls += 1;
            let value = f(x);
            differences.tell(&value);
        }
        (differences.jacobian().to_owned(), calls)
    }

    #[test]
    fn a_linear_function_has_its_matrix() {
        let matrix = array![[1.0, 2.0], [0.0, -4.0], [8.0, 0.5]];
        assert_eq!(jacobian(&matrix, None), (matrix, 2));
    }

    #[test]
    fn columns_of_a_band_that_share_no_row_are_displaced_together() {
        let mut matrix = Array2::eye(5) * 2.0;
        for i in 1..5 {
            matrix[(i, i - 1)] = 1.0;
        }
        let band = Band { below: 1, above: 0 };
        assert_eq!(jacobian(&matrix, Some(band)), (matrix, 2));
    }

    #[test]
    fn a_band_that_reaches_all_columns_is_none() {
        let matrix = Array2::from_shape_fn((3, 3), |(i, j)| (3 * i + j) as f64);
        assert_eq!(jacobian(&matrix, Some(Band { below: 2, above: 0 })), (matrix, 3));
    }

    #[test]
    fn a_step_is_relative_to_the_unknown_or_itself_where_that_is_zero() {
        let mut differences = ForwardDifferences::new(1e-4, None);
        differences.start(&[-3.0, 0.0], &[0.0]).unwrap();
        assert_eq!(differences.ask(), Some(&[-3.0 + 1e-2 * 3.0, 0.0][..]));
        differences.tell(&[1.0]);
        assert_eq!(differences.ask(), Some(&[-3.0, 1e-2][..]));
        differences.tell(&[2.0]);
        assert_eq!(differences.ask(), None);
        assert_eq!(differences.jacobian(), array![[1.0 / (1e-2 * 3.0), 2.0 / 1e-2]]);
    }
}
