//! The iteration; see the head of the module above.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::dogleg::Dogleg;
use super::termination::{Progress, Stop};
use crate::kernels::{Ask, Figures, Kernel, Tell};
use crate::linalg::givens::Sequences;
use crate::linalg::householder::{Householder, multiply_transposed};
use crate::linalg::memory::{OutOfMemory, size};
use crate::linalg::scaled_norm::scaled_norm;
use crate::linalg::triangle::Triangle;
use crate::saved;

/// A step is taken where the norm falls by this share of what the model said.
const LEAST_RATIO: f64 = 0.0001;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Options {
    /// Of the radius, relative to x.
    pub tolerance: f64,
    /// How often F may be evaluated; looked at at the end of each iteration.
    #[serde(with = "saved::count")]
    pub evaluations: u64,
    /// How many of these each Jacobian takes.
    #[serde(with = "saved::count")]
    pub evaluations_per_jacobian: u64,
    /// The first radius, relative to x.
    pub radius_factor: f64,
    /// D; None for the norms of the columns of the Jacobians.
    pub scale: Option<Vec<f64>>,
}

impl Options {
    fn are_proper(&self, unknowns: usize) -> bool {
        // Written so that NaN is let through, as in MINPACK.
        let improper = self.tolerance < 0.0 || self.evaluations == 0 || self.radius_factor <= 0.0;
        let fits = |scale: &Vec<f64>| scale.len() == unknowns && !scale.iter().any(|&d| d <= 0.0);
        !improper && self.scale.as_ref().is_none_or(fits)
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Phase {
    FirstResidual,
    Jacobian,
    Factor,
    Trial,
    Report { then: Next },
    Update,
    Done(Stop),
}

/// What comes after an iteration.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Next {
    Jacobian,
    Update,
    Done(Stop),
}

impl From<Next> for Phase {
    fn from(next: Next) -> Self {
        match next {
            Next::Jacobian => Phase::Jacobian,
            Next::Update => Phase::Update,
            Next::Done(stop) => Phase::Done(stop),
        }
    }
}

/// How far a step may go, and how the last ones went.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
struct Radius {
    length: f64,
    #[serde(with = "saved::count")]
    successes: u64,
    #[serde(with = "saved::count")]
    failures: u64,
}

impl Radius {
    /// After a step of this size, with this ratio of the reductions.
    fn update(&mut self, ratio: f64, step_size: f64) {
        if ratio < 0.1 {
            self.successes = 0;
            self.failures += 1;
            self.length *= 0.5;
            return;
        }
        self.failures = 0;
        self.successes += 1;
        if ratio >= 0.5 || self.successes > 1 {
            self.length = f64::max(self.length, step_size / 0.5);
        }
        if (ratio - 1.0).abs() <= 0.1 {
            self.length = step_size / 0.5;
        }
    }
}

/// A solve in progress.
#[derive(Debug, Deserialize, Serialize)]
pub struct Hybrid {
    options: Options,
    phase: Phase,
    #[serde(with = "saved::vector")]
    point: Vec<f64>,
    #[serde(with = "saved::vector")]
    residual: Vec<f64>,
    residual_norm: f64,
    /// ‖D x‖
    point_size: f64,
    /// D
    #[serde(with = "saved::vector")]
    scale: Vec<f64>,
    /// The Jacobian, then Q.
    factors: Householder,
    /// R
    triangle: Triangle,
    /// QᵀF(x)
    #[serde(with = "saved::vector")]
    rotated_residual: Vec<f64>,
    dogleg: Dogleg,
    /// p
    #[serde(with = "saved::vector")]
    step: Vec<f64>,
    /// ‖D p‖
    step_size: f64,
    /// ‖p‖ of the last step that was taken.
    step_norm: f64,
    #[serde(with = "saved::vector")]
    trial: Vec<f64>,
    #[serde(with = "saved::vector")]
    trial_residual: Vec<f64>,
    /// Qᵀ(F(x) + J p)
    #[serde(with = "saved::vector")]
    rotated_prediction: Vec<f64>,
    /// Work space of vectors, and the codes of the rotations of an update.
    #[serde(with = "saved::vector")]
    work: Vec<f64>,
    #[serde(with = "saved::vectors")]
    codes: Vec<Vec<f64>>,
    radius: Radius,
    progress: Progress,
    /// The last step was taken.
    accepted: bool,
    /// No update has changed the Jacobian since it was told.
    jacobian_is_fresh: bool,
    #[serde(with = "saved::count")]
    iterations: u64,
    #[serde(with = "saved::count")]
    evaluations: u64,
    #[serde(with = "saved::count")]
    jacobians: u64,
}

impl Kernel for Hybrid {
    type T = f64;
    type Stop = Stop;

