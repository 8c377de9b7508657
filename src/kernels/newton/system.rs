//! Newton's method for a system F(x) = 0 of as many equations as unknowns, real or complex.
//!
//! Each iteration solves the linearised system and moves along its solution, the Newton step:
//!
//!     J(x) d = −F(x),   x₊ = x + λ d.
//!
//! Plain Newton takes λ = 1. The line search (`line_search`) shortens steps that do not bring
//! ‖F‖₂ down. It leaves the two invariances of the method alone: a linear change of the unknowns
//! changes no iterate, and neither does scaling F.
//!
//! # When an iterate is a solution
//!
//! An iterate x₊ counts as a solution when its residual is small as it stands,
//!
//!     ‖F(x₊)‖∞ ≤ ftol,
//!
//! or when it is small in terms of x, which asks for all of
//!
//!     ‖d‖∞ ≤ sqrt(xtol) ‖x₊‖∞              the linearisation holds over the step,
//!     J(x) c = −F(x₊), ‖c‖∞ ≤ xtol ‖x₊‖∞   the next step would be negligible,
//!     |Fᵢ(x₊)| ≤ xtol (|J(x)| |x|)ᵢ        the residual is what so small a change of x explains,
//!     ‖F(x₊)‖₂ ≤ ‖F(x)‖₂ / 3               the step led to a root.
//!
//! The correction c is the simplified Newton step. It costs no Jacobian and no factorization, and
//! where Newton's method converges quadratically it is the error of x₊ to first order. The last
//! line tells roots from poles: towards a root of multiplicity m a step reduces the residual to
//! (1 − 1/m)ᵐ of what it was, away from a pole of order m to (1 + 1/m)⁻ᵐ, with 1/e between them.
//!
//! Where the residual is at the level of rounding errors, |Fᵢ| ≤ 64 ε (|J| |x|)ᵢ, it cannot be
//! reduced for certain, and so it need not be.
//!
//! # When a Jacobian is not good enough
//!
//! Where J is approximated, its error E shows in the line search at no cost. Because J d = −F,
//!
//!     F(x + λd) − (1 − λ) F(x) = −λ E d + O(λ²),
//!
//! so for a good J this falls with the square of λ, and for a bad one with λ. Where it does, or the
//! search finds nothing at all, or J is singular, the driver is asked for a better Jacobian, as often
//! as it has `improvements` to offer.
//!
//! References: C. T. Kelley, "Solving Nonlinear Equations with Newton's Method", SIAM, 2003;
//! P. Deuflhard, "Newton Methods for Nonlinear Problems", Springer, 2004, section 2.1 (simplified
//! Newton corrections).

use ndarray::{Array1, ArrayView2};
use serde::{Deserialize, Serialize};

use super::line_search::{Backtracking, Verdict};
use crate::linalg::Field;
use crate::linalg::lapack::Lapack;
use crate::linalg::lu::Lu;
use crate::linalg::memory::bytes_of;
use crate::linalg::norm::{max_norm, norm};
use crate::linalg::tall::room_for_sums;
use crate::saved;

/// What the solver needs next.
#[derive(Debug, PartialEq)]
pub enum Ask<'a, T> {
    /// F at this point.
    Residual(&'a [T]),
    /// J at the current iterate.
    Jacobian,
    /// The solution of J s = this, with the Jacobian that the driver has kept.
    Solution(&'a [T]),
    /// Nothing, but there is a new iterate to look at.
    Report,
    /// Nothing: the iteration has ended.
    Done(Stop),
}

/// Why the iteration ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Stop {
    /// The residual is within `ftol`.
    SmallResidual,
    /// The next step and the residual are within `xtol`.
    SmallStep,
    /// The iterations are used up.
    OutOfIterations,
    /// The Jacobian is singular.
    SingularJacobian,
    /// The Jacobian has components that are not finite.
    NonFiniteJacobian,
    /// The residual has components that are not finite.
    NonFiniteResidual,
    /// No step along the Newton direction reduces the norm of the residual.
    Stalled,
    /// The driver asked for it.
    Interrupted,
    /// The Jacobian cannot be had by the complex step.
    NotAnalytic,
}

