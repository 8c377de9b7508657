//! Vector norms ‖v‖₂ and ‖v‖∞ over R and C, in double precision and safe from overflow.

use super::Field;
use super::tall::{each_block, largest_size, sum_pairs};
use serde::{Deserialize, Serialize};

/// ‖v‖₂ and ‖v‖∞, which are NaN where any component is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Norms {
    pub euclidean: f64,
    pub maximum: f64,
}

/// max |vᵢ|, and NaN where any component is NaN.
pub fn max_norm<T: Field>(vector: &[T]) -> f64 {
    norms(vector).maximum
}

/// sqrt(Σ |vᵢ|²), scaled by the largest component where the squares would leave the range.
pub fn norm<T: Field>(vector: &[T]) -> f64 {
    let run = |rows, []: [&mut [T]; 0]| squares(&vector[rows]);
    let squares = each_block(vector.len(), 1, [], run, |low, high| low + high);
    if within_range(squares) { squares.sqrt() } else { norms(vector).euclidean }
}

/// Both norms.
pub fn norms<T: Field>(vector: &[T]) -> Norms {
    let run = |rows, []: [&mut [T]; 0]| measure(&vector[rows]);
    finish(vector, each_block(vector.len(), 1, [], run, join))
}

/// y ← x, and the norms of both on the way.
pub fn copy_and_measure<T: Field>(y: &mut [T], x: &[T]) -> Norms {
    let run = |rows, [y]: [&mut [T]; 1]| {
        y.copy_from_slice(&x[rows]);
        measure(y)
    };
    let measured = each_block(x.len(), 2, [y], run, join);
    finish(x, measured)
}

/// ‖x − y‖₂
pub fn distance(x: &[f64], y: &[f64]) -> f64 {
    norm_of(x.len(), |i| x[i] - y[i])
}

/// The norm of a vector whose components are made as they are needed.
pub fn norm_of(length: usize, component: impl Fn(usize) -> f64) -> f64 {
    let sum = |divisor: f64| {
        let squares = (0..length).map(|i| (component(i) / divisor).powi(2));
        squares.sum::<f64>()
    };
    let squares = sum(1.0);
    if within_range(squares) || squares.is_nan() {
        return squares.sqrt();
    }
    let largest = (0..length).map(|i| component(i).abs()).fold(0.0, f64::max);
    if largest == 0.0 || largest.is_infinite() { largest } else { largest * sum(largest).sqrt() }
}

/// The sum of squares, and the largest size beside NaN.
fn measure<T: Field>(block: &[T]) -> (f64, f64) {
    (squares(block), largest_size(block))
}

fn squares<T: Field>(block: &[T]) -> f64 {
    sum_pairs(block, block, |component, _| component.size_squared())
}

/// A sum of squares that has neither overflowed nor lost digits to underflow.
fn within_range(squares: f64) -> bool {
    squares.is_finite() && squares > 1e-280
}

fn join(low: (f64, f64), high: (f64, f64)) -> (f64, f64) {
    (low.0 + high.0, low.1.max(high.1))
}

/// The norms of the vector with this sum of squares and this largest size.
fn finish<T: Field>(vector: &[T], (squares, mut maximum): (f64, f64)) -> Norms {
    let euclidean = if squares.is_nan() {
        maximum = f64::NAN;
        f64::NAN
    } else if maximum == 0.0 || maximum.is_infinite() {
        maximum
    } else if within_range(squares) {
        squares.sqrt()
    } else {
        let scaled = vector.iter().map(|component| (component.size() / maximum).powi(2));
        maximum * scaled.sum::<f64>().sqrt()
    };
    Norms { euclidean, maximum }
}

#[cfg(test)]
mod tests {
    use super::super::vector_units::tests::with_all_units;
    use super::*;
    use ndarray_linalg::c64;

    #[test]
    fn norms_of_ordinary_vectors() {
        with_all_units(|| {
            assert_eq!(norm(&[3.0, -4.0]), 5.0);
            assert_eq!(max_norm(&[3.0, -4.0]), 4.0);
            assert_eq!(norm(&[c64::new(3.0, 4.0), c64::new(0.0, 12.0)]), 13.0);
        });
    }

    #[test]
    fn norms_at_the_ends_of_the_range() {
        with_all_units(|| {
            assert!((norm(&[3e200, 4e200]) / 5e200 - 1.0).abs() < 1e-15);
            assert!((norm(&[3e-200, 4e-200]) / 5e-200 - 1.0).abs() < 1e-15);
            assert_eq!(norm(&[0.0, 0.0]), 0.0);
            assert_eq!(norm(&[1.0, f64::INFINITY]), f64::INFINITY);
        });
    }

    #[test]
    fn nan_is_never_lost() {
        with_all_units(|| {
            assert!(max_norm(&[f64::NAN, 1.0]).is_nan());
            assert!(max_norm(&[1.0, f64::NAN, 2.0]).is_nan());
            assert!(norm(&[f64::NAN, 1.0]).is_nan());
        });
    }
}
