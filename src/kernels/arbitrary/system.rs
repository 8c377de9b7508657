//! Newton's method for systems.

use proptest::prelude::*;

use super::{Answers, Counts, InAnyField, Kernel, Told, answers, cases, cuts, drive_in_its_field};
use super::{finite, survive_in_its_field, tolerance};
use crate::kernels::newton::system::{Ask, Options, System};
use crate::linalg::Field;
use crate::linalg::lapack::Lapack;

impl<T: Field> Kernel for System<T> {
    fn question(&self) -> String {
        format!("{:?}", self.ask())
    }

    fn answer(&mut self, answers: &mut Answers) -> Option<Told> {
        let unknowns = self.point().len();
        match self.ask() {
            Ask::Residual(x) => {
                let residual = answers.residual(x, unknowns);
                self.tell_residual(&residual);
                Some(Told::Residual)
            }
            Ask::Jacobian => {
                let jacobian = answers.jacobian(self.point(), unknowns);
                match Lapack::loaded() {
                    Some(lapack) if !answers.keeps_jacobians => {
                        self.tell_jacobian(lapack, jacobian.view());
                    }
                    _ => {
                        let scales: Vec<f64> = answers.residual(&vec![1.0; unknowns], unknowns);
                        self.tell_kept_jacobian(&scales);
                    }
                }
                Some(Told::Jacobian)
            }
            Ask::Solution(rhs) => {
                let solution = answers.residual(rhs, unknowns);
                self.tell_solution(&solution);
                Some(Told::Other)
            }
            Ask::Report => {
                self.tell_reported();
                Some(Told::Reported)
            }
            Ask::Done(_) => None,
        }
    }

    fn tell_unasked(&mut self, answers: &mut Answers) {
        let unknowns = self.point().len();
        if !matches!(self.ask(), Ask::Residual(_)) {
            self.tell_residual(&answers.numbers(unknowns));
        }
        if !matches!(self.ask(), Ask::Solution(_)) {
            self.tell_solution(&answers.numbers(unknowns));
        }
        if self.ask() != Ask::Jacobian {
            let jacobian = answers.jacobian(&answers.clone().numbers(unknowns), unknowns);
            if let Some(lapack) = Lapack::loaded() {
                self.tell_jacobian(lapack, jacobian.view());
            }
            self.tell_kept_jacobian(&answers.numbers(unknowns));
        }
        if !matches!(self.ask(), Ask::Solution(_) | Ask::Jacobian) {
            self.tell_singular_jacobian();
        }
        if self.ask() != Ask::Report {
            self.tell_reported();
        }
        if matches!(self.ask(), Ask::Done(_)) {
            self.interrupt();
        }
    }

    fn fits(&self) -> bool {
        self.fits()
    }

    fn check(&self, counts: &Counts) {
        if let Ask::Residual(x) | Ask::Solution(x) = self.ask() {
            assert_eq!(x.len(), self.point().len());
        }
        let reports = counts.reports..=counts.reports + 1;
        assert!(reports.contains(&self.iterations()));
        let improvements = u64::from(self.improvements());
        assert!(counts.jacobians <= self.iterations() + 1 + improvements);
        assert!(counts.residuals >= self.iterations());
    }
}

#[derive(Clone, Debug)]
struct Setup {
    start: Vec<f64>,
    options: Options,
    improvements: u8,
    field: usize,
}

fn setups() -> impl Strategy<Value = Setup> {
    let options = (tolerance(), tolerance(), 0..12u64, any::<bool>()).prop_map(
        |(step_tolerance, residual_tolerance, iterations, line_search)| Options {
            step_tolerance,
            residual_tolerance,
            iterations,
            line_search,
        },
    );
    (prop::collection::vec(finite(), 1..13), options, 0..3u8, 0..4usize).prop_map(
        |(start, options, improvements, field)| Setup { start, options, improvements, field },
    )
}

impl InAnyField for Setup {
    type Solver<T: Field> = System<T>;

    fn solver<T: Field>(&self, _: &mut Answers) -> System<T> {
        let start = self.start.iter().map(|&x| T::of(x)).collect();
        let mut system = System::new(start, self.options);
        system.offer_improvements(self.improvements);
        system
    }

    fn field(&self) -> usize {
        self.field
    }

    fn limit(&self) -> u64 {
        // A Jacobian, its solution, the trials, a correction and a report.
        let searches = self.options.iterations.max(1) + u64::from(self.improvements);
        1 + searches * 54
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn arbitrary_answers(setup in setups(), answers in answers()) {
        drive_in_its_field(&setup, answers);
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn arbitrary_state(
        both in [setups(), setups()],
        answers in answers(),
        turns in [0..60usize, 0..60usize],
        cuts in cuts(),
    ) {
        survive_in_its_field(&both, answers, turns, &cuts);
    }
}
