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

use serde::{Deserialize, Serialize};

use super::{Dense, Step, Store, is_short};
use crate::linalg::Field;
use crate::linalg::memory::{OutOfMemory, bytes_of, zeros};
use crate::linalg::norm::norm;
use crate::linalg::tall::{add_scaled, combine, displace, dot, dots, fill_and_sum, room_for_sums};
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
    /// vᵢᴴvⱼ for j ≤ i, row by row.
    #[serde(with = "saved::vector")]
    gram: Vec<T>,
    factors: Vec<Factor<T>>,
    /// Inner products, coefficients, and what the passes over the vectors add up in.
    #[serde(skip)]
    products: Vec<T>,
    #[serde(skip)]
    coefficients: Vec<T>,
    #[serde(skip)]
    partial: Vec<T>,
}

impl<T: Field> Default for Compact<T> {
    fn default() -> Self {
        Compact {
            initial: T::zero(),
            limit: None,
            vectors: Vec::new(),
            spare: Vec::new(),
            gram: Vec::new(),
            factors: Vec::new(),
            products: Vec::new(),
            coefficients: Vec::new(),
            partial: Vec::new(),
        }
    }
}

impl<T: Field> Compact<T> {
    /// Whether the parts have the sizes that go together; those of saved state may not. Every factor
    /// came with a vector, so what they make together is no larger than what was read.
    pub fn fits(&self, unknowns: usize) -> bool {
        let kept = self.vectors.len();
        let known = |factor: &Factor<T>| {
            factor.right < kept && factor.left.iter().all(|&(vector, _)| vector < kept)
        };
        kept > 0
            && self.vectors.iter().all(|vector| vector.len() == unknowns)
            && self.gram.len() == triangle(kept)
            && self.factors.len() < kept
            && self.factors.iter().all(known)
    }

    /// The bytes that an update takes, at most.
    pub fn room(&self, unknowns: usize) -> usize {
        let kept = self.vectors.len();
        let dropped = if self.is_full() { kept } else { 0 };
        let new_vectors = 2usize.saturating_sub(self.spare.len() + dropped);
        let full_rank = self.rank() >= unknowns;
        let dense = if full_rank { Dense::<T>::room_to_begin(unknowns) } else { 0 };
        let small = bytes_of::<T>(8 * (kept + 3)) + room_for_sums::<T>(unknowns, kept + 3);
        bytes_of::<T>(new_vectors * unknowns).saturating_add(dense) + small
    }

    /// How many updates H holds.
    pub fn rank(&self) -> usize {
        self.factors.len()
    }

