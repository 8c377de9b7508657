//! Cholesky factors A = RᴴR.
//!
//! Column by column of the upper triangle,
//!
//!     rᵢⱼ = (aᵢⱼ − Σₖ r̄ₖᵢ rₖⱼ) / rᵢᵢ  (i < j),   rⱼⱼ = sqrt(aⱼⱼ − Σₖ |rₖⱼ|²),   k < i and k < j.

use crate::linalg::Field;

/// The factor in place, from and in the upper triangle of a matrix of this order; false where the
/// matrix is not positive definite. What is below the diagonal becomes zero.
pub fn cholesky<T: Field>(a: &mut [T], order: usize) -> bool {
    for j in 0..order {
        let (before, rest) = a.split_at_mut(j * order);
        let column = &mut rest[..order];
        for i in 0..j {
            let pivot = &before[i * order..][..=i];
            let sum = (0..i).fold(column[i], |sum, k| sum - pivot[k].conj() * column[k]);
            column[i] = sum.over(pivot[i]);
        }
        let squares: f64 = column[..j].iter().map(|entry| entry.size_squared()).sum();
        let square = column[j].to_complex().re - squares;
        if square.is_nan() || square <= 0.0 {
            return false;
        }
        column[j] = T::of(square.sqrt());
        column[j + 1..].fill(T::zero());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray_linalg::c64;

    #[test]
    fn the_factor_has_the_matrix_for_its_square() {
        let i = c64::new(0.0, 1.0);
        let one = c64::new(1.0, 0.0);
        // RᴴR of R = [[2, i], [0, 3]]
        let mut a = [one * 4.0, -i * 2.0, i * 2.0, one * 10.0];
        assert!(cholesky(&mut a, 2));
        assert_eq!(a, [one * 2.0, one * 0.0, i, one * 3.0]);
    }

    #[test]
    fn an_indefinite_matrix_has_no_factor() {
        assert!(!cholesky(&mut [1.0, 0.0, 2.0, 1.0], 2));
        assert!(!cholesky(&mut [f64::NAN], 1));
    }
}
