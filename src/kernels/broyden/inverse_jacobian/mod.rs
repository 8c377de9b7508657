//! Approximations H of the inverse Jacobian that Broyden's first ("good") method builds.
//!
//! After a step δ = x₊ − x that changed the residual by y = F₊ − F, H becomes the matrix closest
//! in the sense of Broyden to the last one that satisfies the secant condition H₊ y = δ:
//!
//!     H₊ = H + (δ − H y) δᴴH / (δᴴH y),   H₀ = −α I.
//!
//! No store forms H. Each gives the direction p = −H F and takes updates. Because δ = λ p is along
//! the direction that it gave itself, H F is already known, and so one product with H (of F₊, or
//! of y where λ is small) and at most one with Hᴴ (of δ) are all that an iteration needs.
//!
//! - [`Compact`] keeps one vector an iteration: for unlimited rank, and for 'restart'.
//! - [`LowRank`] keeps two: for the reductions that drop parts of H, 'simple' and 'svd'.
//! - [`Dense`] is H itself, for few unknowns, and from when its rank passes their number.
//!
//! References: C. G. Broyden, "A class of methods for solving nonlinear simultaneous equations",
//! Mathematics of Computation 19, 1965; C. T. Kelley, "Iterative Methods for Linear and Nonlinear
//! Equations", SIAM, 1995, section 7.3.

use serde::{Deserialize, Serialize};

mod compact;
mod dense;
mod low_rank;

pub use compact::Compact;
pub use dense::Dense;
pub use low_rank::{LowRank, Reduction};

use crate::linalg::Field;
use crate::linalg::memory::{OutOfMemory, bytes_of};
use crate::linalg::norm::norm;
use crate::linalg::tall::room_for_sums;

/// How the rank of H is kept low.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum RankLimit {
    /// It is not.
    None,
    /// Before the rank passes `rank`, everything is dropped.
    Restart { rank: usize },
    /// Before the rank passes `rank`, the oldest part is dropped.
    Simple { rank: usize },
    /// When the rank reaches `rank`, only the `retained` largest singular values are kept.
    Svd { rank: usize, retained: usize },
}

/// A step that was taken along the last direction, and the residuals on both ends.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a, T> {
    /// λ
    pub length: f64,
    /// F; may be empty where the store does not need it.
    pub from: &'a [T],
    /// F₊
    pub to: &'a [T],
}

/// From this length on downwards, H y is not found as H F₊ + p: of a difference of two vectors that
/// are nearly opposite, only the rounding errors of their many terms would be left.
const SHORT: f64 = 0.1;

fn is_short(length: f64) -> bool {
    length.abs() <= SHORT
}

/// What a store of H can do.
trait Store<T: Field> {
    /// Whether the update after a step of this length looks at the residual that it came from.
    fn needs_old_residual(&self, length: f64) -> bool;

    /// Updates H; the direction becomes −H₊F₊.
    fn update(&mut self, step: Step<T>) -> Result<(), OutOfMemory>;

    /// p
    fn direction(&self) -> &[T];
}

/// Up to so many unknowns H is a matrix from the start: there is nothing to save (measured).
const FEW: usize = 8;

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Form {
    Compact,
    LowRank,
    Dense,
}

/// H in one of the stores; the memory of the others is kept for another solve.
#[derive(Debug, Deserialize, Serialize)]
#[serde(bound = "T: Field")]
pub struct InverseJacobian<T: Field> {
    form: Form,
    compact: Compact<T>,
    low_rank: LowRank<T>,
    dense: Dense<T>,
}

impl<T: Field> Default for InverseJacobian<T> {
    fn default() -> Self {
        InverseJacobian {
            form: Form::Compact,
            compact: Compact::default(),
            low_rank: LowRank::default(),
            dense: Dense::default(),
        }
    }
}

