//! How precisely a function computes, found out from its values.
//!
//! A function may compute in single precision although it takes and returns double: then a step
//! that is right for double precision changes nothing, or is drowned in rounding errors. Three
//! signs of that cost nothing: a column of differences is zero; all differences are multiples of
//! a step that is coarse for double precision; the line search collapses (`newton::system`). Where
//! there is such a sign, F is asked at a few more points on a line,
//!
//!     x + t p / 8,   t = 8, 1, 2, … 6,
//!
//! and the noise is estimated from the table of differences of what it says. The k-th differences
//! of a smooth function are O(|p|ᵏ), those of independent errors of standard deviation σ have the
//! mean square σ² (2k)! / (k!)². So each
//!
//!     σₖ² = (k!)² / (2k)! · mean |Δᵏ F|²
//!
//! estimates σ² from above, and from k = 3 on what is smooth has all but vanished. A jump is no noise:
//! it is in few of the second differences, whose median is a bound. Components of F
//! whose noise is that of their own last digits are not counted: they are computed in full precision,
//! however little of it is left in their differences.
//!
//! References: R. W. Hamming, "Introduction to Applied Numerical Analysis", McGraw-Hill, 1971;
//! J. J. Moré, S. M. Wild, "Estimating computational noise", SIAM Journal on Scientific Computing
//! 33(3), 2011; the same, "Estimating derivatives of noisy simulations", ACM Transactions on
//! Mathematical Software 38(3), 2012.

use serde::{Deserialize, Serialize};

use crate::linalg::Field;
use crate::linalg::norm::norm;
use crate::saved;

/// Where on the line F is asked, in eighths.
const PLACES: [f64; 7] = [8.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

/// F along a line through x, in the making.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Field")]
pub struct Probe<T: Field> {
    #[serde(with = "saved::vector")]
    point: Vec<T>,
    #[serde(with = "saved::vector")]
    residual: Vec<T>,
    /// p
    #[serde(with = "saved::vector")]
    displacement: Vec<f64>,
    /// The length of p in relation to x.
    relative: f64,
    #[serde(with = "saved::vector")]
    displaced: Vec<T>,
    #[serde(with = "saved::vectors")]
    samples: Vec<Vec<T>>,
}

/// (k!)² / (2k)! for k = 1, 2, …; 0 for those that are not looked at.
const WEIGHTS: [f64; 5] = [0.0, 0.0, 1.0 / 20.0, 1.0 / 70.0, 1.0 / 252.0];

/// At most so many medians of the second differences make a standard deviation.
const MEDIAN: f64 = 2.0;

/// By so many units in the last place a function may be wrong that computes in full precision.
const LAST_DIGITS: f64 = 16.0;

/// What a probe finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finding {
    /// F is the same at the end of the line, or is not finite there.
    Still,
    /// F is another, and has about this relative error.
    Moved { precision: f64 },
}

impl<T: Field> Probe<T> {
    pub fn new(point: &[T], residual: &[T], displacement: Vec<f64>, relative: f64) -> Self {
        let mut probe = Probe {
            point: point.to_vec(),
            residual: residual.to_vec(),
            displacement,
            relative,
            displaced: point.to_vec(),
            samples: Vec::new(),
        };
        probe.displace();
        probe
    }

    /// The point at which F is wanted; None when enough is known.
    pub fn ask(&self) -> Option<&[T]> {
        self.finding().is_none().then_some(&self.displaced)
    }

    /// F at the point that was asked.
    pub fn tell(&mut self, value: &[T]) {
        if self.ask().is_some() {
            self.samples.push(value.to_vec());
            self.displace();
        }
    }

    /// The length of p in relation to x.
    pub fn relative(&self) -> f64 {
        self.relative
    }

    pub fn finding(&self) -> Option<Finding> {
        let end = self.samples.first()?;
        if *end == self.residual || !end.iter().all(|f| f.finite()) {
            return Some(Finding::Still);
        }
        (self.samples.len() == PLACES.len())
            .then(|| Finding::Moved { precision: self.precision(end) })
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize, equations: usize) -> bool {
        [&self.point, &self.displaced].iter().all(|vector| vector.len() == unknowns)
            && self.displacement.len() == unknowns
            && self.residual.len() == equations
            && self.samples.len() <= PLACES.len()
            && self.samples.iter().all(|sample| sample.len() == equations)
    }

