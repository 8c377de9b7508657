//! The arithmetic of an iteration in one number: plain, in double precision, or with the types that
//! NumPy would give to every intermediate result.
//!
//! A [`Typed`] number is real or complex and has single or double precision, or none of its own (a
//! Python number). What two of them make is complex if either is, and has double precision if
//! either has; one without a precision takes that of the other, and two of them compute in double.

use ndarray_linalg::{c32, c64};

use crate::linalg::Field;

/// What the scalar methods need of a number.
pub trait Arithmetic: Copy + PartialEq + std::fmt::Debug {
    /// A number without a precision of its own.
    fn constant(value: f64) -> Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
    fn negated(self) -> Self;
    /// |self|
    fn size(self) -> f64;
    fn is_zero(self) -> bool;
    /// In the order of NumPy: by real part, then by imaginary part.
    fn nonnegative(self) -> bool;

    /// |self − last| ≤ absolute + relative |last|, or both are the same infinity.
    fn is_close_to(self, last: Self, absolute: f64, relative: f64) -> bool {
        let bound = last.tolerance(absolute, relative);
        (last.size().is_finite() && self.minus(last).size() <= bound) || self == last
    }

    /// absolute + relative |self|
    fn tolerance(self, absolute: f64, relative: f64) -> f64 {
        absolute + relative * self.size()
    }
}

macro_rules! plain_arithmetic {
    ($number:ident) => {
        impl Arithmetic for $number {
            fn constant(value: f64) -> Self {
                Self::of(value)
            }

            fn plus(self, other: Self) -> Self {
                self + other
            }

            fn minus(self, other: Self) -> Self {
                self - other
            }

            fn times(self, other: Self) -> Self {
                self * other
            }

            fn over(self, other: Self) -> Self {
                Field::over(self, other)
            }

            fn negated(self) -> Self {
                -self
            }

            fn size(self) -> f64 {
                Field::size(self)
            }

            fn is_zero(self) -> bool {
                Field::size(self) == 0.0
            }

            fn nonnegative(self) -> bool {
                Field::nonnegative(self)
            }
        }
    };
}

plain_arithmetic!(f64);
// The kernels compute complex numbers as `Typed`; their own tests need no types.
#[cfg(test)]
plain_arithmetic!(c64);

/// The precision of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// None of its own: a Python number.
    Any,
    Single,
    Double,
}

/// A number with its NumPy type.
#[derive(Clone, Copy, Debug)]
pub struct Typed {
    pub value: c64,
    pub complex: bool,
    pub precision: Precision,
}

impl PartialEq for Typed {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Typed {
    /// Applies an operation in the field that the types of both make.
    fn combine(
        self,
        other: Typed,
        real: impl Fn(f64, f64) -> f64,
        single: impl Fn(c32, c32) -> c32,
        double: impl Fn(c64, c64) -> c64,
    ) -> Typed {
        let complex = self.complex || other.complex;
        let precision = self.precision.max(other.precision);
        let (a, b) = (self.rounded_to(precision), other.rounded_to(precision));
        let value = match (complex, precision) {
            (false, _) => real(a.re, b.re).into(),
            (true, Precision::Single) => {
                single(c32::from_complex(a), c32::from_complex(b)).to_complex()
            }
            (true, _) => double(a, b),
        };
        // Sums, products and quotients of singles are exact enough in double precision to round
        // to what single precision makes of them.
        let value = if precision == Precision::Single { value.to_single() } else { value };
        Typed { value, complex, precision }
    }

    fn rounded_to(self, precision: Precision) -> c64 {
        if precision == Precision::Single { self.value.to_single() } else { self.value }
    }

    fn real(self, size: f64) -> f64 {
        if self.precision == Precision::Single { size.to_single() } else { size }
    }
}

impl Arithmetic for Typed {
    fn constant(value: f64) -> Self {
        Typed { value: value.into(), complex: false, precision: Precision::Any }
    }

    fn plus(self, other: Self) -> Self {
        self.combine(other, |a, b| a + b, |a, b| a + b, |a, b| a + b)
    }

    fn minus(self, other: Self) -> Self {
        self.combine(other, |a, b| a - b, |a, b| a - b, |a, b| a - b)
    }

    fn times(self, other: Self) -> Self {
        self.combine(other, |a, b| a * b, |a, b| a * b, |a, b| a * b)
    }

    fn over(self, other: Self) -> Self {
        self.combine(other, |a, b| a / b, Field::over, Field::over)
    }

    fn negated(self) -> Self {
        Typed { value: -self.value, ..self }
    }

    fn size(self) -> f64 {
        if !self.complex {
            return self.value.re.abs();
        }
        if self.precision == Precision::Single {
            return Field::size(c32::from_complex(self.value));
        }
        Field::size(self.value)
    }

    fn is_zero(self) -> bool {
        self.value.re == 0.0 && self.value.im == 0.0
    }

    fn nonnegative(self) -> bool {
        if self.complex { Field::nonnegative(self.value) } else { self.value.re >= 0.0 }
    }

    fn tolerance(self, absolute: f64, relative: f64) -> f64 {
        let scaled = self.real(self.real(relative) * self.size());
        self.real(self.real(absolute) + scaled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: f64, precision: Precision) -> Typed {
        Typed { value: value.into(), complex: false, precision }
    }

    #[test]
    fn the_wider_precision_wins_and_python_numbers_have_none() {
        let third = |a, b| number(1.0, a).over(number(3.0, b));
        let single = f64::from(1.0f32 / 3.0f32);
        assert_eq!(third(Precision::Single, Precision::Single).value.re, single);
        assert_eq!(third(Precision::Any, Precision::Single).value.re, single);
        assert_eq!(third(Precision::Any, Precision::Any).value.re, 1.0 / 3.0);
        assert_eq!(third(Precision::Single, Precision::Double).value.re, 1.0 / 3.0);
        assert_eq!(third(Precision::Any, Precision::Any).precision, Precision::Any);
    }

    #[test]
    fn python_numbers_outside_single_precision_survive_until_they_meet_it() {
        let step = number(1e-50, Precision::Any).over(number(2e-50, Precision::Any));
        assert_eq!(number(1.5, Precision::Single).minus(step).value.re, 1.0);
    }

    #[test]
    fn real_numbers_are_divided_as_real_beside_a_complex_point() {
        let point =
            Typed { value: c64::new(1.0, 1.0), complex: true, precision: Precision::Double };
        let step = number(10.0, Precision::Any).over(number(3.0, Precision::Any));
        assert_eq!(point.minus(step).value.re, 1.0 - 10.0 / 3.0);
    }

    #[test]
    fn tolerances_are_rounded_to_the_precision_of_the_point() {
        let point = number(1.0, Precision::Single);
        assert_eq!(point.tolerance(1e-9, 0.0), f64::from(1e-9f32));
        assert_eq!(number(1.0, Precision::Double).tolerance(1e-9, 0.0), 1e-9);
    }
}
