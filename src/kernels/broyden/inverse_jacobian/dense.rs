//! H as a matrix, for few unknowns.

use serde::{Deserialize, Serialize};

use super::{Step, Store, is_short};
use crate::linalg::Field;
use crate::linalg::memory::{OutOfMemory, bytes_of, size};
use crate::linalg::tall::{add_scaled, sum_pairs};
use crate::saved;

#[derive(Debug, Deserialize, Serialize)]
#[serde(bound = "T: Field")]
pub struct Dense<T: Field> {
    /// h₀ = −α
    initial: T,
    /// H, row by row.
    #[serde(with = "saved::vector")]
    matrix: Vec<T>,
    #[serde(with = "saved::vector")]
    direction: Vec<T>,
    /// δᴴH, H F₊ or H y, and y
    #[serde(skip)]
    row: Vec<T>,
    #[serde(skip)]
    product: Vec<T>,
    #[serde(skip)]
    change: Vec<T>,
}

impl<T: Field> Default for Dense<T> {
    fn default() -> Self {
        Dense {
            initial: T::zero(),
            matrix: Vec::new(),
            direction: Vec::new(),
            row: Vec::new(),
            product: Vec::new(),
            change: Vec::new(),
        }
    }
}

impl<T: Field> Dense<T> {
    /// The bytes that `start` and the conversion to this store take.
    pub fn room_to_begin(unknowns: usize) -> usize {
        bytes_of::<T>(unknowns.saturating_mul(unknowns).saturating_add(5 * unknowns))
    }

    /// Begins with H₀ = h₀ I.
    pub fn start(&mut self, initial: T, residual: &[T]) -> Result<(), OutOfMemory> {
        let unknowns = residual.len();
        self.initial = initial;
        size(&mut self.matrix, unknowns.saturating_mul(unknowns))?;
        size(&mut self.direction, unknowns)?;
        self.restart(residual);
        self.prepare()
    }

    /// Goes back to H₀.
    pub fn restart(&mut self, residual: &[T]) {
        self.matrix.fill(T::zero());
        self.matrix.iter_mut().step_by(residual.len() + 1).for_each(|entry| *entry = self.initial);
        for (p, &f) in self.direction.iter_mut().zip(residual) {
            *p = -self.initial * f;
        }
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize) -> bool {
        self.matrix.len() == unknowns * unknowns && self.direction.len() == unknowns
    }

    /// Gives the work space, which is not saved, its size.
    pub fn prepare(&mut self) -> Result<(), OutOfMemory> {
        let unknowns = self.direction.len();
        size(&mut self.row, unknowns)?;
        size(&mut self.product, unknowns)?;
        size(&mut self.change, unknowns)
    }

    /// H ← (I + c rᴴ) H
    pub fn multiply_from_left(&mut self, c: &[T], r: &[T]) {
        set_product_from_left(&mut self.row, r, &self.matrix);
        for (row, &c) in self.matrix.chunks_exact_mut(c.len()).zip(c) {
            add_scaled(row, c, &self.row);
        }
    }

    pub fn direction_mut(&mut self) -> &mut [T] {
        &mut self.direction
    }

    #[cfg(test)]
    pub fn product(&self, v: &[T]) -> Vec<T> {
        self.matrix.chunks_exact(v.len()).map(|row| sum_pairs(row, v, |h, v| h * v)).collect()
    }
}

/// row ← vᴴM, for a matrix that lies row by row
fn set_product_from_left<T: Field>(row: &mut [T], v: &[T], matrix: &[T]) {
    row.fill(T::zero());
    for (matrix_row, &v) in matrix.chunks_exact(v.len()).zip(v) {
        add_scaled(row, v.conj(), matrix_row);
    }
}

impl<T: Field> Store<T> for Dense<T> {
    fn needs_old_residual(&self, _length: f64) -> bool {
        true
    }

    /// H₊ = H + c δᴴH / (δᴴH y) with c = δ − H y = (λ − 1) p − H F₊, the first after a short step.
    fn update(&mut self, step: Step<T>) -> Result<(), OutOfMemory> {
        let Dense { matrix, direction, row, product, change, .. } = self;
        let unknowns = direction.len();
        for ((change, &to), &from) in change.iter_mut().zip(step.to).zip(step.from) {
            *change = to - from;
        }
        let short = is_short(step.length);
        let multiplied = if short { &*change } else { step.to };
        for (product, matrix_row) in product.iter_mut().zip(matrix.chunks_exact(unknowns)) {
            *product = sum_pairs(matrix_row, multiplied, |h, f| h * f);
        }
        set_product_from_left(row, direction, matrix);
        let denominator = sum_pairs(row, change, |row, change| row * change);
        row.iter_mut().for_each(|entry| *entry = entry.over(denominator));
        let correction = sum_pairs(row, step.to, |row, to| row * to);
        let length = T::of(if short { step.length } else { step.length - 1.0 });
        let rows = matrix.chunks_exact_mut(unknowns);
        for ((p, &product), matrix_row) in direction.iter_mut().zip(&*product).zip(rows) {
            let c = *p * length - product;
            let w = if short { product - *p } else { product };
            add_scaled(matrix_row, c, row);
            *p = -(w + c * correction);
        }
        Ok(())
    }

    fn direction(&self) -> &[T] {
        &self.direction
    }
}
