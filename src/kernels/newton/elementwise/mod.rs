//! Many independent scalar equations fᵢ(xᵢ) = 0, iterated together until none is left that moves.
//!
//! `tangent` holds the methods that use derivatives (Newton-Raphson and Halley), `secant` the one
//! that does without. [`Elementwise`] is either of them. The iterations, and which elements they
//! leave alone, are those of `scipy.optimize.newton` with an array of starting points.

mod secant;
mod tangent;

pub use secant::Secant;
pub use tangent::Tangent;

use crate::linalg::Field;
use crate::linalg::memory::bytes_of;

/// What is to be evaluated next, for all elements at once, at [`Elementwise::points`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ask {
    /// fᵢ
    Values,
    /// fᵢ'
    Derivatives,
    /// fᵢ''
    SecondDerivatives,
    /// Nothing: the iteration has ended.
    Done,
}

/// Answers for all elements.
#[derive(Debug)]
pub struct Answer<'a, T> {
    /// The kernel may keep this vector and leave another of the same length in its place, which
    /// saves the copy.
    pub values: &'a mut Vec<T>,
    /// The values have single precision, so arithmetic among such values has it too.
    pub single: bool,
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Smallest step of an element that counts as not yet converged.
    pub tolerance: f64,
    /// Largest number of iterations; at least 1.
    pub iterations: u64,
}

impl Limits {
    fn moving<T: Field>(&self, step: T) -> bool {
        step.abs() >= T::real(self.tolerance)
    }
}

/// Newton-Raphson, Halley or the secant method on many equations.
#[derive(Clone, Debug)]
pub enum Elementwise<T: Field> {
    Tangent(Tangent<T>),
    Secant(Secant<T>),
}

impl<T: Field> Elementwise<T> {
    /// The bytes that either method takes for so many points, beside the points that it begins with.
    pub fn room(points: usize) -> usize {
        bytes_of::<T>(3usize.saturating_mul(points))
            .saturating_add(bytes_of::<bool>(3usize.saturating_mul(points)))
    }

    pub fn ask(&self) -> Ask {
        match self {
            Elementwise::Tangent(tangent) => tangent.ask(),
            Elementwise::Secant(secant) => secant.ask(),
        }
    }

    /// The answers to what was asked, one for each element.
    pub fn tell(&mut self, answer: Answer<T>) {
        match self {
            Elementwise::Tangent(tangent) => tangent.tell(answer),
            Elementwise::Secant(secant) => secant.tell(answer),
        }
    }

    /// Where to evaluate; when done, the roots.
    pub fn points(&self) -> &[T] {
        match self {
            Elementwise::Tangent(tangent) => tangent.points(),
            Elementwise::Secant(secant) => secant.points(),
        }
    }

    /// No element has been moved yet.
    pub fn untouched(&self) -> bool {
        match self {
            Elementwise::Tangent(tangent) => tangent.untouched(),
            Elementwise::Secant(secant) => secant.untouched(),
        }
    }

    /// For each element, whether its last step was not within the tolerance.
    pub fn failing(&self) -> &[bool] {
        match self {
            Elementwise::Tangent(tangent) => tangent.failing(),
            Elementwise::Secant(secant) => secant.failing(),
        }
    }

    /// For each element, whether its derivative (or the slope of its secant) was last zero, so
    /// that it was left where it is, without having converged before.
    pub fn stuck(&self) -> Vec<bool> {
        let sloped = match self {
            Elementwise::Tangent(tangent) => tangent.sloped(),
            Elementwise::Secant(secant) => secant.sloped(),
        };
        sloped.iter().zip(self.failing()).map(|(&sloped, &failing)| !sloped && failing).collect()
    }

    /// The same state in a field that holds this one.
    pub fn embed<U: Field>(&self, embed: impl Fn(T) -> U) -> Elementwise<U> {
        match self {
            Elementwise::Tangent(tangent) => Elementwise::Tangent(tangent.embed(embed)),
            Elementwise::Secant(secant) => Elementwise::Secant(secant.embed(embed)),
        }
    }
}
