//! Powell's hybrid method for a system F(x) = 0 of as many equations as unknowns.
//!
//! Each iteration has factors Q R of an approximate Jacobian, scales D for the unknowns and a
//! radius Δ. Its step minimises the norm of the linear model along the dogleg (`dogleg`), the path
//! from x to the minimum in the direction of the scaled gradient and on to the Newton step, as far
//! as the radius reaches:
//!
//!     min ‖F(x) + Q R p‖₂   with p on the dogleg, ‖D p‖₂ ≤ Δ.
//!
//! The reductions of ‖F‖₂ that came and that the model said decide about the step and about Δ:
//!
//!     ρ = (1 − (‖F(x + p)‖ / ‖F(x)‖)²) / (1 − (‖F(x) + Q R p‖ / ‖F(x)‖)²).
//!
//! A step with ρ ≥ 10⁻⁴ is taken. Whether or not it is, Broyden's update makes the model right along
//! it, by rotations of Q and R in O(n²) operations:
//!
//!     J₊ = J + (F(x + p) − F(x) − J p) (D²p)ᵀ / ‖D p‖².
//!
//! A Jacobian is asked for at the start, and when two steps in succession had ρ < 0.1. D are the
//! norms of the columns of the first one, and grow with those of the later ones, or are given.
//!
//!     FirstResidual ─→ Jacobian ─→ Factor ─→ Trial ─┬─→ Report ─┬─→ Done
//!                         ↑                    ↑    │           │
//!                         ├────────────────────┼────┴───────────┤
//!                         │                    │                │
//!                         │                  Update ←───────────┤
//!                         └─────────────────────────────────────┘
//!
//! A step that is not taken is not reported. All operations are in the order of MINPACK's `hybrj`,
//! and so are the points. With a Jacobian by differences (`forward_differences`) they are those of
//! `hybrd`.
//!
//! References: M. J. D. Powell, "A hybrid method for nonlinear equations", in P. Rabinowitz (ed.),
//! "Numerical Methods for Nonlinear Algebraic Equations", Gordon and Breach, 1970; J. J. Moré,
//! B. S. Garbow, K. E. Hillstrom, "User Guide for MINPACK-1", report ANL-80-74, Argonne National
//! Laboratory, 1980.

mod dogleg;
#[cfg(test)]
mod recorded;
pub mod solver;
pub mod termination;
#[cfg(test)]
mod tests;
