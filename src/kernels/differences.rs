//! Jacobians from function values: finite differences and the complex step.
//!
//! Column j of J = F'(x) is one of
//!
//!     (F(x + hⱼeⱼ) − F(x)) / hⱼ                 two points, error O(h)
//!     (F(x + hⱼeⱼ) − F(x − hⱼeⱼ)) / 2hⱼ         three points, error O(h²)
//!     Im F(x + i hⱼeⱼ) / hⱼ                     complex step, error O(h²), no cancellation
//!
//! with |hⱼ| = r max(|xⱼ|, tⱼ), where tⱼ is a size that is typical of xⱼ, or r |xⱼ| (r where xⱼ = 0)
//! for an r that the user chose. Otherwise r balances truncation with the relative error ε of F: it
//! is √ε for two points, ∛ε for three. That error is the rounding of the numbers that F computes
//! in, which may be coarser than those of x (`noise`). A quotient divides by the distance between
//! the points as rounded, not by the h that was meant. Where bounds are in the way, h changes its sign, shrinks to the room
//! there is, and three points lie on one side,
//!
//!     (−3F(x) + 4F(x + hⱼeⱼ) − F(x + 2hⱼeⱼ)) / 2hⱼ.
//!
//! References: J. Nocedal, S. J. Wright, "Numerical Optimization", 2nd ed., section 8.1;
//! W. Squire, G. Trapp, "Using complex variables to estimate derivatives of real functions",
//! SIAM Review 40(1), 1998.

use ndarray::{Array2, ShapeBuilder};
use ndarray_linalg::c64;
use serde::{Deserialize, Serialize};

use super::noise::differ_by_coarse_steps;
use crate::linalg::Field;
use crate::linalg::memory::bytes_of;
use crate::saved;

/// How far from x to evaluate.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Distances {
    /// A size that is typical of each component.
    #[serde(with = "saved::vector")]
    typical: Vec<f64>,
    /// The relative distance of the user's choice.
    chosen: Option<f64>,
    /// The relative error of F.
    precision: f64,
}

impl Distances {
    /// The sizes at the start are typical, but none above 1, so that a start from far away does not
    /// spoil what is found near the solution.
    pub fn from_start<T: Field>(start: &[T], chosen: Option<f64>) -> Self {
        let typical = start.iter().map(|x| match x.size() {
            0.0 => 1.0,
            size => size.min(1.0),
        });
        Distances { typical: typical.collect(), chosen, precision: T::EPSILON }
    }

    /// The relative error of F.
    pub fn precision(&self) -> f64 {
        self.precision
    }

    /// F is found to compute with this relative error, if that is more than what was known.
    pub fn coarsen(&mut self, precision: f64) {
        self.precision = self.precision.max(precision);
    }

    /// Whether the user has chosen the distance.
    pub fn are_chosen(&self) -> bool {
        self.chosen.is_some()
    }

    /// Whether the user has chosen a distance that is lost in the error of F.
    pub fn choice_is_lost(&self, scheme: Scheme) -> bool {
        self.chosen.is_some_and(|chosen| chosen < 0.1 * scheme.balanced(self.precision))
    }

    /// The user's choice shows nothing.
    pub fn forget_choice(&mut self) {
        self.chosen = None;
    }

    /// A size that is typical of component j.
    pub fn typical(&self, j: usize) -> f64 {
        self.typical[j]
    }

    /// How far to go in relation to the size of x.
    pub fn relative(&self, scheme: Scheme) -> f64 {
        self.chosen.unwrap_or(scheme.balanced(self.precision))
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize) -> bool {
        self.typical.len() == unknowns
    }

    /// |hⱼ| for every component, where `usual` balances truncation and rounding.
    pub fn lengths<T: Field>(&self, point: &[T], usual: f64) -> Vec<f64> {
        let sizes = point.iter().map(|x| x.size()).zip(&self.typical);
        let length = |(size, &typical): (f64, &f64)| match self.chosen {
            Some(relative) if size == 0.0 => relative,
            Some(relative) => relative * size,
            None => usual * size.max(typical),
        };
        sizes.map(|pair| length(pair).max(shortest::<T>())).collect()
    }
}

