//! One equation, and many at once.

use ndarray_linalg::c64;
use proptest::prelude::*;

use super::{Answers, answers, cases, number, tolerance};
use crate::kernels::newton::elementwise::{self, Answer, Elementwise};
use crate::kernels::newton::scalar::{self, Arithmetic, Ask, Scalar, Stop};
use crate::linalg::Field;

fn scalars<T: Arithmetic>(start: T, second: T, limits: scalar::Limits) -> [Scalar<T>; 3] {
    [
        Scalar::Tangent(scalar::Tangent::new(start, false, limits)),
        Scalar::Tangent(scalar::Tangent::new(start, true, limits)),
        Scalar::Secant(scalar::Secant::new(start, second, limits)),
    ]
}

/// Runs it to its end; the number comes from two real ones.
fn run_scalar<T: Arithmetic>(
    mut solver: Scalar<T>,
    limit: u64,
    answers: &mut Answers,
    number: impl Fn(f64, f64) -> T,
) {
    let mut values = 0;
    let stop = loop {
        assert!(solver.iterations() <= limit && values <= limit + 2);
        let ask = solver.ask();
        assert_eq!(solver.ask(), ask);
        match ask {
            Ask::Value => values += 1,
            Ask::Derivative | Ask::SecondDerivative => {}
            Ask::Done(stop) => break stop,
        }
        solver.tell(number(answers.real(), answers.real()));
    };
    assert!(stop != Stop::OutOfIterations || solver.iterations() == limit);
    let end = format!("{solver:?}");
    solver.tell(number(answers.real(), answers.real()));
    assert_eq!(format!("{solver:?}"), end, "an answer was taken after the end");
}

fn run_elementwise<T: Field>(mut solver: Elementwise<T>, limit: u64, answers: &mut Answers) {
    use elementwise::Ask;
    let count = solver.points().len();
    let mut asked = 0;
    while solver.ask() != Ask::Done {
        asked += u64::from(solver.ask() == Ask::Values);
        assert!(asked <= limit + 2);
        let mut values = answers.residual(solver.points(), count);
        solver.tell(Answer { values: &mut values, single: asked.is_multiple_of(2) });
        assert_eq!([values.len(), solver.points().len()], [count; 2]);
    }
    assert_eq!([solver.failing().len(), solver.stuck().len()], [count; 2]);
    let end = format!("{solver:?}");
    solver.tell(Answer { values: &mut answers.numbers(count), single: false });
    assert_eq!(format!("{solver:?}"), end, "an answer was taken after the end");
}

fn elementwises<T: Field>(starts: &[T], limits: elementwise::Limits) -> [Elementwise<T>; 3] {
    [
        Elementwise::Tangent(elementwise::Tangent::new(starts.to_vec(), false, limits)),
        Elementwise::Tangent(elementwise::Tangent::new(starts.to_vec(), true, limits)),
        Elementwise::Secant(elementwise::Secant::new(starts.to_vec(), limits)),
    ]
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn one_equation(
        [start, second] in [number(), number()],
        [absolute, relative] in [tolerance(), tolerance()],
        iterations in 1..30u64,
        answers in answers(),
    ) {
        let limits = scalar::Limits { absolute, relative, iterations };
        for solver in scalars(start, second, limits) {
            run_scalar(solver, iterations, &mut answers.clone(), |re, _| re);
        }
        for solver in scalars(c64::new(start, second), c64::new(second, start), limits) {
            run_scalar(solver, iterations, &mut answers.clone(), c64::new);
        }
    }

    #[test]
    fn many_equations(
        starts in prop::collection::vec(number(), 1..9),
        tolerance in tolerance(),
        iterations in 1..30u64,
        answers in answers(),
    ) {
        let limits = elementwise::Limits { tolerance, iterations };
        for solver in elementwises(&starts, limits) {
            run_elementwise(solver, iterations, &mut answers.clone());
        }
        let starts: Vec<c64> = starts.iter().map(|&x| c64::new(x, 1.0)).collect();
        for solver in elementwises(&starts, limits) {
            run_elementwise(solver, iterations, &mut answers.clone());
        }
    }
}
