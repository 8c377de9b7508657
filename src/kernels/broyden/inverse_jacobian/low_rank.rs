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

use super::{Step, Store, is_short};
use crate::linalg::Field;
use crate::linalg::memory::{OutOfMemory, bytes_of, size, zeros};
use crate::linalg::product_svd::leading_subspace;
use crate::linalg::tall::{
    add_combination, dot, dot_difference, dots_of_block, fill, fill_and_sum, gram,
    replace_by_combinations, room_for_products, room_for_sums, rows_of_all,
};
use crate::saved;
use serde::{Deserialize, Serialize};

/// How the sum is kept short.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub enum Reduction {
    /// Drop the oldest pairs until there are no more than `rank`.
    DropOldest { rank: usize },
    /// From `rank` pairs on, keep the `retained` largest singular values.
    KeepLargest { rank: usize, retained: usize },
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
    /// Inner products, and what the passes over the vectors add up in.
    #[serde(skip)]
    products: Vec<T>,
    #[serde(skip)]
    partial: Vec<T>,
}

impl<T: Field> Default for LowRank<T> {
    fn default() -> Self {
        LowRank {
            initial: T::zero(),
            reduction: Reduction::DropOldest { rank: 0 },
            left: Vec::new(),
            right: Vec::new(),
            spare: Vec::new(),
            direction: Vec::new(),
            products: Vec::new(),
            partial: Vec::new(),
        }
    }
}

impl<T: Field> LowRank<T> {
    /// Begins with H₀ = h₀ I.
    pub fn start(
        &mut self,
        initial: T,
        reduction: Reduction,
        residual: &[T],
    ) -> Result<(), OutOfMemory> {
        (self.initial, self.reduction) = (initial, reduction);
        size(&mut self.direction, residual.len())?;
        self.restart(residual);
        self.spare.retain(|vector| vector.len() == residual.len());
        Ok(())
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize) -> bool {
        let bounded = match self.reduction {
            Reduction::DropOldest { .. } => true,
            Reduction::KeepLargest { rank, retained } => {
                retained < rank && self.left.len() <= rank && rank <= unknowns
            }
        };
        let mut vectors = self.left.iter().chain(&self.right).chain([&self.direction]);
        bounded
            && self.left.len() == self.right.len()
            && vectors.all(|vector| vector.len() == unknowns)
    }

    /// The bytes that an update takes, at most.
    pub fn room(&self, unknowns: usize) -> usize {
        let pairs = self.left.len();
        let (dropped, reducing) = match self.reduction {
            Reduction::DropOldest { rank } => (pairs.saturating_sub(rank), 0),
            Reduction::KeepLargest { rank, .. } if pairs < rank => (0, 0),
            Reduction::KeepLargest { retained, .. } => {
                // The small matrices, and their factors.
                let small = bytes_of::<T>(40 * pairs * pairs + 200 * pairs);
                (pairs - retained, small + room_for_products::<T>(unknowns, pairs))
            }
        };
        let new_vectors = 2usize.saturating_sub(self.spare.len() + 2 * dropped);
        bytes_of::<T>(new_vectors * unknowns)
            + room_for_sums::<T>(unknowns, 3 * pairs + 2)
            + bytes_of::<T>(16 * (pairs + 1))
            + reducing
    }

    pub fn vectors(&self) -> usize {
        self.left.len() + self.right.len()
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

    fn new_vector(&mut self) -> Result<Vec<T>, OutOfMemory> {
        self.spare.pop().map_or_else(|| zeros(self.direction.len()), Ok)
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
            Reduction::KeepLargest { rank, retained } => {
                let due = self.left.len() >= rank;
                if due {
                    self.keep_largest(retained);
                }
                due
            }
        }
    }

    fn keep_largest(&mut self, retained: usize) {
        let subspace = leading_subspace(&gram(&self.left), &gram(&self.right), retained);
        let kept = subspace.as_ref().map_or(0, |subspace| subspace.left.ncols());
        // Without a decomposition (an overflow, say) nothing can be told apart: forget all.
        if let Some(subspace) = subspace {
            replace_by_combinations(&mut self.left, &subspace.left);
            replace_by_combinations(&mut self.right, &subspace.right);
        }
        self.spare.extend(self.left.drain(kept..));
        self.spare.extend(self.right.drain(kept..));
    }