/// A length that is lost in the subnormal numbers would divide by zero.
pub fn shortest<T: Field>() -> f64 {
    if T::EPSILON < 1e-10 { f64::MIN_POSITIVE } else { f32::MIN_POSITIVE.into() }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Scheme {
    /// (F(x + h) − F(x)) / h, with h of the sign of x.
    TwoPoint,
    /// (F(x + h) − F(x − h)) / 2h, with positive h.
    ThreePoint,
}

impl Scheme {
    /// The relative distance that balances truncation with a relative error of F.
    pub fn balanced(self, precision: f64) -> f64 {
        match self {
            Scheme::TwoPoint => precision.sqrt(),
            Scheme::ThreePoint => precision.cbrt(),
        }
    }
}

/// The bytes that a Jacobian in the making takes, whatever the rule, with what it takes to doubt it
/// (`approximation`).
pub fn room<T: Field>(unknowns: usize, equations: usize) -> usize {
    let jacobian = unknowns.saturating_mul(equations);
    bytes_of::<T>(jacobian.saturating_add(16usize.saturating_mul(equations)))
        .saturating_add(bytes_of::<c64>(12usize.saturating_mul(unknowns)))
}

/// A finite-difference Jacobian in the making: asks for F at one displaced point after another.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Field")]
pub struct FiniteDifferences<T: Field> {
    #[serde(with = "saved::vector")]
    point: Vec<T>,
    #[serde(with = "saved::vector")]
    residual: Vec<T>,
    /// F(x + hⱼeⱼ), kept while the third point is asked; None for two points.
    forward: Option<Vec<T>>,
    third_next: bool,
    /// Where the three points lie on one side.
    one_sided: Vec<bool>,
    #[serde(with = "saved::vector")]
    displaced: Vec<T>,
    #[serde(with = "saved::vector")]
    lengths: Vec<f64>,
    column: usize,
    /// The columns that are not wanted, and stay zero.
    skipped: Vec<bool>,
    /// Whether F has moved, and then only by steps that are coarse for double precision.
    grid: Grid,
    #[serde(with = "saved::matrix")]
    jacobian: Array2<T>,
}

/// What the differences of F have been like so far.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Grid {
    Unseen,
    Coarse,
    Fine,
}

impl<T: Field> FiniteDifferences<T> {
    /// `residual` is F(x); three points use only its length.
    pub fn new(scheme: Scheme, point: &[T], residual: &[T], distances: &Distances) -> Self {
        let lengths = distances.lengths(point, scheme.balanced(distances.precision));
        Self::with_lengths(scheme, point, residual, lengths)
    }

    /// The same with these |hⱼ|.
    pub fn with_lengths(
        scheme: Scheme,
        point: &[T],
        residual: &[T],
        mut lengths: Vec<f64>,
    ) -> Self {
        if scheme == Scheme::TwoPoint {
            for (length, x) in lengths.iter_mut().zip(point) {
                *length = if x.re() < T::real(0.0) { -*length } else { *length };
            }
        }
        let mut differences = FiniteDifferences {
            point: point.to_vec(),
            residual: residual.to_vec(),
            forward: (scheme == Scheme::ThreePoint).then(Vec::new),
            third_next: false,
            one_sided: vec![false; point.len()],
            displaced: point.to_vec(),
            lengths,
            column: 0,
            skipped: vec![false; point.len()],
            grid: Grid::Unseen,
            jacobian: Array2::zeros((residual.len(), point.len()).f()),
        };
        differences.displace();
        differences
    }

    /// Leaves the other columns zero, without asking for anything.
    pub fn only(mut self, wanted: &[bool]) -> Self {
        self.skipped = wanted.iter().map(|wanted| !wanted).collect();
        self.displaced = self.point.clone();
        self.displace();
        self
    }

