//! What a function may say: the values of a smooth one, anything at all, or something between.

use ndarray::Array2;
use ndarray_linalg::c64;
use proptest::num::f64::ANY;
use proptest::prelude::*;
use proptest::sample::select;

use crate::linalg::Field;

/// Numbers at the ends of what there is.
const EXTREMES: [f64; 14] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    5e-324,
    f64::MIN_POSITIVE,
    f64::MAX,
    f64::MIN,
    1e-160,
    1e160,
    1e30,
];

pub fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => -4.0..4.0,
        2 => select(vec![0.0, 1.0, -1.0, 2.0, 0.5]),
        1 => select(EXTREMES.to_vec()),
        1 => ANY,
    ]
}

/// For starting points, also of single precision.
pub fn finite() -> impl Strategy<Value = f64> {
    number().prop_map(|number| if (number as f32).is_finite() { number } else { 1.0 })
}

pub fn tolerance() -> impl Strategy<Value = f64> {
    prop_oneof![3 => Just(0.0), 3 => 1e-15..1e-3, 2 => Just(f64::INFINITY), 2 => number()]
}

#[derive(Clone, Copy, Debug)]
enum Style {
    /// Values of a smooth function.
    Smooth,
    /// The same, but for every so manieth.
    Spiked(usize),
    /// Always the same values.
    Still,
    Wild,
}

/// An oracle that never runs out of answers.
#[derive(Clone, Debug)]
pub struct Answers {
    numbers: Vec<f64>,
    style: Style,
    next: usize,
    calls: usize,
    /// Residuals of a system that has not got any yet.
    pub rows: usize,
    /// Jacobians are kept rather than told.
    pub keeps_jacobians: bool,
}

pub fn answers() -> impl Strategy<Value = Answers> {
    let style = prop_oneof![
        Just(Style::Smooth),
        (1..12usize).prop_map(Style::Spiked),
        Just(Style::Still),
        Just(Style::Wild),
    ];
    let numbers = prop::collection::vec(number(), 5..40);
    (numbers, style, 1..16usize, any::<bool>()).prop_map(
        |(numbers, style, rows, keeps_jacobians)| Answers {
            numbers,
            style,
            next: 0,
            calls: 0,
            rows,
            keeps_jacobians,
        },
    )
}

impl Answers {
    pub fn real(&mut self) -> f64 {
        self.next += 1;
        self.numbers[self.next % self.numbers.len()]
    }

    pub fn number<T: Field>(&mut self) -> T {
        T::from_complex(c64::new(self.real(), self.real()))
    }

    pub fn numbers<T: Field>(&mut self, count: usize) -> Vec<T> {
        (0..count).map(|_| self.number()).collect()
    }

    /// A number of its own for each component.
    fn constant<T: Field>(&self, i: usize) -> T {
        T::of(self.numbers[i % self.numbers.len()])
    }

    /// F(x), with so many components
    pub fn residual<T: Field>(&mut self, x: &[T], rows: usize) -> Vec<T> {
        let values = (0..rows).map(|i| self.component(x, i)).collect();
        self.in_style(values)
    }

    /// cᵢ + aᵢ xⱼ + xⱼ² xₖ / 10
    fn component<T: Field>(&self, x: &[T], i: usize) -> T {
        let (j, k) = (i % x.len(), (i + 1) % x.len());
        self.constant::<T>(i) + slope::<T>(i) * x[j] + T::of(0.1) * x[j] * x[j] * x[k]
    }

    pub fn jacobian<T: Field>(&mut self, x: &[T], rows: usize) -> Array2<T> {
        let mut entries = vec![T::zero(); rows * x.len()];
        for (i, row) in entries.chunks_exact_mut(x.len()).enumerate() {
            let (j, k) = (i % x.len(), (i + 1) % x.len());
            row[j] += slope::<T>(i) + T::of(0.2) * x[j] * x[k];
            row[k] += T::of(0.1) * x[j] * x[j];
        }
        Array2::from_shape_vec((rows, x.len()), self.in_style(entries)).unwrap()
    }

    fn in_style<T: Field>(&mut self, mut smooth: Vec<T>) -> Vec<T> {
        self.calls += 1;
        match self.style {
            Style::Smooth => {}
            Style::Spiked(period) if !self.calls.is_multiple_of(period) => {}
            Style::Spiked(_) => {
                let at = self.calls % smooth.len();
                smooth[at] = self.number();
            }
            Style::Still => {
                smooth = (0..smooth.len()).map(|i| self.constant(i)).collect();
            }
            Style::Wild => smooth = self.numbers(smooth.len()),
        }
        smooth
    }
}

fn slope<T: Field>(i: usize) -> T {
    T::of(1.0 + i as f64 / 3.0)
}
