//! Newton-Raphson and Halley for f(x) = 0.
//!
//! Newton-Raphson follows the tangent to its zero,
//!
//!     x₊ = x − s,   s = f(x) / f'(x),
//!
//! and Halley corrects the step for curvature,
//!
//!     x₊ = x − s / (1 − a),   a = s f''(x) / (2 f'(x)),
//!
//! as long as |a| < 1: beyond that the correction would turn the step around.
//!
//! Reference: J. F. Traub, "Iterative Methods for the Solution of Equations", Prentice-Hall, 1964.

use super::{Arithmetic, Ask, Limits, Stop};

#[derive(Clone, Debug)]
pub struct Tangent<T> {
    point: T,
    value: T,
    derivative: T,
    /// Halley's correction is wanted.
    halley: bool,
    iterations: u64,
    limits: Limits,
    ask: Ask,
}

impl<T: Arithmetic> Tangent<T> {
    pub fn new(start: T, halley: bool, limits: Limits) -> Self {
        Tangent {
            point: start,
            value: T::constant(0.0),
            derivative: T::constant(0.0),
            halley,
            iterations: 0,
            limits,
            ask: Ask::Value,
        }
    }

    pub fn ask(&self) -> Ask {
        self.ask
    }

    pub fn point(&self) -> T {
        self.point
    }

    pub fn iterations(&self) -> u64 {
        self.iterations
    }

    pub fn tell(&mut self, answer: T) {
        self.ask = match self.ask {
            Ask::Value => self.tell_value(answer),
            Ask::Derivative => self.tell_derivative(answer),
            Ask::SecondDerivative => self.tell_second_derivative(answer),
            done @ Ask::Done(_) => done,
        }
    }

    fn tell_value(&mut self, value: T) -> Ask {
        self.value = value;
        if value.is_zero() { Ask::Done(Stop::ExactRoot) } else { Ask::Derivative }
    }

    fn tell_derivative(&mut self, derivative: T) -> Ask {
        self.derivative = derivative;
        if derivative.is_zero() {
            self.iterations += 1;
            Ask::Done(Stop::ZeroDerivative)
        } else if self.halley {
            Ask::SecondDerivative
        } else {
            self.advance(self.newton_step())
        }
    }

    fn tell_second_derivative(&mut self, second_derivative: T) -> Ask {
        let step = self.newton_step();
        let product = step.times(second_derivative);
        let correction = product.over(self.derivative).over(T::constant(2.0));
        if correction.size() < 1.0 {
            self.advance(step.over(T::constant(1.0).minus(correction)))
        } else {
            self.advance(step)
        }
    }

    fn newton_step(&self) -> T {
        self.value.over(self.derivative)
    }

    fn advance(&mut self, step: T) -> Ask {
        let last = self.point;
        self.point = last.minus(step);
        self.iterations += 1;
        if self.limits.close(self.point, last) {
            Ask::Done(Stop::SmallStep)
        } else if self.iterations == self.limits.iterations {
            Ask::Done(Stop::OutOfIterations)
        } else {
            Ask::Value
        }
    }

    pub fn embed<U>(&self, point: impl Fn(T) -> U, answer: impl Fn(T) -> U) -> Tangent<U> {
        Tangent {
            point: point(self.point),
            value: answer(self.value),
            derivative: answer(self.derivative),
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
    use ndarray_linalg::c64;

    const LIMITS: Limits = Limits { absolute: 1e-14, relative: 0.0, iterations: 50 };

    /// Runs to the end on x² + c and returns the points at which f was asked, and why it stopped.
    fn run<T: Arithmetic>(mut tangent: Tangent<T>, constant: T) -> (Vec<T>, Stop) {
        let mut points = Vec::new();
        loop {
            let x = tangent.point();
            match tangent.ask() {
                Ask::Value => {
                    points.push(x);
                    tangent.tell(x.times(x).plus(constant));
                }
                Ask::Derivative => tangent.tell(x.plus(x)),
                Ask::SecondDerivative => tangent.tell(T::constant(2.0)),
                Ask::Done(stop) => {
                    points.push(x);
                    return (points, stop);
                }
            }
        }
    }

    #[test]
    fn finds_a_real_and_a_complex_root() {
        let (points, stop) = run(Tangent::new(1.0, false, LIMITS), -2.0);
        assert_eq!(stop, Stop::SmallStep);
        assert_eq!(points[1], 1.5);
        assert!((points.last().unwrap() - 2f64.sqrt()).abs() < 1e-15);

        let start = c64::new(0.5, 0.5);
        let (points, _) = run(Tangent::new(start, false, LIMITS), c64::new(4.0, 0.0));
        assert!((points.last().unwrap() - c64::new(0.0, 2.0)).norm() < 1e-15);
    }

    #[test]
    fn halley_needs_fewer_iterations() {
        let newton = run(Tangent::new(10.0, false, LIMITS), -2.0).0.len();
        let halley = run(Tangent::new(10.0, true, LIMITS), -2.0).0.len();
        assert!(halley < newton);
    }

    #[test]
    fn says_why_it_stopped() {
        assert_eq!(run(Tangent::new(1.5, false, LIMITS), -2.25).1, Stop::ExactRoot);
        assert_eq!(run(Tangent::new(0.0, false, LIMITS), 1.0).1, Stop::ZeroDerivative);
        assert_eq!(run(Tangent::new(0.3, false, LIMITS), 1.0).1, Stop::OutOfIterations);
    }

    #[test]
    fn a_finished_iteration_ignores_further_answers() {
        let mut tangent = Tangent::new(1.0, false, LIMITS);
        tangent.tell(0.0);
        tangent.tell(5.0);
        assert_eq!((tangent.ask(), tangent.point()), (Ask::Done(Stop::ExactRoot), 1.0));
    }
}