    fn start(&mut self, x0: &[f64]) {
        self.phase = match self.size(x0.len()) {
            Err(OutOfMemory(_)) => Phase::Done(Stop::OutOfMemory),
            Ok(()) if !self.options.are_proper(x0.len()) => Phase::Done(Stop::ImproperInput),
            Ok(()) => Phase::FirstResidual,
        };
        if self.point.len() == x0.len() {
            self.point.copy_from_slice(x0);
        }
        self.residual.clear();
        (self.residual_norm, self.point_size) = (f64::NAN, f64::NAN);
        (self.step_size, self.step_norm) = (f64::NAN, f64::NAN);
        self.radius = Radius { length: f64::NAN, ..Radius::default() };
        self.progress = Progress::default();
        (self.iterations, self.evaluations, self.jacobians) = (0, 0, 0);
    }

    fn ask(&self) -> Ask<'_, f64> {
        match self.phase {
            Phase::FirstResidual => Ask::Residual(&self.point),
            Phase::Jacobian => Ask::Jacobian(&self.point),
            Phase::Factor => Ask::Work { operations: 2.0 * self.factors.operations() },
            Phase::Update => Ask::Work { operations: self.operations_of_update() },
            Phase::Trial => Ask::Residual(&self.trial),
            Phase::Report { .. } => Ask::Report,
            Phase::Done(_) => Ask::Done,
        }
    }

    fn tell(&mut self, told: Tell<'_, f64>) {
        self.phase = match (self.phase, told) {
            (Phase::FirstResidual, Tell::Residual(residual)) => self.begin(residual),
            (Phase::Jacobian, Tell::Jacobian(jacobian)) => self.load(jacobian),
            (Phase::Trial, Tell::Residual(residual)) => self.judge(residual),
            (Phase::Report { then: then @ Next::Done(_) }, Tell::Reported { .. }) => then.into(),
            (Phase::Report { .. }, Tell::Reported { stop: true }) => Phase::Done(Stop::Interrupted),
            (Phase::Report { then }, Tell::Reported { stop: false }) => then.into(),
            (phase, _) => phase,
        }
    }

    fn work(&mut self) {
        match self.phase {
            Phase::Factor => self.factor(),
            Phase::Update => self.update(),
            _ => return,
        }
        self.find_step();
        self.phase = Phase::Trial;
    }

    fn interrupt(&mut self) {
        if !matches!(self.phase, Phase::Done(_)) {
            self.phase = Phase::Done(Stop::Interrupted);
        }
    }

    fn stop(&self) -> Option<Stop> {
        match self.phase {
            Phase::Done(stop) => Some(stop),
            _ => None,
        }
    }

    fn point(&self) -> &[f64] {
        &self.point
    }

    fn residual(&self) -> &[f64] {
        &self.residual
    }

    fn figures(&self) -> Figures {
        Figures {
            iterations: self.iterations,
            residual_norm: self.residual_norm,
            cost: 0.5 * self.residual_norm * self.residual_norm,
            step_norm: self.step_norm,
            trust_radius: self.radius.length,
            ..Figures::default()
        }
    }
}

