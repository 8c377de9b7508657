//! The secant method on many equations fᵢ(xᵢ) = 0.
//!
//! For every element whose two values differ
//!
//!     xᵢ₊ = x₁ − q₁ (x₁ − x₀) / (q₁ − q₀),   qₖ = fᵢ(xₖ),
//!
//! until no such element moves by the tolerance or more. An element whose values are equal is put
//! halfway between its two points, once.

use super::{Answer, Ask, Limits};
use crate::linalg::Field;

#[derive(Clone, Debug)]
pub struct Secant<T> {
    older: Vec<T>,
    newer: Vec<T>,
    older_values: Vec<T>,
    newer_values: Vec<T>,
    /// Elements that never had equal values.
    active: Vec<bool>,
    /// Elements whose two values last differed.
    sloped: Vec<bool>,
    failing: Vec<bool>,
    iterations: u64,
    limits: Limits,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    FirstValues,
    NextValues,
    Done,
}

impl<T: Field> Secant<T> {
    pub fn new(starts: Vec<T>, limits: Limits) -> Self {
        let count = starts.len();
        Secant {
            newer: starts.iter().map(|&start| second_point(start)).collect(),
            older: starts,
            older_values: vec![T::zero(); count],
            newer_values: vec![T::zero(); count],
            active: vec![true; count],
            sloped: vec![true; count],
            failing: vec![true; count],
            iterations: 0,
            limits,
            phase: Phase::FirstValues,
        }
    }

    pub fn ask(&self) -> Ask {
        match self.phase {
            Phase::Done => Ask::Done,
            _ => Ask::Values,
        }
    }

    /// Where to evaluate; when done, the roots.
    pub fn points(&self) -> &[T] {
        match self.phase {
            Phase::NextValues => &self.newer,
            Phase::FirstValues | Phase::Done => &self.older,
        }
    }

    /// The values at the starting points have not been told yet.
    pub fn untouched(&self) -> bool {
        matches!(self.phase, Phase::FirstValues)
    }

    pub fn failing(&self) -> &[bool] {
        &self.failing
    }

    pub fn sloped(&self) -> &[bool] {
        &self.sloped
    }

    /// Among the elements without slope that did not converge, the distance between the two ends
    /// of their secants: sqrt(Σ (x₁ − x₀)²). None where all these distances are zero.
    pub fn flat_distance(&self) -> Option<T> {
        let mut sum = None;
        for i in 0..self.older.len() {
            let gap = self.newer[i] - self.older[i];
            if !self.sloped[i] && self.failing[i] && self.newer[i] != self.older[i] {
                sum = Some(sum.unwrap_or(T::zero()) + gap * gap);
            }
        }
        sum.map(T::sqrt)
    }

    pub fn tell(&mut self, answer: Answer<T>) {
        self.phase = match self.phase {
            Phase::FirstValues => {
                std::mem::swap(&mut self.older_values, answer.values);
                Phase::NextValues
            }
            Phase::NextValues => self.tell_next(answer.values),
            Phase::Done => Phase::Done,
        }
    }

    fn tell_next(&mut self, values: &mut Vec<T>) -> Phase {
        std::mem::swap(&mut self.newer_values, values);
        if self.iterations == self.limits.iterations { Phase::Done } else { self.advance() }
    }

    fn advance(&mut self) -> Phase {
        self.iterations += 1;
        if self.older_values == self.newer_values {
            self.sloped.fill(false);
            for (older, &newer) in self.older.iter_mut().zip(&self.newer) {
                *older = halfway(*older, newer);
            }
            return Phase::Done;
        }
        if !self.move_points() {
            return Phase::Done;
        }
        std::mem::swap(&mut self.older, &mut self.newer);
        std::mem::swap(&mut self.older_values, &mut self.newer_values);
        Phase::NextValues
    }

    /// Replaces the older points by the next ones; whether any element is still moving.
    fn move_points(&mut self) -> bool {
        let mut any_moving = false;
        let values = self.older_values.iter().zip(&self.newer_values);
        let points = self.older.iter_mut().zip(&self.newer);
        let flags = self.sloped.iter_mut().zip(self.active.iter_mut().zip(&mut self.failing));
        for (((older, &newer), (&q0, &q1)), (sloped, (active, failing))) in
            points.zip(values).zip(flags)
        {
            *sloped = q0 != q1;
            if *sloped {
                let step = (q1 * (newer - *older)).over(q1 - q0);
                *older = newer - step;
                *failing = self.limits.moving(step);
                any_moving |= *failing;
            } else if *active {
                *older = halfway(*older, newer);
                *active = false;
            }
        }
        any_moving
    }

    pub fn embed<U: Field>(&self, embed: impl Fn(T) -> U) -> Secant<U> {
        let all = |vector: &[T]| vector.iter().map(|&x| embed(x)).collect();
        Secant {
            older: all(&self.older),
            newer: all(&self.newer),
            older_values: all(&self.older_values),
            newer_values: all(&self.newer_values),
            active: self.active.clone(),
            sloped: self.sloped.clone(),
            failing: self.failing.clone(),
            iterations: self.iterations,
            limits: self.limits,
            phase: self.phase,
        }
    }
}

fn halfway<T: Field>(a: T, b: T) -> T {
    (b + a).over(T::one() + T::one())
}

fn second_point<T: Field>(start: T) -> T {
    let offset = f64::EPSILON.powf(0.33);
    let scaled = start * T::of(1.0 + offset);
    let offset = T::of(offset);
    if start.nonnegative() { scaled + offset } else { scaled - offset }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { tolerance: 1e-12, iterations: 50 };

    fn run(mut secant: Secant<f64>, f: impl Fn(usize, f64) -> f64) -> Secant<f64> {
        while secant.ask() != Ask::Done {
            let mut values: Vec<f64> =
                secant.points().iter().enumerate().map(|(i, &x)| f(i, x)).collect();
            secant.tell(Answer { values: &mut values, single: false });
        }
        secant
    }

    #[test]
    fn every_element_reaches_its_own_root() {
        let done =
            run(Secant::new(vec![1.0, 2.0, 5.0], LIMITS), |i, x| x * x - [2.0, 3.0, 30.0][i]);
        for (root, square) in done.points().iter().zip([2f64, 3.0, 30.0]) {
            assert!((root - square.sqrt()).abs() < 1e-12);
        }
    }

    #[test]
    fn flat_elements_end_halfway_and_their_distance_is_kept() {
        let done = run(Secant::new(vec![0.0, 0.0], LIMITS), |_, _| 1.0);
        let offset = f64::EPSILON.powf(0.33);
        assert_eq!(done.points(), [offset / 2.0; 2]);
        assert_eq!(done.sloped(), [false, false]);
        assert!((done.flat_distance().unwrap() - offset / 2f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn one_flat_element_does_not_hold_up_the_others() {
        let done =
            run(Secant::new(vec![0.5, 1.0], LIMITS), |i, x| if i == 0 { 3.0 } else { x * x - 2.0 });
        assert!((done.points()[1] - 2f64.sqrt()).abs() < 1e-12);
        assert_eq!(done.failing(), [true, false]);
    }
}
