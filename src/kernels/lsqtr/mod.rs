//! Least squares with bounds: a reflective trust-region method, that of DESC's `lsqtr`.

pub mod bounds;
mod geometry;
mod optimality;
pub mod radius;
mod reflection;
pub mod scaling;
pub mod solver;
pub mod subproblem;
pub mod termination;