    /// The inner products dᵢᴴF₊, then dᵢᴴy where they are needed, then cᵢᴴp. The target becomes y
    /// where that is needed.
    fn find_products(&mut self, target: &mut [T], step: Step<T>, multiply_change: bool) {
        let LowRank { left, right, direction, products, partial, .. } = self;
        let pairs = left.len();
        products.clear();
        products.resize(3 * pairs, T::zero());
        let (length, vectors) = (target.len(), 2 * pairs + 3);
        fill_and_sum(length, vectors, [target], products, partial, |rows, [y], sums| {
            let (with_to, others) = sums.split_at_mut(pairs);
            let (with_y, with_p) = others.split_at_mut(pairs);
            let (to, from) = (&step.to[rows.clone()], &step.from[rows.clone()]);
            dots_of_block(with_to, rows_of_all(right, rows.clone()), to);
            if multiply_change {
                for ((y, &to), &from) in y.iter_mut().zip(to).zip(from) {
                    *y = to - from;
                }
                dots_of_block(with_y, rows_of_all(right, rows.clone()), y);
            }
            let p = &direction[rows.clone()];
            dots_of_block(with_p, rows_of_all(left, rows), p);
        });
    }

    /// c, in place of the y that is needed. On the way the direction becomes
    /// −H₊F₊ = −(w + c dᴴF₊), where the last factor is the `correction`.
    fn set_left(&mut self, c: &mut [T], step: Step<T>, multiply_change: bool, correction: T) {
        let (h, length) = (self.initial, T::of(step.length));
        let LowRank { left, direction, products, .. } = self;
        let (with_to, others) = products.split_at(left.len());
        let with_y = &others[..left.len()];
        fill(step.to.len(), left.len() + 6, [c, direction], |rows, [c, p]| {
            let to = &step.to[rows.clone()];
            if multiply_change {
                c.iter_mut().for_each(|y| *y *= h);
                add_combination(c, with_y, rows_of_all(left, rows.clone()));
                for ((c, p), &to) in c.iter_mut().zip(&mut *p).zip(to) {
                    *c = length * *p - *c;
                    *p = h * to;
                }
                add_combination(p, with_to, rows_of_all(left, rows));
            } else {
                for (w, &to) in c.iter_mut().zip(to) {
                    *w = h * to;
                }
                add_combination(c, with_to, rows_of_all(left, rows));
                for (c, p) in c.iter_mut().zip(&mut *p) {
                    let w = *c;
                    *c = length * *p - w - *p;
                    *p = w;
                }
            }
            for (w, &c) in p.iter_mut().zip(&*c) {
                *w = -(*w + correction * c);
            }
        });
    }

    /// v = Hᴴδ; and yᴴv and vᴴF₊.
    fn set_right(&mut self, v: &mut [T], step: Step<T>) -> [T; 2] {
        let length = T::of(step.length);
        let scale = self.initial.conj() * length;
        let LowRank { right, direction, products, partial, .. } = self;
        let coefficients = &mut products[2 * right.len()..];
        coefficients.iter_mut().for_each(|with_p| *with_p = length * *with_p);
        let (coefficients, mut sums) = (&*coefficients, [T::zero(); 2]);
        let vectors = right.len() + 4;
        fill_and_sum(v.len(), vectors, [v], &mut sums, partial, |rows, [v], sums| {
            for (v, &p) in v.iter_mut().zip(&direction[rows.clone()]) {
                *v = scale * p;
            }
            add_combination(v, coefficients, rows_of_all(right, rows.clone()));
            let (to, from) = (&step.to[rows.clone()], &step.from[rows]);
            sums[0] = dot_difference(v, to, from).conj();
            sums[1] = dot(v, to);
        });
        sums
    }
}

impl<T: Field> Store<T> for LowRank<T> {
    fn needs_old_residual(&self, _length: f64) -> bool {
        true
    }

    fn update(&mut self, step: Step<T>) -> Result<(), OutOfMemory> {
        let reduced = self.reduce();
        // H F is −p no longer where parts of H were dropped.
        let multiply_change = reduced || is_short(step.length);
        let (mut c, mut d) = (self.new_vector()?, self.new_vector()?);
        self.find_products(&mut c, step, multiply_change);
        let [change, with_residual] = self.set_right(&mut d, step);
        let scale = T::one().over(change);
        d.iter_mut().for_each(|d| *d *= scale);
        let correction = with_residual.over(change.conj());
        self.set_left(&mut c, step, multiply_change, correction);
        self.left.push(c);
        self.right.push(d);
        // A warm restart moves all of them there, and allocates nothing.
        self.spare.reserve(self.vectors());
        Ok(())
    }

    fn direction(&self) -> &[T] {
        &self.direction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_pairs_than_are_ever_kept_do_not_fit() {
        let store = |rank: usize, pairs: usize| {
            let mut store = LowRank::default();
            let reduction = Reduction::KeepLargest { rank, retained: 1 };
            store.start(-1.0, reduction, &[1.0, 2.0]).unwrap();
            store.left = vec![vec![1.0, 1.0]; pairs];
            store.right = store.left.clone();
            store
        };
        assert!(store(2, 2).fits(2));
        assert!(!store(2, 1000).fits(2));
        assert!(!store(1000, 1000).fits(2));
    }
}
