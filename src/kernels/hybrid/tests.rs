//! Single solves; `recorded` has many.

use ndarray::{Array2, ArrayViewMut2};
use std::convert::Infallible;
use std::sync::atomic::AtomicBool;

use super::solver::{Hybrid, Options};
use super::termination::Stop;
use crate::drive::Problem;
use crate::drive::one::One;
use crate::kernels::allocator::allocations;
use crate::kernels::{Ask, Kernel, Stop as _, Tell};

fn options() -> Options {
    Options {
        tolerance: 1.49012e-8,
        evaluations: 1000,
        evaluations_per_jacobian: 0,
        radius_factor: 100.0,
        scale: None,
    }
}

/// Broyden's tridiagonal system.
struct Tridiagonal;

impl Problem<f64> for Tridiagonal {
    type Error = Infallible;

    fn residual(&mut self, x: &[f64], residual: &mut [f64]) -> Result<(), Infallible> {
        for (i, value) in residual.iter_mut().enumerate() {
            let before = i.checked_sub(1).map_or(0.0, |before| x[before]);
            let after = x.get(i + 1).copied().unwrap_or(0.0);
            *value = (3.0 - 2.0 * x[i]) * x[i] - before - 2.0 * after + 1.0;
        }
        Ok(())
    }

    fn jacobian(&mut self, x: &[f64], mut jacobian: ArrayViewMut2<f64>) -> Result<(), Infallible> {
        jacobian.fill(0.0);
        for (i, x) in x.iter().enumerate() {
            jacobian[(i, i)] = 3.0 - 4.0 * x;
            if i > 0 {
                jacobian[(i, i - 1)] = -1.0;
                jacobian[(i - 1, i)] = -2.0;
            }
        }
        Ok(())
    }
}

fn solve(kernel: &mut Hybrid, driver: &mut One<f64>, start: &[f64]) {
    kernel.start(start);
    driver.run(kernel, &mut Tridiagonal, &AtomicBool::new(false)).unwrap();
}

#[test]
fn a_second_solve_allocates_nothing() {
    let mut driver = One::new::<Infallible>(40, 40).unwrap();
    let mut kernel = Hybrid::new(options());
    solve(&mut kernel, &mut driver, &[-1.0; 40]);
    let first = (kernel.point().to_vec(), kernel.stop(), driver.counts);
    let before = allocations();
    solve(&mut kernel, &mut driver, &[-1.0; 40]);
    assert_eq!(allocations(), before);
    assert_eq!((kernel.point().to_vec(), kernel.stop(), driver.counts), first);
    assert_eq!(kernel.stop(), Some(Stop::SmallRadius));
}

#[test]
fn a_solve_of_another_size_starts_afresh() {
    let mut kernel = Hybrid::new(options());
    for unknowns in [7, 12, 3] {
        let mut driver = One::new::<Infallible>(unknowns, unknowns).unwrap();
        solve(&mut kernel, &mut driver, &vec![-1.0; unknowns]);
        let mut fresh = Hybrid::new(options());
        solve(&mut fresh, &mut driver, &vec![-1.0; unknowns]);
        assert_eq!(kernel.point(), fresh.point());
        assert_eq!(kernel.q(), fresh.q());
        assert!(kernel.fits());
    }
}

#[test]
fn memory_that_is_not_there_ends_the_solve() {
    let mut kernel = Hybrid::new(options());
    kernel.start(&vec![1.0; 6000]);
    assert_eq!(kernel.ask(), Ask::Done);
    assert!(kernel.stop().is_some_and(|stop| stop.out_of_memory() && !stop.success()));
    assert_eq!(kernel.figures().iterations, 0);
}

#[test]
fn options_that_mean_nothing_are_not_begun_with() {
    for improper in [
        Options { tolerance: -1.0, ..options() },
        Options { evaluations: 0, ..options() },
        Options { radius_factor: 0.0, ..options() },
        Options { scale: Some(vec![1.0, 0.0]), ..options() },
        Options { scale: Some(vec![1.0]), ..options() },
    ] {
        let mut kernel = Hybrid::new(improper);
        kernel.start(&[1.0, 2.0]);
        assert_eq!(kernel.stop(), Some(Stop::ImproperInput));
    }
}

#[test]
fn a_residual_or_jacobian_of_another_size_ends_the_solve() {
    let mut kernel = Hybrid::new(options());
    kernel.start(&[1.0, 2.0]);
    kernel.tell(Tell::Residual(&[1.0, 2.0, 3.0]));
    assert_eq!(kernel.stop(), Some(Stop::ImproperInput));
    kernel.start(&[1.0, 2.0]);
    kernel.tell(Tell::Residual(&[1.0, 2.0]));
    kernel.tell(Tell::Jacobian(Array2::zeros((2, 3)).view()));
    assert_eq!(kernel.stop(), Some(Stop::ImproperInput));
}

/// A function that is not a number leaves all to the radius, which shrinks.
#[test]
fn what_is_not_a_number_is_no_success() {
    let mut kernel = Hybrid::new(Options { tolerance: 1.0, ..options() });
    kernel.start(&[1.0]);
    loop {
        match kernel.ask() {
            Ask::Residual(_) => kernel.tell(Tell::Residual(&[f64::NAN])),
            Ask::Jacobian(_) => kernel.tell(Tell::Jacobian(Array2::eye(1).view())),
            Ask::Work { .. } => kernel.work(),
            Ask::Done => break,
            other => panic!("{other:?} is asked"),
        }
    }
    assert_eq!(kernel.stop(), Some(Stop::NonFinite));
    assert_eq!(kernel.stop().and_then(Stop::info), Some(1));
    assert!(!kernel.stop().is_some_and(|stop| stop.success()));
}

#[test]
fn a_report_may_end_the_solve() {
    let mut kernel = Hybrid::new(options());
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
