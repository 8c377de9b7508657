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
//! # Phases
//!
//!     start ─ FirstResidual ─┬─ Check ─ Step ─┬─ FullStep ────────────────────┬─ Report ─┐
//!                            │                └─ Trial ⇄ Beyond (line search) ┘          │
//!                            └───────────────────────────────────────────────────────────┘
//!
//! FirstResidual, FullStep, Trial and Beyond ask for F, Check for sizes where the user measures them
//! (it is passed through otherwise), and Step for time: H is corrected there. Each may lead to Done.
//!
//! Reference: C. T. Kelley, "Iterative Methods for Linear and Nonlinear Equations", SIAM, 1995,
//! chapters 7 and 8.

use super::inverse_jacobian::{InverseJacobian, RankLimit, Step};
use super::line_search::{self, Armijo, LineSearch, MoreThuente};
use super::termination::{Arrival, Termination};
use crate::kernels::{self, Ask, Figures, Kernel, Sizes, Tell};
use crate::linalg::Field;
use crate::linalg::memory::{OutOfMemory, bytes_of, missing, size};
use crate::linalg::norm::{Norms, copy_and_measure, max_norm, norm};
use crate::linalg::tall::{copy, displace, move_by};
use crate::saved;
use serde::{Deserialize, Serialize};

/// The shortest length that a line search tries.
const SHORTEST: f64 = 1e-2;

/// Distance of the two points that a slope is measured between, relative to the lengths involved.
const SLOPE_DISTANCE: f64 = 1e-8;

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
    /// There is no memory for another vector.
    OutOfMemory,
}

impl kernels::Stop for Stop {
    fn success(self) -> bool {
        self == Stop::Converged
    }