impl Hybrid {
    pub fn new(options: Options) -> Self {
        Hybrid {
            options,
            phase: Phase::Done(Stop::Interrupted),
            point: Vec::new(),
            residual: Vec::new(),
            residual_norm: f64::NAN,
            point_size: f64::NAN,
            scale: Vec::new(),
            factors: Householder::default(),
            triangle: Triangle::default(),
            rotated_residual: Vec::new(),
            dogleg: Dogleg::default(),
            step: Vec::new(),
            step_size: f64::NAN,
            step_norm: f64::NAN,
            trial: Vec::new(),
            trial_residual: Vec::new(),
            rotated_prediction: Vec::new(),
            work: Vec::new(),
            codes: vec![Vec::new(), Vec::new()],
            radius: Radius::default(),
            progress: Progress::default(),
            accepted: false,
            jacobian_is_fresh: false,
            iterations: 0,
            evaluations: 0,
            jacobians: 0,
        }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// How often F was evaluated, for Jacobians too.
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// How often J was told.
    pub fn jacobians(&self) -> u64 {
        self.jacobians
    }

    /// The orthogonal factor of the approximate Jacobian, by columns.
    pub fn q(&self) -> &[f64] {
        self.factors.entries()
    }

    /// The triangular one, by rows, without the zeros.
    pub fn r(&self) -> &[f64] {
        self.triangle.entries()
    }

    /// QᵀF(x)
    pub fn rotated_residual(&self) -> &[f64] {
        &self.rotated_residual
    }

    /// D
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self) -> bool {
        let unknowns = self.point.len();
        let given = self.options.scale.iter();
        let mut vectors = self.vectors().into_iter().chain(&self.codes).chain(given);
        let told = matches!(self.phase, Phase::FirstResidual | Phase::Done(_))
            || self.residual.len() == unknowns;
        unknowns > 0
            && told
            && self.codes.len() == 2
            && vectors.all(|vector| vector.len() == unknowns)
            && self.factors.fits(unknowns, unknowns)
            && self.triangle.fits(unknowns)
            && self.dogleg.fits(unknowns)
    }

    fn vectors(&self) -> [&Vec<f64>; 8] {
        [
            &self.point,
            &self.scale,
            &self.rotated_residual,
            &self.step,
            &self.trial,
            &self.trial_residual,
            &self.rotated_prediction,
            &self.work,
        ]
    }

    fn size(&mut self, unknowns: usize) -> Result<(), OutOfMemory> {
        let vectors = [
            &mut self.point,
            &mut self.residual,
            &mut self.scale,
            &mut self.rotated_residual,
            &mut self.step,
            &mut self.trial,
            &mut self.trial_residual,
            &mut self.rotated_prediction,
            &mut self.work,
        ];
        for vector in vectors.into_iter().chain(&mut self.codes) {
            size(vector, unknowns)?;
        }
        self.dogleg.size(unknowns)?;
        self.factors.size(unknowns, unknowns)?;
        self.triangle.size(unknowns)
    }

    /// The residual at the start has been told.
    fn begin(&mut self, residual: &[f64]) -> Phase {
        self.evaluations = 1;
        if residual.len() != self.point.len() {
            return Phase::Done(Stop::ImproperInput);
        }
        self.residual.clear();
        self.residual.extend_from_slice(residual);
        self.residual_norm = scaled_norm(residual);
        Phase::Jacobian
    }

    fn load(&mut self, jacobian: ArrayView2<f64>) -> Phase {
        self.jacobians += 1;
        self.evaluations += self.options.evaluations_per_jacobian;
        if jacobian.dim() != self.factors.shape() {
            return Phase::Done(Stop::ImproperInput);
        }
        self.factors.load(jacobian);
        Phase::Factor
    }

    fn factor(&mut self) {
        self.factors.factor();
        if self.iterations == 0 {
            self.scale_first();
        }
        self.rotated_residual.copy_from_slice(&self.residual);
        self.factors.multiply_by_transposed_q(&mut self.rotated_residual);
        self.triangle.load(&self.factors);
        if self.options.scale.is_none() {
            for (scale, norm) in self.scale.iter_mut().zip(self.factors.column_norms()) {
                *scale = f64::max(*scale, *norm);
            }
        }
        self.factors.form_q(&mut self.work);
        self.jacobian_is_fresh = true;
    }

    /// Scales and radius, as long as no step was taken.
    fn scale_first(&mut self) {
        match &self.options.scale {
            Some(given) => self.scale.copy_from_slice(given),
            None => {
                for (scale, &norm) in self.scale.iter_mut().zip(self.factors.column_norms()) {
                    *scale = if norm == 0.0 { 1.0 } else { norm };
                }
            }
        }
        self.point_size = size_of(&self.point, &self.scale, &mut self.work);
        let radius = self.options.radius_factor * self.point_size;
        self.radius.length = if radius == 0.0 { self.options.radius_factor } else { radius };
    }

    fn find_step(&mut self) {
        let Hybrid { triangle, scale, rotated_residual, step, .. } = self;
        self.dogleg.find(triangle, scale, rotated_residual, self.radius.length, step);
        for ((step, x), trial) in self.step.iter_mut().zip(&self.point).zip(&mut self.trial) {
            *step = -*step;
            *trial = x + *step;
        }
        self.step_size = size_of(&self.step, &self.scale, &mut self.work);
        if self.iterations == 0 {
            self.radius.length = f64::min(self.radius.length, self.step_size);
        }
    }

