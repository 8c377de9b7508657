//! Upper triangular matrices, row after row without the zeros.

use serde::{Deserialize, Serialize};

use super::givens::update_triangle;
use super::householder::{Householder, product};
use super::memory::{OutOfMemory, size};
use crate::saved;

#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Triangle {
    order: usize,
    #[serde(with = "saved::vector")]
    entries: Vec<f64>,
}

impl Triangle {
    pub fn size(&mut self, order: usize) -> Result<(), OutOfMemory> {
        self.order = order;
        size(&mut self.entries, entry_count(order).ok_or(OutOfMemory)?)
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, order: usize) -> bool {
        self.order == order && entry_count(order) == Some(self.entries.len())
    }

    pub fn entries(&self) -> &[f64] {
        &self.entries
    }

    /// Takes R from the factors of a square matrix.
    pub fn load(&mut self, factors: &Householder) {
        let mut place = 0;
        for (i, &diagonal) in factors.diagonal().iter().enumerate() {
            self.entries[place] = diagonal;
            for j in i + 1..self.order {
                self.entries[place + j - i] = factors.entries()[j * self.order + i];
            }
            place += self.order - i;
        }
    }

    /// The part of row i from the diagonal on.
    fn row(&self, i: usize) -> &[f64] {
        let start = self.row_at(i);
        &self.entries[start..start + self.order - i]
    }

    fn row_at(&self, i: usize) -> usize {
        i * self.order - i * i.saturating_sub(1) / 2
    }

    /// R x
    pub fn multiply(&self, x: &[f64], image: &mut [f64]) {
        for (i, image) in image.iter_mut().enumerate() {
            *image = product(self.row(i), &x[i..]);
        }
    }

    /// Rᵀx
    pub fn multiply_transposed(&self, x: &[f64], image: &mut [f64]) {
        image.fill(0.0);
        for (i, x) in x.iter().enumerate() {
            for (image, entry) in image[i..].iter_mut().zip(self.row(i)) {
                *image += entry * x;
            }
        }
    }

    /// The solution of R x = b. A zero on the diagonal counts as one that is negligible beside the
    /// largest entry above it.
    pub fn solve(&self, b: &[f64], x: &mut [f64]) {
        for i in (0..self.order).rev() {
            let row = self.row(i);
            let sum = product(&row[1..], &x[i + 1..]);
            let pivot = if row[0] == 0.0 { self.negligible(i) } else { row[0] };
            x[i] = (b[i] - sum) / pivot;
        }
    }

    fn negligible(&self, j: usize) -> f64 {
        let column = (0..=j).map(|i| self.entries[self.row_at(i) + j - i].abs());
        let negligible = f64::EPSILON * column.fold(0.0, f64::max);
        if negligible == 0.0 { f64::EPSILON } else { negligible }
    }

    /// Makes R the triangle of R + v uᵀ: v and `spike` become the codes of the rotations that do
    /// so from the left.
    pub fn update(&mut self, u: &[f64], v: &mut [f64], spike: &mut [f64]) {
        update_triangle(&mut self.entries, u, v, spike);
    }
}

fn entry_count(order: usize) -> Option<usize> {
    Some(order.checked_mul(order.checked_add(1)?)? / 2)
}
