//! Dense linear algebra for the kernels: the fields they compute in, vector norms, LU factors,
//! and where the LAPACK routines behind them come from.

pub mod columns;
pub mod damped;
mod field;
pub mod givens;
pub mod householder;
pub mod lapack;
pub mod lu;
pub mod memory;
pub mod norm;
pub mod panel;
pub mod product_svd;
pub mod scaled_norm;
pub mod small;
pub mod tall;
pub mod threads;
pub mod triangle;
pub mod vector_units;

pub use field::Field;
