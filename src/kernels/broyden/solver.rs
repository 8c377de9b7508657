//! Broyden's first method for F(x) = 0, without a Jacobian.
//!
//! With H ≈ J⁻¹ from the steps so far, each iteration goes along
//!
//!     p = −H F(x),   x₊ = x + λ p,
//!
//! with λ = 1 or from a line search on φ(λ) = ‖F(x + λp)‖², and then corrects H so that it explains
//! the change of F (see `inverse_jacobian`).
//!
//! The iterations are those of `scipy.optimize.broyden1`, with what is peculiar to them: the
//! backtracking search is told the slope −φ(0), half of what it is where H is right; a search
//! that fails takes the full step; H goes back to −α I when a direction is not finite.
//!
//! Reference: C. T. Kelley, "Iterative Methods for Linear and Nonlinear Equations", SIAM, 1995,
//! chapters 7 and 8.

use super::inverse_jacobian::{InverseJacobian, RankLimit, Step};
use super::line_search::{self, Armijo, LineSearch, MoreThuente};
use super::termination::{Arrival, Sizes, Termination};
use crate::linalg::Field;
use crate::linalg::lapack::Lapack;
use crate::linalg::norm::{self, copy_and_measure, max_norm, norm};
use crate::linalg::tall::{copy, displace, move_by};
use crate::saved;
use serde::{Deserialize, Serialize};

/// The shortest length that a line search tries.
const SHORTEST: f64 = 1e-2;

/// Distance of the two points that a slope is measured between, relative to the lengths involved.
const SLOPE_DISTANCE: f64 = 1e-8;

