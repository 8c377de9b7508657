//! Broyden's first method for systems F(x) = 0 with no Jacobian: the solver, its line searches, its
//! termination, and the approximations of the inverse Jacobian.

pub mod inverse_jacobian;
pub mod line_search;
pub mod solver;
pub mod termination;
