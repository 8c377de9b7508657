//! Solves of MINPACK's `hybrd` and `hybrj`, repeated to the last bit.

use super::solver::{Hybrid, Options};
use super::termination::Stop;
use crate::kernels::Kernel;
use crate::kernels::differenced::Differenced;
use crate::kernels::forward_differences::{Band, ForwardDifferences, evaluations};
use crate::kernels::recordings::{Numbers, Questions, assert_same, each_recorded};

fn repeat(routine: &str, name: &str, numbers: &mut Numbers) -> Stop {
    println!("{routine} {name}");
    let [rows, unknowns] = [numbers.next_count(), numbers.next_count()];
    let (tolerance, most) = (numbers.next(), numbers.next_count() as u64);
    let (below, above) = (numbers.next(), numbers.next());
    let band = Band { below: below as usize, above: above as usize };
    let band = (below >= 0.0).then_some(band);
    let (relative_error, radius_factor) = (numbers.next(), numbers.next());
    let scale = numbers.take_some(unknowns);
    let start = numbers.take(unknowns);

    let differences = (routine == "hybrd").then(|| ForwardDifferences::new(relative_error, band));
    let cost = differences.as_ref().map_or(0, |_| evaluations(unknowns, band) as u64);
    let options = Options {
        tolerance,
        evaluations: most,
        evaluations_per_jacobian: cost,
        radius_factor,
        scale,
    };
    let mut kernel = Differenced::new(Hybrid::new(options), differences);
    Questions::read(numbers, rows, unknowns).replay(&mut kernel, &start);
    let kernel = kernel.inner();

    let stop = kernel.stop().unwrap();
    assert_eq!(stop.info(), Some(numbers.next() as i32));
    if stop != Stop::ImproperInput {
        assert_eq!(kernel.evaluations(), numbers.next() as u64);
        let jacobians = numbers.next() as u64;
        assert!(routine == "hybrd" || kernel.jacobians() == jacobians);
        assert_same("x", kernel.point(), &numbers.take(unknowns));
        assert_same("F", kernel.residual(), &numbers.take(unknowns));
        assert_same("Q", kernel.q(), &numbers.take(unknowns * unknowns));
        assert_same("R", kernel.r(), &numbers.take(unknowns * (unknowns + 1) / 2));
        assert_same("QᵀF", kernel.rotated_residual(), &numbers.take(unknowns));
    }
    stop
}

#[test]
fn every_question_of_hybrid_is_minpacks_to_the_last_bit() {
    let mut reasons = Vec::new();
    let solves = each_recorded("systems", |routine, name, numbers| {
        reasons.push(repeat(routine, name, numbers).info());
    });
    assert!(solves >= 60);
    assert!((0..=5).all(|info| reasons.contains(&Some(info))), "{reasons:?}");
}
