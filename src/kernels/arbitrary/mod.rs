//! Arbitrary answers, and arbitrary state, for every kernel.
//!
//! Whatever a kernel is told, it ends within its limits, counts what it was told, and does not
//! panic (`drive`). State that was written and read back goes on to the same questions. State that
//! was tampered with is refused, or goes on without harm to the process (`survive`).
//!
//! `PROPTEST_CASES=100000` makes each test run so many cases instead of its usual few.

mod answers;
mod approximation;
mod broyden;
mod differenced;
mod differences;
mod hybrid;
mod line_search;
mod lsqtr;
mod marquardt;
mod scalar;
mod surgery;
mod system;

pub use answers::{Answers, answers, finite, number, tolerance};
pub use surgery::{Cut, cuts};

use ndarray_linalg::{c32, c64};
use proptest::test_runner::Config;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernels::allocator::allocations;
use crate::kernels::{self, Ask, Sizes, Tell};
use crate::linalg::Field;
use crate::saved::{Label, Saved, to_bytes};

/// A solver as these tests see it.
pub trait Kernel: Serialize + DeserializeOwned {
    /// What is asked, with all digits.
    fn question(&self) -> String;

    /// Answers what is asked; None where nothing is.
    fn answer(&mut self, answers: &mut Answers) -> Option<Told>;

    /// Tells what is not asked, which must change nothing.
    fn tell_unasked(&mut self, _: &mut Answers) {}

    fn fits(&self) -> bool;

    /// Whether the question is a proper one, and the counts are those of what was told.
    fn check(&self, _: &Counts) {}
}

/// Answers what is asked with the square Jacobians of a system.
pub fn answer<K: kernels::Kernel>(kernel: &mut K, answers: &mut Answers) -> Option<Told> {
    let rows = kernel.residual().len();
    let told = match kernel.ask() {
        Ask::Residual(x) => {
            let residual = answers.residual(x, if rows == 0 { x.len() } else { rows });
            kernel.tell(Tell::Residual(&residual));
            Told::Residual
        }
        Ask::Jacobian(x) => {
            let jacobian = answers.jacobian(x, rows);
            kernel.tell(Tell::Jacobian(jacobian.view()));
            Told::Jacobian
        }
        Ask::Solution(rhs) => {
            let solution = answers.residual(rhs, rhs.len());
            kernel.tell(Tell::Solution(&solution));
            Told::Other
        }
        Ask::Sizes { .. } => {
            kernel.tell(Tell::Sizes(sizes(answers)));
            Told::Other
        }
        Ask::Work { .. } => {
            kernel.work();
            Told::Other
        }
        Ask::Report => {
            kernel.tell(Tell::Reported { stop: false });
            Told::Reported
        }
        Ask::Done => return None,
    };
    Some(told)
}

/// Tells all that is not asked.
pub fn tell_unasked<K: kernels::Kernel>(kernel: &mut K, answers: &mut Answers) {
    let unknowns = kernel.point().len();
    let numbers: Vec<K::T> = answers.numbers(unknowns);
    let jacobian = answers.jacobian(&numbers, unknowns);
    if !matches!(kernel.ask(), Ask::Residual(_)) {
        kernel.tell(Tell::Residual(&numbers));
    }
    if !matches!(kernel.ask(), Ask::Jacobian(_)) {
        kernel.tell(Tell::Jacobian(jacobian.view()));
        kernel.tell(Tell::KeptJacobian { scales: &vec![1.0; unknowns] });
    }
    if !matches!(kernel.ask(), Ask::Solution(_)) {
        kernel.tell(Tell::Solution(&numbers));
    }
    if !matches!(kernel.ask(), Ask::Solution(_) | Ask::Jacobian(_)) {
        kernel.tell(Tell::SingularJacobian);
    }
    if !matches!(kernel.ask(), Ask::Sizes { .. }) {
        kernel.tell(Tell::Sizes(sizes(answers)));
    }
    if !matches!(kernel.ask(), Ask::Work { .. }) {
        kernel.work();
    }
    if kernel.ask() != Ask::Report {
        kernel.tell(Tell::Reported { stop: true });
    }
    if kernel.ask() == Ask::Done {
        kernel.interrupt();
    }
}

fn sizes(answers: &mut Answers) -> Sizes {
    Sizes { residual: answers.real(), point: answers.real(), step: answers.real() }
}

pub enum Told {
    Residual,
    Jacobian,
    Reported,
    Other,
}

/// How often what was told.
#[derive(Default)]
pub struct Counts {
    pub residuals: u64,
    pub jacobians: u64,
    pub reports: u64,
    pub others: u64,
}

impl Counts {
    fn add(&mut self, told: Told) {
        *match told {
            Told::Residual => &mut self.residuals,
            Told::Jacobian => &mut self.jacobians,
            Told::Reported => &mut self.reports,
            Told::Other => &mut self.others,
        } += 1;
    }

    fn total(&self) -> u64 {
        self.residuals + self.jacobians + self.reports + self.others
    }
}

/// So many cases, if the environment does not say otherwise.
pub fn cases(usual: u32) -> Config {
    let usual = if cfg!(miri) { 2 } else { usual };
    let told = std::env::var_os("PROPTEST_CASES").is_some();
    let config = Config { failure_persistence: None, ..Config::default() };
    if told { config } else { Config { cases: usual, ..config } }
}

