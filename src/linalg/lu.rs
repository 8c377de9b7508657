//! LU factors with partial pivoting, PA = LU, of a dense square matrix: LAPACK `getrf`, `getrs`.

use ndarray::{Array1, Array2, ArrayView2};
use ndarray_linalg::Transpose;
use ndarray_linalg::layout::{AllocatedArray, AllocatedArrayMut};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::Field;
use super::lapack::Lapack;
use crate::saved;

/// The factors of a nonsingular matrix.
#[derive(Serialize)]
#[serde(bound = "T: Field")]
pub struct Lu<T: Field> {
    lapack: Lapack,
    #[serde(with = "saved::matrix")]
    factors: Array2<T>,
    pivots: Vec<i32>,
}

/// A pivot is zero, or what rounding has left of zero.
#[derive(Debug, PartialEq, Eq)]
pub struct Singular;

/// The largest order whose element count fits LAPACK's 32-bit integers.
pub const LARGEST_ORDER: usize = 46_340;

impl<T: Field> Lu<T> {
    /// Factors a copy of `matrix`, which must be square, of order at most [`LARGEST_ORDER`] and
    /// finite.
    pub fn new(lapack: Lapack, matrix: ArrayView2<T>) -> Result<Self, Singular> {
        let mut factors = matrix.to_owned();
        let layout = factors.square_layout().map_err(|_| Singular)?;
        let entries = factors.as_allocated_mut().map_err(|_| Singular)?;
        let pivots = T::lu(layout, entries).map_err(|_| Singular)?;
        if has_lost_pivot(entries, pivots.len()) {
            return Err(Singular);
        }
        Ok(Lu { lapack, factors, pivots })
    }

    pub fn order(&self) -> usize {
        self.pivots.len()
    }

    /// Overwrites `rhs`, which has as many components as the order, with the solution of A x = rhs.
    pub fn solve_in_place(&self, rhs: &mut Array1<T>) -> Result<(), Singular> {
        assert_eq!(rhs.len(), self.order());
        let layout = self.factors.square_layout().map_err(|_| Singular)?;
        let entries = self.factors.as_allocated().map_err(|_| Singular)?;
        let rhs = rhs.as_slice_mut().ok_or(Singular)?;
        T::solve(layout, Transpose::No, entries, &self.pivots, rhs).map_err(|_| Singular)
    }
}

/// Whether a pivot is no larger than the rounding errors of the sum that it came from,
///
///     |uⱼⱼ| ≤ k ε (|L| |U|)ⱼⱼ,
///
/// with the number k of its terms that are not zero. What is exactly zero then depends on the order of the additions, and so on the machine. Scaling
/// rows or columns changes nothing in this.
fn has_lost_pivot<T: Field>(factors: &[T], order: usize) -> bool {
    factors.chunks_exact(order).enumerate().any(|(j, column)| {
        let pivot = column[j].size();
        let row = factors[j..].iter().step_by(order);
        let terms = row.zip(column).take(j).map(|(l, u)| l.size() * u.size());
        let terms = terms.filter(|&term| term != 0.0);
        let (count, sum) = terms.fold((0.0, pivot), |(count, sum), term| (count + 1.0, sum + term));
        pivot <= count * T::EPSILON * sum
    })
}

/// LAPACK trusts factors and pivots, and so they are looked at before it gets them.
impl<'de, T: Field> Deserialize<'de> for Lu<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(bound = "T: Field")]
        struct Unchecked<T: Field> {
            lapack: Lapack,
            #[serde(with = "saved::matrix")]
            factors: Array2<T>,
            pivots: Vec<i32>,
        }

        let Unchecked { lapack, factors, pivots } = Unchecked::deserialize(from)?;
        let order = pivots.len();
        let largest = i32::try_from(order).map_err(D::Error::custom)?;
        if (1..=LARGEST_ORDER).contains(&order)
            && factors.dim() == (order, order)
            && pivots.iter().all(|pivot| (1..=largest).contains(pivot))
        {
            return Ok(Lu { lapack, factors, pivots });
        }
        Err(D::Error::custom("these are no LU factors"))
    }
}

#[cfg(all(test, feature = "system-lapack"))]
mod tests {
    use super::*;
    use ndarray::{Array2, ShapeBuilder, array};
    use ndarray_linalg::c64;

    #[test]
    fn solves_in_either_layout() {
        let lapack = Lapack::of_the_system();
        let rows = array![[1.0, 2.0, 0.0], [3.0, -1.0, 4.0], [0.0, 5.0, 6.0]];
        let mut columns = Array2::zeros((3, 3).f());
        columns.assign(&rows);
        for matrix in [&rows, &columns] {
            let solution = array![1.0, -2.0, 3.0];
            let mut rhs = matrix.dot(&solution);
            Lu::new(lapack, matrix.view()).unwrap().solve_in_place(&mut rhs).unwrap();
            assert!((&rhs - &solution).iter().all(|error: &f64| error.abs() < 1e-14));
        }
    }

    #[test]
    fn solves_complex_systems_without_conjugating() {
        let matrix = array![
            [c64::new(0.0, 1.0), c64::new(2.0, 0.0)],
            [c64::new(1.0, 1.0), c64::new(0.0, -3.0)]
        ];
        let solution = array![c64::new(1.0, 2.0), c64::new(-3.0, 0.5)];
        let mut rhs = matrix.dot(&solution);
        Lu::new(Lapack::of_the_system(), matrix.view()).unwrap().solve_in_place(&mut rhs).unwrap();
        assert!((&rhs - &solution).iter().all(|error| error.norm() < 1e-14));
    }

    #[test]
    fn what_rounding_leaves_of_a_zero_pivot_is_singular() {
        let lapack = Lapack::of_the_system();
        let matrix = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];
        for (row, column) in [(1.0, 1.0), (1e-20, 1.0), (1.0, 1e20), (1e30, 1e-10)] {
            let mut scaled = matrix.clone();
            scaled.row_mut(1).mapv_inplace(|entry| entry * row);
            scaled.column_mut(0).mapv_inplace(|entry| entry * column / 3.0);
            assert!(Lu::new(lapack, scaled.view()).is_err());
        }
    }

    /// Nothing is added up but one product, however large the matrix is.
    #[test]
    fn terms_that_are_zero_do_not_count() {
        let mut matrix: Array2<f64> = Array2::eye(60);
        matrix[[58, 59]] = 1.0;
        matrix[[59, 58]] = 1.0;
        matrix[[59, 59]] = 1.0 + 1e-14;
        assert!(Lu::new(Lapack::of_the_system(), matrix.view()).is_ok());
    }

    #[test]
    fn small_pivots_of_a_badly_scaled_matrix_are_not_singular() {
        let matrix = array![[1.0, 1.0, 1.0], [1e-20, 2e-20, 3e-20], [1e-30, 4e-30, 9.5e-30]];
        let mut rhs = matrix.sum_axis(ndarray::Axis(1));
        let lu = Lu::new(Lapack::of_the_system(), matrix.view()).unwrap();
        lu.solve_in_place(&mut rhs).unwrap();
        assert!(rhs.iter().all(|x: &f64| (x - 1.0).abs() < 1e-13));
    }

    #[test]
    fn a_zero_pivot_is_singular() {
        let matrix = array![[1.0, 2.0], [2.0, 4.0]];
        assert_eq!(Lu::new(Lapack::of_the_system(), matrix.view()).err(), Some(Singular));
    }
}
