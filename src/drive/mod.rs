//! Loops that run a kernel without Python.
//!
//! - `one`: a kernel and a problem

pub mod one;

use ndarray::ArrayViewMut2;

/// Whoever fills buffers with the values of a problem.
pub trait Problem<T> {
    type Error;

    /// F at a point.
    fn residual(&mut self, x: &[T], residual: &mut [T]) -> Result<(), Self::Error>;

    /// J at a point, a row for each component of F and a column for each unknown.
    fn jacobian(&mut self, x: &[T], jacobian: ArrayViewMut2<T>) -> Result<(), Self::Error>;
}
