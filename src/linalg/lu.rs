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

/// A pivot is exactly zero.
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
    fn a_zero_pivot_is_singular() {
        let matrix = array![[1.0, 2.0], [2.0, 4.0]];
        assert_eq!(Lu::new(Lapack::of_the_system(), matrix.view()).err(), Some(Singular));
    }
}
