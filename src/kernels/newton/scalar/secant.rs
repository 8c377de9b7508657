//! The secant method for f(x) = 0.
//!
//! The line through (x₀, q₀) and (x₁, q₁), qᵢ = f(xᵢ), has its zero at
//!
//!     x₊ = x₁ − q₁ (x₁ − x₀) / (q₁ − q₀).
//!
//! It is computed from the ratio r of the smaller value to the larger, so that nothing overflows:
//!
//!     r = q₀/q₁ if |q₁| > |q₀|:   x₊ = (x₀ − r x₁) / (1 − r)
//!     r = q₁/q₀ otherwise:        x₊ = (x₁ − r x₀) / (1 − r)
//!
//! Reference: J. F. Traub, "Iterative Methods for the Solution of Equations", Prentice-Hall, 1964.

use super::{Arithmetic, Ask, Limits, Stop};

#[derive(Clone, Debug)]
pub struct Secant<T> {
    points: [T; 2],
    values: [T; 2],
    /// Where to evaluate; when done, the root.
    point: T,
    iterations: u64,
    limits: Limits,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    FirstValue,
    SecondValue,
    NextValue,
    Done(Stop),
}

impl<T: Arithmetic> Secant<T> {
    pub fn new(start: T, second: T, limits: Limits) -> Self {
        Secant {
            points: [start, second],
            values: [T::constant(0.0); 2],
            point: start,
            iterations: 0,
            limits,
            phase: Phase::FirstValue,
        }
    }

    /// A second point beside `start`, for callers who have none.
    pub fn second_point(start: T) -> T {
        const OFFSET: f64 = 1e-4;
        let scaled = start.times(T::constant(1.0 + OFFSET));
        let offset = T::constant(OFFSET);
        if scaled.nonnegative() { scaled.plus(offset) } else { scaled.minus(offset) }
    }

    pub fn ask(&self) -> Ask {
        match self.phase {
            Phase::Done(stop) => Ask::Done(stop),
            _ => Ask::Value,
        }
    }

    pub fn point(&self) -> T {
        self.point
    }

    pub fn iterations(&self) -> u64 {
        self.iterations
    }

    /// The two ends of the secant, the newer one last.
    pub fn ends(&self) -> [T; 2] {
        self.points
    }

    pub fn tell(&mut self, value: T) {
        self.phase = match self.phase {
            Phase::FirstValue => self.tell_first(value),
            Phase::SecondValue => self.tell_second(value),
            Phase::NextValue => self.tell_next(value),
            done @ Phase::Done(_) => done,
        }
    }

    fn tell_first(&mut self, value: T) -> Phase {
        self.values[0] = value;
        self.point = self.points[1];
        Phase::SecondValue
    }

    fn tell_second(&mut self, value: T) -> Phase {
        self.values[1] = value;
        if self.values[1].size() < self.values[0].size() {
            self.values.swap(0, 1);
            self.points.swap(0, 1);
        }
        self.advance()
    }

    fn tell_next(&mut self, value: T) -> Phase {
        self.values[1] = value;
        if self.iterations == self.limits.iterations {
            Phase::Done(Stop::OutOfIterations)
        } else {
            self.advance()
        }
    }

    fn advance(&mut self) -> Phase {
        self.iterations += 1;
        let [older, newer] = self.points;
        if self.values[0] == self.values[1] {
            self.point = newer.plus(older).over(T::constant(2.0));
            return Phase::Done(Stop::FlatSecant);
        }
        self.point = self.zero_of_line();
        if self.limits.close(self.point, newer) {
            return Phase::Done(Stop::SmallStep);
        }
        self.points = [newer, self.point];
        self.values[0] = self.values[1];
        Phase::NextValue
    }

    fn zero_of_line(&self) -> T {
        let ([x0, x1], [q0, q1]) = (self.points, self.values);
        let zero = |ratio: T, near: T, far: T| {
            ratio.negated().times(far).plus(near).over(T::constant(1.0).minus(ratio))
        };
        if q1.size() > q0.size() { zero(q0.over(q1), x0, x1) } else { zero(q1.over(q0), x1, x0) }
    }

    pub fn embed<U>(&self, point: impl Fn(T) -> U, answer: impl Fn(T) -> U) -> Secant<U> {
        Secant {
            points: self.points.map(&point),
            values: self.values.map(answer),
            point: point(self.point),
            iterations: self.iterations,
            limits: self.limits,
            phase: self.phase,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { absolute: 1e-13, relative: 0.0, iterations: 30 };

    fn run(mut secant: Secant<f64>, f: impl Fn(f64) -> f64) -> (f64, Stop) {
        loop {
            match secant.ask() {
                Ask::Done(stop) => return (secant.point(), stop),
                _ => secant.tell(f(secant.point())),
            }
        }
    }

    #[test]
    fn finds_the_root_without_derivatives() {
        let start = 1.0;
        let secant = Secant::new(start, Secant::second_point(start), LIMITS);
        let (root, stop) = run(secant, |x| x * x - 2.0);
        assert_eq!(stop, Stop::SmallStep);
        assert!((root - 2f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn values_near_the_largest_number_do_not_overflow() {
        let (root, stop) = run(Secant::new(1.0, 3.0, LIMITS), |x| 1e307 * (x - 2.0));
        assert_eq!((root, stop), (2.0, Stop::SmallStep));
    }

    #[test]
    fn a_flat_secant_ends_halfway() {
        assert_eq!(run(Secant::new(-1.0, 2.0, LIMITS), |_| 7.0), (0.5, Stop::FlatSecant));
    }

    #[test]
    fn the_second_point_lies_away_from_zero() {
        assert_eq!(Secant::second_point(0.0), 1e-4);
        assert!(Secant::second_point(2.0) > 2.0);
        assert!(Secant::second_point(-2.0) < -2.0);
    }
}
