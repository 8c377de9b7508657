//! Newton's method: for one equation (`scalar`), for many independent equations at once
//! (`elementwise`) and for systems of equations (`system`).

pub mod elementwise;
mod line_search;
pub mod scalar;
pub mod system;
