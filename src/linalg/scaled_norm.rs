//! The Euclidean norm in three sums, so that no square leaves the range of the numbers.
//!
//! Components of ordinary size are squared as they are; the small and the large ones are divided
//! by the largest of their kind first. Every sum is formed in the order of the components, which
//! fixes the bits of the result (`norm` sums in blocks instead, which is faster for long vectors).
//!
//! Reference: J. J. Moré, B. S. Garbow, K. E. Hillstrom, "User Guide for MINPACK-1", report
//! ANL-80-74, Argonne National Laboratory, 1980.

use std::f64::consts::SQRT_2;

/// The sum of the squares of components, in units of the largest of them.
#[derive(Default)]
struct Scaled {
    largest: f64,
    squares: f64,
}

impl Scaled {
    fn add(&mut self, size: f64) {
        if size > self.largest {
            self.squares = 1.0 + self.squares * square(self.largest / size);
            self.largest = size;
        } else if size != 0.0 {
            self.squares += square(size / self.largest);
        }
    }
}

/// √2 · 2⁶³: the square of no larger number is needed, and none of one below the inverse is.
const LARGE: f64 = SQRT_2 * (1u64 << 63) as f64;
const SMALL: f64 = 0.5 / LARGE;

/// ‖v‖₂, and NaN where any component is.
pub fn scaled_norm(vector: &[f64]) -> f64 {
    scaled_norm_of(vector.iter().copied(), vector.len())
}

/// The same for a vector of so many components.
pub fn scaled_norm_of(components: impl Iterator<Item = f64>, count: usize) -> f64 {
    let large_from = LARGE / count as f64;
    let (mut small, mut large) = (Scaled::default(), Scaled::default());
    let mut ordinary = 0.0;
    for component in components {
        let size = component.abs();
        if size <= SMALL {
            small.add(size);
        } else if size >= large_from {
            large.add(size);
        } else {
            ordinary += size * size;
        }
    }
    if large.squares != 0.0 {
        large.largest * (large.squares + (ordinary / large.largest) / large.largest).sqrt()
    } else if ordinary == 0.0 {
        small.largest * small.squares.sqrt()
    } else if ordinary >= small.largest {
        let share = (small.largest / ordinary) * (small.largest * small.squares);
        (ordinary * (1.0 + share)).sqrt()
    } else {
        let sum = (ordinary / small.largest) + (small.largest * small.squares);
        (small.largest * sum).sqrt()
    }
}

fn square(x: f64) -> f64 {
    x * x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_those_of_the_numbers() {
        assert_eq!(LARGE, 2f64.powf(63.5));
    }

    #[test]
    fn norms_of_ordinary_vectors() {
        assert_eq!(scaled_norm(&[3.0, -4.0]), 5.0);
        assert_eq!(scaled_norm(&[]), 0.0);
        assert_eq!(scaled_norm(&[0.0, -0.0]), 0.0);
    }

    #[test]
    fn norms_at_the_ends_of_the_range() {
        assert!((scaled_norm(&[3e200, 1.0, -4e200]) / 5e200 - 1.0).abs() < 1e-15);
        assert!((scaled_norm(&[3e-200, 0.0, 4e-200]) / 5e-200 - 1.0).abs() < 1e-15);
        assert!((scaled_norm(&[f64::MAX, f64::MAX]) / f64::MAX).is_infinite());
        assert_eq!(scaled_norm(&[5e-324, 0.0]), 5e-324);
        assert_eq!(scaled_norm(&[1e-19, 3.0, 4.0]), 5.0);
        assert_eq!(scaled_norm(&[1e-9, 0.9e-19]), 1e-9);
    }

    #[test]
    fn nan_is_never_lost() {
        assert!(scaled_norm(&[f64::NAN, 1.0]).is_nan());
        assert!(scaled_norm(&[1.0, 1e300, f64::NAN]).is_nan());
        assert!(scaled_norm(&[0.0, 1e-300, f64::NAN]).is_nan());
    }
}
