//! Singular vectors by Jacobi's one-sided method.
//!
//! Rotations of two columns a, b from the right make them orthogonal. With g = aᴴb, b turned by the
//! phase of g and ζ = (‖b‖² − ‖a‖²) / 2|g|,
//!
//!     t = sign(ζ) / (|ζ| + sqrt(1 + ζ²)),   c = 1 / sqrt(1 + t²),   s = c t,
//!     a ← c a − s b,   b ← s a + c b,
//!
//! and when all columns are orthogonal A V = U S.
//!
//! Reference: G. H. Golub, C. F. Van Loan, "Matrix Computations", fourth edition, section 8.6.3.

use crate::linalg::Field;

/// Sweeps over all pairs of columns; four to eight are usual.
const SWEEPS: usize = 40;

/// V of A V = U S, by falling singular values, for a finite A of this order, which is overwritten by U S.
pub fn right_singular_vectors<T: Field>(a: &mut [T], order: usize, v: &mut [T]) {
    let largest = a.iter().map(|entry| entry.size()).fold(0.0, f64::max);
    if largest > 0.0 {
        a.iter_mut().for_each(|entry| *entry = entry.over(T::of(largest)));
    }
    v.fill(T::zero());
    v.iter_mut().step_by(order + 1).for_each(|entry| *entry = T::one());
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for j in 1..order {
            for i in 0..j {
                rotated |= orthogonalize(a, v, order, [i, j]);
            }
        }
        if !rotated {
            break;
        }
    }
    sort_by_length(a, v, order);
}

/// Rotates two columns; false where they are orthogonal already.
fn orthogonalize<T: Field>(a: &mut [T], v: &mut [T], order: usize, [i, j]: [usize; 2]) -> bool {
    let (p, q) = (column(a, order, i), column(a, order, j));
    let g = p.iter().zip(q).fold(T::zero(), |sum, (p, &q)| sum + p.conj() * q);
    let (p_square, q_square) = (square(p), square(q));
    let size = g.size();
    if size <= T::EPSILON * (p_square * q_square).sqrt() || size == 0.0 {
        return false;
    }
    let zeta = (q_square - p_square) / (2.0 * size);
    let t = 1f64.copysign(zeta) / (zeta.abs() + zeta.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let (cosine, sine, phase) = (T::of(c), T::of(c * t), g.conj().over(T::of(size)));
    for matrix in [a, v] {
        let (before, behind) = matrix.split_at_mut(j * order);
        for (p, q) in before[i * order..][..order].iter_mut().zip(&mut behind[..order]) {
            let turned = *q * phase;
            (*p, *q) = (cosine * *p - sine * turned, sine * *p + cosine * turned);
        }
    }
    true
}

fn column<T>(a: &[T], order: usize, j: usize) -> &[T] {
    &a[j * order..][..order]
}

fn square<T: Field>(column: &[T]) -> f64 {
    column.iter().map(|entry| entry.size_squared()).sum()
}

fn sort_by_length<T: Field>(a: &mut [T], v: &mut [T], order: usize) {
    for i in 0..order {
        let length = |j: usize| square(column(a, order, j));
        let longest = (i..order).fold(i, |longest, j| match length(j) > length(longest) {
            true => j,
            false => longest,
        });
        if longest > i {
            for matrix in [&mut *a, &mut *v] {
                let (before, behind) = matrix.split_at_mut(longest * order);
                before[i * order..][..order].swap_with_slice(&mut behind[..order]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray_linalg::{c32, c64};

    fn singular_vectors_diagonalize<T: Field>(tolerance: f64) {
        for order in [1, 2, 3, 7, 20] {
            let entry = |k: usize| {
                let part = |seed: usize| ((k * 7919 + seed) % 1009) as f64 / 1009.0 - 0.5;
                T::from_complex(c64::new(part(13), part(500)))
            };
            let original: Vec<T> = (0..order * order).map(entry).collect();
            let (mut a, mut v) = (original.clone(), vec![T::zero(); order * order]);
            right_singular_vectors(&mut a, order, &mut v);
            let inner = |m: &[T], i: usize, j: usize| {
                let pairs = column(m, order, i).iter().zip(column(m, order, j));
                pairs.fold(T::zero(), |sum, (p, &q)| sum + p.conj() * q).size()
            };
            let product: Vec<T> = (0..order * order)
                .map(|k| {
                    let (i, j) = (k % order, k / order);
                    (0..order)
                        .fold(T::zero(), |sum, l| sum + original[l * order + i] * v[j * order + l])
                })
                .collect();
            for i in 0..order {
                assert!((inner(&v, i, i) - 1.0).abs() < tolerance);
                for j in 0..i {
                    assert!(inner(&v, i, j) < tolerance);
                    assert!(inner(&product, i, j) < tolerance * order as f64);
                }
            }
            let lengths: Vec<f64> = (0..order).map(|j| inner(&product, j, j)).collect();
            assert!(lengths.is_sorted_by(|a, b| *a >= *b - tolerance * lengths[0]));
        }
    }

    #[test]
    fn singular_vectors_in_every_field() {
        singular_vectors_diagonalize::<f64>(1e-13);
        singular_vectors_diagonalize::<c64>(1e-13);
        singular_vectors_diagonalize::<f32>(1e-5);
        singular_vectors_diagonalize::<c32>(1e-5);
    }

    #[test]
    fn a_matrix_without_full_rank_has_its_zeros_last() {
        let (mut a, mut v) = ([1.0f64, 2.0, 2.0, 4.0], [0.0; 4]);
        right_singular_vectors(&mut a, 2, &mut v);
        assert!((v[0] / v[1] - 0.5).abs() < 1e-14);
        let (mut zero, mut v) = ([0.0f64; 4], [0.0; 4]);
        right_singular_vectors(&mut zero, 2, &mut v);
        assert_eq!(v, [1.0, 0.0, 0.0, 1.0]);
    }
}
