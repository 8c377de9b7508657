//! H as a product of rank-one factors that share their vectors.
//!
//! Write δₖ = λₖ pₖ for the steps and w = HₖFₖ₊₁. Since Hₖ Fₖ = −pₖ, Broyden's update is
//!
//!     Hₖ₊₁ = (I + qₖ pₖᴴ / μₖ) Hₖ,   μₖ = ‖pₖ‖²,   qₖ = pₖ₊₁ + (λₖ − 1) pₖ,
//!
//!     pₖ₊₁ = −(μₖ w + (λₖ − 1) βₖ pₖ) / (μₖ + βₖ),   βₖ = pₖᴴ w:
//!
//! both vectors of a factor are combinations of directions, so only the directions are kept. After a
//! short step pₖ₊₁ is found from y = Fₖ₊₁ − Fₖ and z = Hₖy instead:
//!
//!     pₖ₊₁ = (1 − λₖ) pₖ + (λₖ pₖ − z) μₖ / γₖ,   γₖ = pₖᴴ z = μₖ + βₖ.
//!
//! The first update after a restart is different, because H₀Fₖ is not −pₖ: with c = δ − H₀ (Fₖ₊₁ − Fₖ)
//!
//!     Hₖ₊₁ = (I + c δᴴ / (δᴴδ − δᴴc)) H₀
//!
//! and c is kept as well.
//!
//! With the inner products of the kept vectors in a small (Gram) matrix, a product with H is
//! v ↦ h₀ v + Σ yᵢvᵢ, where the yᵢ follow from the vᵢᴴv. So an iteration reads every kept vector
//! twice: for the inner products with F, and for the combination.
//!
//! Reference: C. T. Kelley, "Iterative Methods for Linear and Nonlinear Equations", SIAM, 1995,
//! section 7.3 (brsol), here with step lengths λ.

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::{Dense, Step, Store, is_short};
use crate::linalg::Field;
use crate::linalg::norm::norm;
use crate::linalg::tall::{combine, displace, dot, dots, fill_blocks};
use crate::saved;

/// Sums of squares that are smaller have lost digits to underflow, in single precision too.
const SMALLEST_SQUARE: f64 = 1e-30;

/// The factor I + (Σ aᵢ vᵢ) vᵣᴴ; the sum has at most two terms.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(bound = "T: Field")]
struct Factor<T> {
    left: [(usize, T); 2],
    right: usize,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(bound = "T: Field")]
pub struct Compact<T: Field> {
    /// h₀ = −α
    initial: T,
    /// More factors than this are dropped before an update.
    limit: Option<usize>,
    /// The kept vectors; the last one is the direction.
    #[serde(with = "saved::vectors")]
    vectors: Vec<Vec<T>>,
    /// Vectors that were dropped, to be used again.
    #[serde(skip)]
    spare: Vec<Vec<T>>,
    /// `gram[i][j]` = vᵢᴴvⱼ for j ≤ i.
    #[serde(with = "saved::vectors")]
    gram: Vec<Vec<T>>,
    factors: Vec<Factor<T>>,
}

impl<T: Field> Compact<T> {
    pub fn new(initial: T, limit: Option<usize>, residual: &[T]) -> Self {
        let mut store = Compact {
            initial,
            limit,
            vectors: vec![vec![T::zero(); residual.len()]],
            spare: Vec::new(),
            gram: Vec::new(),
            factors: Vec::new(),
        };
        store.restart(residual);
        store
    }

    /// Whether the parts have the sizes that go together; those of saved state may not. Every factor
    /// came with a vector, so what they make together is no larger than what was read.
    pub fn fits(&self, unknowns: usize) -> bool {
        let kept = self.vectors.len();
        let known = |factor: &Factor<T>| {
            factor.right < kept && factor.left.iter().all(|&(vector, _)| vector < kept)
        };
        kept > 0
            && self.vectors.iter().all(|vector| vector.len() == unknowns)
            && self.gram.len() == kept
            && self.gram.iter().enumerate().all(|(i, row)| row.len() == i + 1)
            && self.factors.len() < kept
            && self.factors.iter().all(known)
    }

    /// How many updates H holds.
    pub fn rank(&self) -> usize {
        self.factors.len()
    }