/// Units in the last place by which rounding may move a residual.
const ROUNDING: f64 = 64.0;

/// The powers of λ that are taken for the first; the second is what a good Jacobian has.
const LINEAR: std::ops::RangeInclusive<f64> = 0.8..=1.3;

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Options {
    pub step_tolerance: f64,
    pub residual_tolerance: f64,
    pub iterations: u64,
    pub line_search: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Phase {
    FirstResidual,
    Jacobian,
    Step,
    TrialResidual,
    Correction,
    Report { then: Option<Stop> },
    Done(Stop),
}

/// A solve in progress.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Field")]
pub struct System<T: Field> {
    options: Options,
    phase: Phase,
    #[serde(with = "saved::vector")]
    point: Vec<T>,
    #[serde(with = "saved::vector")]
    residual: Vec<T>,
    residual_norm: f64,
    /// ‖F‖₂ at the iterate before.
    last_norm: f64,
    #[serde(with = "saved::array")]
    step: Array1<T>,
    #[serde(with = "saved::array")]
    correction: Array1<T>,
    #[serde(with = "saved::vector")]
    trial: Vec<T>,
    search: Backtracking,
    /// The factors of the last Jacobian; None where the driver keeps it.
    factors: Option<Lu<T>>,
    /// |J| |x| of the last Jacobian, at its point.
    #[serde(with = "saved::vector")]
    scales: Vec<f64>,
    #[serde(with = "saved::vector")]
    best: Vec<T>,
    #[serde(with = "saved::vector")]
    best_residual: Vec<T>,
    best_norm: f64,
    last_length: f64,
    last_step_norm: f64,
    #[serde(with = "saved::count")]
    iterations: u64,
    /// The relative error of F.
    precision: f64,
    /// How often a better Jacobian has been asked for, and still can be.
    improvements: u8,
    improvements_left: u8,
    /// λ and ‖F(x + λd) − (1 − λ) F(x)‖ of the last trial that was rejected.
    departure: Option<(f64, f64)>,
}

impl<T: Field> System<T> {
    /// `start` must be finite and not empty.
    pub fn new(start: Vec<T>, options: Options) -> Self {
        let count = start.len();
        System {
            options,
            phase: Phase::FirstResidual,
            residual: vec![T::zero(); count],
            residual_norm: f64::INFINITY,
            last_norm: f64::INFINITY,
            step: Array1::zeros(count),
            correction: Array1::zeros(count),
            trial: start.clone(),
            search: Backtracking::start(),
            factors: None,
            scales: vec![0.0; count],
            best: start.clone(),
            best_residual: vec![T::zero(); count],
            best_norm: f64::INFINITY,
            last_length: 0.0,
            last_step_norm: 0.0,
            point: start,
            iterations: 0,
            precision: T::EPSILON,
            improvements: 0,
            improvements_left: 0,
            departure: None,
        }
    }

    /// The bytes that `new` takes for so many unknowns, beside the start.
    pub fn room_to_begin(unknowns: usize) -> usize {
        bytes_of::<T>(7 * unknowns) + bytes_of::<f64>(unknowns)
    }

    /// The bytes that taking anything but a dense Jacobian takes, at most.
    pub fn room(&self) -> usize {
        let unknowns = self.point.len();
        bytes_of::<T>(2 * unknowns) + room_for_sums::<T>(unknowns, 1)
    }

    /// The bytes that taking a dense Jacobian takes.
    pub fn room_for_jacobian(unknowns: usize) -> usize {
        bytes_of::<T>(unknowns.saturating_mul(unknowns).saturating_add(2 * unknowns))
            .saturating_add(bytes_of::<i32>(unknowns))
    }

    pub fn ask(&self) -> Ask<'_, T> {
        match self.phase {
            Phase::FirstResidual => Ask::Residual(&self.point),
            Phase::Jacobian => Ask::Jacobian,
            Phase::Step => Ask::Solution(self.step.as_slice().unwrap_or_default()),
            Phase::TrialResidual => Ask::Residual(&self.trial),
            Phase::Correction => Ask::Solution(self.correction.as_slice().unwrap_or_default()),
            Phase::Report { .. } => Ask::Report,
            Phase::Done(stop) => Ask::Done(stop),
        }
    }

    /// The current iterate.
    pub fn point(&self) -> &[T] {
        &self.point
    }

    /// F at the current iterate.
    pub fn residual(&self) -> &[T] {
        &self.residual
    }

    /// The iterate with the smallest residual so far, and that residual.
    pub fn best(&self) -> (&[T], &[T]) {
        (&self.best, &self.best_residual)
    }

    /// The driver can approximate the Jacobian better so many times.
    pub fn offer_improvements(&mut self, count: u8) {
        self.improvements_left = count;
    }

    /// How often the Jacobian that is asked for is to be better than at first.
    pub fn improvements(&self) -> u8 {
        self.improvements
    }

    /// F has a larger relative error than that of the field, and x need not be right to more than
    /// this.
    pub fn coarsen(&mut self, precision: f64, step_tolerance: f64) {
        self.precision = self.precision.max(precision);
        self.options.step_tolerance = self.options.step_tolerance.max(step_tolerance);
    }

    /// The relative error of F.
    pub fn precision(&self) -> f64 {
        self.precision
    }

    /// Iterations completed.
    pub fn iterations(&self) -> u64 {
        self.iterations
    }

    /// F at the point that was asked.
    pub fn tell_residual(&mut self, residual: &[T]) {
        self.phase = match self.phase {
            Phase::FirstResidual => self.tell_first_residual(residual),
            Phase::TrialResidual => self.tell_trial_residual(residual),
            other => other,
        }
    }

    /// J at the current iterate, as a dense matrix of full order.
    pub fn tell_jacobian(&mut self, lapack: Lapack, jacobian: ArrayView2<T>) {
        if !matches!(self.phase, Phase::Jacobian) {
            return;
        }
        for (scale, row) in self.scales.iter_mut().zip(jacobian.rows()) {
            let terms = row.iter().zip(&self.point).map(|(entry, x)| entry.size() * x.size());
            *scale = terms.sum();
        }
        if !self.jacobian_is_finite() {
            return;
        }
        self.factors = None;
        match Lu::new(lapack, jacobian) {
            Ok(factors) => {
                self.factors = Some(factors);
                self.phase = self.begin_step();
            }
            Err(_) => self.phase = self.improve_or(Stop::SingularJacobian),
        }
    }

    /// The driver keeps J and will be asked for solutions with it; these are |J| |x|, one for each
    /// equation.
    pub fn tell_kept_jacobian(&mut self, scales: &[f64]) {
        if !matches!(self.phase, Phase::Jacobian) {
            return;
        }
        self.scales.copy_from_slice(scales);
        self.factors = None;
        if self.jacobian_is_finite() {
            self.phase = self.begin_step();
        }
    }

    /// The solution that was asked.
    pub fn tell_solution(&mut self, solution: &[T]) {
        let told = Array1::from_iter(solution.iter().copied());
        self.phase = match self.phase {
            Phase::Step => {
                self.step = told;
                self.walk()
            }
            Phase::Correction => {
                self.correction = told;
                self.end_iteration()
            }
            other => other,
        }
    }

    /// There is no solution with the Jacobian that was asked for.
    pub fn tell_singular_jacobian(&mut self) {
        if matches!(self.phase, Phase::Jacobian | Phase::Step | Phase::Correction) {
            self.phase = Phase::Done(Stop::SingularJacobian);
        }
    }

    /// There is no way to the Jacobian that was asked for.
    pub fn tell_not_analytic(&mut self) {
        if matches!(self.phase, Phase::Jacobian) {
            self.phase = Phase::Done(Stop::NotAnalytic);
        }
    }

    /// The report has been made.
    pub fn tell_reported(&mut self) {
        if let Phase::Report { then } = self.phase {
            self.phase = then.map_or(Phase::Jacobian, Phase::Done);
        }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// ‖F‖₂ at the current iterate; infinite before it is told.
    pub fn residual_norm(&self) -> f64 {
        self.residual_norm
    }

    /// λ and ‖λd‖₂ of the last step.
    pub fn last_step(&self) -> (f64, f64) {
        (self.last_length, self.last_step_norm)
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self) -> bool {
        let unknowns = self.point.len();
        let vectors = [&self.residual, &self.trial, &self.best, &self.best_residual];
        unknowns > 0
            && vectors.iter().all(|vector| vector.len() == unknowns)
            && self.scales.len() == unknowns
            && [&self.step, &self.correction].iter().all(|vector| vector.len() == unknowns)
            && self.factors.as_ref().is_none_or(|factors| factors.order() == unknowns)
            && self.search.fits()
            && self.improvements.checked_add(self.improvements_left).is_some()
    }

    /// F at the start has not been told yet.
    pub fn is_untouched(&self) -> bool {
        matches!(self.phase, Phase::FirstResidual)
    }

    /// Whether solutions with a Jacobian that the driver has kept are asked, or will be before the
    /// next Jacobian is.
    pub fn needs_kept_jacobian(&self) -> bool {
        match self.phase {
            Phase::Step | Phase::Correction => true,
            Phase::TrialResidual => self.factors.is_none(),
            _ => false,
        }
    }

    /// Ends the iteration where it is.
    pub fn interrupt(&mut self) {
        if !matches!(self.phase, Phase::Done(_)) {
            self.phase = Phase::Done(Stop::Interrupted);
        }
    }

    fn tell_first_residual(&mut self, residual: &[T]) -> Phase {
        self.residual.copy_from_slice(residual);
        self.residual_norm = norm(residual);
        if !all_finite(residual) {
            self.best_residual.copy_from_slice(residual);
            return Phase::Done(Stop::NonFiniteResidual);
        }
        self.keep_best();
        if self.residual_is_small() { Phase::Done(Stop::SmallResidual) } else { Phase::Jacobian }
    }

    fn jacobian_is_finite(&mut self) -> bool {
        let finite = self.scales.iter().all(|scale| scale.is_finite());
        if !finite {
            self.phase = Phase::Done(Stop::NonFiniteJacobian);
        }
        finite
    }

    /// J d = −F(x)
    fn begin_step(&mut self) -> Phase {
        set_negative(&mut self.step, &self.residual);
        match self.factors.as_ref().map(|factors| factors.solve_in_place(&mut self.step)) {
            None => Phase::Step,
            Some(Ok(())) => self.walk(),
            Some(Err(_)) => self.improve_or(Stop::SingularJacobian),
        }
    }

    /// J c = −F(x₊), with the J of the step that led to x₊
    fn begin_correction(&mut self) -> Phase {
        set_negative(&mut self.correction, &self.residual);
        match self.factors.as_ref().map(|factors| factors.solve_in_place(&mut self.correction)) {
            None => Phase::Correction,
            Some(_) => self.end_iteration(),
        }
    }

    /// Sets out along the Newton step.
    fn walk(&mut self) -> Phase {
        if !self.step.iter().all(|component| component.finite()) {
            return self.improve_or(Stop::SingularJacobian);
        }
        self.search = Backtracking::start();
        self.departure = None;
        self.set_trial();
        Phase::TrialResidual
    }

    fn set_trial(&mut self) {
        let length = T::of(self.search.length());
        for (trial, (&x, &d)) in self.trial.iter_mut().zip(self.point.iter().zip(&self.step)) {
            *trial = x + length * d;
        }
    }

    fn tell_trial_residual(&mut self, residual: &[T]) -> Phase {
        let finite = all_finite(residual);
        if !self.options.line_search {
            return if finite {
                self.accept(residual)
            } else {
                Phase::Done(Stop::NonFiniteResidual)
            };
        }
        let ratio = finite.then(|| norm(residual) / self.residual_norm);
        let jacobian_is_off = self.improvements_left > 0 && self.departs_linearly(residual);
        if self.search.judge(ratio) == Verdict::Accept {
            if jacobian_is_off {
                self.improve();
            }
            return self.accept(residual);
        }
        if self.residual_is_rounding() {
            return Phase::Done(Stop::SmallStep);
        }
        if jacobian_is_off {
            return self.improve();
        }
        self.set_trial();
        if self.search.exhausted() || self.trial == self.point {
            return self.improve_or(if finite { Stop::Stalled } else { Stop::NonFiniteResidual });
        }
        Phase::TrialResidual
    }

    /// Whether F departs from its tangent in proportion to λ, between the last trial and this one.
    fn departs_linearly(&mut self, residual: &[T]) -> bool {
        let length = self.search.length();
        let left = T::of(1.0 - length);
        let departure = residual.iter().zip(&self.residual).map(|(&new, &old)| new - left * old);
        let departure = norm(&departure.collect::<Vec<_>>());
        let last = self.departure.replace((length, departure));
        last.is_some_and(|(last_length, last_departure)| {
            let order = (departure / last_departure).ln() / (length / last_length).ln();
            LINEAR.contains(&order)
        })
    }

    /// Asks for a better Jacobian.
    fn improve(&mut self) -> Phase {
        self.improvements_left -= 1;
        self.improvements += 1;
        Phase::Jacobian
    }

    /// Asks for a better Jacobian or, where there is none, ends.
    fn improve_or(&mut self, stop: Stop) -> Phase {
        if self.improvements_left > 0 { self.improve() } else { Phase::Done(stop) }
    }

    fn accept(&mut self, residual: &[T]) -> Phase {
        self.iterations += 1;
        self.last_length = self.search.length();
        self.last_step_norm = self.last_length * norm(self.step.as_slice().unwrap_or_default());
        self.point.copy_from_slice(&self.trial);
        self.residual.copy_from_slice(residual);
        self.last_norm = self.residual_norm;
        self.residual_norm = norm(residual);
        self.keep_best();
        if self.residual_is_small() {
            return Phase::Report { then: Some(Stop::SmallResidual) };
        }
        if self.is_within_reach() && self.residual_is_explained_by(self.options.step_tolerance) {
            return self.begin_correction();
        }
        Phase::Report { then: self.out_of_iterations() }
    }

    fn end_iteration(&mut self) -> Phase {
        let negligible = all_within(&self.correction, self.relative(self.options.step_tolerance));
        let towards_root = self.residual_norm <= self.last_norm / 3.0;
        let solved = negligible && (towards_root || self.residual_is_rounding());
        Phase::Report {
            then: if solved { Some(Stop::SmallStep) } else { self.out_of_iterations() },
        }
    }

    fn out_of_iterations(&self) -> Option<Stop> {
        (self.iterations >= self.options.iterations).then_some(Stop::OutOfIterations)
    }

    fn keep_best(&mut self) {
        if self.residual_norm < self.best_norm || self.iterations == 0 {
            self.best_norm = self.residual_norm;
            self.best.copy_from_slice(&self.point);
            self.best_residual.copy_from_slice(&self.residual);
        }
    }

    fn residual_is_small(&self) -> bool {
        max_norm(&self.residual) <= self.options.residual_tolerance
    }

    /// A length relative to that of x.
    fn relative(&self, tolerance: f64) -> f64 {
        tolerance * max_norm(&self.point)
    }

    /// The last step was short enough for the linearisation to hold.
    fn is_within_reach(&self) -> bool {
        all_within(&self.step, self.relative(self.options.step_tolerance.sqrt()))
    }

    /// The residual is no larger than what a relative change of x by `tolerance` causes.
    fn residual_is_explained_by(&self, tolerance: f64) -> bool {
        let rows = self.residual.iter().zip(&self.scales);
        rows.into_iter().all(|(component, &scale)| component.size() <= tolerance * scale)
    }

    /// The residual is at the level of rounding errors.
    fn residual_is_rounding(&self) -> bool {
        self.is_within_reach() && self.residual_is_explained_by(ROUNDING * self.precision)
    }
}

fn set_negative<T: Field>(vector: &mut Array1<T>, values: &[T]) {
    for (component, &value) in vector.iter_mut().zip(values) {
        *component = -value;
    }
}

/// No component is larger, or NaN.
fn all_within<T: Field>(vector: &Array1<T>, bound: f64) -> bool {
    vector.iter().all(|component| component.size() <= bound)
}

fn all_finite<T: Field>(vector: &[T]) -> bool {
    vector.iter().all(|component| component.finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_system_takes_no_answers() {
        let mut system = System::new(vec![1.0], OPTIONS);
        system.tell_residual(&[0.0]);
        assert_eq!(system.ask(), Ask::Done(Stop::SmallResidual));
        system.tell_kept_jacobian(&[f64::NAN]);
        system.tell_singular_jacobian();
        system.interrupt();
        assert_eq!(system.ask(), Ask::Done(Stop::SmallResidual));
    }

    const OPTIONS: Options = Options {
        step_tolerance: 1e-12,
        residual_tolerance: 0.0,
        iterations: 100,
        line_search: true,
    };

    /// Runs a system of one equation, whose Newton step needs no LAPACK.
    fn run(
        start: f64,
        options: Options,
        f: impl Fn(f64) -> f64,
        slope: impl Fn(f64) -> f64,
    ) -> (System<f64>, Stop) {
        run_with_offers(0, start, options, f, |x, _| slope(x))
    }

    /// The same with so many better Jacobians to offer; `slope` is told how often it was asked.
    fn run_with_offers(
        offers: u8,
        start: f64,
        options: Options,
        f: impl Fn(f64) -> f64,
        slope: impl Fn(f64, u8) -> f64,
    ) -> (System<f64>, Stop) {
        let mut system = System::new(vec![start], options);
        system.offer_improvements(offers);
        let mut kept_slope = f64::NAN;
        loop {
            match system.ask() {
                Ask::Residual(x) => {
                    let value = f(x[0]);
                    system.tell_residual(&[value]);
                }
                Ask::Jacobian => {
                    kept_slope = slope(system.point()[0], system.improvements());
                    let scale = (kept_slope * system.point()[0]).abs();
                    system.tell_kept_jacobian(&[scale]);
                }
                Ask::Solution(rhs) => {
                    let solution = rhs[0] / kept_slope;
                    system.tell_solution(&[solution]);
                }
                Ask::Report => system.tell_reported(),
                Ask::Done(stop) => return (system, stop),
            }
        }
    }

    #[test]
    fn a_solution_is_found_to_the_last_digits() {
        let (system, stop) = run(1.0, OPTIONS, |x| x * x - 2.0, |x| 2.0 * x);
        assert_eq!(stop, Stop::SmallStep);
        assert!((system.point()[0] - 2f64.sqrt()).abs() < 4e-16);
    }

    #[test]
    fn the_line_search_saves_a_start_from_which_plain_newton_diverges() {
        let (f, slope) = (f64::atan as fn(f64) -> f64, |x: f64| 1.0 / (1.0 + x * x));
        let plain = Options { line_search: false, ..OPTIONS };
        assert_ne!(run(2.0, plain, f, slope).1, Stop::SmallStep);
        let (system, stop) = run(2.0, OPTIONS, f, slope);
        assert!(matches!(stop, Stop::SmallStep | Stop::SmallResidual));
        assert!(system.point()[0].abs() < 1e-12);
    }

    #[test]
    fn an_equation_without_a_root_stalls_at_the_smallest_residual() {
        let (system, stop) = run(3.0, OPTIONS, |x| x * x + 1.0, |x| 2.0 * x);
        assert!(matches!(stop, Stop::Stalled | Stop::OutOfIterations | Stop::SingularJacobian));
        assert!(system.best().1[0] < 1.01);
    }

    #[test]
    fn scaling_the_equation_changes_no_iterate() {
        let small =
            run(1.0, OPTIONS, |x| 2f64.powi(-300) * (x.exp() - 3.0), |x| 2f64.powi(-300) * x.exp());
        let large =
            run(1.0, OPTIONS, |x| 2f64.powi(300) * (x.exp() - 3.0), |x| 2f64.powi(300) * x.exp());
        assert_eq!(small.1, large.1);
        assert_eq!(small.0.point(), large.0.point());
        assert_eq!(small.0.iterations(), large.0.iterations());
    }

    #[test]
    fn a_trial_that_is_not_finite_is_stepped_back_from() {
        let f = |x: f64| if x < 0.0 { f64::NAN } else { x.sqrt() - 0.1 };
        let (system, stop) = run(1.0, OPTIONS, f, |x| 0.5 / x.sqrt());
        assert!(matches!(stop, Stop::SmallStep | Stop::SmallResidual));
        assert!((system.point()[0] - 0.01).abs() < 1e-14);
    }

    #[test]
    fn a_pole_is_no_root() {
        let pole = run(2.0 + 1e-12, OPTIONS, |x| 1.0 / (x - 2.0), |x| -(x - 2.0).powi(-2));
        assert!(!matches!(pole.1, Stop::SmallStep | Stop::SmallResidual));
        let double_root = run(1.5, OPTIONS, |x| (x - 1.0).powi(2), |x| 2.0 * (x - 1.0));
        assert!(matches!(double_root.1, Stop::SmallStep | Stop::SmallResidual));
    }

    #[test]
    fn small_unknowns_are_resolved() {
        let s = 1e-18;
        let (system, stop) = run(s, OPTIONS, |x| (x / s).powi(2) - 2.0, |x| 2.0 * x / (s * s));
        assert_eq!(stop, Stop::SmallStep);
        assert!((system.point()[0] / s - 2f64.sqrt()).abs() < 1e-14);
    }

    #[test]
    fn failures_have_their_own_reasons() {
        let nan = run(1.0, OPTIONS, |_| f64::NAN, |_| 1.0).1;
        assert_eq!(nan, Stop::NonFiniteResidual);
        let flat = run(1.0, OPTIONS, |_| 1.0, |_| 0.0).1;
        assert_eq!(flat, Stop::SingularJacobian);
        let few = Options { iterations: 2, ..OPTIONS };
        assert_eq!(run(10.0, few, |x| x * x - 2.0, |x| 2.0 * x).1, Stop::OutOfIterations);
        let wrong_sign = run(1.0, OPTIONS, |x| x - 2.0, |_| -1.0).1;
        assert_eq!(wrong_sign, Stop::Stalled);
    }

    #[test]
    fn a_better_jacobian_is_asked_for_where_f_departs_from_its_tangent_with_the_length() {
        let f = |x: f64| x.exp() - 3.0;
        let slope = |x: f64, improvements| x.exp() * if improvements == 0 { 0.3 } else { 1.0 };
        let (system, stop) = run_with_offers(2, 1.5, OPTIONS, f, slope);
        assert_eq!((stop, system.improvements()), (Stop::SmallStep, 1));
        assert!(system.iterations() <= 7);
    }

    #[test]
    fn a_search_in_vain_asks_for_better_jacobians_before_it_gives_up() {
        let sign = |improvements| if improvements < 2 { -1.0 } else { 1.0 };
        let (system, stop) = run_with_offers(2, 1.0, OPTIONS, |x| x - 2.0, |_, i| sign(i));
        assert!(matches!(stop, Stop::SmallStep | Stop::SmallResidual));
        assert_eq!(system.improvements(), 2);
        let (system, stop) = run_with_offers(1, 1.0, OPTIONS, |x| x - 2.0, |_, i| sign(i));
        assert_eq!((stop, system.improvements()), (Stop::Stalled, 1));
    }

    #[test]
    fn a_good_jacobian_is_not_asked_for_again_however_short_the_steps() {
        type Function = fn(f64) -> f64;
        let cases: [(Function, Function, f64); 4] = [
            (f64::atan, |x| 1.0 / (1.0 + x * x), 2.0),
            (f64::sin, f64::cos, 1.5),
            (|x| x.powi(3) - 2.0 * x + 2.0, |x| 3.0 * x * x - 2.0, 0.82),
            (|x| x.exp() - 1e3, f64::exp, -2.0),
        ];
        for (f, slope, start) in cases {
            let (system, stop) = run_with_offers(2, start, OPTIONS, f, |x, _| slope(x));
            assert_eq!(system.improvements(), 0, "{start} {stop:?}");
        }
    }

    #[test]
    fn a_coarse_residual_is_a_solution_at_its_own_precision() {
        let f = |x: f64| f64::from((x * x) as f32) - (2.0 + 5e-8);
        let (_, fine) = run(1.0, OPTIONS, f, |x| 2.0 * x);
        assert_eq!(fine, Stop::Stalled);
        let mut system = System::new(vec![1.0], OPTIONS);
        system.coarsen(f32::EPSILON.into(), 1e-6);
        while !matches!(system.ask(), Ask::Done(_)) {
            let x = system.point()[0];
            match system.ask() {
                Ask::Residual(trial) => {
                    let value = f(trial[0]);
                    system.tell_residual(&[value]);
                }
                Ask::Jacobian => system.tell_kept_jacobian(&[2.0 * x * x]),
                Ask::Solution(rhs) => {
                    let solution = rhs[0] / (2.0 * x);
                    system.tell_solution(&[solution]);
                }
                _ => system.tell_reported(),
            }
        }
        assert_eq!(system.ask(), Ask::Done(Stop::SmallStep));
        assert!((system.point()[0] - 2f64.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn a_small_step_with_a_large_residual_is_no_solution() {
        let mut system = System::new(vec![1.0], OPTIONS);
        while !matches!(system.ask(), Ask::Done(_)) {
            match system.ask() {
                Ask::Residual(_) => system.tell_residual(&[1e-3]),
                Ask::Jacobian => system.tell_kept_jacobian(&[1.0]),
                Ask::Solution(_) => system.tell_solution(&[1e-15]),
                _ => system.tell_reported(),
            }
        }
        assert_eq!(system.ask(), Ask::Done(Stop::Stalled));
    }

    #[cfg(feature = "system-lapack")]
    #[test]
    fn a_dense_system_is_solved_through_lapack() {
        use ndarray::array;
        let mut system = System::new(vec![2.0, -2.0], OPTIONS);
        loop {
            match system.ask() {
                Ask::Residual(v) => {
                    let (x, y): (f64, f64) = (v[0], v[1]);
                    system.tell_residual(&[x.exp() + y - 2.0, x * x + 2.0 * y * y - 6.0]);
                }
                Ask::Jacobian => {
                    let (x, y): (f64, f64) = (system.point()[0], system.point()[1]);
                    let jacobian = array![[x.exp(), 1.0], [2.0 * x, 4.0 * y]];
                    system.tell_jacobian(Lapack::of_the_system(), jacobian.view());
                }
                Ask::Solution(_) => unreachable!("the Jacobian is dense"),
                Ask::Report => system.tell_reported(),
                Ask::Done(stop) => {
                    assert_eq!(stop, Stop::SmallStep);
                    break;
                }
            }
        }
        assert!((system.point()[0] - 1.2497963839).abs() < 1e-9);
        assert!((system.point()[1] + 1.4896323377).abs() < 1e-9);
    }
}
