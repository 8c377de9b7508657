//! The trust-region reflective method for min ½ ‖f(x)‖² with l ≤ x ≤ u.
//!
//! Each iteration has a Jacobian J at x, and with it a model q of the cost in the variables of
//! `geometry`. It minimises q within the trust radius Δ (`subproblem`), turns the step back at the
//! bounds (`reflection`), and compares the reduction of the cost with the one of q, for Δ
//! (`radius`) and for the end (`termination`):
//!
//!     ρ = (F(x) − F(x + p)) / −q(p̂),   F = ½ ‖f‖².
//!
//! A step that does not reduce F is tried again with the smaller radius, from the same factors. A
//! residual that is not finite counts as no reduction.
//!
//! Where such residuals have made Δ small, a short step is no sign of a minimum. So the radius is
//! also kept as it would be without them, and a step that satisfies a test, or is too short, ends the
//! iteration as `Confined` unless the step within that radius would do so too.
//!
//! The iterates are those of DESC's `lsqtr`.
//!
//! References: M. A. Branch, T. F. Coleman, Y. Li, "A subspace, interior, and conjugate gradient
//! method for large-scale bound-constrained minimization problems", SIAM Journal on Scientific
//! Computing 21(1), 1999; J. Nocedal, S. J. Wright, "Numerical Optimization", second edition,
//! Springer, 2006, chapters 4 and 10.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::bounds::{Bounds, Margin};
use super::geometry::Geometry;
use super::optimality::Optimality;
use super::radius::{Initial, RadiusOptions};
use super::reflection::{Candidate, Region};
use super::scaling::Scaling;
use super::subproblem::{Method, Subproblem};
use super::termination::{Stop, Termination, Trial};
use crate::linalg::lapack::Lapack;
use crate::linalg::memory::{OutOfMemory, bytes_of};
use crate::linalg::norm::norm;
use crate::linalg::tall::room_for_sums;
use crate::saved;

/// A start on a bound is moved off it by this, relative to the bound.
const START_MARGIN: Margin = Margin::Relative(1e-10);

/// The least share of the way to a bound that a step may go.
const LEAST_SHARE: f64 = 0.995;

