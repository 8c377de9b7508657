//! `raphson.root`: the drivers behind its methods.

mod jacobian;
mod newton;
mod options;
mod unknowns;

pub use newton::root_newton;