    /// Compares the residual at the trial point with what the model said.
    fn judge(&mut self, residual: &[f64]) -> Phase {
        if residual.len() != self.residual.len() {
            return Phase::Done(Stop::ImproperInput);
        }
        self.evaluations += 1;
        self.trial_residual.copy_from_slice(residual);
        let trial_norm = scaled_norm(residual);
        let actual = reduction(self.residual_norm, trial_norm).unwrap_or(-1.0);
        let predicted = reduction(self.residual_norm, self.predicted_norm()).unwrap_or(0.0);
        let ratio = if predicted > 0.0 { actual / predicted } else { 0.0 };
        self.radius.update(ratio, self.step_size);
        self.accepted = ratio >= LEAST_RATIO;
        if self.accepted {
            self.accept(trial_norm);
        }
        self.progress.note(actual, self.jacobian_is_fresh);
        let then = match self.check() {
            Some(stop) => Next::Done(stop),
            None if self.radius.failures == 2 => Next::Jacobian,
            None => Next::Update,
        };
        if self.accepted { Phase::Report { then } } else { then.into() }
    }

    /// ‖F(x) + J p‖
    fn predicted_norm(&mut self) -> f64 {
        self.triangle.multiply(&self.step, &mut self.rotated_prediction);
        for (image, b) in self.rotated_prediction.iter_mut().zip(&self.rotated_residual) {
            *image += b;
        }
        scaled_norm(&self.rotated_prediction)
    }

    fn accept(&mut self, trial_norm: f64) {
        self.point.copy_from_slice(&self.trial);
        self.step_norm = scaled_norm(&self.step);
        self.residual.copy_from_slice(&self.trial_residual);
        self.point_size = size_of(&self.point, &self.scale, &mut self.work);
        self.residual_norm = trial_norm;
        self.iterations += 1;
    }

    fn check(&self) -> Option<Stop> {
        let radius = self.radius.length;
        if radius <= self.options.tolerance * self.point_size || self.residual_norm == 0.0 {
            let finite = self.residual_norm.is_finite() && self.point_size.is_finite();
            return Some(if finite { Stop::SmallRadius } else { Stop::NonFinite });
        }
        let reach = 0.1 * f64::max(0.1 * radius, self.step_size);
        let rounded_away = reach <= f64::EPSILON * self.point_size;
        let used_up = self.evaluations >= self.options.evaluations;
        self.progress
            .stop()
            .or(rounded_away.then_some(Stop::ToleranceTooSmall))
            .or(used_up.then_some(Stop::OutOfEvaluations))
    }

    fn operations_of_update(&self) -> f64 {
        let unknowns = self.point.len() as f64;
        20.0 * unknowns * unknowns
    }

    /// Broyden's update: J p becomes F(x + p) − F(x).
    fn update(&mut self) {
        let [first, second] = self.codes.as_mut_slice() else { return };
        multiply_transposed(self.factors.entries(), &self.trial_residual, first);
        if self.accepted {
            self.rotated_residual.copy_from_slice(first);
        }
        for (j, v) in first.iter_mut().enumerate() {
            *v = (*v - self.rotated_prediction[j]) / self.step_size;
            self.work[j] = self.scale[j] * ((self.scale[j] * self.step[j]) / self.step_size);
        }
        self.triangle.update(&self.work, first, second);
        let rotations = Sequences { first, second };
        rotations.multiply_from_right(self.factors.entries_mut(), self.point.len());
        rotations.multiply_from_right(&mut self.rotated_residual, 1);
        self.jacobian_is_fresh = false;
    }
}

/// The share by which the square of the norm falls; None where it does not.
fn reduction(norm: f64, new_norm: f64) -> Option<f64> {
    let share = new_norm / norm;
    (new_norm < norm).then_some(1.0 - share * share)
}

/// ‖D x‖
fn size_of(vector: &[f64], scale: &[f64], work: &mut [f64]) -> f64 {
    for (product, (x, scale)) in work.iter_mut().zip(vector.iter().zip(scale)) {
        *product = scale * x;
    }
    scaled_norm(work)
}
