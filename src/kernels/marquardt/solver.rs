//! The iteration; see the head of the module above.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::multiplier::{Model, Multiplier};
use super::termination::{Stop, Tolerances, Trial};
use crate::kernels::{Ask, Figures, Kernel, Tell};
use crate::linalg::householder::{Householder, Remainders};
use crate::linalg::memory::{OutOfMemory, size};
use crate::linalg::scaled_norm::scaled_norm;
use crate::saved;

/// A step is taken where the sum of squares falls by this share of what the model said.
const LEAST_RATIO: f64 = 0.0001;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Options {
    pub tolerances: Tolerances,
    /// How many evaluations of F each Jacobian takes.
    #[serde(with = "saved::count")]
    pub evaluations_per_jacobian: u64,
    /// The first radius, relative to x.
    pub radius_factor: f64,
    /// D; None for the norms of the columns of the Jacobians.
    pub scale: Option<Vec<f64>>,
    /// For the choice of the pivots.
    pub remainders: Remainders,
}

impl Options {
    fn are_proper(&self, unknowns: usize) -> bool {
        let fits = |scale: &Vec<f64>| scale.len() == unknowns && !scale.iter().any(|&d| d <= 0.0);
        let improper_factor = self.radius_factor <= 0.0;
        self.tolerances.are_proper() && !improper_factor && self.scale.as_ref().is_none_or(fits)
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Phase {
    FirstResidual,
    Jacobian,
    Factor,
    Step,
    Trial,
    /// Of a step that was taken.
    Report {
        then: Option<Stop>,
    },
    Done(Stop),
}

/// A solve in progress.
#[derive(Debug, Deserialize, Serialize)]
pub struct Marquardt {
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
    /// The Jacobian, then its factors.
    factors: Householder,
    /// QᵀF(x)
    #[serde(with = "saved::vector")]
    rotated_residual: Vec<f64>,
    /// The largest cosine between F and a column of J.
    cosine: f64,
    multiplier: Multiplier,
    /// p
    #[serde(with = "saved::vector")]
    step: Vec<f64>,
    /// ‖D p‖
    step_size: f64,
    #[serde(with = "saved::vector")]
    trial: Vec<f64>,
    #[serde(with = "saved::vector")]
    work: Vec<f64>,
    radius: f64,
    #[serde(with = "saved::count")]
    iterations: u64,
    #[serde(with = "saved::count")]
    evaluations: u64,
    #[serde(with = "saved::count")]
    jacobians: u64,
}

impl Kernel for Marquardt {
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
        (self.residual_norm, self.point_size, self.step_size) = (f64::NAN, f64::NAN, f64::NAN);
        (self.cosine, self.radius, self.multiplier.value) = (f64::NAN, f64::NAN, 0.0);
        (self.iterations, self.evaluations, self.jacobians) = (0, 0, 0);
    }

    fn ask(&self) -> Ask<'_, f64> {
        match self.phase {
            Phase::FirstResidual => Ask::Residual(&self.point),
            Phase::Jacobian => Ask::Jacobian(&self.point),
            Phase::Factor => Ask::Work { operations: self.factors.operations() },
            Phase::Step => Ask::Work { operations: self.operations_of_step() },
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
            (Phase::Report { then: Some(stop) }, Tell::Reported { .. }) => Phase::Done(stop),
            (Phase::Report { then: None }, Tell::Reported { stop: true }) => {
                Phase::Done(Stop::Interrupted)
            }
            (Phase::Report { then: None }, Tell::Reported { stop: false }) => Phase::Jacobian,
            (phase, _) => phase,
        }
    }

