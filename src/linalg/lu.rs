//! LU factors with partial pivoting, PA = LU, of a dense square matrix: LAPACK `getrf`, `getrs`.

use ndarray::{Array1, ArrayView2, OwnedRepr};
use ndarray_linalg::error::LinalgError;
use ndarray_linalg::{FactorizeInto, LUFactorized, Solve};

use super::Field;
use super::lapack::Lapack;

/// The factors of a nonsingular matrix.
pub struct Lu<T: Field>(LUFactorized<OwnedRepr<T>>);

/// A pivot is exactly zero.
#[derive(Debug, PartialEq, Eq)]
pub struct Singular;

/// The largest order whose element count fits LAPACK's 32-bit integers.
pub const LARGEST_ORDER: usize = 46_340;

impl<T: Field> Lu<T> {
    /// Factors a copy of `matrix`, which must be square, of order at most [`LARGEST_ORDER`] and
    /// finite.
    pub fn new(_: Lapack, matrix: ArrayView2<T>) -> Result<Self, Singular> {
        matrix.to_owned().factorize_into().map(Lu).map_err(|_: LinalgError| Singular)
    }

    /// Overwrites `rhs` with the solution of A x = rhs.
    pub fn solve_in_place(&self, rhs: &mut Array1<T>) -> Result<(), Singular> {
        self.0.solve_inplace(rhs).map(|_| ()).map_err(|_| Singular)
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