/// What the solver needs next.
#[derive(Debug, PartialEq)]
pub enum Ask<'a> {
    /// f at this point.
    Residual(&'a [f64]),
    /// J at the current iterate, where f was just told.
    Jacobian,
    /// Nothing but time: to factor, and to find the next step.
    Step,
    /// Nothing, but an iteration is complete.
    Report,
    /// Nothing: the iteration has ended.
    Done(Stop),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Options {
    pub bounds: Bounds,
    pub termination: Termination,
    pub radius: RadiusOptions,
    pub method: Method,
    /// Steps, points and the optimality are measured in scaled variables.
    pub scaled_termination: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Phase {
    FirstResidual,
    Jacobian,
    Step { factor: bool },
    Trial,
    Report,
    Done(Stop),
}

/// A solve in progress.
#[derive(Debug, Deserialize, Serialize)]
pub struct LeastSquares {
    options: Options,
    phase: Phase,
    /// Why to stop when the iteration is complete.
    stop: Option<Stop>,
    /// x₀ as it was given.
    #[serde(with = "saved::vector")]
    start: Vec<f64>,
    #[serde(with = "saved::vector")]
    point: Vec<f64>,
    #[serde(with = "saved::vector")]
    residual: Vec<f64>,
    cost: f64,
    #[serde(with = "saved::vector")]
    gradient: Vec<f64>,
    scaling: Scaling,
    geometry: Geometry,
    subproblem: Subproblem,
    radius: f64,
    /// What the radius would be without the residuals that were not finite.
    free_radius: f64,
    multiplier: f64,
    optimality: Optimality,
    /// ‖x‖ in the units of the tests.
    point_norm: f64,
    #[serde(with = "saved::vector")]
    trial: Vec<f64>,
    candidate: Option<Candidate>,
    /// The last trial point whose residual was not finite; empty where there was none.
    #[serde(with = "saved::vector")]
    undefined_at: Vec<f64>,
    /// What the last step could not be computed for.
    #[serde(skip)]
    lack: Option<OutOfMemory>,
    #[serde(with = "saved::count")]
    iterations: u64,
    #[serde(with = "saved::count")]
    evaluations: u64,
    #[serde(with = "saved::count")]
    jacobians: u64,
    report: Report,
    /// The relative error of f where it is known to be more than that of double precision, else 0.
    precision: f64,
    /// ‖Δf‖ by that error.
    noise: f64,
}

/// The last iteration, to be told to the user.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    /// There is a new iterate; otherwise the first point, or an iteration without success.
    pub accepted: bool,
    /// By how much the cost has fallen, and ‖Δx‖; infinite at the first point.
    pub reduction: f64,
    pub step: f64,
}

impl LeastSquares {
    /// The start is within the bounds.
    pub fn new(start: Vec<f64>, scaling: Scaling, options: Options, lapack: Lapack) -> Self {
        let mut point = start.clone();
        options.bounds.move_inside(&mut point, START_MARGIN);
        LeastSquares {
            phase: Phase::FirstResidual,
            stop: None,
            residual: Vec::new(),
            cost: f64::NAN,
            gradient: vec![f64::NAN; start.len()],
            geometry: nowhere(start.len()),
            subproblem: Subproblem::new(lapack, options.method),
            radius: f64::NAN,
            free_radius: f64::NAN,
            multiplier: 0.0,
            optimality: Optimality::UNKNOWN,
            point_norm: f64::NAN,
            trial: Vec::new(),
            candidate: None,
            undefined_at: Vec::new(),
            lack: None,
            iterations: 0,
            evaluations: 0,
            jacobians: 0,
            report: Report { accepted: false, reduction: f64::INFINITY, step: f64::INFINITY },
            precision: 0.0,
            noise: 0.0,
            scaling,
            options,
            start,
            point,
        }
    }

    /// The bytes that `new` takes for so many unknowns, with its options.
    pub fn room_to_begin(unknowns: usize) -> usize {
        bytes_of::<f64>(12 * unknowns)
    }

    /// The bytes that taking so many first residuals takes.
    pub fn room_for_residuals(rows: usize) -> usize {
        bytes_of::<f64>(rows).saturating_add(room_for_sums::<f64>(rows, 1))
    }

    /// The bytes that taking anything else takes, at most, or computing a step.
    pub fn room(&self) -> usize {
        let (rows, unknowns) = (self.residual.len(), self.point.len());
        let work = match self.phase {
            Phase::Jacobian => self.subproblem.room_to_load(rows, unknowns),
            Phase::Report | Phase::Step { .. } => self.subproblem.room_to_solve(unknowns),
            Phase::FirstResidual | Phase::Trial | Phase::Done(_) => 0,
        };
        work.saturating_add(bytes_of::<f64>(30 * unknowns))
            .saturating_add(Self::room_for_residuals(rows))
    }

    pub fn ask(&self) -> Ask<'_> {
        match self.phase {
            Phase::FirstResidual => Ask::Residual(&self.point),
            Phase::Jacobian => Ask::Jacobian,
            Phase::Step { .. } => Ask::Step,
            Phase::Trial => Ask::Residual(&self.trial),
            Phase::Report => Ask::Report,
            Phase::Done(stop) => Ask::Done(stop),
        }
    }

    /// x₀ as it was given.
    pub fn start(&self) -> &[f64] {
        &self.start
    }

    /// The current iterate.
    pub fn point(&self) -> &[f64] {
        &self.point
    }

    /// f at the current iterate.
    pub fn residual(&self) -> &[f64] {
        &self.residual
    }

    /// ½ ‖f‖² at the current iterate.
    pub fn cost(&self) -> f64 {
        self.cost
    }

    /// Jᵀf at the current iterate.
    pub fn gradient(&self) -> &[f64] {
        &self.gradient
    }

    /// The Coleman-Li distances v at the current iterate.
    pub fn distances(&self) -> &[f64] {
        &self.geometry.distance
    }

    /// max |v g|
    pub fn optimality(&self) -> f64 {
        self.geometry.optimality
    }

    /// The largest cosine between f and a column of J, or less where a bound is near (see
    /// `optimality`).
    pub fn relative_optimality(&self) -> f64 {
        self.optimality.relative
    }

    /// Whether that speaks against a minimum.
    pub fn optimality_is_large(&self) -> bool {
        self.optimality.large
    }

    /// The last trial point whose residual was not finite.
    pub fn undefined_at(&self) -> Option<&[f64]> {
        (!self.undefined_at.is_empty()).then_some(&self.undefined_at)
    }

    pub fn radius(&self) -> f64 {
        self.radius
    }

    pub fn iterations(&self) -> u64 {
        self.iterations
    }

    /// How often f was told.
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// How often J was told.
    pub fn jacobians(&self) -> u64 {
        self.jacobians
    }

    pub fn report(&self) -> Report {
        self.report
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// f at the point that was asked; always the same number of values, at least one.
    pub fn tell_residual(&mut self, residual: &[f64]) {
        self.phase = match self.phase {
            Phase::FirstResidual => {
                self.evaluations = 1;
                self.residual = residual.to_vec();
                self.cost = cost(residual);
                if self.cost.is_finite() {
                    Phase::Jacobian
                } else {
                    Phase::Done(Stop::NonFiniteResidual)
                }
            }
            Phase::Trial => {
                self.evaluations += 1;
                self.judge(residual)
            }
            other => other,
        };
    }

    /// J at the current iterate, a row for each residual and a column for each unknown.
    pub fn tell_jacobian(&mut self, jacobian: ArrayView2<f64>) {
        if !matches!(self.phase, Phase::Jacobian) {
            return;
        }
        self.jacobians += 1;
        let (gradient, column_norms) = self.subproblem.load(jacobian, &self.residual);
        self.gradient = gradient;
        if self.precision > 0.0 {
            let terms = self.point.iter().zip(&column_norms).map(|(x, column)| x.abs() * column);
            self.noise = self.precision * (norm(&self.residual) + terms.sum::<f64>());
        }
        self.phase = if column_norms.iter().chain(&self.gradient).all(|value| value.is_finite()) {
            self.scaling.update(&column_norms, self.residual.len());
            self.locate(&column_norms);
            self.enter()
        } else {
            self.lose_location();
            self.iterations += u64::from(self.jacobians > 1);
            Phase::Done(Stop::NonFiniteJacobian)
        };
    }

    /// There is no way to the Jacobian that was asked for.
    pub fn tell_not_analytic(&mut self) {
        if matches!(self.phase, Phase::Jacobian) {
            self.gradient.fill(f64::NAN);
            self.geometry = nowhere(self.point.len());
            self.iterations += u64::from(self.jacobians > 0);
            self.phase = Phase::Done(Stop::NotAnalytic);
        }
    }

    /// f has this relative error, from the next Jacobian on.
    pub fn set_precision(&mut self, precision: f64) {
        self.precision = precision;
    }

    /// Computes the next step. Where there is no memory for it, `take_lack` says so, and it can be
    /// tried again.
    pub fn step(&mut self) {
        if let Phase::Step { factor } = self.phase {
            self.phase = self.find_step(factor);
        }
    }

    /// What the last step could not be computed for, once.
    pub fn take_lack(&mut self) -> Option<OutOfMemory> {
        self.lack.take()
    }

    /// The report has been made, and the user may have asked to stop.
    pub fn tell_reported(&mut self, interrupted: bool) {
        if !matches!(self.phase, Phase::Report) {
            return;
        }
        if interrupted {
            let converged = self.stop.is_some_and(Stop::success);
            self.stop = Some(Stop::Interrupted { converged });
        }
        self.phase = match self.stop {
            Some(stop) => Phase::Done(stop),
            None if self.iterations >= self.options.termination.iterations => {
                Phase::Done(Stop::OutOfIterations)
            }
            None if self.evaluations >= self.options.termination.evaluations => {
                Phase::Done(Stop::OutOfEvaluations)
            }
            None => Phase::Step { factor: true },
        };
    }

    /// Ends the iteration where it is. Where the iterate is new, nothing but f is known of it.
    pub fn interrupt(&mut self) {
        if matches!(self.phase, Phase::Done(_)) {
            return;
        }
        if matches!(self.phase, Phase::Jacobian) {
            self.gradient.fill(f64::NAN);
            self.lose_location();
        }
        self.phase = Phase::Done(Stop::Interrupted { converged: false });
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self) -> bool {
        let (rows, unknowns) = (self.residual.len(), self.point.len());
        let Bounds { lower, upper } = &self.options.bounds;
        let Scaling { scale, inverse, .. } = &self.scaling;
        let vectors = [&self.start, &self.gradient, lower, upper, scale, inverse];
        let ready = |factored| {
            rows > 0
                && self.geometry.fits(unknowns)
                && self.subproblem.fits(rows, unknowns, factored)
        };
        let phase = match self.phase {
            Phase::FirstResidual => rows == 0,
            Phase::Jacobian => rows > 0,
            Phase::Report if self.stop.is_none() => ready(false),
            Phase::Step { factor } => ready(!factor),
            Phase::Trial => {
                let sizes = |c: &Candidate| (c.scaled.len(), c.step.len());
                self.trial.len() == unknowns
                    && self.candidate.as_ref().map(sizes) == Some((unknowns, unknowns))
                    && ready(true)
            }
            Phase::Report | Phase::Done(_) => true,
        };
        unknowns > 0
            && vectors.iter().all(|vector| vector.len() == unknowns)
            && self.geometry.distance.len() == unknowns
            && (self.undefined_at.is_empty() || self.undefined_at.len() == unknowns)
            && phase
    }

    /// Finds where the point lies, in the variables of its geometry, and how near to a minimum.
    fn locate(&mut self, column_norms: &[f64]) {
        self.optimality = Optimality::new(
            [&self.point, &self.start],
            &self.gradient,
            column_norms,
            norm(&self.residual),
            &self.options.bounds,
        );
        self.geometry = Geometry::new(
            &self.point,
            &self.gradient,
            &self.options.bounds,
            &self.scaling,
            self.options.scaled_termination,
        );
        self.point_norm = if self.options.scaled_termination {
            let sizes = self.point.iter().zip(&self.scaling.inverse);
            norm(&sizes.map(|(x, inverse)| x * inverse).collect::<Vec<_>>())
        } else {
            norm(&self.point)
        };
    }

    /// Nothing is known of the point but its residual.
    fn lose_location(&mut self) {
        self.geometry = nowhere(self.point.len());
        self.optimality = Optimality::UNKNOWN;
    }

    /// A new iterate, or the first.
    fn enter(&mut self) -> Phase {
        if self.jacobians == 1 {
            self.radius = self.first_radius();
            self.free_radius = self.radius;
        } else {
            self.iterations += 1;
        }
        if self.geometry.optimality < self.options.termination.gradient {
            self.stop = Some(Stop::SmallGradient);
        } else if self.optimality.relative < self.options.termination.relative_gradient {
            self.stop = Some(Stop::SmallRelativeGradient);
        }
        Phase::Report
    }

    fn first_radius(&self) -> f64 {
        let rule = self.options.radius.initial;
        let image = if matches!(rule, Initial::Cauchy | Initial::Mean) {
            let gradient = self.geometry.unscaled(&self.geometry.gradient);
            self.subproblem.image_norm(&gradient)
        } else {
            f64::NAN
        };
        self.options.radius.first(&self.point, &self.scaling.inverse, &self.geometry, image)
    }

    fn find_step(&mut self, factor: bool) -> Phase {
        if factor {
            match self.subproblem.factor(&self.geometry) {
                Ok(true) => {}
                Ok(false) => return self.give_up(Stop::ShortStep),
                Err(lack) => {
                    self.lack = Some(lack);
                    return Phase::Step { factor };
                }
            }
        }
        let (candidate, multiplier) = self.candidate_within(self.radius);
        self.multiplier = multiplier;
        let moved = self.point.iter().zip(&candidate.step).map(|(x, p)| x + p);
        self.trial = moved.collect();
        self.options.bounds.move_inside(&mut self.trial, Margin::None);
        if !self.trial.iter().all(|x| x.is_finite()) {
            return self.give_up(Stop::ShortStep);
        }
        self.candidate = Some(candidate);
        Phase::Trial
    }

    /// The step within a radius, and its multiplier.
    fn candidate_within(&mut self, radius: f64) -> (Candidate, f64) {
        let (scaled, multiplier) = self.subproblem.solve(radius, self.multiplier);
        let region = Region {
            point: &self.point,
            bounds: &self.options.bounds,
            geometry: &self.geometry,
            radius,
            image: |step: &[f64]| self.subproblem.image(step),
        };
        let theta = LEAST_SHARE.max(1.0 - self.geometry.optimality);
        (region.choose(scaled, theta), multiplier)
    }

    /// Compares the residual at the trial point with what the model said.
    fn judge(&mut self, residual: &[f64]) -> Phase {
        let Some(candidate) = self.candidate.take() else { return self.phase };
        let cost = cost(residual);
        let reduction = if cost.is_finite() { self.cost - cost } else { f64::NEG_INFINITY };
        let predicted = candidate.reduction;
        // A step that rounding leaves nothing of says nothing, unless there is nowhere to go.
        let still = self.trial == self.point && self.geometry.optimality != 0.0;
        let ratio = if predicted > 0.0 {
            reduction / predicted
        } else if predicted == 0.0 && reduction == 0.0 && !still {
            1.0
        } else {
            0.0
        };
        let (scaled_step, step) = (norm(&candidate.scaled), norm(&candidate.step));
        let accepted = reduction > 0.0;
        let trial = Trial {
            cost: self.cost,
            reduction,
            ratio,
            step: self.length(&candidate),
            point: self.point_norm,
            distance: distance(if accepted { &self.trial } else { &self.point }, &self.start),
            evaluations: self.evaluations,
        };
        let nowhere = match () {
            () if accepted => None,
            () if predicted < self.cost_noise() => Some(Stop::Noise),
            () => still.then_some(Stop::ShortStep),
        };
        let stop = self.options.termination.check(trial).or(nowhere);
        self.stop = stop.map(|stop| self.unless_confined(stop, trial));
        let last_radius = self.radius;
        self.radius = self.options.radius.next(last_radius, scaled_step, ratio);
        if !accepted && self.radius >= last_radius {
            // Whatever the thresholds are, the same step is not tried again.
            self.radius = self.options.radius.decrease_ratio * last_radius;
        }
        self.multiplier *= last_radius / self.radius;
        self.follow(last_radius, cost.is_finite());
        if accepted {
            self.report = Report { accepted, reduction, step };
            std::mem::swap(&mut self.point, &mut self.trial);
            self.residual.copy_from_slice(residual);
            self.cost = cost;
            return Phase::Jacobian;
        }
        match self.stop {
            Some(stop) => self.give_up(stop),
            None => Phase::Step { factor: false },
        }
    }

    /// ‖p‖ in the units of the tests.
    fn length(&self, candidate: &Candidate) -> f64 {
        let scaled = self.options.scaled_termination;
        norm(if scaled { &candidate.scaled } else { &candidate.step })
    }

    /// Why to stop after a step that may be short only because residuals were not finite.
    fn unless_confined(&mut self, stop: Stop, trial: Trial) -> Stop {
        let by_length = matches!(stop, Stop::Converged { .. } | Stop::ShortStep);
        if !by_length || self.radius >= self.free_radius {
            return stop;
        }
        let (free, _) = self.candidate_within(self.free_radius);
        let free =
            Trial { reduction: free.reduction, ratio: 1.0, step: self.length(&free), ..trial };
        match self.options.termination.check(free) {
            Some(Stop::Converged { .. } | Stop::ShortStep) => stop,
            _ => Stop::Confined,
        }
    }

    /// Has the free radius follow a trial, whose residual was finite or not.
    fn follow(&mut self, last_radius: f64, finite: bool) {
        if !finite {
            self.undefined_at.clone_from(&self.trial);
        } else if self.radius < last_radius {
            self.free_radius = self.radius;
        } else {
            self.free_radius = self.free_radius.max(self.radius);
        }
    }

    /// By how much the errors of f may change the cost.
    fn cost_noise(&self) -> f64 {
        self.noise * ((2.0 * self.cost).sqrt() + 0.5 * self.noise)
    }

    /// Ends an iteration that found no better point.
    fn give_up(&mut self, stop: Stop) -> Phase {
        self.stop = Some(stop);
        self.report = Report { accepted: false, reduction: 0.0, step: 0.0 };
        self.iterations += 1;
        Phase::Report
    }
}

/// Before a Jacobian has said where a point lies.
fn nowhere(unknowns: usize) -> Geometry {
    Geometry { distance: vec![f64::NAN; unknowns], optimality: f64::NAN, ..Geometry::default() }
}

fn cost(residual: &[f64]) -> f64 {
    0.5 * crate::linalg::tall::dot(residual, residual)
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    /// Minimises (x − 3)², which is known up to a wall only, with the step tests at a tolerance.
    fn end(lapack: Lapack, wall: f64, tolerance: f64) -> LeastSquares {
        let termination = Termination {
            cost: tolerance,
            step: tolerance,
            gradient: 0.0,
            relative_gradient: 0.0,
            shortest_step: f64::EPSILON,
            distance: f64::INFINITY,
            evaluations: 200,
            iterations: 100,
        };
        let radius = RadiusOptions {
            initial: Initial::Given(100.0),
            initial_ratio: 1.0,
            largest: f64::INFINITY,
            increase_threshold: 0.75,
            decrease_threshold: 0.25,
            increase_ratio: 2.0,
            decrease_ratio: 0.25,
        };
        let bounds = Bounds { lower: vec![f64::NEG_INFINITY], upper: vec![f64::INFINITY] };
        let options =
            Options { bounds, termination, radius, method: Method::Qr, scaled_termination: true };
        let mut solver = LeastSquares::new(vec![0.5], Scaling::from_jacobian(1), options, lapack);
        loop {
            match solver.ask() {
                Ask::Residual(x) => {
                    let f = if x[0] <= wall { x[0] - 3.0 } else { f64::NAN };
                    solver.tell_residual(&[f]);
                }
                Ask::Jacobian => solver.tell_jacobian(arr2(&[[1.0]]).view()),
                Ask::Step => solver.step(),
                Ask::Report => solver.tell_reported(false),
                Ask::Done(_) => return solver,
            }
        }
    }

    #[test]
    fn short_steps_before_nan_are_no_success() {
        let Some(lapack) = Lapack::loaded() else { return };
        for tolerance in [1e-6, 0.0] {
            let solver = end(lapack, 1.0, tolerance);
            assert_eq!(solver.ask(), Ask::Done(Stop::Confined));
            assert!((solver.point()[0] - 1.0).abs() < 1e-5);
            assert!(solver.undefined_at().is_some_and(|x| x[0] > 1.0));
        }
    }

    #[test]
    fn without_nan_they_are() {
        let Some(lapack) = Lapack::loaded() else { return };
        let solver = end(lapack, 3.5, 1e-6);
        assert!(matches!(solver.ask(), Ask::Done(stop) if stop.success()));
        assert!(solver.undefined_at().is_none());
    }
}