    fn out_of_memory(self) -> bool {
        self == Stop::OutOfMemory
    }
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
    FirstResidual,
    Check,
    Step,
    /// F at x + p, which x has already become.
    FullStep {
        /// Rounding has left some of the step.
        moved: bool,
    },
    /// F at x + λp, for what comes then.
    Trial {
        then: AfterTrial,
    },
    /// F a little beyond x + λp, for the slope there.
    Beyond {
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

/// What is known along the direction: F at x + λp.
#[derive(Debug, Deserialize, Serialize)]
#[serde(bound = "T: Field")]
struct Probe<T: Field> {
    /// λ of the residual; 0 for the iterate itself.
    length: f64,
    /// The residual is here, not with the iterate.
    told: bool,
    #[serde(with = "saved::vector")]
    residual: Vec<T>,
    norms: Norms,
    /// The point that F is asked at, and its λ, which a slope makes a little larger. Without a line
    /// search, the iterate that a full step leads away from, if it is kept.
    #[serde(with = "saved::vector")]
    point: Vec<T>,
    point_length: Option<f64>,
}

impl<T: Field> Probe<T> {
    fn new() -> Self {
        let norms = Norms { euclidean: 0.0, maximum: 0.0 };
        Probe {
            length: 0.0,
            told: false,
            residual: Vec::new(),
            norms,
            point: Vec::new(),
            point_length: None,
        }
    }

    /// Nothing is known but the iterate, whose residual has these norms.
    fn reset(&mut self, norms: Norms) {
        (self.length, self.told) = (0.0, false);
        (self.norms, self.point_length) = (norms, None);
    }

    /// Goes to x + λp.
    fn go_to(&mut self, length: f64, x: &[T], direction: &[T]) {
        if self.point_length != Some(length) {
            displace(&mut self.point, x, T::of(length), direction);
            self.point_length = Some(length);
        }
    }

    fn tell(&mut self, residual: &[T]) {
        self.norms = copy_and_measure(&mut self.residual, residual);
        (self.length, self.told) = (self.point_length.unwrap_or(0.0), true);
    }

    /// ‖F(x + λp)‖²
    fn merit(&self) -> f64 {
        merit(self.norms.euclidean)
    }
}

/// A solve in progress.
#[derive(Debug, Deserialize, Serialize)]
#[serde(bound = "T: Field")]
pub struct Broyden<T: Field> {
    options: Options<T>,
    phase: Phase,
    /// As it was given or chosen.
    alpha: T,
    inverse: InverseJacobian<T>,
    #[serde(with = "saved::vector")]
    point: Vec<T>,
    #[serde(with = "saved::vector")]
    residual: Vec<T>,
    norms: Norms,
    first_norm: Option<f64>,
    /// F at the point before, where the inverse needs it, and the length of the step from there,
    /// until the inverse knows of it.
    #[serde(with = "saved::vector")]
    previous: Vec<T>,
    pending: Option<f64>,
    /// ‖p‖
    direction_norm: f64,
    probe: Probe<T>,
    search: Option<LineSearch>,
    /// There is a direction.
    started: bool,
    #[serde(with = "saved::count")]
    iterations: u64,
    /// λ of the last iteration, and the length of its step.
    length: f64,
    step_norm: f64,
}

impl<T: Field> Broyden<T> {
    pub fn new(options: Options<T>) -> Self {
        Broyden {
            options,
            phase: Phase::Done(Stop::Interrupted),
            alpha: T::zero(),
            inverse: InverseJacobian::default(),
            point: Vec::new(),
            residual: Vec::new(),
            norms: Norms { euclidean: f64::INFINITY, maximum: f64::INFINITY },
            first_norm: None,
            previous: Vec::new(),
            pending: None,
            direction_norm: 0.0,
            probe: Probe::new(),
            search: None,
            started: false,
            iterations: 0,
            length: 0.0,
            step_norm: 0.0,
        }
    }

    pub fn options(&self) -> &Options<T> {
        &self.options
    }

    /// The bytes that `start` takes for so many unknowns.
    pub fn room_to_begin(unknowns: usize) -> usize {
        bytes_of::<T>(4usize.saturating_mul(unknowns))
    }

    /// The bytes that taking what is told next, or working, takes at most.
    pub fn room(&self) -> usize {
        let unknowns = self.point.len();
        if self.is_untouched() {
            return InverseJacobian::<T>::room_to_begin(unknowns);
        }
        missing(&self.previous, unknowns).saturating_add(self.inverse.room(unknowns))
    }

    /// The inverse Jacobian begins as −α times the identity.
    pub fn alpha(&self) -> T {
        self.alpha
    }

    /// F at x₀ has not been told yet.
    pub fn is_untouched(&self) -> bool {
        matches!(self.phase, Phase::FirstResidual)
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self) -> bool {
        let unknowns = self.point.len();
        let made = |vector: &Vec<T>, needed: bool| {
            vector.len() == unknowns || (vector.is_empty() && !needed)
        };
        let searches = self.options.search != SearchMethod::None;
        let keeps = self.options.keep_iterate;
        let untouched = self.is_untouched();
        let learns = self.pending.is_some_and(|length| length != 0.0);
        let needs_old = self.pending.is_some_and(|length| self.inverse.needs_old_residual(length));
        unknowns > 0
            && self.residual.len() == unknowns
            && made(&self.previous, learns && needs_old)
            && made(&self.probe.point, searches || keeps)
            && made(&self.probe.residual, searches)
            && self.search_fits()
            && if untouched { !learns } else { self.inverse.fits(unknowns) }
    }

    /// Whether the search is one of those that are made here, and is asked about its own trials.
    fn search_fits(&self) -> bool {
        let known = match &self.search {
            None => true,
            Some(LineSearch::Armijo(search)) => search.fits(SHORTEST),
            Some(LineSearch::MoreThuente(search)) => search.fits(wolfe_limits()),
        };
        let searching = matches!(self.phase, Phase::Trial { .. } | Phase::Beyond { .. });
        known && (!searching || self.options.search != SearchMethod::None)
    }

    /// Gives the vectors their size.
    fn allocate(&mut self, unknowns: usize) -> Result<(), OutOfMemory> {
        size(&mut self.point, unknowns)?;
        size(&mut self.residual, unknowns)?;
        self.previous.clear();
        let searches = self.options.search != SearchMethod::None;
        let trials = if searches || self.options.keep_iterate { unknowns } else { 0 };
        size(&mut self.probe.point, trials)?;
        size(&mut self.probe.residual, if searches { unknowns } else { 0 })
    }

    fn tell_first_residual(&mut self, residual: &[T]) -> Phase {
        self.norms = copy_and_measure(&mut self.residual, residual);
        self.alpha = self.options.alpha.unwrap_or_else(|| {
            let chosen = 0.5 * norm(&self.point).max(1.0) / self.norms.euclidean;
            T::of(if self.norms.euclidean == 0.0 { 1.0 } else { chosen })
        });
        if self.inverse.start(self.alpha, self.options.limit, &self.residual).is_err() {
            return Phase::Done(Stop::OutOfMemory);
        }
        if self.norms.euclidean.is_finite() {
            self.begin_iteration()
        } else {
            Phase::Done(Stop::NonFiniteResidual)
        }
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
            None => Phase::Step,
        }
    }

    /// Of a step: H has so many vectors, each of which is read twice.
    fn operations(&self) -> f64 {
        4.0 * self.point.len() as f64 * (2.0 + self.inverse.vectors() as f64)
    }

    fn begin_step(&mut self) -> Phase {
        if self.update_inverse().is_err() {
            return Phase::Done(Stop::OutOfMemory);
        }
        self.started = true;
        if !self.direction_norm.is_finite() {
            return Phase::Done(Stop::NonFiniteStep);
        }
        if self.direction_norm == 0.0 {
            return Phase::Done(Stop::ZeroStep);
        }
        self.probe.reset(self.norms);
        match self.options.search {
            SearchMethod::None => {
                if self.options.keep_iterate {
                    copy(&mut self.probe.point, &self.point);
                }
                let moved = move_by(&mut self.point, self.inverse.direction());
                Phase::FullStep { moved }
            }
            SearchMethod::Armijo => {
                let merit = self.probe.merit();
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
    fn update_inverse(&mut self) -> Result<(), OutOfMemory> {
        if let Some(length) = self.pending {
            // A step that did not move x has nothing that H could learn from.
            if length != 0.0 {
                let step = Step { length, from: &self.previous, to: &self.residual };
                self.inverse.update(step)?;
            }
            self.pending = None;
            if length == 0.0 || !self.inverse.direction_norm().is_finite() {
                self.inverse.restart(&self.residual);
            }
        }
        self.direction_norm = self.inverse.direction_norm();
        Ok(())
    }

    fn go_on_searching(&mut self) -> Phase {
        let Some(search) = &self.search else { return self.try_length(1.0, AfterTrial::Accept) };
        let known = self.probe.length;
        match search.ask() {
            line_search::Ask::Merit(length) if length == known => self.tell_search(f64::NAN),
            line_search::Ask::Merit(length) => self.try_length(length, AfterTrial::Search),
            line_search::Ask::MeritAndSlope(length) if length == known => self.try_beyond(length),
            line_search::Ask::MeritAndSlope(length) => self.try_length(length, AfterTrial::Slope),
            line_search::Ask::Done(found) => {
                let length = found.unwrap_or(1.0);
                if length == known {
                    self.accept(length)
                } else {
                    self.try_length(length, AfterTrial::Accept)
                }
            }
        }
    }

    fn tell_search(&mut self, slope: f64) -> Phase {
        if let Some(search) = &mut self.search {
            search.tell(self.probe.merit(), slope);
        }
        self.go_on_searching()
    }

    fn try_length(&mut self, length: f64, then: AfterTrial) -> Phase {
        self.probe.go_to(length, &self.point, self.inverse.direction());
        Phase::Trial { then }
    }

    fn try_beyond(&mut self, length: f64) -> Phase {
        let lengths = length.abs() + norm(&self.point) / self.direction_norm + 1.0;
        let distance = lengths * SLOPE_DISTANCE;
        self.probe.go_to(length + distance, &self.point, self.inverse.direction());
        Phase::Beyond { distance }
    }

    fn after_trial(&mut self, then: AfterTrial) -> Phase {
        match then {
            AfterTrial::Search => self.tell_search(f64::NAN),
            AfterTrial::Slope => self.try_beyond(self.probe.length),
            AfterTrial::Accept => self.accept(self.probe.length),
        }
    }

    fn tell_slope(&mut self, beyond: f64, distance: f64) -> Phase {
        let slope = (beyond - self.probe.merit()) / distance;
        if self.search.is_some() {
            return self.tell_search(slope);
        }
        let search = MoreThuente::new(self.probe.merit(), slope, wolfe_limits());
        self.search = Some(LineSearch::MoreThuente(search));
        self.go_on_searching()
    }

    fn accept(&mut self, length: f64) -> Phase {
        self.probe.go_to(length, &self.point, self.inverse.direction());
        let moved = self.probe.told && self.probe.point != self.point;
        std::mem::swap(&mut self.point, &mut self.probe.point);
        self.search = None;
        if self.probe.told {
            if self.keep_old_residual(length).is_err() {
                return Phase::Done(Stop::OutOfMemory);
            }
            std::mem::swap(&mut self.residual, &mut self.probe.residual);
            self.norms = self.probe.norms;
        }
        self.arrive(length, moved)
    }

    fn keep_old_residual(&mut self, length: f64) -> Result<(), OutOfMemory> {
        if self.inverse.needs_old_residual(length) {
            size(&mut self.previous, self.residual.len())?;
            std::mem::swap(&mut self.previous, &mut self.residual);
        }
        Ok(())
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

impl<T: Field> Kernel for Broyden<T> {
    type T = T;
    type Stop = Stop;

    fn start(&mut self, x0: &[T]) {
        self.norms = Norms { euclidean: f64::INFINITY, maximum: f64::INFINITY };
        (self.first_norm, self.pending, self.search) = (None, None, None);
        (self.started, self.iterations) = (false, 0);
        (self.length, self.step_norm, self.direction_norm) = (0.0, 0.0, 0.0);
        self.probe.reset(self.norms);
        self.phase = match self.allocate(x0.len()) {
            Ok(()) => {
                self.point.copy_from_slice(x0);
                Phase::FirstResidual
            }
            Err(OutOfMemory(_)) => Phase::Done(Stop::OutOfMemory),
        };
    }

    fn ask(&self) -> Ask<'_, T> {
        match self.phase {
            Phase::FirstResidual | Phase::FullStep { .. } => Ask::Residual(&self.point),
            Phase::Trial { .. } | Phase::Beyond { .. } => Ask::Residual(&self.probe.point),
            Phase::Check => {
                Ask::Sizes { residual: &self.residual, point: &self.point, step: self.direction() }
            }
            Phase::Step => Ask::Work { operations: self.operations() },
            Phase::Report => Ask::Report,
            Phase::Done(_) => Ask::Done,
        }
    }

    fn work(&mut self) {
        if matches!(self.phase, Phase::Step) {
            self.phase = self.begin_step();
        }
    }

    fn tell(&mut self, told: Tell<'_, T>) {
        self.phase = match (self.phase, told) {
            (Phase::FirstResidual, Tell::Residual(residual)) => self.tell_first_residual(residual),
            (Phase::FullStep { moved }, Tell::Residual(residual)) => {
                match self.keep_old_residual(1.0) {
                    Ok(()) => {
                        self.norms = copy_and_measure(&mut self.residual, residual);
                        self.arrive(1.0, moved)
                    }
                    Err(OutOfMemory(_)) => Phase::Done(Stop::OutOfMemory),
                }
            }
            (Phase::Trial { then }, Tell::Residual(residual)) => {
                self.probe.tell(residual);
                self.after_trial(then)
            }
            (Phase::Beyond { distance }, Tell::Residual(residual)) => {
                self.tell_slope(merit(norm(residual)), distance)
            }
            (Phase::Check, Tell::Sizes(sizes)) => self.check(sizes),
            (Phase::Report, Tell::Reported { stop: true }) => Phase::Done(Stop::Interrupted),
            (Phase::Report, Tell::Reported { stop: false }) => self.begin_iteration(),
            (phase, _) => phase,
        }
    }

    fn interrupt(&mut self) {
        if matches!(self.phase, Phase::Done(_)) {
            return;
        }
        if matches!(self.phase, Phase::FullStep { .. }) && self.options.keep_iterate {
            std::mem::swap(&mut self.point, &mut self.probe.point);
        }
        self.phase = Phase::Done(Stop::Interrupted);
    }

    fn stop(&self) -> Option<Stop> {
        match self.phase {
            Phase::Done(stop) => Some(stop),
            _ => None,
        }
    }

    /// The current iterate; while F is asked at a full step from it, only if it is kept, and that
    /// point otherwise.
    fn point(&self) -> &[T] {
        match self.phase {
            Phase::FullStep { .. } if self.options.keep_iterate => &self.probe.point,
            _ => &self.point,
        }
    }

    /// F at the last iterate where it was told.
    fn residual(&self) -> &[T] {
        if self.is_untouched() { &[] } else { &self.residual }
    }

    fn figures(&self) -> Figures {
        Figures {
            iterations: self.iterations,
            residual_norm: self.norms.euclidean,
            step_norm: self.step_norm,
            step_length: self.length,
            ..Figures::default()
        }
    }
}

impl<T: Field> Broyden<T> {
    /// The direction of the last step; empty before there is one.
    fn direction(&self) -> &[T] {
        if self.started { self.inverse.direction() } else { &[] }
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
