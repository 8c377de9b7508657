//! `raphson.root`: the drivers behind its methods.

mod jacobian;
mod newton;
mod options;
pub mod unknowns;

pub use newton::root_newton;