    /// Keeps all points within bounds for the real parts, which the point itself is within.
    pub fn within(mut self, lower: &[f64], upper: &[f64]) -> Self {
        let reach = if self.forward.is_some() { 2.0 } else { 1.0 };
        for (j, length) in self.lengths.iter_mut().enumerate() {
            let x = self.point[j].to_complex().re;
            let (below, above) = (x - lower[j], upper[j] - x);
            let wanted = length.abs();
            let both_sides = lower[j] <= x - wanted && x + wanted <= upper[j];
            if self.forward.is_some() && both_sides {
                continue;
            }
            self.one_sided[j] = self.forward.is_some();
            let ahead = if *length >= 0.0 { above } else { below };
            if reach * wanted > ahead {
                let room = below.max(above);
                let side = if above >= below { 1.0 } else { -1.0 };
                *length = side * wanted.min(room / reach);
            }
            // The room was rounded, and so is the last point in it.
            let last = x + reach * *length;
            if last < lower[j] || last > upper[j] {
                *length = length.signum() * length.abs().next_down();
            }
        }
        self.displaced = self.point.clone();
        self.displace();
        self
    }

    /// The point at which F is wanted; None when the Jacobian is complete.
    pub fn ask(&self) -> Option<&[T]> {
        (self.column < self.point.len()).then_some(&self.displaced)
    }

    /// F at the point that was asked.
    pub fn tell(&mut self, value: &[T]) {
        if self.ask().is_none() {
            return;
        }
        let x = self.point[self.column];
        let length = T::of(self.lengths[self.column]);
        let one_sided = self.one_sided[self.column];
        if self.forward.is_none() || self.third_next {
            self.look_at_grid(value, length);
        }
        match &mut self.forward {
            None => self.finish_column((x + length) - x, |i, f| value[i] - f),
            Some(forward) if !self.third_next => {
                forward.clear();
                forward.extend_from_slice(value);
                self.third_next = true;
                self.displace();
            }
            Some(forward) => {
                let forward = std::mem::take(forward);
                if one_sided {
                    let (three, four) = (T::of(3.0), T::of(4.0));
                    self.finish_column((x + (length + length)) - x, |i, f| {
                        four * forward[i] - three * f - value[i]
                    });
                } else {
                    self.finish_column((x + length) - (x - length), |i, _| forward[i] - value[i]);
                }
                self.forward = Some(forward);
            }
        }
    }

    /// Whether there are differences other than zero, and all of them are such as a function gives
    /// that computes in less than double precision.
    pub fn are_coarse(&self) -> bool {
        self.grid == Grid::Coarse
    }

    /// Whether there is a way to go for component j; there is none between equal bounds.
    pub fn has_room(&self, j: usize) -> bool {
        let x = self.point[j];
        x + T::of(self.lengths[j]) != x
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize, equations: usize) -> bool {
        let forward = self.forward.as_ref().map_or(equations, Vec::len);
        [&self.point, &self.displaced].iter().all(|vector| vector.len() == unknowns)
            && self.lengths.len() == unknowns
            && self.one_sided.len() == unknowns
            && self.skipped.len() == unknowns
            && self.residual.len() == equations
            && (forward == equations || !self.third_next)
            && (self.forward.is_some() || !self.third_next)
            && self.jacobian.dim() == (equations, unknowns)
    }

    pub fn into_jacobian(self) -> Array2<T> {
        self.jacobian
    }

    /// `difference` is that of component i, given its value at x.
    fn finish_column(&mut self, width: T, difference: impl Fn(usize, T) -> T) {
        let mut column = self.jacobian.column_mut(self.column);
        for (i, (entry, &f)) in column.iter_mut().zip(&self.residual).enumerate() {
            // Between equal bounds there is no way to go, and nothing depends on the derivative.
            *entry = if width.is_zero() { width } else { difference(i, f).over(width) };
        }
        self.displaced[self.column] = self.point[self.column];
        self.column += 1;
        self.third_next = false;
        self.displace();
    }

    fn look_at_grid(&mut self, value: &[T], length: T) {
        if self.grid == Grid::Fine {
            return;
        }
        let before = self.forward.as_ref().unwrap_or(&self.residual);
        let x = self.point[self.column];
        match differ_by_coarse_steps(before, value, x, (x + length) - x) {
            None => {}
            Some(true) => self.grid = Grid::Coarse,
            Some(false) => self.grid = Grid::Fine,
        }
    }

    fn displace(&mut self) {
        while self.skipped.get(self.column) == Some(&true) {
            self.column += 1;
        }
        if let Some(&length) = self.lengths.get(self.column) {
            let length = match (self.third_next, self.one_sided[self.column]) {
                (false, _) => length,
                (true, true) => 2.0 * length,
                (true, false) => -length,
            };
            self.displaced[self.column] = self.point[self.column] + T::of(length);
        }
    }
}

