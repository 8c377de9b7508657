//! Tests: no kernel takes more memory than it has announced.
//!
//! What each thread takes is counted, so the problems are small enough for one.

use ndarray::Array2;

use super::allocator::taken;
use super::broyden::inverse_jacobian::RankLimit;
use super::broyden::solver::{self as broyden, Broyden, SearchMethod};
use super::broyden::termination::Termination;
use super::lsqtr::bounds::Bounds;
use super::lsqtr::radius::{Initial, RadiusOptions};
use super::lsqtr::scaling::Scaling;
use super::lsqtr::solver::{self as lsqtr, LeastSquares};
use super::lsqtr::subproblem::{Method, room_for_singular_values};
use super::lsqtr::termination as ends;
use super::newton::elementwise::{Elementwise, Limits, Secant, Tangent};
use super::newton::system::{self, System};
use super::{Ask, Kernel, Tell};
use crate::linalg::lapack::Lapack;

/// What is left to the margin: it does not grow with the problem.
const SMALL: usize = 16 << 10;

/// Does something that may take so many bytes more than there are.
fn within<T>(room: usize, what: &str, work: impl FnOnce() -> T) -> T {
    let (outcome, taken) = taken(work);
    assert!(taken <= room + SMALL, "{what}: {taken} bytes taken, {room} announced");
    outcome
}

fn chain(x: &[f64]) -> Vec<f64> {
    let n = x.len();
    (0..n).map(|i| x[i] - 0.5 * (x[i] + 0.3 * x[(i + 1) % n] + i as f64 / n as f64).cos()).collect()
}

fn solve_with_broyden(unknowns: usize, limit: RankLimit, search: SearchMethod, keep: bool) {
    let options = broyden::Options {
        alpha: None,
        limit,
        termination: Termination {
            residual: 0.0,
            relative_residual: 0.0,
            step: 0.0,
            relative_step: 0.0,
            iterations: Some(12),
        },
        iterations: 12,
        search,
        own_norm: false,
        keep_iterate: keep,
    };
    let start = vec![0.1; unknowns];
    let mut solver = Broyden::new(options);
    within(Broyden::<f64>::room_to_begin(unknowns), "a start", || solver.start(&start));
    loop {
        let told = match solver.ask() {
            Ask::Residual(x) => Some(chain(x)),
            Ask::Report | Ask::Work { .. } => None,
            Ask::Done => break,
            other => unreachable!("{other:?}"),
        };
        within(solver.room(), &format!("{limit:?}, {search:?}"), || match told {
            Some(told) => solver.tell(Tell::Residual(&told)),
            None if solver.ask() == Ask::Report => solver.tell(Tell::Reported { stop: false }),
            None => solver.work(),
        });
    }
    assert!(solver.figures().iterations > 3);
}

#[test]
fn broyden_takes_what_it_announces() {
    for search in [SearchMethod::None, SearchMethod::Armijo, SearchMethod::Wolfe] {
        for keep in [false, true] {
            for limit in [
                RankLimit::None,
                RankLimit::Restart { rank: 3 },
                RankLimit::Simple { rank: 3 },
                RankLimit::Svd { rank: 4, retained: 2 },
            ] {
                solve_with_broyden(6000, limit, search, keep);
            }
        }
    }
}

/// OpenBLAS needs a longer stack than tests have, for factorizations with threads.
#[test]
fn a_system_takes_what_it_announces() {
    let long = std::thread::Builder::new().stack_size(8 << 20);
    long.spawn(solve_a_system).unwrap().join().unwrap();
}

fn solve_a_system() {
    let unknowns = 150;
    let options = system::Options {
        step_tolerance: 1e-10,
        residual_tolerance: 0.0,
        iterations: 20,
        line_search: true,
    };
    let start = vec![0.3; unknowns];
    let room = System::<f64>::room_to_begin(unknowns);
    let mut solver = within(room, "a start", || System::new(start, options));
    let jacobian = Array2::from_shape_fn((unknowns, unknowns), |(i, j)| {
        f64::from(u8::from(i == j)) + 0.2 / (1 + i + j) as f64
    });
    loop {
        let told = match solver.ask() {
            system::Ask::Residual(x) => Some(chain(x)),
            system::Ask::Jacobian => {
                let room = System::<f64>::room_for_jacobian(unknowns);
                within(room, "a Jacobian", || {
                    solver.tell_jacobian(Lapack::of_the_system(), jacobian.view());
                });
                continue;
            }
            system::Ask::Report => None,
            system::Ask::Solution(_) => unreachable!("the solver has the factors"),
            system::Ask::Done(_) => break,
        };
        within(solver.room(), "an answer", || match told {
            Some(told) => solver.tell_residual(&told),
            None => solver.tell_reported(),
        });
    }
    assert!(solver.iterations() > 1);
}

