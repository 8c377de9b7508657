//! Levenberg-Marquardt for min ½ ‖F(x)‖² with at least as many residuals as unknowns, as Moré
//! implements it.
//!
//! Each iteration has a Jacobian J = Q R Pᵀ, scales D for the unknowns and a radius Δ. Its step
//! minimises the linear model within the radius,
//!
//!     min ‖F(x) + J p‖₂   with ‖D p‖₂ ≤ Δ,
//!
//! which is p = −(JᵀJ + λD²)⁻¹JᵀF with a multiplier λ ≥ 0 that is zero or makes ‖D p‖ = Δ to a
//! tenth of it (`multiplier`). The reduction of the sum of squares that came, over the one that the
//! model said, decides about the step and about Δ:
//!
//!     ρ = (1 − (‖F(x + p)‖ / ‖F‖)²) / ((‖J p‖ / ‖F‖)² + 2 λ (‖D p‖ / ‖F‖)²).
//!
//! A step with ρ ≥ 10⁻⁴ is taken, and a new Jacobian asked for; otherwise a shorter step is found
//! with the factors that are there. D are the norms of the columns of the first Jacobian, and grow
//! with those of the later ones, or are given.
//!
//!     FirstResidual ─→ Jacobian ─→ Factor ─→ Step ─→ Trial ─┬─→ Report ─┬─→ Done
//!                         ↑          │        ↑        │    │           │
//!                         │          └→ Done  └────────┼────┘           │
//!                         └────────────────────────────┴────────────────┘
//!
//! A step that is not taken is not reported. All operations are in the order of MINPACK's `lmder`,
//! and so are the points. With a Jacobian by differences (`forward_differences`) they are those of
//! `lmdif`.
//!
//! References: J. J. Moré, "The Levenberg-Marquardt algorithm: implementation and theory", in G. A.
//! Watson (ed.), "Numerical Analysis", Lecture Notes in Mathematics 630, Springer, 1978; J. J. Moré,
//! B. S. Garbow, K. E. Hillstrom, "User Guide for MINPACK-1", report ANL-80-74, Argonne National
//! Laboratory, 1980.

mod multiplier;
#[cfg(test)]
mod recorded;
pub mod solver;
pub mod termination;
#[cfg(test)]
mod tests;
