//! Solves of MINPACK's `lmdif` and `lmder`, repeated to the last bit.

use super::solver::{Marquardt, Options};
use super::termination::{Stop, Tolerances};
use crate::kernels::Kernel;
use crate::kernels::differenced::Differenced;
use crate::kernels::forward_differences::ForwardDifferences;
use crate::kernels::recordings::{Numbers, Questions, assert_same, each_recorded};
use crate::linalg::householder::Remainders;

fn repeat(routine: &str, name: &str, numbers: &mut Numbers) -> Stop {
    println!("{routine} {name}");
    let [rows, unknowns] = [numbers.next_count(), numbers.next_count()];
    let tolerances = Tolerances {
        reduction: numbers.next(),
        radius: numbers.next(),
        gradient: numbers.next(),
        evaluations: numbers.next_count() as u64,
    };
    let (relative_error, radius_factor) = (numbers.next(), numbers.next());
    let scale = numbers.take_some(unknowns);
    let start = numbers.take(unknowns);

    let differences = (routine == "lmdif").then(|| ForwardDifferences::new(relative_error, None));
    let evaluations_per_jacobian = if differences.is_some() { unknowns as u64 } else { 0 };
    let options = Options {
        tolerances,
        evaluations_per_jacobian,
        radius_factor,
        scale,
        remainders: Remainders::AsInSciPy,
    };
    let mut kernel = Differenced::new(Marquardt::new(options), differences);
    Questions::read(numbers, rows, unknowns).replay(&mut kernel, &start);
    let kernel = kernel.inner();

    let stop = kernel.stop().unwrap();
    assert_eq!(stop.info(), Some(numbers.next() as i32));
    if stop != Stop::ImproperInput {
        assert_eq!(kernel.evaluations(), numbers.next() as u64);
        let jacobians = numbers.next() as u64;
        assert!(routine == "lmdif" || kernel.jacobians() == jacobians);
        assert_same("x", kernel.point(), &numbers.take(unknowns));
        assert_same("F", kernel.residual(), &numbers.take(rows));
        assert_same("factors", kernel.factors().entries(), &numbers.take(rows * unknowns));
        let permutation = kernel.factors().permutation().iter().map(|&column| f64::from(column));
        assert_eq!(permutation.collect::<Vec<_>>(), numbers.take(unknowns));
        assert_same("QᵀF", kernel.rotated_residual(), &numbers.take(unknowns));
    }
    stop
}

#[test]
fn every_question_of_marquardt_is_minpacks_to_the_last_bit() {
    let mut reasons = Vec::new();
    let solves = each_recorded("fits", |routine, name, numbers| {
        reasons.push(repeat(routine, name, numbers).info());
    });
    assert!(solves >= 60);
    assert!((0..=8).all(|info| reasons.contains(&Some(info))), "{reasons:?}");
}