impl<T: Field> InverseJacobian<T> {
    /// Begins with H₀ = −α I; the direction is −H₀F.
    pub fn start(&mut self, alpha: T, limit: RankLimit, residual: &[T]) -> Result<(), OutOfMemory> {
        let unknowns = residual.len();
        let reduction = match limit {
            RankLimit::Simple { rank } if rank < unknowns => Some(Reduction::DropOldest { rank }),
            RankLimit::Svd { rank, retained } => {
                let rank = rank.min(unknowns).max(1);
                Some(Reduction::KeepLargest { rank, retained: retained.min(rank - 1) })
            }
            _ => None,
        };
        let largest = match limit {
            RankLimit::Restart { rank } if rank < unknowns => Some(rank),
            _ => None,
        };
        if let Some(reduction) = reduction {
            self.form = Form::LowRank;
            self.low_rank.start(-alpha, reduction, residual)
        } else if largest.is_none() && unknowns <= FEW {
            self.form = Form::Dense;
            self.dense.start(-alpha, residual)
        } else {
            self.form = Form::Compact;
            self.compact.start(-alpha, largest, residual)
        }
    }

    fn store(&self) -> &dyn Store<T> {
        match self.form {
            Form::Compact => &self.compact,
            Form::LowRank => &self.low_rank,
            Form::Dense => &self.dense,
        }
    }

    pub fn direction(&self) -> &[T] {
        self.store().direction()
    }

    /// The bytes that `start` takes, at most.
    pub fn room_to_begin(unknowns: usize) -> usize {
        let dense = if unknowns <= FEW { Dense::<T>::room_to_begin(unknowns) } else { 0 };
        bytes_of::<T>(unknowns) + room_for_sums::<T>(unknowns, 1) + dense
    }

    /// The bytes that an update takes, at most.
    pub fn room(&self, unknowns: usize) -> usize {
        match self.form {
            Form::Compact => self.compact.room(unknowns),
            Form::LowRank => self.low_rank.room(unknowns),
            Form::Dense => 0,
        }
    }

    /// How many vectors H is made of.
    pub fn vectors(&self) -> usize {
        match self.form {
            Form::Compact => self.compact.rank(),
            Form::LowRank => self.low_rank.vectors(),
            Form::Dense => self.direction().len(),
        }
    }

    /// ‖p‖
    pub fn direction_norm(&self) -> f64 {
        match self.form {
            Form::Compact => self.compact.direction_norm(),
            _ => norm(self.direction()),
        }
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize) -> bool {
        match self.form {
            Form::Compact => self.compact.fits(unknowns),
            Form::LowRank => self.low_rank.fits(unknowns),
            Form::Dense => self.dense.fits(unknowns),
        }
    }

    pub fn needs_old_residual(&self, length: f64) -> bool {
        self.store().needs_old_residual(length)
    }

    /// Goes back to H₀; the direction becomes −H₀F.
    pub fn restart(&mut self, residual: &[T]) {
        match self.form {
            Form::Compact => self.compact.restart(residual),
            Form::LowRank => self.low_rank.restart(residual),
            Form::Dense => self.dense.restart(residual),
        }
    }

    pub fn update(&mut self, step: Step<T>) -> Result<(), OutOfMemory> {
        match self.form {
            Form::Compact => {
                self.compact.update(step)?;
                if self.compact.rank() > step.to.len() {
                    self.compact.give_to(&mut self.dense)?;
                    self.form = Form::Dense;
                }
                Ok(())
            }
            Form::LowRank => self.low_rank.update(step),
            Form::Dense => {
                self.dense.prepare()?;
                self.dense.update(step)
            }
        }
    }
}

