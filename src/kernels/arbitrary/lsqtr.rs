//! Least squares in a trust region.

use proptest::prelude::*;
use proptest::sample::select;

use super::{Answers, Counts, Kernel, Told, answers, cases, cuts, drive, finite};
use super::{saved_after, survive, tolerance};
use crate::kernels::lsqtr::bounds::Bounds;
use crate::kernels::lsqtr::radius::{Initial, RadiusOptions};
use crate::kernels::lsqtr::scaling::Scaling;
use crate::kernels::lsqtr::solver::{Ask, LeastSquares, Options};
use crate::kernels::lsqtr::subproblem::Method;
use crate::kernels::lsqtr::termination::{Stop, Termination};
use crate::linalg::lapack::Lapack;

impl Kernel for LeastSquares {
    fn question(&self) -> String {
        format!("{:?}", self.ask())
    }

    fn answer(&mut self, answers: &mut Answers) -> Option<Told> {
        match self.ask() {
            Ask::Residual(x) => {
                let rows = match self.residual().len() {
                    0 => answers.rows,
                    rows => rows,
                };
                let residual = answers.residual(x, rows);
                self.tell_residual(&residual);
                Some(Told::Residual)
            }
            Ask::Jacobian => {
                let jacobian = answers.jacobian(self.point(), self.residual().len());
                self.tell_jacobian(jacobian.view());
                Some(Told::Jacobian)
            }
            Ask::Step => {
                self.step();
                Some(Told::Other)
            }
            Ask::Report => {
                self.tell_reported(false);
                Some(Told::Reported)
            }
            Ask::Done(_) => None,
        }
    }

    fn tell_unasked(&mut self, answers: &mut Answers) {
        let rows = self.residual().len();
        if !matches!(self.ask(), Ask::Residual(_)) {
            self.tell_residual(&answers.numbers(rows));
        }
        if self.ask() != Ask::Jacobian && rows > 0 {
            let jacobian = answers.jacobian(self.point(), rows);
            self.tell_jacobian(jacobian.view());
        }
        if self.ask() != Ask::Step {
            self.step();
        }
        if self.ask() != Ask::Report {
            self.tell_reported(true);
        }
        if matches!(self.ask(), Ask::Done(_)) {
            self.interrupt();
        }
    }

    fn fits(&self) -> bool {
        self.fits()
    }

    fn check(&self, counts: &Counts) {
        if let Ask::Residual(x) = self.ask() {
            assert_eq!(x.len(), self.point().len());
            assert!(x.iter().all(|x| x.is_finite()), "{x:?}");
            assert!(self.options().bounds.contain(x), "{x:?} in {:?}", self.options().bounds);
        }
        let relative = self.relative_optimality();
        assert!(relative.is_nan() || (0.0..=1.0).contains(&relative), "{relative}");
        assert_eq!(self.evaluations(), counts.residuals);
        assert_eq!(self.jacobians(), counts.jacobians);
        let limits = &self.options().termination;
        assert!(self.evaluations() <= limits.evaluations.max(1));
        assert!(self.iterations() <= limits.iterations);
        match self.ask() {
            Ask::Report => assert_eq!(self.iterations(), counts.reports),
            Ask::Done(Stop::NonFiniteJacobian) => assert_eq!(self.iterations(), counts.reports),
            _ => assert_eq!(self.iterations(), counts.reports.saturating_sub(1)),
        }
    }
}

#[derive(Clone, Debug)]
struct Setup {
    start: Vec<f64>,
    scale: Option<Vec<f64>>,
    options: Options,
}

/// Lower bound, start and upper bound.
fn unknown() -> impl Strategy<Value = [f64; 3]> {
    let distance = || {
        prop_oneof![
            4 => Just(f64::INFINITY),
            2 => 0.0..3.0,
            1 => Just(0.0),
            1 => finite().prop_map(f64::abs),
        ]
    };
    let extreme = prop_oneof![9 => finite(), 1 => select(vec![f64::MAX, f64::MIN, 1.6e308])];
    (extreme, distance(), distance())
        .prop_map(|(start, below, above)| [start - below, start, start + above])
}

