//! Powell's hybrid method.

use proptest::prelude::*;

use super::{Answers, Counts, Kernel, Told, answer, answers, cases, cuts, drive, finite};
use super::{number, saved_after, survive, tell_unasked, tolerance};
use crate::kernels::hybrid::solver::{Hybrid, Options};
use crate::kernels::{Ask, Kernel as _};

impl Kernel for Hybrid {
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
        self.fits()
    }

    fn check(&self, counts: &Counts) {
        if let Ask::Residual(x) | Ask::Jacobian(x) = self.ask() {
            assert_eq!(x.len(), self.point().len());
        }
        let options = self.options();
        let cost = options.evaluations_per_jacobian;
        assert_eq!(self.evaluations(), counts.residuals + cost * counts.jacobians);
        assert_eq!(self.jacobians(), counts.jacobians);
        assert!(self.evaluations() <= options.evaluations + cost + 2);
        let reports = counts.reports..=counts.reports + 1;
        assert!(reports.contains(&self.figures().iterations));
    }
}

#[derive(Clone, Debug)]
pub struct Setup {
    pub start: Vec<f64>,
    pub options: Options,
}

pub fn setups() -> impl Strategy<Value = Setup> {
    let start = prop::collection::vec(finite(), 1..13);
    let scale = prop::option::weighted(0.3, prop::collection::vec(1e-3..1e3, 13));
    let factor = prop_oneof![3 => 0.1..100.0, 1 => number()];
    (start, tolerance(), 0..40u64, 0..5u64, factor, scale).prop_map(
        |(start, tolerance, evaluations, evaluations_per_jacobian, radius_factor, scale)| {
            let scale = scale.map(|scale| scale[..start.len()].to_vec());
            let options =
                Options { tolerance, evaluations, evaluations_per_jacobian, radius_factor, scale };
            Setup { start, options }
        },
    )
}

impl Setup {
    fn solver(&self) -> Hybrid {
        let mut solver = Hybrid::new(self.options.clone());
        solver.start(&self.start);
        solver
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn arbitrary_answers(setup in setups(), answers in answers()) {
        // Each value is at most followed by a report, a Jacobian and two pieces of work.
        drive(setup.solver(), answers, 5 * (setup.options.evaluations + 1));
    }

    #[test]
    fn arbitrary_state(
        [one, other] in [setups(), setups()],
        mut answers in answers(),
        turns in [0..60usize, 0..60usize],
        cuts in cuts(),
    ) {
        let state = saved_after(one.solver(), &mut answers, turns[0]);
        let donor = saved_after(other.solver(), &mut answers, turns[1]);
        survive::<Hybrid>(&state, &donor, &cuts, answers);
    }
}
