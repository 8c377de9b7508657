//! The solvers, as state machines that ask for evaluations and are told the answers.
//!
//! A kernel never calls user code: `ask` says what it needs next, `tell` gives it, and every
//! transition is one short function. It has no error type, no Python and no global state, so
//! drivers of any kind can run it.

#[cfg(test)]
mod arbitrary;
pub mod broyden;
pub mod differences;
pub mod lsqtr;
pub mod newton;
