//! Jacobians from function values.

use proptest::prelude::*;
use proptest::sample::select;
use serde::{Deserialize, Serialize};

use super::{Answers, Kernel, Told, answers, cases, cuts, drive, finite, number};
use super::{saved_after, survive};
use crate::kernels::differences::{ComplexStep, Distances, FiniteDifferences, Scheme};
use crate::kernels::forward_differences::{Band, ForwardDifferences};

/// A Jacobian in the making, and its shape, which those who load it know.
#[derive(Deserialize, Serialize)]
struct InTheMaking<Jacobian> {
    jacobian: Jacobian,
    unknowns: usize,
    equations: usize,
}

/// Bounds, so that an answer to a question that was never asked is known.
const LARGEST: usize = 100;

macro_rules! kernels {
    ($($jacobian:ty),*) => {$(
        impl Kernel for InTheMaking<$jacobian> {
            fn question(&self) -> String {
                format!("{:?}", self.jacobian.ask())
            }

            fn answer(&mut self, answers: &mut Answers) -> Option<Told> {
                let x = self.jacobian.ask()?;
                assert_eq!(x.len(), self.unknowns);
                let value = answers.residual(x, self.equations);
                self.jacobian.tell(&value);
                Some(Told::Residual)
            }

            fn tell_unasked(&mut self, answers: &mut Answers) {
                if self.jacobian.ask().is_none() {
                    self.jacobian.tell(&answers.numbers(self.equations));
                }
            }

            fn fits(&self) -> bool {
                self.equations.max(self.unknowns) <= LARGEST
                    && self.equations > 0
                    && self.jacobian.fits(self.unknowns, self.equations)
            }
        }
    )*};
}

kernels!(FiniteDifferences<f64>, ComplexStep<f64>, ForwardDifferences);

#[derive(Clone, Debug)]
struct Setup {
    point: Vec<f64>,
    start: Vec<f64>,
    chosen: Option<f64>,
    scheme: Scheme,
    band: Option<Band>,
}

fn setups() -> impl Strategy<Value = Setup> {
    let unknowns = prop::collection::vec((finite(), finite()), 1..8);
    let scheme = select(vec![Scheme::TwoPoint, Scheme::ThreePoint]);
    let band = (0..4usize, 0..4usize).prop_map(|(below, above)| Band { below, above });
    let band = prop::option::weighted(0.5, band);
    (unknowns, prop::option::weighted(0.3, number()), scheme, band).prop_map(
        |(unknowns, chosen, scheme, band)| {
            let (point, start) = unknowns.into_iter().unzip();
            Setup { point, start, chosen, scheme, band }
        },
    )
}

impl Setup {
    fn differences(&self, answers: &mut Answers) -> InTheMaking<FiniteDifferences<f64>> {
        let residual: Vec<f64> = answers.residual(&self.point, answers.rows);
        let distances = Distances::from_start(&self.start, self.chosen);
        let jacobian = FiniteDifferences::new(self.scheme, &self.point, &residual, &distances);
        InTheMaking { jacobian, unknowns: self.point.len(), equations: residual.len() }
    }

    fn forward_differences(&self, answers: &mut Answers) -> InTheMaking<ForwardDifferences> {
        let residual: Vec<f64> = answers.residual(&self.point, answers.rows);
        let mut jacobian = ForwardDifferences::new(self.chosen.unwrap_or(0.0), self.band);
        jacobian.start(&self.point, &residual).unwrap();
        InTheMaking { jacobian, unknowns: self.point.len(), equations: residual.len() }
    }

    fn complex_step(&self, equations: usize) -> InTheMaking<ComplexStep<f64>> {
        let distances = Distances::from_start(&self.start, self.chosen);
        let jacobian = ComplexStep::new(&self.point, equations, &distances);
        InTheMaking { jacobian, unknowns: self.point.len(), equations }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn arbitrary_answers(setup in setups(), mut answers in answers()) {
        let unknowns = setup.point.len() as u64;
        drive(setup.differences(&mut answers), answers.clone(), 2 * unknowns);
        drive(setup.forward_differences(&mut answers), answers.clone(), unknowns);
        drive(setup.complex_step(answers.rows), answers, unknowns);
    }

    /// As least squares ask: no distances are chosen.
    #[test]
    fn no_point_leaves_its_bounds(
        setup in setups(),
        rooms in prop::collection::vec(prop_oneof![Just([0.0, 1.0]), [0.0..1e-4, 0.0..1e-4], [0.0..3.0, 0.0..3.0]], 8),
        mut answers in answers(),
    ) {
        let setup = Setup { chosen: None, ..setup };
        let bound = |side: f64, k: usize| {
            let bound = move |(x, room): (&f64, &[f64; 2])| x + side * room[k] * x.abs().max(1e-6);
            setup.point.iter().zip(&rooms).map(bound).collect::<Vec<f64>>()
        };
        let (lower, upper) = (bound(-1.0, 0), bound(1.0, 1));
        let mut jacobian = setup.differences(&mut answers).jacobian.within(&lower, &upper);
        while let Some(x) = jacobian.ask() {
            prop_assert!(x.iter().zip(&lower).all(|(x, l)| x >= l), "{:?} below {:?}", x, lower);
            prop_assert!(x.iter().zip(&upper).all(|(x, u)| x <= u), "{:?} above {:?}", x, upper);
            let value = answers.residual(x, answers.rows);
            jacobian.tell(&value);
        }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn arbitrary_state(
        [one, other] in [setups(), setups()],
        mut answers in answers(),
        turns in [0..12usize, 0..12usize],
        cuts in cuts(),
    ) {
        let state = saved_after(one.differences(&mut answers), &mut answers, turns[0]);
        let donor = saved_after(other.differences(&mut answers), &mut answers, turns[1]);
        survive::<InTheMaking<FiniteDifferences<f64>>>(&state, &donor, &cuts, answers.clone());

        let state = saved_after(one.forward_differences(&mut answers), &mut answers, turns[0]);
        let donor = saved_after(other.forward_differences(&mut answers), &mut answers, turns[1]);
        survive::<InTheMaking<ForwardDifferences>>(&state, &donor, &cuts, answers.clone());

        let state = saved_after(one.complex_step(answers.rows), &mut answers, turns[0]);
        let donor = saved_after(other.complex_step(3), &mut answers, turns[1]);
        survive::<InTheMaking<ComplexStep<f64>>>(&state, &donor, &cuts, answers);
    }
}