    fn work(&mut self) {
        self.phase = match self.phase {
            Phase::Factor => self.factor(),
            Phase::Step => self.find_step(),
            phase => phase,
        }
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

    /// The optimality is the largest cosine between F and a column of J.
    fn figures(&self) -> Figures {
        let step_norm = if self.step_size.is_nan() { f64::NAN } else { scaled_norm(&self.step) };
        Figures {
            iterations: self.iterations,
            residual_norm: self.residual_norm,
            cost: 0.5 * self.residual_norm * self.residual_norm,
            optimality: self.cosine,
            step_norm,
            trust_radius: self.radius,
            ..Figures::default()
        }
    }
}

impl Marquardt {
    pub fn new(options: Options) -> Self {
        Marquardt {
            options,
            phase: Phase::Done(Stop::Interrupted),
            point: Vec::new(),
            residual: Vec::new(),
            residual_norm: f64::NAN,
            point_size: f64::NAN,
            scale: Vec::new(),
            factors: Householder::default(),
            rotated_residual: Vec::new(),
            cosine: f64::NAN,
            multiplier: Multiplier::default(),
            step: Vec::new(),
            step_size: f64::NAN,
            trial: Vec::new(),
            work: Vec::new(),
            radius: f64::NAN,
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

    /// The factors of the last Jacobian, whose diagonal is stored: R in the upper triangle, by
    /// columns. What is below it in the rows of R is the triangle of the last step.
    pub fn factors(&self) -> &Householder {
        &self.factors
    }

    /// QᵀF, one component for each unknown.
    pub fn rotated_residual(&self) -> &[f64] {
        self.rotated_residual.get(..self.point.len()).unwrap_or_default()
    }

    /// D
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self) -> bool {
        let (rows, unknowns) = (self.residual.len(), self.point.len());
        let given = self.options.scale.iter();
        let vectors = [&self.point, &self.scale, &self.step, &self.trial];
        let begun = self.rotated_residual.len() == rows
            && self.work.len() == rows
            && self.factors.fits(rows, unknowns);
        unknowns > 0
            && vectors.into_iter().chain(given).all(|vector| vector.len() == unknowns)
            && self.multiplier.fits(unknowns)
            && (begun || matches!(self.phase, Phase::FirstResidual | Phase::Done(_)))
    }

    /// Makes room for what does not depend on the number of residuals.
    fn size(&mut self, unknowns: usize) -> Result<(), OutOfMemory> {
        for vector in [&mut self.point, &mut self.scale, &mut self.step, &mut self.trial] {
            size(vector, unknowns)?;
        }
        self.multiplier.size(unknowns)
    }

    fn size_rows(&mut self, rows: usize) -> Result<(), OutOfMemory> {
        for vector in [&mut self.residual, &mut self.rotated_residual, &mut self.work] {
            size(vector, rows)?;
        }
        self.factors.size(rows, self.point.len())
    }

    /// The residual at the start has been told.
    fn begin(&mut self, residual: &[f64]) -> Phase {
        self.evaluations = 1;
        if residual.len() < self.point.len() {
            return Phase::Done(Stop::ImproperInput);
        }
        if self.size_rows(residual.len()).is_err() {
            return Phase::Done(Stop::OutOfMemory);
        }
        self.residual.copy_from_slice(residual);
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

    fn factor(&mut self) -> Phase {
        self.factors.factor_with_pivots(self.options.remainders);
        if self.iterations == 0 {
            self.scale_first();
        }
        self.rotated_residual.copy_from_slice(&self.residual);
        self.factors.multiply_by_transposed_q(&mut self.rotated_residual);
        self.factors.store_diagonal();
        self.cosine = self.largest_cosine();
        if self.cosine <= self.options.tolerances.gradient {
            return Phase::Done(self.unless_not_finite(Stop::SmallGradient));
        }
        if self.options.scale.is_none() {
            for (scale, norm) in self.scale.iter_mut().zip(self.factors.column_norms()) {
                *scale = f64::max(*scale, *norm);
            }
        }
        Phase::Step
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
        self.radius = if radius == 0.0 { self.options.radius_factor } else { radius };
    }

    fn largest_cosine(&self) -> f64 {
        if self.residual_norm == 0.0 {
            return 0.0;
        }
        let cosine = |(j, &place): (usize, &u32)| {
            let norm = self.factors.column_norms()[place as usize];
            let terms = self.factors.column(j)[..=j].iter().zip(&self.rotated_residual);
            let product = terms.fold(0.0, |sum, (r, b)| sum + r * (b / self.residual_norm));
            if norm == 0.0 { 0.0 } else { (product / norm).abs() }
        };
        let columns = self.factors.permutation().iter().enumerate();
        columns.map(cosine).fold(0.0, f64::max)
    }

    fn operations_of_step(&self) -> f64 {
        // Three multipliers are tried as a rule.
        3.0 * (self.point.len() as f64).powi(3)
    }

    fn find_step(&mut self) -> Phase {
        let Marquardt { factors, scale, rotated_residual, step, .. } = self;
        let model = Model { factors, scale, b: rotated_residual };
        self.multiplier.find(model, self.radius, step);
        for ((step, x), trial) in self.step.iter_mut().zip(&self.point).zip(&mut self.trial) {
            *step = -*step;
            *trial = x + *step;
        }
        self.step_size = size_of(&self.step, &self.scale, &mut self.work);
        if self.iterations == 0 {
            self.radius = f64::min(self.radius, self.step_size);
        }
        Phase::Trial
    }

    /// Compares the residual at the trial point with what the model said.
    fn judge(&mut self, residual: &[f64]) -> Phase {
        if residual.len() != self.residual.len() {
            return Phase::Done(Stop::ImproperInput);
        }
        self.evaluations += 1;
        let trial_norm = scaled_norm(residual);
        let share = trial_norm / self.residual_norm;
        let far_too_large = 0.1 * trial_norm >= self.residual_norm;
        let reduction =
            if 0.1 * trial_norm < self.residual_norm { 1.0 - share * share } else { -1.0 };
        let [model, damping] = self.predicted_shares();
        let predicted = model + damping / 0.5;
        let ratio = if predicted != 0.0 { reduction / predicted } else { 0.0 };
        let slope = -(model + damping);
        self.resize_radius(ratio, reduction, slope, far_too_large);
        let accepted = ratio >= LEAST_RATIO;
        if accepted {
            self.accept(residual, trial_norm);
        }
        let trial = Trial {
            reduction,
            predicted,
            ratio,
            radius: self.radius,
            point_size: self.point_size,
            cosine: self.cosine,
            evaluations: self.evaluations,
        };
        let stop = self.options.tolerances.check(&trial).map(|stop| self.unless_not_finite(stop));
        match stop {
            then if accepted => Phase::Report { then },
            Some(stop) => Phase::Done(stop),
            None if ratio < LEAST_RATIO => Phase::Step,
            // Nothing can be said of the step: the ratio is not a number.
            None => Phase::Jacobian,
        }
    }

    /// (‖J p‖ / ‖F‖)² and λ (‖D p‖ / ‖F‖)²
    fn predicted_shares(&mut self) -> [f64; 2] {
        let image = &mut self.work[..self.step.len()];
        image.fill(0.0);
        for (j, &place) in self.factors.permutation().iter().enumerate() {
            let component = self.step[place as usize];
            for (image, entry) in image[..=j].iter_mut().zip(self.factors.column(j)) {
                *image += entry * component;
            }
        }
        let model = scaled_norm(image) / self.residual_norm;
        let damping = (self.multiplier.value.sqrt() * self.step_size) / self.residual_norm;
        [model * model, damping * damping]
    }

    fn resize_radius(&mut self, ratio: f64, reduction: f64, slope: f64, far_too_large: bool) {
        if ratio <= 0.25 {
            // Where the parabola along the step has its minimum.
            let minimum =
                if reduction < 0.0 { (0.5 * slope) / (slope + 0.5 * reduction) } else { 0.5 };
            let factor = if far_too_large || minimum < 0.1 { 0.1 } else { minimum };
            self.radius = factor * f64::min(self.radius, self.step_size / 0.1);
            self.multiplier.value /= factor;
        } else if self.multiplier.value == 0.0 || ratio >= 0.75 {
            self.radius = self.step_size / 0.5;
            self.multiplier.value *= 0.5;
        }
    }

    fn accept(&mut self, residual: &[f64], trial_norm: f64) {
        self.point.copy_from_slice(&self.trial);
        self.residual.copy_from_slice(residual);
        self.point_size = size_of(&self.point, &self.scale, &mut self.work);
        self.residual_norm = trial_norm;
        self.iterations += 1;
    }

    /// What is not finite passes tests without any reason.
    fn unless_not_finite(&self, stop: Stop) -> Stop {
        let norms = self.factors.column_norms().iter();
        let sizes = [&self.residual_norm, &self.point_size];
        let finite = norms.chain(sizes).all(|size| size.is_finite());
        match stop.info() {
            Some(info @ 1..=4) if !finite => Stop::NonFinite { info },
            _ => stop,
        }
    }
}

/// ‖D x‖
fn size_of(vector: &[f64], scale: &[f64], work: &mut [f64]) -> f64 {
    let products = &mut work[..vector.len()];
    for (product, (x, scale)) in products.iter_mut().zip(vector.iter().zip(scale)) {
        *product = scale * x;
    }
    scaled_norm(products)
}
