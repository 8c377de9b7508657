//! The number fields that the kernels compute in: R and C, in single and double precision.
//!
//! Complex division is Smith's algorithm (R. L. Smith, "Algorithm 116: Complex division",
//! Communications of the ACM 5(8), 1962), scaled the way NumPy scales it, so that complex
//! iterates agree with those of a NumPy program to the last bit.

use bytemuck::Pod;
use ndarray::ScalarOperand;
use ndarray_linalg::{Lapack, c32, c64};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A field that LAPACK knows: `f32`, `f64`, `c32` or `c64`.
pub trait Field:
    Lapack + ScalarOperand + Pod + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The field is C, not R.
    const COMPLEX: bool;

    /// The distance from 1 to the next larger real number.
    const EPSILON: f64;

    /// |self|, in double precision.
    fn size(self) -> f64;

    /// |self|², in double precision.
    fn size_squared(self) -> f64;

    /// The closest number of this field: without the imaginary part where the field is R.
    fn from_complex(value: c64) -> Self;

    /// The same number in C, in double precision.
    fn to_complex(self) -> c64;

    /// The closest number of this field.
    fn of(value: f64) -> Self {
        Self::from_complex(value.into())
    }

    /// `self / divisor`, rounded as NumPy rounds it.
    fn over(self, divisor: Self) -> Self;

    /// Neither part is infinite or NaN.
    fn finite(self) -> bool;

    /// Rounds to single precision and back.
    fn to_single(self) -> Self;

    /// The order that NumPy gives numbers: by real part, then by imaginary part.
    fn nonnegative(self) -> bool;
}

macro_rules! real_field {
    ($real:ident) => {
        impl Field for $real {
            const COMPLEX: bool = false;
            const EPSILON: f64 = $real::EPSILON as f64;

            fn size(self) -> f64 {
                f64::from(self.abs())
            }

            fn size_squared(self) -> f64 {
                f64::from(self) * f64::from(self)
            }

            fn from_complex(value: c64) -> Self {
                value.re as $real
            }

            fn to_complex(self) -> c64 {
                f64::from(self).into()
            }

            fn over(self, divisor: Self) -> Self {
                self / divisor
            }

            fn finite(self) -> bool {
                self.is_finite()
            }

            fn to_single(self) -> Self {
                self as f32 as $real
            }

            fn nonnegative(self) -> bool {
                self >= 0.0
            }
        }
    };
}

macro_rules! complex_field {
    ($complex:ident, $real:ident) => {
        impl Field for $complex {
            const COMPLEX: bool = true;
            const EPSILON: f64 = $real::EPSILON as f64;

            fn size(self) -> f64 {
                f64::from(self.norm())
            }

            fn size_squared(self) -> f64 {
                self.re.size_squared() + self.im.size_squared()
            }

            fn from_complex(value: c64) -> Self {
                $complex::new(value.re as $real, value.im as $real)
            }

            fn to_complex(self) -> c64 {
                c64::new(self.re.into(), self.im.into())
            }

            fn over(self, divisor: Self) -> Self {
                if divisor.re.abs() >= divisor.im.abs() {
                    if divisor.re == 0.0 && divisor.im == 0.0 {
                        let zero = divisor.re.abs();
                        return $complex::new(self.re / zero, self.im / zero);
                    }
                    let ratio = divisor.im / divisor.re;
                    let scale = 1.0 / (divisor.re + divisor.im * ratio);
                    $complex::new(
                        (self.re + self.im * ratio) * scale,
                        (self.im - self.re * ratio) * scale,
                    )
                } else {
                    let ratio = divisor.re / divisor.im;
                    let scale = 1.0 / (divisor.im + divisor.re * ratio);
                    $complex::new(
                        (self.re * ratio + self.im) * scale,
                        (self.im * ratio - self.re) * scale,
                    )
                }
            }

            fn finite(self) -> bool {
                self.re.is_finite() && self.im.is_finite()
            }

            fn to_single(self) -> Self {
                $complex::new(self.re.to_single(), self.im.to_single())
            }

            fn nonnegative(self) -> bool {
                (self.re > 0.0 && !self.im.is_nan()) || (self.re == 0.0 && self.im >= 0.0)
            }
        }
    };
}

real_field!(f32);
real_field!(f64);
complex_field!(c32, f32);
complex_field!(c64, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complex_division_neither_overflows_nor_underflows_early() {
        for extreme in [c64::new(1e300, 1e300), c64::new(1e-300, -1e-300)] {
            assert!((extreme.over(extreme) - 1.0).norm() < 4.0 * f64::EPSILON);
        }
        assert_eq!(c64::new(-1.0, 2.0).over(c64::new(0.0, 2.0)), c64::new(1.0, 0.5));
    }

    #[test]
    fn division_by_zero_keeps_the_signs_of_the_dividend() {
        let quotient = c64::new(1.0, -1.0).over(c64::new(-0.0, 0.0));
        assert_eq!(quotient, c64::new(f64::INFINITY, f64::NEG_INFINITY));
    }

    #[test]
    fn order_is_lexicographic_and_rejects_nan() {
        assert!(c64::new(0.0, 0.0).nonnegative());
        assert!(c64::new(1.0, -5.0).nonnegative());
        assert!(!c64::new(0.0, -1e-300).nonnegative());
        assert!(!c64::new(1.0, f64::NAN).nonnegative());
    }
}