    /// Whether everything is dropped before the next update.
    fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.factors.len() > limit)
    }

    /// Begins with H₀ = h₀ I.
    pub fn start(
        &mut self,
        initial: T,
        limit: Option<usize>,
        residual: &[T],
    ) -> Result<(), OutOfMemory> {
        (self.initial, self.limit) = (initial, limit);
        self.spare.append(&mut self.vectors);
        self.spare.retain(|vector| vector.len() == residual.len());
        let direction = self.new_vector(residual.len())?;
        self.vectors.push(direction);
        self.restart(residual);
        Ok(())
    }

    fn new_vector(&mut self, length: usize) -> Result<Vec<T>, OutOfMemory> {
        self.spare.pop().map_or_else(|| zeros(length), Ok)
    }

    /// Keeps a vector, whose inner products vᵢᴴv with the others and, last, with itself are in
    /// `products`.
    fn keep(&mut self, vector: Vec<T>) {
        self.vectors.push(vector);
        // A warm restart moves all of them there, and allocates nothing.
        self.spare.reserve(self.vectors.len() + 1);
        let products = &self.products[..self.vectors.len()];
        self.gram.extend(products.iter().map(|product| product.conj()));
    }

    /// vᵢᴴvⱼ
    fn product(&self, i: usize, j: usize) -> T {
        if j <= i { self.gram[triangle(i) + j] } else { self.gram[triangle(j) + i].conj() }
    }

    /// vᵢᴴ(h₀ v + Σ yⱼvⱼ), where the products are the vⱼᴴv and the coefficients the yⱼ.
    fn product_with(&self, i: usize) -> T {
        let kept = self.coefficients.iter().enumerate().filter(|(_, y)| !y.is_zero());
        kept.fold(self.initial * self.products[i], |sum, (j, &y)| sum + self.product(i, j) * y)
    }

    /// The coefficients become the yᵢ with H v = h₀ v + Σ yᵢvᵢ, given the products vᵢᴴv.
    fn find_coefficients(&mut self) {
        self.coefficients.clear();
        self.coefficients.resize(self.vectors.len(), T::zero());
        for k in 0..self.factors.len() {
            let Factor { left, right } = self.factors[k];
            let product = self.product_with(right);
            for (i, a) in left {
                self.coefficients[i] += a * product;
            }
        }
    }

    /// Keeps the direction a F₊ + Σ yᵢvᵢ.
    fn keep_direction(&mut self, mut direction: Vec<T>, a: T, residual: &[T]) {
        self.products.clear();
        self.products.resize(self.vectors.len() + 1, T::zero());
        let Compact { coefficients, vectors, products, partial, .. } = self;
        combine(&mut direction, (a, residual), coefficients, vectors, products, partial);
        self.keep(direction);
    }

    /// The update after a step that began with at least one factor, or from a fresh H₀.
    fn update_along_direction(&mut self, step: Step<T>) -> Result<(), OutOfMemory> {
        let direction = self.new_vector(step.to.len())?;
        let last = self.vectors.len() - 1;
        let change = if is_short(step.length) { Some(self.change(step)?) } else { None };
        // F₊, or y after a short step; its products with H and with pᴴH.
        let multiplied = change.as_deref().unwrap_or(step.to);
        self.products.clear();
        self.products.resize(last + 1, T::zero());
        dots(&mut self.products, &mut self.partial, &self.vectors, multiplied);
        self.find_coefficients();
        let product = self.product_with(last);
        let mu = self.product(last, last);
        let shortfall = T::of(step.length - 1.0);
        let (shrink, along) = if change.is_some() {
            let shrink = -mu.over(product);
            (shrink, -shortfall - T::of(step.length) * shrink)
        } else {
            (-mu.over(mu + product), -(shortfall * product).over(mu + product))
        };
        self.coefficients.iter_mut().for_each(|y| *y *= shrink);
        self.coefficients[last] += along;
        self.keep_direction(direction, shrink * self.initial, multiplied);
        self.spare.extend(change);
        let scale = T::one().over(mu);
        self.factors
            .push(Factor { left: [(last + 1, scale), (last, shortfall * scale)], right: last });
        Ok(())
    }

    /// y = F₊ − F
    fn change(&mut self, step: Step<T>) -> Result<Vec<T>, OutOfMemory> {
        let mut change = self.new_vector(step.to.len())?;
        displace(&mut change, step.to, -T::one(), step.from);
        Ok(change)
    }

    /// Drops everything but the direction p, and updates H₀.
    fn update_afresh(&mut self, step: Step<T>) -> Result<(), OutOfMemory> {
        let last = self.vectors.len() - 1;
        let mu = self.product(last, last);
        let p = self.forget();
        let (h, length) = (self.initial, T::of(step.length));
        let (mut c, direction) = match (self.new_vector(p.len()), self.new_vector(p.len())) {
            (Ok(c), Ok(direction)) => (c, direction),
            _ => {
                self.vectors.push(p);
                self.gram.push(mu);
                return Err(OutOfMemory(bytes_of::<T>(step.to.len())));
            }
        };
        let mut sums = [T::zero(); 3];
        let targets = [&mut c[..]];
        fill_and_sum(p.len(), 4, targets, &mut sums, &mut self.partial, |rows, [c], sums| {
            let p = &p[rows.clone()];
            let residuals = step.from[rows.clone()].iter().zip(&step.to[rows.clone()]);
            for ((c, &p), (&from, &to)) in c.iter_mut().zip(p).zip(residuals) {
                *c = length * p - h * (to - from);
            }
            sums[0] = dot(p, c);
            sums[1] = dot(p, &step.to[rows]);
            sums[2] = dot(c, c);
        });
        let [p_c, p_to, c_c] = sums;
        // δᴴδ − δᴴc, and the coefficient of c in H₊F₊.
        let denominator = length * length * mu - length * p_c;
        let scale = length.over(denominator);
        let correction = scale * h * p_to;
        self.vectors.extend([p, c]);
        self.gram.extend([mu, p_c.conj(), c_c.conj()]);
        self.factors.push(Factor { left: [(1, scale), (0, T::zero())], right: 0 });
        self.coefficients.clear();
        self.coefficients.extend([T::zero(), -correction]);
        self.keep_direction(direction, -h, step.to);
        Ok(())
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
        let direction = self.forget();
        self.coefficients.clear();
        self.keep_direction(direction, -self.initial, residual);
    }

    /// Empties the store and hands out the direction.
    fn forget(&mut self) -> Vec<T> {
        let direction = self.vectors.pop().unwrap_or_default();
        self.spare.append(&mut self.vectors);
        self.gram.clear();
        self.factors.clear();
        direction
    }

    /// Gives the same H to a store that keeps it as a matrix, and forgets it.
    pub fn give_to(&mut self, dense: &mut Dense<T>) -> Result<(), OutOfMemory> {
        dense.start(self.initial, self.direction())?;
        dense.direction_mut().copy_from_slice(self.direction());
        let unknowns = self.direction().len();
        let mut column = zeros(unknowns)?;
        for factor in &self.factors {
            column.fill(T::zero());
            for (i, a) in factor.left {
                add_scaled(&mut column, a, &self.vectors[i]);
            }
            dense.multiply_from_left(&column, &self.vectors[factor.right]);
        }
        // Their memory is that of the matrix, which is here to stay.
        self.forget();
        self.spare.clear();
        Ok(())
    }
}

/// How many elements a triangle of so many rows has.
fn triangle(rows: usize) -> usize {
    rows * (rows + 1) / 2
}

impl<T: Field> Store<T> for Compact<T> {
    fn needs_old_residual(&self, length: f64) -> bool {
        self.is_full() || is_short(length)
    }

    fn update(&mut self, step: Step<T>) -> Result<(), OutOfMemory> {
        if self.is_full() { self.update_afresh(step) } else { self.update_along_direction(step) }
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
        let mut store = Compact::default();
        store.start(-1.0, None, &[1.0, 2.0]).unwrap();
        assert!(store.fits(2));
        store.factors.push(Factor { left: [(0, 1.0), (0, 0.0)], right: 0 });
        assert!(!store.fits(2));
    }
}
