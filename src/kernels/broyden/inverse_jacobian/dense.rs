//! H as a matrix, for few unknowns.

use ndarray::{Array1, Array2, ArrayView1};
use serde::{Deserialize, Serialize};

use super::{Step, Store, is_short};
use crate::linalg::Field;
use crate::saved;

#[derive(Debug, Deserialize, Serialize)]
#[serde(bound = "T: Field")]
pub struct Dense<T: Field> {
    /// h₀ = −α
    initial: T,
    #[serde(with = "saved::matrix")]
    matrix: Array2<T>,
    #[serde(with = "saved::vector")]
    direction: Vec<T>,
}

impl<T: Field> Dense<T> {
    pub fn new(initial: T, matrix: Array2<T>, direction: Vec<T>) -> Self {
        Dense { initial, matrix, direction }
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize) -> bool {
        self.matrix.dim() == (unknowns, unknowns) && self.direction.len() == unknowns
    }

    #[cfg(test)]
    pub fn product(&self, v: &[T]) -> Vec<T> {
        self.matrix.dot(&ArrayView1::from(v)).to_vec()
    }

    pub fn initial(&self) -> T {
        self.initial
    }
}

impl<T: Field> Store<T> for Dense<T> {
    fn needs_old_residual(&self, _length: f64) -> bool {
        true
    }

    /// H₊ = H + c δᴴH / (δᴴH y) with c = δ − H y = (λ − 1) p − H F₊.
    fn update(&mut self, step: Step<T>) {
        let direction = Array1::from(std::mem::take(&mut self.direction));
        let to = ArrayView1::from(step.to);
        let (product, c) = if is_short(step.length) {
            let product = self.matrix.dot(&(&to - &ArrayView1::from(step.from)));
            (&product - &direction, &direction * T::of(step.length) - product)
        } else {
            let product = self.matrix.dot(&to);
            let c = &direction * T::of(step.length - 1.0) - &product;
            (product, c)
        };
        let mut row = direction.mapv(|p| p.conj()).dot(&self.matrix);
        let mut change = T::zero();
        for ((&row, &to), &from) in row.iter().zip(step.to).zip(step.from) {
            change += row * (to - from);
        }
        row.mapv_inplace(|entry| entry.over(change));
        for (mut matrix_row, &c) in self.matrix.rows_mut().into_iter().zip(&c) {
            matrix_row.scaled_add(c, &row);
        }
        let correction = row.dot(&to);
        let products = product.iter().zip(&c);
        self.direction = products.map(|(&w, &c)| -(w + c * correction)).collect();
    }

    fn direction(&self) -> &[T] {
        &self.direction
    }
}
