//! Vector norms ‖v‖₂ and ‖v‖∞ over R and C, in double precision and safe from overflow.

use std::ops::Range;

use super::Field;
use super::tall::{join_blocks, sum_pairs};

/// max |vᵢ|, and NaN where any component is NaN.
pub fn max_norm<T: Field>(vector: &[T]) -> f64 {
    let largest_of = |rows: Range<usize>| {
        let mut nan = false;
        let largest = vector[rows].iter().fold(0.0, |largest, component| {
            let size = component.size();
            nan |= size.is_nan();
            if size > largest { size } else { largest }
        });
        if nan { f64::NAN } else { largest }
    };
    let larger = |a: f64, b: f64| if a.is_nan() || b <= a { a } else { b };
    join_blocks(vector.len(), largest_of, larger)
}

/// sqrt(Σ |vᵢ|²), scaled by the largest component where the squares would leave the range.
pub fn norm<T: Field>(vector: &[T]) -> f64 {
    let sum = sum_of_squares(vector, |component| component.size_squared());
    if sum.is_finite() && sum > 1e-280 {
        return sum.sqrt();
    }
    let largest = max_norm(vector);
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    largest * sum_of_squares(vector, |component| (component.size() / largest).powi(2)).sqrt()
}

fn sum_of_squares<T: Field>(vector: &[T], square: impl Fn(T) -> f64 + Sync) -> f64 {
    let sum_of = |rows: Range<usize>| {
        let block = &vector[rows];
        sum_pairs(block, block, |component, _| square(component))
    };
    join_blocks(vector.len(), sum_of, |a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray_linalg::c64;

    #[test]
    fn norms_of_ordinary_vectors() {
        assert_eq!(norm(&[3.0, -4.0]), 5.0);
        assert_eq!(max_norm(&[3.0, -4.0]), 4.0);
        assert_eq!(norm(&[c64::new(3.0, 4.0), c64::new(0.0, 12.0)]), 13.0);
    }

    #[test]
    fn norms_at_the_ends_of_the_range() {
        assert!((norm(&[3e200, 4e200]) / 5e200 - 1.0).abs() < 1e-15);
        assert!((norm(&[3e-200, 4e-200]) / 5e-200 - 1.0).abs() < 1e-15);
        assert_eq!(norm(&[0.0, 0.0]), 0.0);
        assert_eq!(norm(&[1.0, f64::INFINITY]), f64::INFINITY);
    }

    #[test]
    fn nan_is_never_lost() {
        assert!(max_norm(&[f64::NAN, 1.0]).is_nan());
        assert!(max_norm(&[1.0, f64::NAN, 2.0]).is_nan());
        assert!(norm(&[f64::NAN, 1.0]).is_nan());
    }
}