    /// The error of F in relation to what a change of x by its own size makes of it.
    fn precision(&self, end: &[T]) -> f64 {
        let moved: Vec<T> = end.iter().zip(&self.residual).map(|(&e, &f)| e - f).collect();
        let slope = norm(&moved) / self.relative;
        let deviations = (0..self.residual.len()).map(|i| self.deviation(i) / slope);
        let total = deviations.map(|deviation| deviation.powi(2)).sum::<f64>().sqrt();
        // An error may be some times its standard deviation.
        if total.is_finite() { 4.0 * total } else { 0.0 }
    }

    /// σ of a component; 0 where it is that of its last digits.
    fn deviation(&self, i: usize) -> f64 {
        let values = self.samples[1..].iter().map(|sample| sample[i]);
        let mut table: Vec<T> = std::iter::once(self.residual[i]).chain(values).collect();
        let largest = table.iter().map(|f| f.size()).fold(0.0, f64::max);
        let mut least = f64::INFINITY;
        for order in 1..=5 {
            table = table.windows(2).map(|pair| pair[1] - pair[0]).collect();
            if order == 2 {
                least = MEDIAN * median(table.iter().map(|d| d.size() / largest));
            }
            if let Some(weight) = WEIGHTS.get(order - 1).filter(|weight| **weight > 0.0) {
                let squares = table.iter().map(|d| (d.size() / largest).powi(2));
                let mean = squares.sum::<f64>() / table.len() as f64;
                least = least.min((mean * weight).sqrt());
            }
        }
        if least > LAST_DIGITS * T::EPSILON { least * largest } else { 0.0 }
    }

