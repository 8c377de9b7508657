//! H as a sum, H = h₀ I + Σ cᵢdᵢᴴ, of which parts can be dropped.
//!
//! With w = H F₊ and v = Hᴴδ, Broyden's update adds the pair
//!
//!     c = δ − H y,   d = v / (yᴴv),   y = F₊ − F,
//!
//! where H y = w + p, unless something was dropped or the step was short.
//!
//! An iteration reads every kept vector twice: for the inner products dᵢᴴF₊ and cᵢᴴδ, and for the
//! combinations w and v.
//!
//! Two reductions keep the sum short. One drops the oldest pair. The other keeps the largest
//! singular values of the sum (van der Rotten's Broyden rank reduction): with C = (c₁ … cₘ),
//! D = (d₁ … dₘ) and triangular factors RᴴR of CᴴC and DᴴD,
//!
//!     C Dᴴ = Q₁ (R₁R₂ᴴ) Q₂ᴴ,   R₁R₂ᴴ = U S Wᴴ,   C ← C R₂ᴴ W,   D ← D R₂⁻¹ W,
//!
//! cut to the leading columns of W: C Dᴴ keeps its largest singular values, and only matrices of
//! order m are ever factored.
//!
//! Reference: B. A. van der Rotten, "A limited memory Broyden method to solve high-dimensional
//! systems of nonlinear equations", PhD thesis, Universiteit Leiden, 2003.

use std::ops::Range;

use super::{Step, Store, is_short};
use crate::linalg::Field;
use crate::linalg::lapack::Lapack;
use crate::linalg::product_svd::leading_subspace;
use crate::linalg::tall::{
    add_combination, dot, dots_of_block, each_block, fill_blocks, gram, replace_by_combinations,
    rows_of_all, sum_blocks,
};
use crate::saved;
use serde::{Deserialize, Serialize};

/// How the sum is kept short.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub enum Reduction {
    /// Drop the oldest pairs until there are no more than `rank`.
    DropOldest { rank: usize },
    /// From `rank` pairs on, keep the `retained` largest singular values.
    KeepLargest { rank: usize, retained: usize, lapack: Lapack },
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(bound = "T: Field")]
pub struct LowRank<T: Field> {
    /// h₀ = −α
    initial: T,
    reduction: Reduction,
    #[serde(with = "saved::vectors")]
    left: Vec<Vec<T>>,
    #[serde(with = "saved::vectors")]
    right: Vec<Vec<T>>,
    /// Vectors that were dropped, to be used again.
    #[serde(skip)]
    spare: Vec<Vec<T>>,
    #[serde(with = "saved::vector")]
    direction: Vec<T>,
}

impl<T: Field> LowRank<T> {
    pub fn new(initial: T, reduction: Reduction, residual: &[T]) -> Self {
        let mut store = LowRank {
            initial,
            reduction,
            left: Vec::new(),
            right: Vec::new(),
            spare: Vec::new(),
            direction: vec![T::zero(); residual.len()],
        };
        store.restart(residual);
        store
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize) -> bool {
        let bounded = match self.reduction {
            Reduction::DropOldest { .. } => true,
            Reduction::KeepLargest { rank, retained, .. } => {
                retained < rank && self.left.len() <= rank && rank <= unknowns
            }
        };
        let mut vectors = self.left.iter().chain(&self.right).chain([&self.direction]);
        bounded
            && self.left.len() == self.right.len()
            && vectors.all(|vector| vector.len() == unknowns)
    }

    #[cfg(test)]
    pub fn product(&self, v: &[T]) -> Vec<T> {
        let mut product: Vec<T> = v.iter().map(|&v| self.initial * v).collect();
        for (c, d) in self.left.iter().zip(&self.right) {
            crate::linalg::tall::add_scaled(&mut product, dot(d, v), c);
        }
        product
    }

    /// Goes back to H₀.
    pub fn restart(&mut self, residual: &[T]) {
        self.spare.append(&mut self.left);
        self.spare.append(&mut self.right);
        for (p, &f) in self.direction.iter_mut().zip(residual) {
            *p = -self.initial * f;
        }
    }

    fn new_vector(&mut self) -> Vec<T> {
        self.spare.pop().unwrap_or_else(|| vec![T::zero(); self.direction.len()])
    }

    /// Shortens the sum where it is due; whether H has changed.
    fn reduce(&mut self) -> bool {
        match self.reduction {
            Reduction::DropOldest { rank } => {
                let excess = self.left.len().saturating_sub(rank);
                self.spare.extend(self.left.drain(..excess));
                self.spare.extend(self.right.drain(..excess));
                excess > 0
            }
            Reduction::KeepLargest { rank, retained, lapack } => {
                let due = self.left.len() >= rank;
                if due {
                    self.keep_largest(retained, lapack);
                }
                due
            }
        }
    }

    fn keep_largest(&mut self, retained: usize, lapack: Lapack) {
        let subspace = leading_subspace(lapack, &gram(&self.left), &gram(&self.right), retained);
        let kept = subspace.as_ref().map_or(0, |subspace| subspace.left.ncols());
        // Without a decomposition (an overflow, say) nothing can be told apart: forget all.
        if let Some(subspace) = subspace {
            replace_by_combinations(&mut self.left, &subspace.left);
            replace_by_combinations(&mut self.right, &subspace.right);
        }
        self.spare.extend(self.left.drain(kept..));
        self.spare.extend(self.right.drain(kept..));
    }

