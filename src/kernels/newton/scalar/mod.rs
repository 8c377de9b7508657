//! One equation f(x) = 0 in one unknown, real or complex.
//!
//! `tangent` holds the methods that use derivatives (Newton-Raphson and Halley), `secant` the one
//! that does without. [`Scalar`] is either of them.

mod arithmetic;
mod secant;
mod tangent;

pub use arithmetic::{Arithmetic, Precision, Typed};
pub use secant::Secant;
pub use tangent::Tangent;

/// What is to be evaluated next, at [`Scalar::point`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ask {
    /// f
    Value,
    /// f'
    Derivative,
    /// f''
    SecondDerivative,
    /// Nothing: the iteration has ended.
    Done(Stop),
}

/// Why the iteration ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// f is exactly zero at the point where it was last evaluated.
    ExactRoot,
    /// The last step is within the tolerances.
    SmallStep,
    /// f' is exactly zero at the point where it was last evaluated.
    ZeroDerivative,
    /// Both ends of the secant have the same value; the root is put halfway between them.
    FlatSecant,
    /// The iterations are used up.
    OutOfIterations,
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest step that counts as converged.
    pub absolute: f64,
    /// The same, in units of |x|.
    pub relative: f64,
    /// Largest number of iterations; at least 1.
    pub iterations: u64,
}

impl Limits {
    fn close<T: Arithmetic>(&self, next: T, last: T) -> bool {
        next.is_close_to(last, self.absolute, self.relative)
    }
}

/// Newton-Raphson, Halley or the secant method on one equation.
#[derive(Clone, Debug)]
pub enum Scalar<T> {
    Tangent(Tangent<T>),
    Secant(Secant<T>),
}

impl<T: Arithmetic> Scalar<T> {
    pub fn ask(&self) -> Ask {
        match self {
            Scalar::Tangent(tangent) => tangent.ask(),
            Scalar::Secant(secant) => secant.ask(),
        }
    }

    /// The answer to what was asked.
    pub fn tell(&mut self, answer: T) {
        match self {
            Scalar::Tangent(tangent) => tangent.tell(answer),
            Scalar::Secant(secant) => secant.tell(answer),
        }
    }

    /// Where to evaluate; when done, the root.
    pub fn point(&self) -> T {
        match self {
            Scalar::Tangent(tangent) => tangent.point(),
            Scalar::Secant(secant) => secant.point(),
        }
    }

    pub fn iterations(&self) -> u64 {
        match self {
            Scalar::Tangent(tangent) => tangent.iterations(),
            Scalar::Secant(secant) => secant.iterations(),
        }
    }

    /// The same state in other numbers, made from the points and from the answers.
    pub fn embed<U: Arithmetic>(
        &self,
        point: impl Fn(T) -> U,
        answer: impl Fn(T) -> U,
    ) -> Scalar<U> {
        match self {
            Scalar::Tangent(tangent) => Scalar::Tangent(tangent.embed(point, answer)),
            Scalar::Secant(secant) => Scalar::Secant(secant.embed(point, answer)),
        }
    }
}