    fn displace(&mut self) {
        let Some(place) = PLACES.get(self.samples.len()) else { return };
        for (j, displaced) in self.displaced.iter_mut().enumerate() {
            *displaced = self.point[j] + T::of(self.displacement[j] * (place / 8.0));
        }
    }
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A step of so many units in the last place is coarse. It is a quarter of a unit of single
/// precision, and more than what a step of 2⁻²⁶ x makes of a term of few digits.
const COARSE: f64 = (1 << 27) as f64;

/// Whether all components that differ, where component x of the point was moved by `width`, do so
/// by multiples of a step that is coarse for the double precision of their values and of their
/// terms. None where nothing can be said: where none differs but from zero, and where the field is
/// single.
pub fn differ_by_coarse_steps<T: Field>(before: &[T], after: &[T], x: T, width: T) -> Option<bool> {
    if T::EPSILON > 1e-10 {
        return None;
    }
    // What a change of x by its own size would make of the difference: the term of F that x is in.
    let magnification = x.size() / width.size();
    let coarse = |a: f64, b: f64| {
        let difference = b - a;
        let terms = a.abs().max(b.abs()).max(difference.abs() * magnification);
        let unit = power_of_two_below(terms) * f64::EPSILON;
        let step = COARSE * unit;
        (difference - (difference / step).round() * step).abs() <= 4.0 * unit
    };
    let pairs = before.iter().zip(after).filter(|(a, b)| a != b && !a.is_zero());
    let pairs = pairs.map(|(a, b)| (a.to_complex(), b.to_complex()));
    let mut coarse = pairs
        .map(|(a, b)| (a.re == b.re || coarse(a.re, b.re)) && (a.im == b.im || coarse(a.im, b.im)));
    Some(coarse.next()? && coarse.all(|coarse| coarse))
}

const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;

/// The largest power of two that is not more than the number; 0 below the normal numbers.
fn power_of_two_below(number: f64) -> f64 {
    f64::from_bits(number.to_bits() & !((1 << FRACTION_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(f: impl Fn(f64) -> Vec<f64>, x: f64, relative: f64) -> Finding {
        let mut probe = Probe::new(&[x], &f(x), vec![relative * x], relative);
        while let Some(point) = probe.ask() {
            let value = f(point[0]);
            probe.tell(&value);
        }
        probe.finding().unwrap()
    }

    fn smooth(x: f64) -> Vec<f64> {
        vec![x.exp(), 3.0 * x.sin() - 1.0]
    }

    fn single(x: f64) -> Vec<f64> {
        let x = x as f32;
        vec![x.exp().into(), (3.0 * x.sin() - 1.0).into()]
    }

    const RELATIVE: f64 = 3.45e-4;

    #[test]
    fn noise_is_estimated_to_an_order_of_magnitude() {
        for x in [0.3, 0.7, 1.9, -1.1] {
            let Finding::Moved { precision } = probe(single, x, RELATIVE) else { panic!() };
            assert!(precision > 1e-8 && precision < 2e-6, "{precision:e}");
            let Finding::Moved { precision } = probe(smooth, x, RELATIVE) else { panic!() };
            assert!(precision < 1e-14, "{precision:e}");
        }
    }

    #[test]
    fn noise_of_any_size_is_seen() {
        for size in [1e-12, 1e-9, 1e-6] {
            let noisy = |x: f64| vec![x + size * (1e9 * x).sin()];
            let Finding::Moved { precision } = probe(noisy, 0.7, RELATIVE) else { panic!() };
            assert!(precision > size / 3.0 && precision < 30.0 * size, "{precision:e}");
        }
    }

    #[test]
    fn a_jump_is_no_noise() {
        for place in [0.05, 0.3, 0.9] {
            let jump = |x: f64| vec![if x < 0.7 * (1.0 + place * RELATIVE) { -1.0 } else { 1e6 }];
            assert_eq!(probe(jump, 0.7, RELATIVE), Finding::Moved { precision: 0.0 });
        }
    }

    #[test]
    fn a_difference_of_large_terms_is_not_coarse_for_being_small() {
        let f = |x: f64| vec![x * x - 2.0];
        let (x, width) = (2f64.sqrt() + 1e-9, 2e-8 / 3.0);
        assert_eq!(differ_by_coarse_steps(&f(x), &f(x + width), x, width), Some(false));
    }

    #[test]
    fn what_does_not_move_is_found_still_at_once() {
        let mut probe = Probe::new(&[1.0], &[2.0], vec![1e-3], 1e-3);
        probe.tell(&[2.0]);
        assert_eq!((probe.finding(), probe.ask()), (Some(Finding::Still), None));
        let mut probe = Probe::new(&[1.0], &[2.0], vec![1e-3], 1e-3);
        probe.tell(&[f64::NAN]);
        assert_eq!(probe.finding(), Some(Finding::Still));
    }

    #[test]
    fn steps_of_single_precision_are_coarse_and_those_of_double_are_not() {
        let width = 1e-5 / 3.0;
        for x in [0.3, 0.7, 1.9, -1.1] {
            let data = [0.1, 1.0 / 3.0];
            let less_data =
                |f: Vec<f64>| f.iter().zip(data).map(|(f, y)| f - y).collect::<Vec<_>>();
            let coarse = |f: &dyn Fn(f64) -> Vec<f64>| {
                differ_by_coarse_steps(&f(x), &f(x + width), x, width)
            };
            assert_eq!(coarse(&single), Some(true));
            assert_eq!(coarse(&|x| less_data(single(x))), Some(true));
            assert_eq!(coarse(&smooth), Some(false));
            assert_eq!(coarse(&|x| vec![x - 1.0]), Some(false));
            assert_eq!(coarse(&|_| vec![1.0]), None);
        }
        let tiny = 2f64.powi(-26);
        assert_eq!(differ_by_coarse_steps(&[0.0], &[tiny], 1.0, tiny), None);
        assert_eq!(differ_by_coarse_steps(&[-1.0], &[-1.0 + tiny], 0.0, tiny), Some(false));
        assert_eq!(differ_by_coarse_steps(&[0.5], &[0.5 + 3.0 * tiny], 1.0, tiny), Some(false));
    }
}
