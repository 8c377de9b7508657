//! A kernel around a kernel: where the inner one asks for a Jacobian, this one asks for residuals
//! at displaced points and tells it the forward differences.
//!
//! So whoever answers needs to know nothing of differences. Without them (`None`) the inner
//! questions are passed on as they are.
//!
//!     inner: Jacobian ─→ differences start ─→ Residual, once a group of columns ─→ inner is told
//!
//! With the differences of MINPACK (`forward_differences`), `hybrid` is `hybrd` and `marquardt` is
//! `lmdif`.

use serde::{Deserialize, Serialize};

use super::forward_differences::ForwardDifferences;
use super::{Ask, Figures, Kernel, Tell};
use crate::linalg::memory::OutOfMemory;
use crate::saved;

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
enum Phase {
    /// The inner kernel's questions are passed on.
    Inner,
    /// The differences are what is asked for.
    Differences,
    OutOfMemory,
}

/// A kernel, and perhaps the differences that its Jacobians are made of.
#[derive(Debug, Deserialize, Serialize)]
pub struct Differenced<K> {
    kernel: K,
    differences: Option<ForwardDifferences>,
    phase: Phase,
    /// Jacobians that were told or completed.
    #[serde(with = "saved::count")]
    jacobians: u64,
}

/// Why a solve has ended: for a reason of the inner kernel's, or because there was no memory for a
/// Jacobian.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop<S> {
    Inner(S),
    OutOfMemory,
}

impl<S: super::Stop> super::Stop for Stop<S> {
    fn success(self) -> bool {
        matches!(self, Stop::Inner(stop) if stop.success())
    }

    fn out_of_memory(self) -> bool {
        match self {
            Stop::Inner(stop) => stop.out_of_memory(),
            Stop::OutOfMemory => true,
        }
    }
}

impl<K: Kernel<T = f64>> Differenced<K> {
    pub fn new(kernel: K, differences: Option<ForwardDifferences>) -> Self {
        Differenced { kernel, differences, phase: Phase::Inner, jacobians: 0 }
    }

    /// The kernel within.
    pub fn inner(&self) -> &K {
        &self.kernel
    }

    /// Whether Jacobians are made of differences.
    pub fn approximates(&self) -> bool {
        self.differences.is_some()
    }

    /// How often the inner kernel got a Jacobian.
    pub fn jacobians(&self) -> u64 {
        self.jacobians
    }

    /// Whether the parts go together, those of the inner kernel apart; saved ones may not.
    pub fn fits(&self) -> bool {
        let wanted = matches!(self.kernel.ask(), Ask::Jacobian(_));
        let (unknowns, equations) = (self.kernel.point().len(), self.kernel.residual().len());
        match (&self.differences, self.phase) {
            (None, phase) => phase == Phase::Inner,
            (Some(_), Phase::OutOfMemory) => wanted,
            (Some(_), Phase::Inner) => !wanted,
            (Some(differences), Phase::Differences) => {
                wanted && differences.fits(unknowns, equations) && differences.ask().is_some()
            }
        }
    }

    /// Begins differences where the inner kernel has come to ask for a Jacobian.
    fn look(&mut self) {
        if let (Ask::Jacobian(x), Some(differences)) = (self.kernel.ask(), &mut self.differences) {
            self.phase = match differences.start(x, self.kernel.residual()) {
                Ok(()) => Phase::Differences,
                Err(OutOfMemory(_)) => Phase::OutOfMemory,
            };
        }
    }

    fn tell_difference(&mut self, residual: &[f64]) {
        let Some(differences) = &mut self.differences else { return };
        differences.tell(residual);
        if differences.ask().is_none() {
            self.phase = Phase::Inner;
            self.jacobians += 1;
            self.kernel.tell(Tell::Jacobian(differences.jacobian()));
            self.look();
        }
    }
}

impl<K: Kernel<T = f64>> Kernel for Differenced<K> {
    type T = f64;
    type Stop = Stop<K::Stop>;

    fn start(&mut self, x0: &[f64]) {
        (self.phase, self.jacobians) = (Phase::Inner, 0);
        self.kernel.start(x0);
        self.look();
    }

