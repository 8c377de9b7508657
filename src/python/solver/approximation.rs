//! A Jacobian from values of the residual, which Python functions give one after the other.

use ndarray::Array2;
use ndarray_linalg::c64;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::{Deserialize, Serialize};

use crate::kernels::approximation::{Approximator, Dropped, Outcome, Question};
use crate::kernels::differences::{Distances, Scheme};
use crate::kernels::lsqtr::bounds::Bounds;
use crate::python::arrays::{self, Entry};
use crate::python::unknowns::Unknowns;

pub use crate::kernels::approximation::Rule;

impl Rule {
    pub fn named(name: &str) -> Option<Rule> {
        match name {
            "2-point" => Some(Rule::Differences(Scheme::TwoPoint)),
            "3-point" => Some(Rule::Differences(Scheme::ThreePoint)),
            "cs" => Some(Rule::ComplexStep),
            _ => None,
        }
    }
}

/// Where Jacobians come from: from the user, or from values of the residual.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Entry")]
pub struct Source<T: Entry> {
    /// None where the user is asked for Jacobians.
    approximator: Option<Approximator<T>>,
    /// What the complex step was refused for.
    dropped: Option<Dropped>,
}

/// How a source gets to the Jacobian that is wanted.
pub enum Way<T> {
    /// By asking the user for it.
    Jacobian,
    /// By asking the user for a residual.
    Residual,
    /// By beginning an approximation.
    Begin,
    /// It is complete.
    Complete(Array2<T>),
    /// There is none, because the complex step is no way to one.
    NotAnalytic,
}

impl<T: Entry> Source<T> {
    pub fn new(rule: Option<Rule>, distances: Distances) -> Self {
        let approximator = rule.map(|rule| Approximator::new(rule, distances));
        Source { approximator, dropped: None }
    }

    pub fn way(&mut self) -> Way<T> {
        let Some(approximator) = &mut self.approximator else { return Way::Jacobian };
        match approximator.take() {
            Some(Outcome::Jacobian(jacobian)) => Way::Complete(jacobian),
            Some(Outcome::NotAnalytic(dropped)) => {
                self.dropped = Some(dropped);
                Way::NotAnalytic
            }
            None if approximator.is_at_work() => Way::Residual,
            None => Way::Begin,
        }
    }

    /// Begins to approximate the Jacobian at a point, staying within the bounds.
    pub fn begin(&mut self, point: &[T], residual: &[T], bounds: Option<&Bounds>) {
        if let Some(approximator) = &mut self.approximator {
            let bounds = bounds.map(|bounds| (&bounds.lower[..], &bounds.upper[..]));
            approximator.begin(point, residual, bounds);
        }
    }

    pub fn abandon(&mut self) {
        if let Some(approximator) = &mut self.approximator {
            approximator.abandon();
        }
    }

    /// Whether an approximation is waiting for a residual.
    pub fn is_at_work(&self) -> bool {
        self.approximator.as_ref().is_some_and(Approximator::is_at_work)
    }

    /// The point at which the residual is wanted; None where no approximation waits for one.
    pub fn question<'py>(
        &self,
        py: Python<'py>,
        unknowns: &Unknowns,
    ) -> Option<PyResult<Bound<'py, PyAny>>> {
        match self.approximator.as_ref()?.ask()? {
            Question::At(point) => Some(unknowns.point(py, point)),
            Question::OffTheRealAxis(point) => Some(unknowns.point(py, point)),
        }
    }

    /// Takes the residual there; `expect_count` refuses a wrong number of values.
    pub fn answer(
        &mut self,
        value: &Bound<'_, PyAny>,
        name: &str,
        expect_count: impl Fn(usize) -> PyResult<()>,
    ) -> PyResult<()> {
        let Some(approximator) = &mut self.approximator else { return Ok(()) };
        match approximator.ask() {
            Some(Question::At(_)) => {
                let mut values: Vec<T> = Vec::new();
                arrays::read(value, name, &mut values)?;
                expect_count(values.len())?;
                approximator
                    .tell(&values)
                    .map_err(|dropped| PyValueError::new_err(not_analytic(name, dropped)))
            }
            Some(Question::OffTheRealAxis(_)) => {
                let mut values: Vec<c64> = Vec::new();
                arrays::read(value, name, &mut values)?;
                expect_count(values.len())?;
                approximator.tell_off_the_real_axis(&values);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Looks at the numbers that the residual is made of, whose precision the steps follow.
    pub fn look_at(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(approximator) = &mut self.approximator
            && let Some(precision) = arrays::precision(value)?
        {
            approximator.coarsen(precision);
        }
        Ok(())
    }

    /// The relative error of the residual, where an approximation had to follow it; otherwise 0.
    pub fn precision(&self) -> f64 {
        let precision = self.approximator.as_ref().map_or(0.0, Approximator::precision);
        if precision > T::EPSILON { precision } else { 0.0 }
    }

    /// How often a Jacobian can be approximated better than at first.
    pub fn refinements(&self) -> u8 {
        self.approximator.as_ref().map_or(0, Approximator::refinements)
    }

    pub fn refine(&mut self, times: u8) {
        if let Some(approximator) = &mut self.approximator {
            approximator.refine(times);
        }
    }

    /// What the complex step was refused for, in words.
    pub fn refusal(&self) -> String {
        self.dropped.map(|dropped| not_analytic("fun", dropped)).unwrap_or_default()
    }

    /// Whether the parts have the sizes that go together; those of saved state may not. An
    /// approximation can be there only where the kernel `awaits` one.
    pub fn fits(&self, unknowns: usize, equations: usize, awaits: bool) -> bool {
        self.approximator.as_ref().is_none_or(|approximator| {
            (awaits || !approximator.is_at_work()) && approximator.fits(unknowns, equations)
        })
    }
}

/// What to do about a residual that the complex step cannot see.
fn not_analytic(name: &str, dropped: Dropped) -> String {
    let what = match dropped {
        Dropped::All => {
            "its values for a complex x have no imaginary part, although they depend on x".into()
        }
        Dropped::Component(i) => format!(
            "component {i} of its value has no imaginary part for any complex x, although it \
             depends on x"
        ),
        Dropped::Unknown(j) => format!(
            "its values have no imaginary part where component {j} of x has one, although they \
             depend on it"
        ),
    };
    format!(
        "{name}: {what}. The complex step, jac='cs', needs a function that is analytic and keeps \
         complex numbers (no abs, norm, maximum or cast to real); use jac='3-point' or '2-point'."
    )
}
