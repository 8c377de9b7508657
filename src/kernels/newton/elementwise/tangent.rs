//! Newton-Raphson and Halley on many equations fᵢ(xᵢ) = 0.
//!
//! For every element whose derivative is not zero
//!
//!     xᵢ₊ = xᵢ − sᵢ,   sᵢ = fᵢ / fᵢ'              (Newton-Raphson)
//!     sᵢ ← sᵢ / (1 − sᵢ fᵢ'' / (2 fᵢ'))           (Halley)
//!
//! until all values are exactly zero, or no such element moves by the tolerance or more.

use super::{Answer, Ask, Limits};
use crate::linalg::Field;
use crate::linalg::tall::vectorized;

#[derive(Clone, Debug)]
pub struct Tangent<T> {
    points: Vec<T>,
    values: Vec<T>,
    derivatives: Vec<T>,
    /// Elements whose derivative was last not zero.
    sloped: Vec<bool>,
    failing: Vec<bool>,
    /// All answers of this iteration have single precision.
    single: bool,
    /// Halley's correction is wanted.
    halley: bool,
    iterations: u64,
    limits: Limits,
    ask: Ask,
}

impl<T: Field> Tangent<T> {
    pub fn new(starts: Vec<T>, halley: bool, limits: Limits) -> Self {
        let count = starts.len();
        Tangent {
            points: starts,
            values: vec![T::zero(); count],
            derivatives: vec![T::zero(); count],
            sloped: vec![true; count],
            failing: vec![true; count],
            single: false,
            halley,
            iterations: 0,
            limits,
            ask: Ask::Values,
        }
    }

    pub fn ask(&self) -> Ask {
        self.ask
    }

    pub fn points(&self) -> &[T] {
        &self.points
    }

    pub fn untouched(&self) -> bool {
        self.iterations == 0
    }

    pub fn failing(&self) -> &[bool] {
        &self.failing
    }

    pub fn sloped(&self) -> &[bool] {
        &self.sloped
    }

    pub fn tell(&mut self, answer: Answer<T>) {
        self.ask = match self.ask {
            Ask::Values => self.tell_values(answer),
            Ask::Derivatives => self.tell_derivatives(answer),
            Ask::SecondDerivatives => self.tell_second_derivatives(answer),
            Ask::Done => Ask::Done,
        }
    }

    fn tell_values(&mut self, answer: Answer<T>) -> Ask {
        if answer.values.iter().all(T::is_zero) {
            self.failing.fill(false);
            return Ask::Done;
        }
        std::mem::swap(&mut self.values, answer.values);
        self.single = answer.single;
        Ask::Derivatives
    }

    fn tell_derivatives(&mut self, answer: Answer<T>) -> Ask {
        if answer.values.iter().all(T::is_zero) {
            self.sloped.fill(false);
            return Ask::Done;
        }
        std::mem::swap(&mut self.derivatives, answer.values);
        self.single &= answer.single;
        if self.halley {
            return Ask::SecondDerivatives;
        }
        // The values are where the third number would be, which this step does not need.
        let others = std::mem::take(answer.values);
        let ask = if self.single {
            self.advance(&others, |value, derivative, _| value.over(derivative).to_single())
        } else {
            self.advance(&others, |value, derivative, _| value.over(derivative))
        };
        *answer.values = others;
        ask
    }

    fn tell_second_derivatives(&mut self, answer: Answer<T>) -> Ask {
        let half = T::of(0.5);
        let (newton_single, all_single) = (self.single, self.single && answer.single);
        let round = |number: T, single| if single { number.to_single() } else { number };
        self.advance(answer.values, |value, derivative, second_derivative| {
            let step = round(value.over(derivative), newton_single);
            let product = round(half * step * second_derivative, all_single);
            let correction = round(product.over(derivative), all_single);
            round(step.over(round(T::one() - correction, all_single)), all_single)
        })
    }

    /// Takes the steps, given by value, derivative and a third number of each element.
    fn advance(&mut self, others: &[T], step: impl Fn(T, T, T) -> T) -> Ask {
        let any_moving = vectorized(
            #[inline(always)]
            || {
                let mut any_moving = false;
                let answers = self.values.iter().zip(&self.derivatives).zip(others);
                let flags = self.sloped.iter_mut().zip(&mut self.failing);
                let states = self.points.iter_mut().zip(flags);
                for ((point, (sloped, failing)), ((&value, &derivative), &other)) in
                    states.zip(answers)
                {
                    let step = step(value, derivative, other);
                    *sloped = !derivative.is_zero();
                    *point = if *sloped { *point - step } else { *point };
                    *failing = if *sloped { self.limits.moving(step) } else { *failing };
                    any_moving |= *sloped & *failing;
                }
                any_moving
            },
        );
        self.iterations += 1;
        let more = any_moving && self.iterations < self.limits.iterations;
        if more { Ask::Values } else { Ask::Done }
    }

    pub fn embed<U: Field>(&self, embed: impl Fn(T) -> U) -> Tangent<U> {
        let all = |vector: &[T]| vector.iter().map(|&x| embed(x)).collect();
        Tangent {
            points: all(&self.points),
            values: all(&self.values),
            derivatives: all(&self.derivatives),
            sloped: self.sloped.clone(),
            failing: self.failing.clone(),
            single: self.single,
            halley: self.halley,
            iterations: self.iterations,
            limits: self.limits,
            ask: self.ask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { tolerance: 1e-12, iterations: 50 };

    /// Runs to the end on xᵢ² − cᵢ.
    fn run(mut tangent: Tangent<f64>, squares: &[f64]) -> Tangent<f64> {
        loop {
            let points = tangent.points().iter().zip(squares);
            let mut values: Vec<f64> = match tangent.ask() {
                Ask::Values => points.map(|(x, c)| x * x - c).collect(),
                Ask::Derivatives => points.map(|(x, _)| 2.0 * x).collect(),
                Ask::SecondDerivatives => points.map(|_| 2.0).collect(),
                Ask::Done => return tangent,
            };
            tangent.tell(Answer { values: &mut values, single: false });
        }
    }

    #[test]
    fn every_element_reaches_its_own_root() {
        let squares = [1.0, 2.0, 9.0, 100.0];
        for halley in [false, true] {
            let done = run(Tangent::new(vec![1.5; 4], halley, LIMITS), &squares);
            for (root, square) in done.points().iter().zip(squares) {
                assert!((root - square.sqrt()).abs() < 1e-12);
            }
            assert!(done.failing().iter().all(|&failing| !failing));
        }
    }

    #[test]
    fn an_element_without_slope_stays_and_is_reported() {
        let done = run(Tangent::new(vec![0.0, 1.0], false, LIMITS), &[2.0, 2.0]);
        assert_eq!(done.points()[0], 0.0);
        assert_eq!(done.sloped(), [false, true]);
        assert_eq!(done.failing(), [true, false]);
    }

    #[test]
    fn values_that_are_all_zero_end_it_at_once() {
        let done = run(Tangent::new(vec![3.0, -3.0], false, LIMITS), &[9.0, 9.0]);
        assert!(done.untouched());
        assert_eq!(done.failing(), [false, false]);
    }

    #[test]
    fn single_precision_answers_are_divided_in_single_precision() {
        let mut tangent = Tangent::new(vec![0.0, 0.0], false, LIMITS);
        tangent.tell(Answer { values: &mut vec![1.0, 1.0], single: true });
        tangent.tell(Answer { values: &mut vec![3.0, 3.0], single: true });
        assert_eq!(tangent.points()[0], -f64::from(1.0f32 / 3.0f32));
    }
}