    /// The inner products dᵢᴴF₊, then dᵢᴴy where they are needed, then cᵢᴴp.
    fn products(&self, step: Step<T>, with_change: bool) -> [Vec<T>; 3] {
        let pairs = self.left.len();
        let sums = sum_blocks(step.to.len(), 2 * pairs + 3, 3 * pairs, |rows, sums| {
            let (with_to, others) = sums.split_at_mut(pairs);
            let (with_y, with_p) = others.split_at_mut(pairs);
            dots_of_block(with_to, rows_of_all(&self.right, rows.clone()), &step.to[rows.clone()]);
            if with_change {
                let y = change(step, rows.clone());
                dots_of_block(with_y, rows_of_all(&self.right, rows.clone()), &y);
            }
            let p = &self.direction[rows.clone()];
            dots_of_block(with_p, rows_of_all(&self.left, rows), p);
        });
        let part = |k: usize| sums[k * pairs..(k + 1) * pairs].to_vec();
        [part(0), part(1), part(2)]
    }

    /// c. On the way the direction becomes −H₊F₊ = −(w + c dᴴF₊), where the last factor is the
    /// `correction`.
    fn new_left(
        &mut self,
        step: Step<T>,
        with_to: &[T],
        with_change: Option<&[T]>,
        correction: T,
    ) -> Vec<T> {
        let mut c = self.new_vector();
        let (h, length, left) = (self.initial, T::of(step.length), &self.left);
        let targets = [&mut c[..], &mut self.direction];
        each_block(step.to.len(), left.len() + 6, targets, |rows, [c, p]| {
            let mut w: Vec<T> = step.to[rows.clone()].iter().map(|&to| h * to).collect();
            add_combination(&mut w, with_to, rows_of_all(left, rows.clone()));
            if let Some(with_change) = with_change {
                let mut product = change(step, rows.clone());
                product.iter_mut().for_each(|y| *y *= h);
                add_combination(&mut product, with_change, rows_of_all(left, rows));
                for ((c, &p), &product) in c.iter_mut().zip(&*p).zip(&product) {
                    *c = length * p - product;
                }
            } else {
                for ((c, &p), &w) in c.iter_mut().zip(&*p).zip(&w) {
                    *c = length * p - w - p;
                }
            }
            for ((p, &c), w) in p.iter_mut().zip(&*c).zip(w) {
                *p = -(w + correction * c);
            }
        });
        c
    }

    /// v = Hᴴδ; and yᴴv and vᴴF₊.
    fn new_right(&mut self, step: Step<T>, with_p: &[T]) -> (Vec<T>, [T; 2]) {
        let mut v = self.new_vector();
        let length = T::of(step.length);
        let scale = self.initial.conj() * length;
        let coefficients: Vec<T> = with_p.iter().map(|&with_p| length * with_p).collect();
        let sums = fill_blocks(&mut v, self.right.len() + 4, 2, |rows, v, sums| {
            for (v, &p) in v.iter_mut().zip(&self.direction[rows.clone()]) {
                *v = scale * p;
            }
            add_combination(v, &coefficients, rows_of_all(&self.right, rows.clone()));
            sums[0] = dot(&change(step, rows.clone()), v);
            sums[1] = dot(v, &step.to[rows]);
        });
        (v, [sums[0], sums[1]])
    }
}

/// y = F₊ − F, over a block of rows.
fn change<T: Field>(step: Step<T>, rows: Range<usize>) -> Vec<T> {
    let residuals = step.to[rows.clone()].iter().zip(&step.from[rows]);
    residuals.map(|(&to, &from)| to - from).collect()
}

impl<T: Field> Store<T> for LowRank<T> {
    fn needs_old_residual(&self, _length: f64) -> bool {
        true
    }

    fn update(&mut self, step: Step<T>) {
        let reduced = self.reduce();
        // H F is −p no longer where parts of H were dropped.
        let multiply_change = reduced || is_short(step.length);
        let [with_to, with_change, with_p] = self.products(step, multiply_change);
        let (mut d, [change, with_residual]) = self.new_right(step, &with_p);
        let scale = T::one().over(change);
        d.iter_mut().for_each(|d| *d *= scale);
        let correction = with_residual.over(change.conj());
        let with_change = multiply_change.then_some(&with_change[..]);
        let c = self.new_left(step, &with_to, with_change, correction);
        self.left.push(c);
        self.right.push(d);
    }

    fn direction(&self) -> &[T] {
        &self.direction
    }
}

#[cfg(all(test, feature = "system-lapack"))]
mod tests {
    use super::*;

    #[test]
    fn more_pairs_than_are_ever_kept_do_not_fit() {
        let store = |rank: usize, pairs: usize| {
            let lapack = Lapack::of_the_system();
            let reduction = Reduction::KeepLargest { rank, retained: 1, lapack };
            let mut store = LowRank::new(-1.0, reduction, &[1.0, 2.0]);
            store.left = vec![vec![1.0, 1.0]; pairs];
            store.right = store.left.clone();
            store
        };
        assert!(store(2, 2).fits(2));
        assert!(!store(2, 1000).fits(2));
        assert!(!store(1000, 1000).fits(2));
    }
}
