//! `raphson.root(method='newton')` and `raphson.NewtonSystem`.

pub mod jacobian;
mod newton;
mod options;
mod session;

pub use newton::{NewtonSystem, root_newton};
