//! Factorizations of matrices of low order by plain loops: LAPACK's way in costs more than the
//! arithmetic there, and wakes threads that then keep a core busy.
//!
//! Matrices lie column after column (Fortran order).

mod cholesky;
mod svd;

pub use cholesky::cholesky;
pub use svd::right_singular_vectors;