/// What the solver needs next.
#[derive(Debug, PartialEq)]
pub enum Ask<'a, T> {
    /// F at this point.
    Residual(&'a [T]),
    /// How large F, x and p are, where the user measures them.
    Sizes { residual: &'a [T], point: &'a [T], step: &'a [T] },
    /// Nothing, but an iteration is complete.
    Report,
    /// Nothing: the iteration has ended.
    Done(Stop),
}

/// Why the iteration ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Stop {
    /// The tolerances are met.
    Converged,
    /// The iterations that were asked for are made.
    IterationsMade,
    /// The iterations are used up.
    OutOfIterations,
    /// F has components that are not finite.
    NonFiniteResidual,
    /// The direction has components that are not finite, even with H₀.
    NonFiniteStep,
    /// The direction is zero.
    ZeroStep,
    /// The driver asked for it.
    Interrupted,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum SearchMethod {
    /// The full step.
    None,
    Armijo,
    Wolfe,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(bound = "T: Field")]
pub struct Options<T> {
    /// H₀ = −α I; chosen by the sizes of x₀ and F(x₀) where it is None.
    pub alpha: Option<T>,
    pub limit: RankLimit,
    pub termination: Termination,
    /// Largest number of iterations.
    pub iterations: u64,
    pub search: SearchMethod,
    /// The user measures the norms; otherwise they are maximum norms.
    pub own_norm: bool,
    /// The iterate is to be had even while F is asked at a full step from it, at the price of
    /// a copy.
    pub keep_iterate: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Phase {
    Check,
    /// F at x + p, which x has already become.
    FullStep {
        /// Rounding has left some of the step.
        moved: bool,
    },
    /// F at x + λp, to be kept.
    Trial {
        length: f64,
        then: AfterTrial,
    },
    /// F a little beyond x + λp, for the slope there.
    Beyond {
        length: f64,
        distance: f64,
    },
    Report,
    Done(Stop),
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum AfterTrial {
    /// The line search goes on.
    Search,
    /// The line search wants the slope as well.
    Slope,
    /// The step is taken.
    Accept,
}

/// A solve in progress.
#[derive(Debug, Deserialize, Serialize)]
#[serde(bound = "T: Field")]
pub struct Broyden<T: Field> {
    options: Options<T>,
    phase: Phase,
    inverse: InverseJacobian<T>,
    #[serde(with = "saved::vector")]
    point: Vec<T>,
    #[serde(with = "saved::vector")]
    residual: Vec<T>,
    norms: norm::Norms,
    first_norm: Option<f64>,
    /// F at the point before, where the inverse needs it, and the length of the step from there,
    /// until the inverse knows of it.
    #[serde(with = "saved::vector")]
    previous: Vec<T>,
    pending: Option<f64>,
    /// ‖p‖
    direction_norm: f64,
    /// The point x + λp that a line search asks for, and λ; without a line search, the iterate that
    /// a full step leads away from, if it is kept.
    #[serde(with = "saved::vector")]
    trial: Vec<T>,
    trial_length: Option<f64>,
    /// F at x + λp for this λ, and its norms.
    #[serde(with = "saved::vector")]
    kept: Vec<T>,
    kept_length: f64,
    kept_norms: norm::Norms,
    search: Option<LineSearch>,
    started: bool,
    #[serde(with = "saved::count")]
    iterations: u64,
    /// λ of the last iteration, and the length of its step.
    length: f64,
    step_norm: f64,
}

impl<T: Field> Broyden<T> {
    /// `residual` is F at `start`; both must have the same length, which is not zero.
    pub fn new(
        start: Vec<T>,
        residual: Vec<T>,
        mut options: Options<T>,
        lapack: Option<Lapack>,
    ) -> Self {
        let norms = norm::norms(&residual);
        let alpha = options.alpha.unwrap_or_else(|| {
            let chosen = 0.5 * norm(&start).max(1.0) / norms.euclidean;
            T::of(if norms.euclidean == 0.0 { 1.0 } else { chosen })
        });
        options.alpha = Some(alpha);
        let mut solver = Broyden {
            options,
            phase: Phase::Check,
            inverse: InverseJacobian::new(alpha, options.limit, &residual, lapack),
            trial: Vec::new(),
            trial_length: None,
            kept: Vec::new(),
            previous: Vec::new(),
            point: start,
            residual,
            norms,
            first_norm: None,
            pending: None,
            direction_norm: 0.0,
            kept_length: 0.0,
            kept_norms: norms,
            search: None,
            started: false,
            iterations: 0,
            length: 0.0,
            step_norm: 0.0,
        };
        solver.phase = if norms.euclidean.is_finite() {
            solver.begin_iteration()
        } else {
            Phase::Done(Stop::NonFiniteResidual)
        };
        solver
    }

    pub fn ask(&self) -> Ask<'_, T> {
        match self.phase {
            Phase::Check => {
                Ask::Sizes { residual: &self.residual, point: &self.point, step: self.direction() }
            }
            Phase::FullStep { .. } => Ask::Residual(&self.point),
            Phase::Trial { .. } | Phase::Beyond { .. } => Ask::Residual(&self.trial),
            Phase::Report => Ask::Report,
            Phase::Done(stop) => Ask::Done(stop),
        }
    }

    /// The current iterate; while F is asked at a full step from it, only if it is kept, and that
    /// point otherwise.
    pub fn point(&self) -> &[T] {
        match self.phase {
            Phase::FullStep { .. } if self.options.keep_iterate => &self.trial,
            _ => &self.point,
        }
    }

    /// F at the last iterate where it was told.
    pub fn residual(&self) -> &[T] {
        &self.residual
    }

    /// The direction of the last step; empty before there is one.
    pub fn direction(&self) -> &[T] {
        if self.started { self.inverse.direction() } else { &[] }
    }

    /// Whether the user measures the norms.
    pub fn has_own_norm(&self) -> bool {
        self.options.own_norm
    }

    /// The inverse Jacobian begins as −α times the identity; as it was given or chosen.
    pub fn alpha(&self) -> Option<T> {
        self.options.alpha
    }

    pub fn termination(&self) -> &Termination {
        &self.options.termination
    }

    /// Iterations completed.
    pub fn iterations(&self) -> u64 {
        self.iterations
    }

    /// λ of the last iteration.
    pub fn length(&self) -> f64 {
        self.length
    }

    /// ‖λp‖₂ of the last iteration.
    pub fn step_norm(&self) -> f64 {
        self.step_norm
    }

    /// ‖F‖₂ at the last iterate where it was told.
    pub fn residual_norm(&self) -> f64 {
        self.norms.euclidean
    }

    /// F at the point that was asked.
    pub fn tell_residual(&mut self, residual: &[T]) {
        self.phase = match self.phase {
            Phase::FullStep { moved } => {
                self.keep_old_residual(1.0);
                self.norms = copy_and_measure(sized(&mut self.residual, residual.len()), residual);
                self.arrive(1.0, moved)
            }
            Phase::Trial { length, then } => {
                self.kept_norms = copy_and_measure(sized(&mut self.kept, residual.len()), residual);
                self.kept_length = length;
                self.after_trial(length, then)
            }
            Phase::Beyond { length, distance } => {
                self.tell_slope(length, merit(norm(residual)), distance)
            }
            other => other,
        }
    }

    /// The sizes that were asked.
    pub fn tell_sizes(&mut self, sizes: Sizes) {
        if matches!(self.phase, Phase::Check) {
            self.phase = self.check(sizes);
        }
    }

    /// The report has been made.
    pub fn tell_reported(&mut self) {
        if matches!(self.phase, Phase::Report) {
            self.phase = self.begin_iteration();
        }
    }

    /// Ends the iteration where it is.
    pub fn interrupt(&mut self) {
        if matches!(self.phase, Phase::Done(_)) {
            return;
        }
        if matches!(self.phase, Phase::FullStep { .. }) && self.options.keep_iterate {
            std::mem::swap(&mut self.point, &mut self.trial);
        }
        self.phase = Phase::Done(Stop::Interrupted);
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self) -> bool {
        let unknowns = self.point.len();
        let made = |vector: &Vec<T>| vector.len() == unknowns;
        let made_if_needed =
            |vector: &Vec<T>, needed: bool| made(vector) || (vector.is_empty() && !needed);
        let trying = matches!(self.phase, Phase::Trial { .. } | Phase::Beyond { .. });
        let full_step = matches!(self.phase, Phase::FullStep { .. });
        let learning = self
            .pending
            .is_some_and(|length| length != 0.0 && self.inverse.needs_old_residual(length));
        // A search may go on with what has been kept; the next trial takes its place.
        let kept_needed = matches!(self.phase, Phase::Beyond { .. })
            && (self.kept_length != 0.0 || self.search.is_some());
        unknowns > 0
            && made(&self.residual)
            && made_if_needed(&self.previous, learning)
            && made_if_needed(&self.trial, trying || (full_step && self.options.keep_iterate))
            && made_if_needed(&self.kept, kept_needed)
            && self.search_fits()
            && self.inverse.fits(unknowns)
    }

    /// Whether the search is one of those that are made here, and is asked about its own trials.
    fn search_fits(&self) -> bool {
        let known = match &self.search {
            None => true,
            Some(LineSearch::Armijo(search)) => search.fits(SHORTEST),
            Some(LineSearch::MoreThuente(search)) => search.fits(wolfe_limits()),
        };
        known && !matches!(self.phase, Phase::Beyond { length, .. } if length != self.kept_length)
    }

    fn begin_iteration(&mut self) -> Phase {
        if self.iterations >= self.options.iterations {
            return Phase::Done(Stop::OutOfIterations);
        }
        if self.options.own_norm {
            return Phase::Check;
        }
        // Measuring what no test looks at would be two passes over all unknowns.
        let measured = |vector| match self.options.termination.looks_at_steps() {
            true => max_norm(vector),
            false => 0.0,
        };
        self.check(Sizes {
            residual: self.norms.maximum,
            point: measured(&self.point),
            step: if self.started { measured(self.inverse.direction()) } else { f64::INFINITY },
        })
    }

    fn check(&mut self, sizes: Sizes) -> Phase {
        let first = *self.first_norm.get_or_insert(sizes.residual);
        match self.options.termination.check(self.iterations, sizes, first) {
            Some(Arrival::Converged) => Phase::Done(Stop::Converged),
            Some(Arrival::IterationsMade) => Phase::Done(Stop::IterationsMade),
            None => self.begin_step(),
        }
    }

    fn begin_step(&mut self) -> Phase {
        self.update_inverse();
        self.started = true;
        if !self.direction_norm.is_finite() {
            return Phase::Done(Stop::NonFiniteStep);
        }
        if self.direction_norm == 0.0 {
            return Phase::Done(Stop::ZeroStep);
        }
        let merit = merit(self.norms.euclidean);
        self.trial_length = None;
        self.kept_length = 0.0;
        self.kept_norms = self.norms;
        match self.options.search {
            SearchMethod::None => {
                if self.options.keep_iterate {
                    copy(sized(&mut self.trial, self.point.len()), &self.point);
                }
                let moved = move_by(&mut self.point, self.inverse.direction());
                Phase::FullStep { moved }
            }
            SearchMethod::Armijo => {
                self.search = Some(LineSearch::Armijo(Armijo::new(merit, -merit, SHORTEST)));
                self.go_on_searching()
            }
            SearchMethod::Wolfe => {
                self.search = None;
                self.try_beyond(0.0)
            }
        }
    }

    /// Tells the inverse of the last step; H₀ takes over where that leads nowhere.
    fn update_inverse(&mut self) {
        let Some(length) = self.pending.take() else {
            self.direction_norm = self.inverse.direction_norm();
            return;
        };
        // A step that did not move x has nothing that H could learn from.
        if length != 0.0 {
            self.inverse.update(Step { length, from: &self.previous, to: &self.residual });
        }
        self.direction_norm = self.inverse.direction_norm();
        if length == 0.0 || !self.direction_norm.is_finite() {
            self.inverse.restart(&self.residual);
            self.direction_norm = self.inverse.direction_norm();
        }
    }

    fn go_on_searching(&mut self) -> Phase {
        let Some(search) = &self.search else { return self.try_length(1.0, AfterTrial::Accept) };
        match search.ask() {
            line_search::Ask::Merit(length) if length == self.kept_length => {
                self.tell_search(self.kept_merit(), f64::NAN)
            }
            line_search::Ask::Merit(length) => self.try_length(length, AfterTrial::Search),
            line_search::Ask::MeritAndSlope(length) if length == self.kept_length => {
                self.try_beyond(length)
            }
            line_search::Ask::MeritAndSlope(length) => self.try_length(length, AfterTrial::Slope),
            line_search::Ask::Done(found) => {
                let length = found.unwrap_or(1.0);
                if length == self.kept_length {
                    self.accept(length)
                } else {
                    self.try_length(length, AfterTrial::Accept)
                }
            }
        }
    }

    fn tell_search(&mut self, merit: f64, slope: f64) -> Phase {
        if let Some(search) = &mut self.search {
            search.tell(merit, slope);
        }
        self.go_on_searching()
    }

    fn try_length(&mut self, length: f64, then: AfterTrial) -> Phase {
        self.set_trial(length);
        Phase::Trial { length, then }
    }

    fn try_beyond(&mut self, length: f64) -> Phase {
        let lengths = length.abs() + norm(&self.point) / self.direction_norm + 1.0;
        let distance = lengths * SLOPE_DISTANCE;
        self.set_trial(length + distance);
        Phase::Beyond { length, distance }
    }

    fn set_trial(&mut self, length: f64) {
        if self.trial_length != Some(length) {
            let trial = sized(&mut self.trial, self.point.len());
            displace(trial, &self.point, T::of(length), self.inverse.direction());
            self.trial_length = Some(length);
        }
    }

    fn after_trial(&mut self, length: f64, then: AfterTrial) -> Phase {
        match then {
            AfterTrial::Search => self.tell_search(self.kept_merit(), f64::NAN),
            AfterTrial::Slope => self.try_beyond(length),
            AfterTrial::Accept => self.accept(length),
        }
    }

    fn tell_slope(&mut self, length: f64, beyond: f64, distance: f64) -> Phase {
        let slope = (beyond - self.kept_merit()) / distance;
        if self.search.is_none() {
            let search = MoreThuente::new(self.kept_merit(), slope, wolfe_limits());
            self.search = Some(LineSearch::MoreThuente(search));
            return self.go_on_searching();
        }
        debug_assert_eq!(length, self.kept_length);
        self.tell_search(self.kept_merit(), slope)
    }

    fn kept_merit(&self) -> f64 {
        merit(self.kept_norms.euclidean)
    }

    fn accept(&mut self, length: f64) -> Phase {
        self.set_trial(length);
        let moved = self.trial != self.point;
        std::mem::swap(&mut self.point, &mut self.trial);
        self.keep_old_residual(length);
        std::mem::swap(&mut self.residual, &mut self.kept);
        self.norms = self.kept_norms;
        self.search = None;
        self.arrive(length, moved)
    }

    fn keep_old_residual(&mut self, length: f64) {
        if self.inverse.needs_old_residual(length) {
            std::mem::swap(&mut self.previous, &mut self.residual);
        }
    }

    /// The point and its residual are those after a step of this length.
    fn arrive(&mut self, length: f64, moved: bool) -> Phase {
        self.length = length;
        self.step_norm = length.abs() * self.direction_norm;
        self.pending = Some(if moved { length } else { 0.0 });
        if !self.norms.euclidean.is_finite() {
            return Phase::Done(Stop::NonFiniteResidual);
        }
        self.iterations += 1;
        Phase::Report
    }
}

fn wolfe_limits() -> line_search::Limits {
    line_search::Limits {
        sufficient_decrease: 1e-4,
        curvature: 0.9,
        relative_width: 1e-2,
        shortest: SHORTEST,
        longest: 50.0,
        trials: 100,
    }
}

/// ‖F‖², infinite where F is not finite.
fn merit(residual_norm: f64) -> f64 {
    if residual_norm.is_finite() { residual_norm * residual_norm } else { f64::INFINITY }
}

/// A work vector, which is made when it is first needed.
fn sized<T: Field>(vector: &mut Vec<T>, length: usize) -> &mut [T] {
    if vector.len() != length {
        *vector = vec![T::zero(); length];
    }
    vector
}
