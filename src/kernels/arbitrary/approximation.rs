//! Jacobians that are looked at before they are believed.

use proptest::prelude::*;
use proptest::sample::select;
use serde::{Deserialize, Serialize};

use super::survive;
use super::{Answers, Kernel, Told, answers, cases, cuts, drive, finite, number, saved_after};
use crate::kernels::approximation::{Approximator, Question, Rule};
use crate::kernels::differences::{Distances, Scheme};

/// A solve that wants some Jacobians, and finds each worse than it should be.
#[derive(Deserialize, Serialize)]
struct Solve {
    approximator: Approximator<f64>,
    unknowns: usize,
    equations: usize,
    points: Vec<Vec<f64>>,
    refinements: u8,
}

/// Bounds, so that an answer to a question that was never asked is known.
const LARGEST: usize = 100;

impl Solve {
    fn next(&mut self, answers: &mut Answers) {
        self.approximator.take();
        if self.approximator.is_at_work() {
            return;
        }
        if let Some(point) = self.points.pop() {
            let residual: Vec<f64> = answers.residual(&point, self.equations);
            self.refinements = self.refinements.saturating_add(1);
            self.approximator.refine(self.refinements);
            self.approximator.begin(&point, &residual, None);
        }
    }
}

impl Kernel for Solve {
    fn question(&self) -> String {
        format!("{:?}", self.approximator.ask())
    }

    fn answer(&mut self, answers: &mut Answers) -> Option<Told> {
        match self.approximator.ask() {
            Some(Question::At(x)) => {
                assert_eq!(x.len(), self.unknowns);
                let value: Vec<f64> = answers.residual(x, self.equations);
                if self.approximator.tell(&value).is_err() {
                    self.approximator.abandon();
                }
            }
            Some(Question::OffTheRealAxis(x)) => {
                assert_eq!(x.len(), self.unknowns);
                let value = answers.residual(x, self.equations);
                self.approximator.tell_off_the_real_axis(&value);
            }
            None => return None,
        }
        self.next(answers);
        Some(Told::Residual)
    }

    fn tell_unasked(&mut self, answers: &mut Answers) {
        if !matches!(self.approximator.ask(), Some(Question::At(_))) {
            assert!(self.approximator.tell(&answers.numbers(self.equations)).is_ok());
        }
        if !matches!(self.approximator.ask(), Some(Question::OffTheRealAxis(_))) {
            self.approximator.tell_off_the_real_axis(&answers.numbers(self.equations));
        }
    }

    fn fits(&self) -> bool {
        self.equations.max(self.unknowns).max(self.points.len()) <= LARGEST
            && self.equations > 0
            && self.points.iter().all(|point| point.len() == self.unknowns)
            && self.approximator.fits(self.unknowns, self.equations)
    }
}

#[derive(Clone, Debug)]
struct Setup {
    points: Vec<Vec<f64>>,
    chosen: Option<f64>,
    rule: Rule,
}

fn setups() -> impl Strategy<Value = Setup> {
    let points = (1..8usize)
        .prop_flat_map(|n| prop::collection::vec(prop::collection::vec(finite(), n), 1..5));
    let rules = vec![
        Rule::Differences(Scheme::TwoPoint),
        Rule::Differences(Scheme::ThreePoint),
        Rule::ComplexStep,
    ];
    (points, prop::option::weighted(0.2, number()), select(rules))
        .prop_map(|(points, chosen, rule)| Setup { points, chosen, rule })
}

impl Setup {
    fn solve(&self, answers: &mut Answers) -> Solve {
        let unknowns = self.points[0].len();
        let distances = Distances::from_start(&self.points[0], self.chosen);
        let mut solve = Solve {
            approximator: Approximator::new(self.rule, distances),
            unknowns,
            equations: answers.rows,
            points: self.points.clone(),
            refinements: 0,
        };
        solve.next(answers);
        solve
    }

    /// Differences are repeated where noise is found, each time at least sixteen times as much.
    fn limit(&self) -> u64 {
        let (count, unknowns) = (self.points.len() as u64, self.points[0].len() as u64);
        count * 12 * (2 * unknowns + 9)
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn arbitrary_answers(setup in setups(), mut answers in answers()) {
        drive(setup.solve(&mut answers), answers, setup.limit());
    }

    #[test]
    fn arbitrary_state(
        [one, other] in [setups(), setups()],
        mut answers in answers(),
        turns in [0..40usize, 0..40usize],
        cuts in cuts(),
    ) {
        let state = saved_after(one.solve(&mut answers), &mut answers, turns[0]);
        let donor = saved_after(other.solve(&mut answers), &mut answers, turns[1]);
        survive::<Solve>(&state, &donor, &cuts, answers);
    }
}
