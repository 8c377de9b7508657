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
        size(&mut self.entries, entry_count(order).unwrap_or(usize::MAX))
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

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, ShapeBuilder, array};

    use crate::linalg::givens::Sequences;

    fn triangle(entries: &[f64], order: usize) -> Triangle {
        Triangle { order, entries: entries.to_vec() }
    }

    fn full(triangle: &Triangle) -> Array2<f64> {
        let entry = |(i, j): (usize, usize)| if j < i { 0.0 } else { triangle.row(i)[j - i] };
        Array2::from_shape_fn((triangle.order, triangle.order), entry)
    }

    #[test]
    fn products_and_solutions() {
        let r = triangle(&[2.0, 1.0, -1.0, 4.0, 3.0, 8.0], 3);
        assert_eq!(full(&r), array![[2.0, 1.0, -1.0], [0.0, 4.0, 3.0], [0.0, 0.0, 8.0]]);
        let (mut image, mut solution) = ([0.0; 3], [0.0; 3]);
        r.multiply(&[1.0, 2.0, 3.0], &mut image);
        assert_eq!(image, [1.0, 17.0, 24.0]);
        r.solve(&image, &mut solution);
        assert_eq!(solution, [1.0, 2.0, 3.0]);
        r.multiply_transposed(&[1.0, 2.0, 3.0], &mut image);
        assert_eq!(image, [2.0, 9.0, 29.0]);
    }

    #[test]
    fn a_zero_pivot_is_negligible_beside_its_column() {
        let mut solution = [0.0; 2];
        triangle(&[2.0, 4.0, 0.0], 2).solve(&[0.0, 1.0], &mut solution);
        assert_eq!(solution[1], 1.0 / (4.0 * f64::EPSILON));
        triangle(&[0.0], 1).solve(&[1.0], &mut solution[..1]);
        assert_eq!(solution[0], 1.0 / f64::EPSILON);
    }

    #[test]
    fn an_update_keeps_the_product_of_the_factors() {
        for order in [1, 2, 5] {
            let number = |k: usize| ((5 * k + 2) as f64).sin();
            let mut r = Triangle::default();
            r.size(order).unwrap();
            r.entries.iter_mut().enumerate().for_each(|(k, entry)| *entry = number(k));
            let u: Vec<f64> = (0..order).map(|k| number(k + 40)).collect();
            let mut v: Vec<f64> = (0..order).map(|k| number(k + 80)).collect();
            let column = |v: &[f64]| Array2::from_shape_vec((order, 1), v.to_vec()).unwrap();
            let changed = full(&r) + column(&v).dot(&column(&u).t());

            let mut spike = vec![0.0; order];
            r.update(&u, &mut v, &mut spike);
            let mut q = Array2::<f64>::eye(order).into_raw_vec_and_offset().0;
            Sequences { first: &v, second: &spike }.multiply_from_right(&mut q, order);
            let q = Array2::from_shape_vec((order, order).f(), q).unwrap();
            let error = q.dot(&full(&r)) - changed;
            assert!(error.iter().all(|error| error.abs() < 1e-14), "{error}");
        }
    }
}