fn fit(rows: usize, unknowns: usize, method: Method, deficient: bool, bounded: bool) {
    let limit = if bounded { 0.4 } else { f64::INFINITY };
    let options = lsqtr::Options {
        bounds: Bounds { lower: vec![-limit; unknowns], upper: vec![limit; unknowns] },
        termination: ends::Termination {
            cost: 0.0,
            step: 0.0,
            gradient: 0.0,
            relative_gradient: 0.0,
            iterations: 6,
            evaluations: 20,
            shortest_step: 0.0,
            distance: f64::INFINITY,
        },
        radius: RadiusOptions {
            initial: Initial::Given(0.1),
            initial_ratio: 1.0,
            largest: f64::INFINITY,
            increase_threshold: 0.75,
            increase_ratio: 2.0,
            decrease_threshold: 0.25,
            decrease_ratio: 0.25,
        },
        method,
        scaled_termination: true,
    };
    let entry = |i: usize, j: usize| ((i * 7919 + j * 31 + i * j) % 1009) as f64 / 1009.0 - 0.5;
    let matrix = Array2::from_shape_fn((rows, unknowns), |(i, j)| {
        entry(i, if deficient && j == 1 { 0 } else { j })
    });
    let residual = |x: &[f64]| -> Vec<f64> {
        let image = matrix.dot(&ndarray::ArrayView1::from(x));
        image.iter().enumerate().map(|(i, y)| y.tanh() - entry(i, 7)).collect()
    };
    let what = format!("{rows} x {unknowns}, {method:?}, {deficient}, {bounded}");
    let scaling = Scaling::from_jacobian(unknowns);
    let lapack = Lapack::of_the_system();
    let mut solver = within(LeastSquares::room_to_begin(unknowns), "a start", || {
        LeastSquares::new(vec![0.1; unknowns], scaling, options, lapack)
    });
    loop {
        let first = solver.residual().is_empty();
        let room = match first {
            true => LeastSquares::room_for_residuals(rows),
            false => solver.room(),
        };
        match solver.ask() {
            lsqtr::Ask::Residual(x) => {
                let told = residual(x);
                within(room, &what, || solver.tell_residual(&told));
            }
            lsqtr::Ask::Jacobian => within(room, &what, || solver.tell_jacobian(matrix.view())),
            lsqtr::Ask::Step => {
                // The singular values are looked for when they turn out to be needed.
                let found_out = if deficient || method == Method::Svd {
                    room_for_singular_values(unknowns)
                } else {
                    0
                };
                let room = room + found_out;
                within(room, &what, || solver.step());
            }
            lsqtr::Ask::Report => within(room, &what, || solver.tell_reported(false)),
            lsqtr::Ask::Done(_) => break,
        }
    }
    assert!(solver.iterations() > 2);
}

#[test]
fn least_squares_take_what_they_announce() {
    for method in [Method::Qr, Method::Svd, Method::Cholesky] {
        for (deficient, bounded) in [(false, false), (true, false), (false, true)] {
            fit(300, 90, method, deficient, bounded);
            fit(20_000, 5, method, deficient, bounded);
        }
    }
}

#[test]
fn many_equations_take_what_they_announce() {
    let count = 50_000;
    let limits = Limits { tolerance: 1e-8, iterations: 50 };
    let room = Elementwise::<f64>::room(count);
    let starts = || vec![1.0; count];
    let (secant, tangent) = (starts(), starts());
    within(room, "a secant", || Secant::new(secant, limits));
    within(room, "a tangent", || Tangent::new(tangent, true, limits));
}
