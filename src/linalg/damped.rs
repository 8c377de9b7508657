//! Least squares with a diagonal matrix E below the one that is factored,
//!
//!     min ‖A x − b‖² + ‖E x‖²,   A P = Q R.
//!
//! Rotations take the rows of E into R one after another, which makes R the triangle S with
//! PᵀAᵀA P + PᵀE²P = SᵀS and Qᵀb the right-hand side that belongs to it. R stays: the transpose of
//! S is built below the diagonal.
//!
//! Reference: J. J. Moré, "The Levenberg-Marquardt algorithm: implementation and theory", in G. A.
//! Watson (ed.), "Numerical Analysis", Lecture Notes in Mathematics 630, Springer, 1978.

use serde::{Deserialize, Serialize};

use super::givens::Rotation;
use super::householder::{Householder, product};
use super::memory::{OutOfMemory, size};
use crate::saved;

/// What there is of S beside its strict triangle, and work space.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Damped {
    /// The diagonal of S from its front on, and what is left of a row of E.
    #[serde(with = "saved::vector")]
    diagonal: Vec<f64>,
    #[serde(with = "saved::vector")]
    r_diagonal: Vec<f64>,
    /// Qᵀb, then the solution before it is permuted.
    #[serde(with = "saved::vector")]
    solution: Vec<f64>,
}

impl Damped {
    pub fn size(&mut self, unknowns: usize) -> Result<(), OutOfMemory> {
        size(&mut self.diagonal, unknowns)?;
        size(&mut self.r_diagonal, unknowns)?;
        size(&mut self.solution, unknowns)
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize) -> bool {
        let vectors = [&self.diagonal, &self.r_diagonal, &self.solution];
        vectors.iter().all(|vector| vector.len() == unknowns)
    }

    /// Solves with the diagonal of E, and b as Qᵀb, for factors whose diagonal is stored. Where S
    /// is singular, components from its first zero on are zero.
    pub fn solve(&mut self, factors: &mut Householder, e: &[f64], b: &[f64], x: &mut [f64]) {
        self.begin(factors, b);
        for j in 0..factors.columns {
            let entry = e[factors.permutation[j] as usize];
            if entry != 0.0 {
                self.diagonal[j..].fill(0.0);
                self.diagonal[j] = entry;
                self.eliminate(factors, j);
            }
            let place = &mut factors.entries[j * factors.rows + j];
            (self.diagonal[j], *place) = (*place, self.r_diagonal[j]);
        }
        self.substitute(factors);
        for (&place, &component) in factors.permutation.iter().zip(&self.solution) {
            x[place as usize] = component;
        }
    }

    /// w ← S⁻ᵀw, for the S of the last solution.
    pub fn solve_transposed(&self, factors: &Householder, w: &mut [f64]) {
        for (j, &pivot) in self.diagonal.iter().enumerate() {
            w[j] /= pivot;
            let multiple = w[j];
            for (component, entry) in w.iter_mut().zip(factors.column(j)).skip(j + 1) {
                *component -= entry * multiple;
            }
        }
    }

    /// Copies R to where S is built.
    fn begin(&mut self, factors: &mut Householder, b: &[f64]) {
        let (rows, columns) = (factors.rows, factors.columns);
        for j in 0..columns {
            for i in j + 1..columns {
                factors.entries[j * rows + i] = factors.entries[i * rows + j];
            }
            self.r_diagonal[j] = factors.entries[j * rows + j];
        }
        self.solution.copy_from_slice(&b[..columns]);
    }

    /// Takes a row of E, which begins at component j, into S.
    fn eliminate(&mut self, factors: &mut Householder, j: usize) {
        let mut below_b = 0.0;
        for k in j..factors.columns {
            if self.diagonal[k] == 0.0 {
                continue;
            }
            let start = k * factors.rows + k;
            let column = &mut factors.entries[start..start + factors.columns - k];
            let rotation = Rotation::eliminating(column[0], self.diagonal[k]);
            column[0] = rotation.apply(column[0], self.diagonal[k]).0;
            (self.solution[k], below_b) = rotation.apply(self.solution[k], below_b);
            rotation.apply_to_vectors(&mut column[1..], &mut self.diagonal[k + 1..]);
        }
    }

    fn substitute(&mut self, factors: &Householder) {
        let zero = |pivot: &f64| *pivot == 0.0;
        let rank = self.diagonal.iter().position(zero).unwrap_or(self.diagonal.len());
        self.solution[rank..].fill(0.0);
        for j in (0..rank).rev() {
            let below = j + 1..rank;
            let sum = product(&factors.column(j)[below.clone()], &self.solution[below]);
            self.solution[j] = (self.solution[j] - sum) / self.diagonal[j];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, Array2, array};

    use crate::linalg::householder::Remainders;

    /// The solution for a diagonal E, and AᵀA x + E²x − Aᵀb.
    fn solve(a: &Array2<f64>, e: &[f64], b: &Array1<f64>) -> (Array1<f64>, Array1<f64>) {
        let mut factors = Householder::default();
        factors.size(a.nrows(), a.ncols()).unwrap();
        factors.load(a.view());
        factors.factor_with_pivots(Remainders::Exact);
        let mut rotated = b.to_vec();
        factors.multiply_by_transposed_q(&mut rotated);
        factors.store_diagonal();
        let stored = factors.entries().to_vec();
        let mut damped = Damped::default();
        damped.size(a.ncols()).unwrap();
        let mut x = vec![0.0; a.ncols()];
        damped.solve(&mut factors, e, &rotated, &mut x);
        for j in 0..a.ncols() {
            assert_eq!(factors.column(j)[..=j], stored[j * a.nrows()..][..=j]);
        }
        let x = Array1::from(x);
        let damping: Array1<f64> = e.iter().zip(&x).map(|(e, x)| e * e * x).collect();
        let gradient = a.t().dot(&(a.dot(&x) - b)) + damping;
        (x, gradient)
    }

    #[test]
    fn the_gradient_of_the_damped_sum_of_squares_vanishes() {
        let a = array![[1.0, 5.0, 2.0], [3.0, -1.0, 0.0], [0.5, 0.0, 7.0], [2.0, 2.0, 2.0]];
        let b = array![1.0, -2.0, 3.0, 4.0];
        for e in [[0.5, 2.0, 1.0], [0.0, 3.0, 0.0], [1e-3, 1e3, 1.0]] {
            let (x, gradient) = solve(&a, &e, &b);
            assert!(gradient.iter().all(|error| error.abs() < 1e-12), "{e:?}: {x} {gradient}");
        }
    }

    #[test]
    fn what_nothing_decides_is_zero() {
        let a = array![[0.0, 1.0], [0.0, 2.0]];
        let (x, gradient) = solve(&a, &[0.0, 0.0], &array![1.0, 0.0]);
        assert!(gradient.iter().all(|error| error.abs() < 1e-15), "{x} {gradient}");
        assert_eq!(x[0], 0.0);
    }
}