fn radii() -> impl Strategy<Value = RadiusOptions> {
    let positive = || prop_oneof![3 => 0.1..10.0, 1 => finite().prop_map(|x| x.abs().max(5e-324))];
    let initial = prop_oneof![
        Just(Initial::Scaled),
        Just(Initial::Cauchy),
        Just(Initial::Mean),
        positive().prop_map(Initial::Given),
    ];
    let largest = prop_oneof![Just(f64::INFINITY), positive()];
    let thresholds = (0.0..1.0, 0.0..1.0, 1.0..5.0, 0.05..0.95);
    (initial, positive(), largest, thresholds).prop_map(
        |(initial, initial_ratio, largest, (low, high, increase_ratio, decrease_ratio))| {
            RadiusOptions {
                initial,
                initial_ratio,
                largest,
                increase_threshold: f64::max(low, high),
                decrease_threshold: f64::min(low, high),
                increase_ratio,
                decrease_ratio,
            }
        },
    )
}

fn terminations() -> impl Strategy<Value = Termination> {
    let distance = prop_oneof![3 => Just(f64::INFINITY), 1 => 0.0..10.0];
    let shortest = prop_oneof![3 => Just(0.0), 1 => 0.0..1e-3];
    let gradients = (tolerance(), tolerance());
    (tolerance(), tolerance(), gradients, shortest, distance, 0..40u64, 0..25u64).prop_map(
        |(cost, step, gradients, shortest_step, distance, evaluations, iterations)| Termination {
            cost,
            step,
            gradient: gradients.0,
            relative_gradient: gradients.1,
            shortest_step,
            distance,
            evaluations,
            iterations,
        },
    )
}

fn setups() -> impl Strategy<Value = Setup> {
    // Some of the ways to go depend on there being at least 32 unknowns.
    let unknowns = prop_oneof![9 => 1..13usize, 1 => 30..36usize];
    let unknowns = unknowns.prop_flat_map(|count| prop::collection::vec(unknown(), count)).boxed();
    let scale = prop::option::weighted(0.4, prop_oneof![1e-3..1e3, finite()]);
    let method = select(vec![Method::Qr, Method::Svd, Method::Cholesky]);
    // Boxed, because without optimization their values do not fit on the stack of a test's thread.
    let (terminations, radii) = (terminations().boxed(), radii().boxed());
    (unknowns, scale, terminations, radii, method, any::<bool>()).prop_map(
        |(unknowns, scale, termination, radius, method, scaled_termination)| {
            let part = |k: usize| unknowns.iter().map(|unknown| unknown[k]).collect::<Vec<f64>>();
            let bounds = Bounds { lower: part(0), upper: part(2) };
            let scale = scale.map(|scale: f64| scale.abs().max(5e-324));
            Setup {
                start: part(1),
                scale: scale.map(|scale| vec![scale; unknowns.len()]),
                options: Options { bounds, termination, radius, method, scaled_termination },
            }
        },
    )
}

impl Setup {
    fn solver(&self, lapack: Lapack) -> LeastSquares {
        let scaling = match &self.scale {
            Some(scale) => Scaling::given(scale),
            None => Scaling::from_jacobian(self.start.len()),
        };
        LeastSquares::new(self.start.clone(), scaling, self.options.clone(), lapack)
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn arbitrary_answers(setup in setups(), answers in answers()) {
        if let Some(lapack) = Lapack::loaded() {
            // Each value is at most followed by a Jacobian, a report and a step.
            let limit = 4 * (setup.options.termination.evaluations + 1);
            drive(setup.solver(lapack), answers, limit);
        }
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn arbitrary_state(
        [one, other] in [setups(), setups()],
        mut answers in answers(),
        turns in [0..60usize, 0..60usize],
        cuts in cuts(),
    ) {
        if let Some(lapack) = Lapack::loaded() {
            let state = saved_after(one.solver(lapack), &mut answers, turns[0]);
            let donor = saved_after(other.solver(lapack), &mut answers, turns[1]);
            survive::<LeastSquares>(&state, &donor, &cuts, answers);
        }
    }
}