#[cfg(test)]
impl<T: Field> InverseJacobian<T> {
    /// H v
    fn product(&self, v: &[T]) -> Vec<T> {
        match self.form {
            Form::Compact => {
                let mut compact: Compact<T> =
                    rmp_serde::from_slice(&rmp_serde::to_vec(&self.compact).unwrap()).unwrap();
                let mut dense = Dense::default();
                compact.give_to(&mut dense).unwrap();
                dense.product(v)
            }
            Form::LowRank => self.low_rank.product(v),
            Form::Dense => self.dense.product(v),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, Array2};
    use ndarray_linalg::c64;

    /// Broyden's update on the full matrix, as the formula says.
    struct Plain<T: Field> {
        h: Array2<T>,
        direction: Array1<T>,
    }

    impl<T: Field> Plain<T> {
        fn new(alpha: T, residual: &[T]) -> Self {
            let h = Array2::eye(residual.len()) * -alpha;
            let direction = -h.dot(&Array1::from(residual.to_vec()));
            Plain { h, direction }
        }

        fn update(&mut self, step: Step<T>) {
            let delta = &self.direction * T::of(step.length);
            let to = Array1::from(step.to.to_vec());
            let y = &to - &Array1::from(step.from.to_vec());
            let hy = self.h.dot(&y);
            let row = delta.mapv(|d| d.conj()).dot(&self.h);
            let scale = row.dot(&y);
            for i in 0..delta.len() {
                for j in 0..delta.len() {
                    self.h[[i, j]] += (delta[i] - hy[i]) * row[j] / scale;
                }
            }
            self.direction = -self.h.dot(&to);
        }
    }

    fn number<T: Field>(seed: usize) -> T {
        let part = |seed: usize| ((seed * 7919 + 13) % 1009) as f64 / 1009.0 - 0.5;
        T::from_complex(c64::new(part(seed), part(seed + 500)))
    }

    fn residual<T: Field>(unknowns: usize, iteration: usize) -> Vec<T> {
        let shrink = T::of(0.8f64.powi(iteration as i32));
        (0..unknowns).map(|i| number::<T>(i * 31 + iteration * 101) * shrink).collect()
    }

    fn close<T: Field>(a: &[T], b: &[T], tolerance: f64) -> bool {
        let scale: f64 = b.iter().map(|b| b.size()).fold(1e-300, f64::max);
        a.iter().zip(b).all(|(&a, &b)| (a - b).size() <= tolerance * scale)
    }

    fn follows_the_formula<T: Field>(limit: RankLimit, unknowns: usize, iterations: usize) {
        let alpha = T::of(0.7);
        let mut from = residual::<T>(unknowns, 0);
        let mut store = InverseJacobian::default();
        store.start(alpha, limit, &from).unwrap();
        let mut plain = Plain::new(alpha, &from);
        for iteration in 1..=iterations {
            let to = residual::<T>(unknowns, iteration);
            let length = [1.0, 0.5, 1.0, 2.0][iteration % 4];
            let step = Step { length, from: &from, to: &to };
            store.update(step).unwrap();
            plain.update(step);
            let direction = plain.direction.to_vec();
            assert!(close(store.direction(), &direction, 1e-8), "iteration {iteration}");
            // The two would drift apart from here: only the last update is under test.
            plain.direction = Array1::from(store.direction().to_vec());
            from = to;
        }
    }

    #[test]
    fn the_compact_store_follows_the_formula() {
        follows_the_formula::<f64>(RankLimit::None, 40, 12);
        follows_the_formula::<c64>(RankLimit::None, 40, 12);
    }

    #[test]
    fn the_low_rank_store_follows_the_formula() {
        follows_the_formula::<f64>(RankLimit::Simple { rank: 20 }, 40, 12);
        follows_the_formula::<c64>(RankLimit::Simple { rank: 20 }, 40, 12);
    }

    #[test]
    fn beyond_full_rank_the_dense_matrix_takes_over() {
        follows_the_formula::<f64>(RankLimit::None, 9, 14);
        follows_the_formula::<c64>(RankLimit::None, 9, 14);
    }

    #[test]
    fn few_unknowns_have_a_dense_matrix_from_the_start() {
        follows_the_formula::<f64>(RankLimit::None, 3, 8);
        follows_the_formula::<c64>(RankLimit::None, 3, 8);
    }

    /// H₊ y = δ, and the direction is −H₊F₊.
    fn secant_condition(limit: RankLimit) {
        let unknowns = 50;
        let mut from = residual::<f64>(unknowns, 0);
        let mut store = InverseJacobian::default();
        store.start(0.7, limit, &from).unwrap();
        for iteration in 1..20 {
            let to = residual::<f64>(unknowns, iteration);
            let delta = store.direction().to_vec();
            store.update(Step { length: 1.0, from: &from, to: &to }).unwrap();
            let product = store.product(&subtract(&to, &from));
            assert!(close(&product, &delta, 1e-9), "iteration {iteration}");
            let negative: Vec<f64> = store.product(&to).iter().map(|w| -w).collect();
            assert!(close(&negative, store.direction(), 1e-9), "iteration {iteration}");
            from = to;
        }
    }

    fn subtract(a: &[f64], b: &[f64]) -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| a - b).collect()
    }

    #[test]
    fn the_secant_condition_holds_after_every_update() {
        secant_condition(RankLimit::None);
        secant_condition(RankLimit::Restart { rank: 4 });
        secant_condition(RankLimit::Simple { rank: 4 });
    }
}
