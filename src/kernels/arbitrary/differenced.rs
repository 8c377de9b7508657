//! Powell's hybrid method with Jacobians by differences.

use proptest::prelude::*;

use super::hybrid::{Setup, setups};
use super::{Answers, Counts, Kernel, Told, answer, answers, cases, cuts, drive};
use super::{saved_after, survive, tell_unasked};
use crate::kernels::Kernel as _;
use crate::kernels::differenced::Differenced;
use crate::kernels::forward_differences::{Band, ForwardDifferences, evaluations};
use crate::kernels::hybrid::solver::Hybrid;

impl Kernel for Differenced<Hybrid> {
    fn question(&self) -> String {
        format!("{:?}", self.ask())
    }

    fn answer(&mut self, answers: &mut Answers) -> Option<Told> {
        answer(self, answers)
    }

    fn tell_unasked(&mut self, answers: &mut Answers) {
        tell_unasked(self, answers);
    }

    fn fits(&self) -> bool {
        self.inner().fits() && self.fits()
    }

    fn check(&self, counts: &Counts) {
        assert_eq!(counts.jacobians, 0);
        assert!(self.inner().evaluations() <= counts.residuals);
        assert_eq!(self.jacobians(), self.inner().jacobians());
    }
}

fn band() -> impl Strategy<Value = Option<Band>> {
    prop::option::of((0..14usize, 0..14usize).prop_map(|(below, above)| Band { below, above }))
}

fn solver(setup: &Setup, band: Option<Band>) -> Differenced<Hybrid> {
    let mut options = setup.options.clone();
    options.evaluations_per_jacobian = evaluations(setup.start.len(), band) as u64;
    let differences = ForwardDifferences::new(1e-12, band);
    let mut solver = Differenced::new(Hybrid::new(options), Some(differences));
    solver.start(&setup.start);
    solver
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn arbitrary_answers(setup in setups(), band in band(), answers in answers()) {
        // Each value is at most followed by a report, a Jacobian and two pieces of work.
        drive(solver(&setup, band), answers, 5 * (setup.options.evaluations + 14));
    }

    #[test]
    fn arbitrary_state(
        [one, other] in [setups(), setups()],
        bands in [band(), band()],
        mut answers in answers(),
        turns in [0..90usize, 0..90usize],
        cuts in cuts(),
    ) {
        let state = saved_after(solver(&one, bands[0]), &mut answers, turns[0]);
        let donor = saved_after(solver(&other, bands[1]), &mut answers, turns[1]);
        survive::<Differenced<Hybrid>>(&state, &donor, &cuts, answers);
    }
}