/// A complex-step Jacobian in the making, for a real point: asks for F at one point after another
/// that has one component moved off the real axis.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Field")]
pub struct ComplexStep<T: Field> {
    #[serde(with = "saved::vector")]
    displaced: Vec<c64>,
    #[serde(with = "saved::vector")]
    lengths: Vec<f64>,
    column: usize,
    #[serde(with = "saved::matrix")]
    jacobian: Array2<T>,
}

impl<T: Field> ComplexStep<T> {
    pub fn new(point: &[T], equations: usize, distances: &Distances) -> Self {
        // There is nothing to cancel, so h may be far below the rounding of x.
        let lengths = distances.lengths(point, T::EPSILON);
        let mut step = ComplexStep {
            displaced: point.iter().map(|x| x.to_complex()).collect(),
            lengths,
            column: 0,
            jacobian: Array2::zeros((equations, point.len()).f()),
        };
        step.displace();
        step
    }

    /// The point at which F is wanted; None when the Jacobian is complete.
    pub fn ask(&self) -> Option<&[c64]> {
        (self.column < self.lengths.len()).then_some(&self.displaced)
    }

    /// F at the point that was asked.
    pub fn tell(&mut self, value: &[c64]) {
        if self.ask().is_none() {
            return;
        }
        let length = self.lengths[self.column];
        for (entry, component) in self.jacobian.column_mut(self.column).iter_mut().zip(value) {
            *entry = T::of(component.im / length);
        }
        self.displaced[self.column].im = 0.0;
        self.column += 1;
        self.displace();
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize, equations: usize) -> bool {
        self.displaced.len() == unknowns
            && self.lengths.len() == unknowns
            && self.jacobian.dim() == (equations, unknowns)
    }

    pub fn into_jacobian(self) -> Array2<T> {
        self.jacobian
    }

