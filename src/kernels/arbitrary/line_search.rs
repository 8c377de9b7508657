//! The line searches of Broyden's method by themselves.

use proptest::prelude::*;

use super::{Answers, Kernel, Told, answers, cases, drive, finite, number};
use crate::kernels::broyden::line_search::{Armijo, Ask, Limits, LineSearch, MoreThuente};

impl Kernel for LineSearch {
    fn question(&self) -> String {
        format!("{:?}", self.ask())
    }

    fn answer(&mut self, answers: &mut Answers) -> Option<Told> {
        if let Ask::Done(_) = self.ask() {
            return None;
        }
        self.tell(answers.real(), answers.real());
        Some(Told::Residual)
    }

    fn tell_unasked(&mut self, answers: &mut Answers) {
        if let Ask::Done(_) = self.ask() {
            self.tell(answers.real(), answers.real());
        }
    }

    fn fits(&self) -> bool {
        true
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn armijo(merit in number(), slope in number(), shortest in finite(), answers in answers()) {
        // From the largest number down to the smallest there are some 2100 powers of two.
        drive(LineSearch::Armijo(Armijo::new(merit, slope, shortest.abs())), answers, 2200);
    }

    #[test]
    fn more_thuente(
        merit in number(),
        slope in number(),
        ordinary in any::<bool>(),
        numbers in [finite(), finite(), finite(), finite(), finite()],
        trials in 0..50u32,
        answers in answers(),
    ) {
        let usual = [1e-4, 0.9, 1e-2, 1e-2, 50.0];
        let [sufficient_decrease, curvature, relative_width, shortest, longest] =
            if ordinary { usual } else { numbers.map(f64::abs) };
        let limits =
            Limits { sufficient_decrease, curvature, relative_width, shortest, longest, trials };
        let search = MoreThuente::new(merit, slope, limits);
        drive(LineSearch::MoreThuente(search), answers, trials.into());
    }
}
