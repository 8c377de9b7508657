//! Recorded solves of MINPACK's programs, and kernels that are told the recorded answers.
//!
//! `tests/fixtures/minpack/record_minpack.py` makes the files and says what is in them.

use std::collections::VecDeque;
use std::fs;

use ndarray::{ArrayView2, ShapeBuilder};

use super::{Ask, Kernel, Tell};

/// The numbers of a file, from the first to the last.
pub struct Numbers(VecDeque<f64>);

impl Numbers {
    pub fn next(&mut self) -> f64 {
        self.0.pop_front().expect("the file goes on")
    }

    pub fn next_count(&mut self) -> usize {
        self.next() as usize
    }

    pub fn take(&mut self, count: usize) -> Vec<f64> {
        self.0.drain(..count).collect()
    }

    /// A vector that may be absent.
    pub fn take_some(&mut self, count: usize) -> Option<Vec<f64>> {
        (self.next() == 1.0).then(|| self.take(count))
    }
}

/// What was asked, and what was answered.
enum Question {
    Residual(Vec<f64>, Vec<f64>),
    Jacobian(Vec<f64>, Vec<f64>),
}

pub struct Questions {
    rows: usize,
    questions: VecDeque<Question>,
}

impl Questions {
    pub fn read(numbers: &mut Numbers, rows: usize, unknowns: usize) -> Self {
        let mut questions = VecDeque::new();
        for _ in 0..numbers.next_count() {
            questions.push_back(if numbers.next() == 0.0 {
                Question::Residual(numbers.take(unknowns), numbers.take(rows))
            } else {
                Question::Jacobian(numbers.take(unknowns), numbers.take(rows * unknowns))
            });
        }
        Questions { rows, questions }
    }

    /// Runs a kernel to its end. Every question must be the one that was recorded, to the last bit.
    pub fn replay<K: Kernel<T = f64>>(mut self, kernel: &mut K, start: &[f64]) {
        kernel.start(start);
        loop {
            match kernel.ask() {
                Ask::Residual(x) => {
                    let value = self.residual(x);
                    kernel.tell(Tell::Residual(&value));
                }
                Ask::Jacobian(x) => {
                    let entries = self.jacobian(x);
                    let shape = (self.rows, x.len()).f();
                    let jacobian = ArrayView2::from_shape(shape, &entries).unwrap();
                    kernel.tell(Tell::Jacobian(jacobian));
                }
                Ask::Work { .. } => kernel.work(),
                Ask::Report => kernel.tell(Tell::Reported { stop: false }),
                Ask::Done => break,
                other => panic!("{other:?} is asked"),
            }
        }
        assert_eq!(self.questions.len(), 0, "the recorded solve goes on");
    }

    fn residual(&mut self, x: &[f64]) -> Vec<f64> {
        match self.questions.pop_front() {
            Some(Question::Residual(point, value)) => {
                assert_same("point", x, &point);
                value
            }
            Some(_) => panic!("the recorded question is a Jacobian"),
            None => panic!("the recorded solve has ended"),
        }
    }

    fn jacobian(&mut self, x: &[f64]) -> Vec<f64> {
        match self.questions.pop_front() {
            Some(Question::Jacobian(point, entries)) => {
                assert_same("point of the Jacobian", x, &point);
                entries
            }
            Some(_) => panic!("the recorded question is a residual"),
            None => panic!("the recorded solve has ended"),
        }
    }
}

/// All bits are the same; one NaN is like another.
#[track_caller]
pub fn assert_same(what: &str, ours: &[f64], recorded: &[f64]) {
    let same = |(ours, recorded): (&f64, &f64)| {
        ours.to_bits() == recorded.to_bits() || (ours.is_nan() && recorded.is_nan())
    };
    let all = ours.len() == recorded.len() && ours.iter().zip(recorded).all(same);
    assert!(all, "{what}: {ours:?} instead of {recorded:?}");
}

/// Calls a function with the routine, the name and the numbers of each recorded solve, and returns
/// the number of solves. The function reads exactly its own numbers.
pub fn each_recorded(table: &str, mut solve: impl FnMut(&str, &str, &mut Numbers)) -> usize {
    let path = format!("{}/tests/fixtures/minpack/{table}", env!("CARGO_MANIFEST_DIR"));
    let bytes = fs::read(format!("{path}.f64")).unwrap();
    let numbers = bytes.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()));
    let mut numbers = Numbers(numbers.collect());
    let names = fs::read_to_string(format!("{path}.txt")).unwrap();
    let names = names.lines().filter(|line| !line.starts_with('#'));
    let solves = names.map(|line| {
        let (routine, name) = line.split_once(' ').unwrap();
        solve(routine, name, &mut numbers);
    });
    let count = solves.count();
    assert_eq!(numbers.0.len(), 0);
    count
}