    fn displace(&mut self) {
        if let Some(&length) = self.lengths.get(self.column) {
            self.displaced[self.column].im = length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn residual<T: Field>(x: &[T]) -> Vec<T> {
        vec![x[0] * x[1], x[0].exp(), x[1].sin() - x[0]]
    }

    fn exact<T: Field>(x: &[T]) -> Array2<T> {
        array![[x[1], x[0]], [x[0].exp(), T::zero()], [-T::one(), x[1].cos()]]
    }

    fn error<T: Field>(jacobian: &Array2<T>, x: &[T]) -> f64 {
        (jacobian - &exact(x)).iter().map(|e| e.size()).fold(0.0, f64::max)
    }

    fn differences<T: Field>(scheme: Scheme, x: &[T]) -> Array2<T> {
        let (f, distances) = (residual(x), Distances::from_start(x, None));
        let mut differences = FiniteDifferences::new(scheme, x, &f, &distances);
        while let Some(point) = differences.ask() {
            let value = residual(point);
            differences.tell(&value);
        }
        differences.into_jacobian()
    }

    #[test]
    fn each_scheme_is_as_exact_as_it_should_be() {
        let x = [0.7, -1.3];
        assert!(error(&differences(Scheme::TwoPoint, &x), &x) < 1e-7);
        assert!(error(&differences(Scheme::ThreePoint, &x), &x) < 1e-9);

        let mut step: ComplexStep<f64> = ComplexStep::new(&x, 3, &Distances::from_start(&x, None));
        while let Some(point) = step.ask() {
            let value = residual(point);
            step.tell(&value);
        }
        assert!(error(&step.into_jacobian(), &x) < 1e-15);
    }

    #[test]
    fn analytic_functions_of_complex_points_have_complex_jacobians() {
        let x = [c64::new(0.5, 0.2), c64::new(-1.0, 1.0)];
        assert!(error(&differences(Scheme::TwoPoint, &x), &x) < 1e-7);
        assert!(error(&differences(Scheme::ThreePoint, &x), &x) < 1e-9);
    }

    #[test]
    fn a_chosen_step_is_relative_and_the_other_components_stay() {
        let x = [200.0, 0.0];
        let f = residual(&x);
        let mut differences = FiniteDifferences::new(
            Scheme::TwoPoint,
            &x,
            &f,
            &Distances::from_start(&x, Some(1e-3)),
        );
        assert_eq!(differences.ask(), Some(&[200.2, 0.0][..]));
        differences.tell(&f);
        assert_eq!(differences.ask(), Some(&[200.0, 1e-3][..]));
        differences.tell(&f);
        assert_eq!(differences.ask(), None);
    }

    #[test]
    fn distances_follow_the_scale_of_the_start() {
        let lengths = |start: f64, x: f64| Distances::from_start(&[start], None).lengths(&[x], 0.5);
        assert_eq!(lengths(1e-9, 1e-20), [0.5e-9]);
        assert_eq!(lengths(1e9, 1e-20), [0.5]);
        assert_eq!(lengths(0.0, 0.0), [0.5]);
        assert_eq!(lengths(1.0, 1e9), [0.5e9]);
    }

    #[test]
    fn three_points_lie_on_both_sides() {
        let x = [-1.0];
        let mut differences = FiniteDifferences::new(
            Scheme::ThreePoint,
            &x,
            &[0.0],
            &Distances::from_start(&x, Some(0.5)),
        );
        assert_eq!(differences.ask(), Some(&[-0.5][..]));
        differences.tell(&[3.0]);
        assert_eq!(differences.ask(), Some(&[-1.5][..]));
        differences.tell(&[1.0]);
        assert_eq!(differences.into_jacobian(), array![[2.0]]);
    }

    #[test]
    fn no_point_leaves_the_bounds() {
        for scheme in [Scheme::TwoPoint, Scheme::ThreePoint] {
            for x in [[0.7, -1.3], [1.0, -1.3 + 1e-12], [1.0 - 1e-12, 0.0]] {
                let (lower, upper) = ([0.7 - 1e-3, -1.3], [1.0, 0.0]);
                let (f, distances) = (residual(&x), Distances::from_start(&x, Some(1e-3)));
                let mut differences =
                    FiniteDifferences::new(scheme, &x, &f, &distances).within(&lower, &upper);
                while let Some(point) = differences.ask() {
                    assert!(point.iter().zip(&lower).all(|(x, l)| x >= l), "{point:?}");
                    assert!(point.iter().zip(&upper).all(|(x, u)| x <= u), "{point:?}");
                    let value = residual(point);
                    differences.tell(&value);
                }
                let tolerance = if scheme == Scheme::TwoPoint { 2e-3 } else { 2e-6 };
                assert!(error(&differences.into_jacobian(), &x) < tolerance);
            }
        }
    }

    #[test]
    fn a_room_that_is_rounded_up_is_not_left() {
        let (x, lower, upper) = ([-(2f64.powi(-74))], [-1e-30], [2f64.powi(-20).next_down()]);
        assert!(x[0] + (upper[0] - x[0]) > upper[0]);
        let distances = Distances::from_start(&[1.0], None);
        let mut differences = FiniteDifferences::new(Scheme::ThreePoint, &x, &[0.0], &distances)
            .within(&lower, &upper);
        while let Some(point) = differences.ask() {
            assert!(point[0] <= upper[0]);
            differences.tell(&[0.0]);
        }
    }

    #[test]
    fn a_complete_jacobian_takes_no_more_values() {
        let distances = Distances::from_start(&[1.0], None);
        let mut differences = FiniteDifferences::new(Scheme::TwoPoint, &[1.0], &[0.0], &distances);
        let mut step: ComplexStep<f64> = ComplexStep::new(&[1.0], 1, &distances);
        for _ in 0..2 {
            differences.tell(&[1.0]);
            step.tell(&[c64::new(0.0, 1.0)]);
        }
        assert_eq!((differences.ask(), step.ask()), (None, None));
    }

    #[test]
    fn a_complex_step_has_one_imaginary_component() {
        let step =
            ComplexStep::new(&[2.0, 3.0], 1, &Distances::from_start(&[2.0, 3.0], Some(0.25)));
        assert_eq!(step.ask(), Some(&[c64::new(2.0, 0.5), c64::new(3.0, 0.0)][..]));
    }
}