    /// Whether everything is dropped before the next update.
    fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.factors.len() > limit)
    }

    fn new_vector(&mut self, length: usize) -> Vec<T> {
        self.spare.pop().unwrap_or_else(|| vec![T::zero(); length])
    }

    /// Keeps a vector, given its inner products vᵢᴴv with the others and, last, with itself.
    fn keep(&mut self, vector: Vec<T>, products: Vec<T>) {
        self.vectors.push(vector);
        self.gram.push(products.into_iter().map(|product| product.conj()).collect());
    }

    /// vᵢᴴvⱼ
    fn product(&self, i: usize, j: usize) -> T {
        if j <= i { self.gram[i][j] } else { self.gram[j][i].conj() }
    }

    /// vᵢᴴ(h₀ v + Σ yⱼvⱼ), where `with_v` are the vⱼᴴv.
    fn product_with(&self, i: usize, with_v: &[T], y: &[T]) -> T {
        let kept = y.iter().enumerate().filter(|(_, y)| !y.is_zero());
        kept.fold(self.initial * with_v[i], |sum, (j, &y)| sum + self.product(i, j) * y)
    }

    /// The yᵢ with H v = h₀ v + Σ yᵢvᵢ, given the vᵢᴴv.
    fn coefficients(&self, with_v: &[T]) -> Vec<T> {
        let mut y = vec![T::zero(); self.vectors.len()];
        for factor in &self.factors {
            let product = self.product_with(factor.right, with_v, &y);
            for (i, a) in factor.left {
                y[i] += a * product;
            }
        }
        y
    }

    /// The update after a step that began with at least one factor, or from a fresh H₀.
    fn update_along_direction(&mut self, step: Step<T>) {
        let last = self.vectors.len() - 1;
        let change = is_short(step.length).then(|| self.change(step));
        // F₊, or y after a short step; its products with H and with pᴴH.
        let multiplied = change.as_deref().unwrap_or(step.to);
        let with_it = dots(&self.vectors, multiplied);
        let mut y = self.coefficients(&with_it);
        let product = self.product_with(last, &with_it, &y);
        let mu = self.product(last, last);
        let shortfall = T::of(step.length - 1.0);
        let (shrink, along) = if change.is_some() {
            let shrink = -mu.over(product);
            (shrink, -shortfall - T::of(step.length) * shrink)
        } else {
            (-mu.over(mu + product), -(shortfall * product).over(mu + product))
        };
        y.iter_mut().for_each(|y| *y *= shrink);
        y[last] += along;

        let mut direction = self.new_vector(step.to.len());
        let initial = shrink * self.initial;
        let products = combine(&mut direction, initial, multiplied, &y, &self.vectors);
        self.keep(direction, products);
        self.spare.extend(change);
        let scale = T::one().over(mu);
        self.factors
            .push(Factor { left: [(last + 1, scale), (last, shortfall * scale)], right: last });
    }

    /// y = F₊ − F
    fn change(&mut self, step: Step<T>) -> Vec<T> {
        let mut change = self.new_vector(step.to.len());
        displace(&mut change, step.to, -T::one(), step.from);
        change
    }

    /// Drops everything but the direction p, and updates H₀.
    fn update_afresh(&mut self, step: Step<T>) {
        let last = self.vectors.len() - 1;
        let mu = self.product(last, last);
        let p = self.forget();
        let (h, length) = (self.initial, T::of(step.length));
        let mut c = self.new_vector(p.len());
        let products = fill_blocks(&mut c, 4, 3, |rows, c, sums| {
            let p = &p[rows.clone()];
            let residuals = step.from[rows.clone()].iter().zip(&step.to[rows.clone()]);
            for ((c, &p), (&from, &to)) in c.iter_mut().zip(p).zip(residuals) {
                *c = length * p - h * (to - from);
            }
            sums[0] = dot(p, c);
            sums[1] = dot(p, &step.to[rows]);
            sums[2] = dot(c, c);
        });
        let [p_c, p_to, c_c] = [products[0], products[1], products[2]];
        // δᴴδ − δᴴc, and the coefficient of c in H₊F₊.
        let denominator = length * length * mu - length * p_c;
        let scale = length.over(denominator);
        let correction = scale * h * p_to;
        self.keep(p, vec![mu]);
        self.keep(c, vec![p_c, c_c]);
        self.factors.push(Factor { left: [(1, scale), (0, T::zero())], right: 0 });

        let mut direction = self.new_vector(step.to.len());
        let coefficients = [T::zero(), -correction];
        let products = combine(&mut direction, -h, step.to, &coefficients, &self.vectors);
        self.keep(direction, products);
    }

    /// ‖p‖, which is in the Gram matrix unless its square has left the range there.
    pub fn direction_norm(&self) -> f64 {
        let last = self.vectors.len() - 1;
        let square = self.product(last, last).size();
        if square.is_finite() && square > SMALLEST_SQUARE {
            square.sqrt()
        } else {
            norm(self.direction())
        }
    }

    /// Goes back to H₀.
    pub fn restart(&mut self, residual: &[T]) {
        let mut direction = self.forget();
        let products = combine(&mut direction, -self.initial, residual, &[], &[]);
        self.keep(direction, products);
    }

    /// Empties the store and hands out the direction.
    fn forget(&mut self) -> Vec<T> {
        let direction = self.vectors.pop().unwrap_or_default();
        self.spare.append(&mut self.vectors);
        self.gram.clear();
        self.factors.clear();
        direction
    }

    /// The same H as a matrix.
    pub fn to_dense(&self) -> Dense<T> {
        let unknowns = self.vectors[0].len();
        let vector = |i: usize| Array1::from(self.vectors[i].clone());
        let mut h: Array2<T> = Array2::eye(unknowns) * self.initial;
        for factor in &self.factors {
            let row = vector(factor.right).mapv(|v| v.conj()).dot(&h);
            let mut column = Array1::zeros(unknowns);
            for (i, a) in factor.left {
                column = column + vector(i) * a;
            }
            for (i, mut h_row) in h.rows_mut().into_iter().enumerate() {
                h_row.scaled_add(column[i], &row);
            }
        }
        Dense::new(self.initial, h, self.direction().to_vec())
    }
}

impl<T: Field> Store<T> for Compact<T> {
    fn needs_old_residual(&self, length: f64) -> bool {
        self.is_full() || is_short(length)
    }

    fn update(&mut self, step: Step<T>) {
        if self.is_full() {
            self.update_afresh(step);
        } else {
            self.update_along_direction(step);
        }
    }

    fn direction(&self) -> &[T] {
        self.vectors.last().map_or(&[], |direction| direction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_without_vectors_do_not_fit() {
        let mut store = Compact::new(-1.0, None, &[1.0, 2.0]);
        assert!(store.fits(2));
        store.factors.push(Factor { left: [(0, 1.0), (0, 0.0)], right: 0 });
        assert!(!store.fits(2));
    }
}