pub fn save(kernel: &impl Kernel) -> Vec<u8> {
    let label = Label { solver: String::new(), dtype: String::new(), release: String::new() };
    to_bytes(&label, kernel).unwrap()
}

pub fn load<K: Kernel>(bytes: &[u8]) -> Option<K> {
    let kernel: K = Saved::open(bytes).ok()?.state().ok()?;
    kernel.fits().then_some(kernel)
}

/// Runs a kernel to its end, which comes within so many answers, beside one that was saved and
/// loaded on the way.
pub fn drive(mut kernel: impl Kernel, mut answers: Answers, limit: u64) {
    let mut counts = Counts::default();
    let mut twin = None;
    loop {
        let (question, state) = (kernel.question(), save(&kernel));
        assert_eq!(kernel.question(), question);
        kernel.check(&counts);
        kernel.tell_unasked(&mut answers.clone());
        assert_eq!(save(&kernel), state, "{question} was not what it was told");
        if twin.is_none() || counts.total() % 5 == 0 {
            twin = Some(kernel_from(&kernel, &state));
        }
        if let Some(twin) = &mut twin {
            assert_eq!(twin.question(), question);
            twin.answer(&mut answers.clone());
        }
        let Some(told) = kernel.answer(&mut answers) else { return };
        counts.add(told);
        assert!(counts.total() <= limit, "it goes on after {limit} answers");
    }
}

/// One of the same kind.
fn kernel_from<K: Kernel>(_: &K, bytes: &[u8]) -> K {
    load(bytes).expect("what was saved is loaded")
}

/// The state after so many answers.
pub fn saved_after(mut kernel: impl Kernel, answers: &mut Answers, turns: usize) -> Vec<u8> {
    for _ in 0..turns {
        if kernel.answer(answers).is_none() {
            break;
        }
    }
    save(&kernel)
}

/// How long state that was tampered with is looked after: it may have been given any limits.
const LONG: usize = 250;

/// Cuts up the state of a kernel, and runs what is still accepted.
pub fn survive<K: Kernel>(state: &[u8], donor: &[u8], cuts: &[Cut], mut answers: Answers) {
    let Some(mut kernel) = load::<K>(&surgery::operate(state, donor, cuts)) else { return };
    for _ in 0..LONG {
        let question = kernel.question();
        kernel.tell_unasked(&mut answers.clone());
        assert_eq!(kernel.question(), question);
        let again = load::<K>(&save(&kernel)).expect("what goes on is accepted again");
        assert_eq!(again.question(), question);
        if kernel.answer(&mut answers).is_none() {
            return;
        }
    }
}

/// How to set up a solver that computes in any of the four fields.
pub trait InAnyField {
    type Solver<T: Field>: Kernel;

    fn solver<T: Field>(&self, answers: &mut Answers) -> Self::Solver<T>;

    /// Which field it is in, of 0..4.
    fn field(&self) -> usize;

    /// It has ended after so many answers.
    fn limit(&self) -> u64;
}

pub fn drive_in_its_field(setup: &impl InAnyField, answers: Answers) {
    fn run<S: InAnyField, T: Field>(setup: &S, mut answers: Answers) {
        drive(setup.solver::<T>(&mut answers), answers, setup.limit());
    }
    match setup.field() {
        0 => run::<_, f32>(setup, answers),
        1 => run::<_, f64>(setup, answers),
        2 => run::<_, c32>(setup, answers),
        _ => run::<_, c64>(setup, answers),
    }
}

/// Cuts up the state of the first, after so many turns of both, with the second for a donor.
pub fn survive_in_its_field<S: InAnyField>(
    [one, other]: &[S; 2],
    answers: Answers,
    turns: [usize; 2],
    cuts: &[Cut],
) {
    fn run<S: InAnyField, T: Field>(
        [one, other]: [&S; 2],
        mut answers: Answers,
        turns: [usize; 2],
        cuts: &[Cut],
    ) {
        let mut saved = |setup: &S, turns: usize| {
            saved_after(setup.solver::<T>(&mut answers), &mut answers, turns)
        };
        let (state, donor) = (saved(one, turns[0]), saved(other, turns[1]));
        survive::<S::Solver<T>>(&state, &donor, cuts, answers);
    }
    let both = [one, other];
    match one.field() {
        0 => run::<S, f32>(both, answers, turns, cuts),
        1 => run::<S, f64>(both, answers, turns, cuts),
        2 => run::<S, c32>(both, answers, turns, cuts),
        _ => run::<S, c64>(both, answers, turns, cuts),
    }
}

/// How often a warm kernel allocates: from a second start at the same point to its end, with the
/// same answers.
pub fn allocations_when_warm<K: kernels::Kernel>(
    kernel: &mut K,
    x0: &[K::T],
    mut tell: impl FnMut(&mut K),
) -> u64 {
    let mut run = |kernel: &mut K| {
        kernel.start(x0);
        while kernel.ask() != Ask::Done {
            tell(kernel);
        }
    };
    run(kernel);
    let before = allocations();
    run(kernel);
    allocations() - before
}