    fn ask(&self) -> Ask<'_, f64> {
        let displaced = self.differences.as_ref().and_then(ForwardDifferences::ask);
        match (self.phase, displaced) {
            (Phase::Differences, Some(x)) => Ask::Residual(x),
            (Phase::OutOfMemory, _) => Ask::Done,
            _ => self.kernel.ask(),
        }
    }

    fn tell(&mut self, told: Tell<'_, f64>) {
        match (self.phase, told) {
            (Phase::Inner, told) => {
                let asked = matches!(self.kernel.ask(), Ask::Jacobian(_));
                self.jacobians += u64::from(asked && matches!(told, Tell::Jacobian(_)));
                self.kernel.tell(told);
                self.look();
            }
            (Phase::Differences, Tell::Residual(residual)) => self.tell_difference(residual),
            _ => {}
        }
    }

    fn work(&mut self) {
        if self.phase == Phase::Inner {
            self.kernel.work();
            self.look();
        }
    }

    fn interrupt(&mut self) {
        if self.phase != Phase::OutOfMemory {
            self.phase = Phase::Inner;
            self.kernel.interrupt();
        }
    }

    fn stop(&self) -> Option<Self::Stop> {
        match self.phase {
            Phase::OutOfMemory => Some(Stop::OutOfMemory),
            _ => self.kernel.stop().map(Stop::Inner),
        }
    }

    fn point(&self) -> &[f64] {
        self.kernel.point()
    }

    fn residual(&self) -> &[f64] {
        self.kernel.residual()
    }

    fn figures(&self) -> Figures {
        self.kernel.figures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::arbitrary::allocations_when_warm;
    use crate::kernels::forward_differences::Band;
    use crate::kernels::hybrid::{self, solver::Hybrid};

    /// Each unknown but the last wants to be the cosine of the next.
    fn chain(x: &[f64]) -> Vec<f64> {
        (0..x.len()).map(|i| x[i] - x.get(i + 1).map_or(0.5, |next| next.cos())).collect()
    }

    fn solver(band: Option<Band>) -> Differenced<Hybrid> {
        let options = hybrid::solver::Options {
            tolerance: 1e-10,
            evaluations: 1000,
            evaluations_per_jacobian: band.map_or(4, |_| 2),
            radius_factor: 100.0,
            scale: None,
        };
        let differences = ForwardDifferences::new(0.0, band);
        Differenced::new(Hybrid::new(options), Some(differences))
    }

    fn answer(kernel: &mut Differenced<Hybrid>) {
        match kernel.ask() {
            Ask::Residual(x) => {
                let value = chain(x);
                kernel.tell(Tell::Residual(&value));
            }
            Ask::Work { .. } => kernel.work(),
            Ask::Report => kernel.tell(Tell::Reported { stop: false }),
            other => panic!("{other:?} is asked"),
        }
    }

    #[test]
    fn only_residuals_are_asked_for() {
        for (band, each) in [(None, 4), (Some(Band { below: 0, above: 1 }), 2)] {
            let mut kernel = solver(band);
            kernel.start(&[1.0; 4]);
            let mut residuals = 0;
            while kernel.ask() != Ask::Done {
                assert!(kernel.fits());
                residuals += u64::from(matches!(kernel.ask(), Ask::Residual(_)));
                answer(&mut kernel);
            }
            assert_eq!(kernel.stop(), Some(Stop::Inner(hybrid::termination::Stop::SmallRadius)));
            assert_eq!(kernel.inner().evaluations(), residuals);
            assert_eq!(kernel.inner().jacobians(), kernel.jacobians());
            assert!(kernel.jacobians() * each < residuals);
            assert!(chain(kernel.point()).iter().all(|f| f.abs() < 1e-9));
        }
    }

    #[test]
    fn an_interrupt_ends_unfinished_differences() {
        let mut kernel = solver(None);
        kernel.start(&[1.0; 4]);
        answer(&mut kernel);
        answer(&mut kernel);
        assert_eq!(kernel.phase, Phase::Differences);
        kernel.interrupt();
        assert_eq!(kernel.ask(), Ask::Done);
        assert_eq!(kernel.point(), [1.0; 4]);
        kernel.start(&[1.0; 4]);
        assert_eq!(kernel.ask(), Ask::Residual(&[1.0; 4]));
    }

    #[test]
    fn without_differences_jacobians_are_asked_for() {
        let Differenced { kernel, .. } = solver(None);
        let mut kernel = Differenced::new(kernel, None);
        kernel.start(&[1.0; 4]);
        kernel.tell(Tell::Residual(&chain(&[1.0; 4])));
        assert_eq!(kernel.ask(), Ask::Jacobian(&[1.0; 4]));
        kernel.tell(Tell::Jacobian(ndarray::Array2::eye(4).view()));
        assert_eq!(kernel.jacobians(), 1);
    }

    #[test]
    fn a_warm_one_allocates_what_the_answers_do() {
        let mut kernel = solver(None);
        let mut answers = 0;
        let allocations = allocations_when_warm(&mut kernel, &[1.0; 4], |kernel| {
            answers += u64::from(matches!(kernel.ask(), Ask::Residual(_)));
            answer(kernel);
        });
        // Those of the first run and of the second, which counts.
        assert_eq!(allocations, answers / 2);
    }
}
