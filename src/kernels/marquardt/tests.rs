//! Single solves; `recorded` has many.

use ndarray::{Array2, ArrayViewMut2};
use std::convert::Infallible;
use std::sync::atomic::AtomicBool;

use super::solver::{Marquardt, Options};
use super::termination::{Stop, Tolerances};
use crate::drive::Problem;
use crate::drive::one::One;
use crate::kernels::allocator::allocations;
use crate::kernels::{Ask, Kernel, Stop as _, Tell};
use crate::linalg::householder::Remainders;

fn tolerances() -> Tolerances {
    Tolerances { reduction: 1.49012e-8, radius: 1.49012e-8, gradient: 0.0, evaluations: 1000 }
}

fn options() -> Options {
    Options {
        tolerances: tolerances(),
        evaluations_per_jacobian: 0,
        radius_factor: 100.0,
        scale: None,
        remainders: Remainders::Exact,
    }
}

/// Rosenbrock's function between each two neighbours.
struct Chain;

impl Problem<f64> for Chain {
    type Error = Infallible;

    fn residual(&mut self, x: &[f64], residual: &mut [f64]) -> Result<(), Infallible> {
        for (pair, value) in x.windows(2).zip(residual.chunks_exact_mut(2)) {
            value[0] = 10.0 * (pair[1] - pair[0] * pair[0]);
            value[1] = 1.0 - pair[0];
        }
        Ok(())
    }

    fn jacobian(&mut self, x: &[f64], mut jacobian: ArrayViewMut2<f64>) -> Result<(), Infallible> {
        jacobian.fill(0.0);
        for i in 0..x.len() - 1 {
            jacobian[(2 * i, i)] = -20.0 * x[i];
            jacobian[(2 * i, i + 1)] = 10.0;
            jacobian[(2 * i + 1, i)] = -1.0;
        }
        Ok(())
    }
}

fn solve(kernel: &mut Marquardt, unknowns: usize) -> One<f64> {
    let mut driver = One::new::<Infallible>(2 * unknowns - 2, unknowns).unwrap();
    solve_with(kernel, &mut driver, unknowns);
    driver
}

fn solve_with(kernel: &mut Marquardt, driver: &mut One<f64>, unknowns: usize) {
    kernel.start(&[-1.2; 20][..unknowns]);
    driver.run(kernel, &mut Chain, &AtomicBool::new(false)).unwrap();
}

#[test]
fn a_second_solve_allocates_nothing() {
    let mut kernel = Marquardt::new(options());
    let mut driver = solve(&mut kernel, 20);
    let first = (kernel.point().to_vec(), kernel.stop(), driver.counts);
    let before = allocations();
    solve_with(&mut kernel, &mut driver, 20);
    assert_eq!(allocations(), before);
    assert_eq!((kernel.point().to_vec(), kernel.stop(), driver.counts), first);
    assert!(kernel.stop().is_some_and(|stop| stop.success()));
    assert!(kernel.point().iter().all(|x| (x - 1.0).abs() < 1e-6));
}

#[test]
fn a_solve_of_another_size_starts_afresh() {
    let mut kernel = Marquardt::new(options());
    for unknowns in [7, 12, 3] {
        solve(&mut kernel, unknowns);
        let mut fresh = Marquardt::new(options());
        solve(&mut fresh, unknowns);
        assert_eq!(kernel.point(), fresh.point());
        assert_eq!(kernel.factors().entries(), fresh.factors().entries());
        assert!(kernel.fits());
    }
    kernel.start(&[1.0, 2.0]);
    assert!(kernel.fits());
    kernel.tell(Tell::Residual(&[1.0, 2.0]));
    assert!(kernel.fits());
}

#[test]
fn memory_that_is_not_there_ends_the_solve() {
    let mut kernel = Marquardt::new(options());
    kernel.start(&[1.0; 1000]);
    kernel.tell(Tell::Residual(&vec![1.0; 20_000]));
    assert_eq!(kernel.ask(), Ask::Done);
    assert!(kernel.stop().is_some_and(|stop| stop.out_of_memory() && !stop.success()));
}

#[test]
fn options_that_mean_nothing_are_not_begun_with() {
    let with = |tolerances| Options { tolerances, ..options() };
    for improper in [
        with(Tolerances { reduction: -1.0, ..tolerances() }),
        with(Tolerances { radius: -1.0, ..tolerances() }),
        with(Tolerances { gradient: -1.0, ..tolerances() }),
        with(Tolerances { evaluations: 0, ..tolerances() }),
        Options { radius_factor: 0.0, ..options() },
        Options { scale: Some(vec![1.0, 0.0]), ..options() },
        Options { scale: Some(vec![1.0]), ..options() },
    ] {
        let mut kernel = Marquardt::new(improper);
        kernel.start(&[1.0, 2.0]);
        assert_eq!(kernel.stop(), Some(Stop::ImproperInput));
    }
}

#[test]
fn too_few_residuals_or_a_jacobian_of_another_size_end_the_solve() {
    let mut kernel = Marquardt::new(options());
    kernel.start(&[1.0, 2.0]);
    kernel.tell(Tell::Residual(&[1.0]));
    assert_eq!(kernel.stop(), Some(Stop::ImproperInput));
    kernel.start(&[1.0, 2.0]);
    kernel.tell(Tell::Residual(&[1.0, 2.0]));
    kernel.tell(Tell::Jacobian(Array2::zeros((3, 2)).view()));
    assert_eq!(kernel.stop(), Some(Stop::ImproperInput));
}

#[test]
fn what_is_not_a_number_is_no_success() {
    for (value, slope) in [(f64::NAN, 1.0), (f64::INFINITY, 1.0), (1.0, f64::NAN)] {
        let mut kernel = Marquardt::new(options());
        kernel.start(&[1.0]);
        kernel.tell(Tell::Residual(&[value]));
        kernel.tell(Tell::Jacobian(Array2::from_elem((1, 1), slope).view()));
        kernel.work();
        assert_eq!(kernel.stop(), Some(Stop::NonFinite { info: 4 }));
        assert_eq!(kernel.stop().and_then(Stop::info), Some(4));
        assert!(!kernel.stop().is_some_and(|stop| stop.success()));
    }
}

#[test]
fn a_report_may_end_the_solve() {
    let mut kernel = Marquardt::new(options());
    kernel.start(&[3.0]);
    while kernel.ask() != Ask::Report {
        match kernel.ask() {
            Ask::Residual(x) => {
                let value = [x[0] * x[0] - 2.0];
                kernel.tell(Tell::Residual(&value));
            }
            Ask::Jacobian(x) => {
                let slope = Array2::from_elem((1, 1), 2.0 * x[0]);
                kernel.tell(Tell::Jacobian(slope.view()));
            }
            _ => kernel.work(),
        }
    }
    let figures = kernel.figures();
    assert_eq!(figures.iterations, 1);
    assert_eq!(figures.residual_norm, kernel.residual()[0].abs());
    assert!((figures.step_norm - (kernel.point()[0] - 3.0).abs()).abs() < 1e-15);
    kernel.tell(Tell::Reported { stop: true });
    assert_eq!(kernel.stop(), Some(Stop::Interrupted));
    assert_eq!(kernel.stop().and_then(Stop::info), None);
}
