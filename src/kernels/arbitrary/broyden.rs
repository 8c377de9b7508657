//! Broyden's method.

use proptest::prelude::*;
use proptest::sample::select;

use super::{Answers, Counts, InAnyField, Kernel, Told, allocations_when_warm, answer, answers};
use super::{
    cases, cuts, drive_in_its_field, finite, number, survive_in_its_field, tell_unasked, tolerance,
};
use crate::kernels::broyden::inverse_jacobian::RankLimit;
use crate::kernels::broyden::solver::{Broyden, Options, SearchMethod};
use crate::kernels::broyden::termination::Termination;
use crate::kernels::{Ask, Kernel as _, Tell};
use crate::linalg::Field;

impl<T: Field> Kernel for Broyden<T> {
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
        let unknowns = self.point().len();
        match self.ask() {
            Ask::Residual(x) => assert_eq!(x.len(), unknowns),
            Ask::Sizes { residual, point, step } => {
                assert_eq!([residual.len(), point.len()], [unknowns; 2]);
                assert!(step.is_empty() || step.len() == unknowns);
            }
            _ => {}
        }
        let reporting = u64::from(self.ask() == Ask::Report);
        assert_eq!(self.figures().iterations, counts.reports + reporting);
        assert!(counts.residuals >= self.figures().iterations);
    }
}

#[derive(Clone, Debug)]
struct Setup {
    start: Vec<f64>,
    options: Options<f64>,
    field: usize,
}

fn limits() -> impl Strategy<Value = RankLimit> {
    prop_oneof![
        Just(RankLimit::None),
        (0..14usize).prop_map(|rank| RankLimit::Restart { rank }),
        (0..14usize).prop_map(|rank| RankLimit::Simple { rank }),
        (0..14usize, 0..14usize).prop_map(|(rank, retained)| RankLimit::Svd { rank, retained }),
    ]
}

fn terminations() -> impl Strategy<Value = Termination> {
    (tolerance(), tolerance(), tolerance(), tolerance(), prop::option::weighted(0.3, 0..20u64))
        .prop_map(|(residual, relative_residual, step, relative_step, iterations)| Termination {
            residual,
            relative_residual,
            step,
            relative_step,
            iterations,
        })
}

fn setups() -> impl Strategy<Value = Setup> {
    let search = select(vec![SearchMethod::None, SearchMethod::Armijo, SearchMethod::Wolfe]);
    let options = (
        prop::option::weighted(0.2, number()),
        limits(),
        terminations(),
        0..30u64,
        search,
        any::<bool>(),
        any::<bool>(),
    );
    let options = options.prop_map(
        |(alpha, limit, termination, iterations, search, own_norm, keep_iterate)| Options {
            alpha,
            limit,
            termination,
            iterations,
            search,
            own_norm,
            keep_iterate,
        },
    );
    (prop::collection::vec(finite(), 1..13), options, 0..4usize)
        .prop_map(|(start, options, field)| Setup { start, options, field })
}

impl InAnyField for Setup {
    type Solver<T: Field> = Broyden<T>;

    fn solver<T: Field>(&self, _: &mut Answers) -> Broyden<T> {
        let start: Vec<T> = self.start.iter().map(|&x| T::of(x)).collect();
        let Options { limit, termination, iterations, search, own_norm, keep_iterate, .. } =
            self.options;
        let alpha = self.options.alpha.map(T::of);
        let options =
            Options { alpha, limit, termination, iterations, search, own_norm, keep_iterate };
        let mut solver = Broyden::new(options);
        solver.start(&start);
        solver
    }

    fn field(&self) -> usize {
        self.field
    }

    fn limit(&self) -> u64 {
        let search = match self.options.search {
            SearchMethod::None => 1,
            SearchMethod::Armijo => 12,
            // A slope at the start, a hundred trials of two values each, and the full step.
            SearchMethod::Wolfe => 203,
        };
        2 + self.options.iterations * (search + 3)
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

/// At a report F at the point before has changed places with what the search kept, which may then
/// be empty.
#[test]
fn what_is_saved_at_a_report_is_loaded() {
    let options = Options {
        alpha: Some(-1.0),
        limit: RankLimit::Simple { rank: 1 },
        termination: Termination {
            residual: 1e-9,
            relative_residual: f64::INFINITY,
            step: f64::INFINITY,
            relative_step: f64::INFINITY,
            iterations: None,
        },
        iterations: 5,
        search: SearchMethod::Armijo,
        own_norm: false,
        keep_iterate: false,
    };
    let mut solver = Broyden::new(options);
    solver.start(&[1.0, 2.0]);
    solver.tell(Tell::Residual(&[1.0, 2.0]));
    while solver.ask() != Ask::Report {
        solver.work();
        solver.tell(Tell::Residual(&[0.5, 1.0]));
    }
    assert!(super::load::<Broyden<f64>>(&super::save(&solver)).is_some());
}

/// Except by 'svd', whose small matrices are made anew at each reduction.
#[test]
fn a_warm_solver_allocates_nothing() {
    let limits = [RankLimit::None, RankLimit::Restart { rank: 3 }, RankLimit::Simple { rank: 3 }];
    for search in [SearchMethod::None, SearchMethod::Armijo, SearchMethod::Wolfe] {
        for (limit, unknowns) in limits.into_iter().flat_map(|limit| [(limit, 2), (limit, 5000)]) {
            let mut solver = Broyden::new(Options {
                alpha: None,
                limit,
                termination: Termination {
                    residual: 1e-10,
                    relative_residual: f64::INFINITY,
                    step: 1e-3,
                    relative_step: f64::INFINITY,
                    iterations: None,
                },
                iterations: 50,
                search,
                own_norm: false,
                keep_iterate: true,
            });
            let x0: Vec<f64> = (0..unknowns).map(|i| 1.0 + (i % 7) as f64 / 10.0).collect();
            let mut residual = vec![0.0; unknowns];
            let count = allocations_when_warm(&mut solver, &x0, |solver| match solver.ask() {
                Ask::Residual(x) => {
                    for (i, (f, x)) in residual.iter_mut().zip(x).enumerate() {
                        *f = x.powi(3) + x - (i % 5) as f64;
                    }
                    solver.tell(Tell::Residual(&residual));
                }
                Ask::Work { .. } => solver.work(),
                _ => solver.tell(Tell::Reported { stop: false }),
            });
            assert!(solver.figures().iterations > 5);
            assert_eq!(count, 0, "{limit:?}, {search:?}, {unknowns}");
        }
    }
}
