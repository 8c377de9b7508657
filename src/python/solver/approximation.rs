//! A Jacobian from values of the residual, which Python functions give one after the other.

use ndarray::Array2;
use ndarray_linalg::c64;
use pyo3::prelude::*;
use serde::{Deserialize, Serialize};

use crate::kernels::differences::{ComplexStep, Distances, FiniteDifferences, Scheme};
use crate::kernels::lsqtr::bounds::Bounds;
use crate::python::arrays::{self, Entry};
use crate::python::unknowns::Unknowns;

/// How a Jacobian is approximated.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Rule {
    Differences(Scheme),
    ComplexStep,
}

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

/// Where Jacobians come from: from the user, or by a rule from values of the residual.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Entry")]
pub struct Source<T: Entry> {
    /// None where the user is asked for Jacobians.
    rule: Option<Rule>,
    distances: Distances,
    in_the_making: Option<Approximation<T>>,
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
}

impl<T: Entry> Source<T> {
    pub fn new(rule: Option<Rule>, distances: Distances) -> Self {
        Source { rule, distances, in_the_making: None }
    }

    pub fn way(&mut self) -> Way<T> {
        match self.in_the_making.take_if(|approximation| approximation.complete()) {
            Some(complete) => Way::Complete(complete.into_jacobian()),
            None if self.in_the_making.is_some() => Way::Residual,
            None if self.rule.is_some() => Way::Begin,
            None => Way::Jacobian,
        }
    }

    /// Begins to approximate the Jacobian at a point, staying within the bounds.
    pub fn begin(&mut self, point: &[T], residual: &[T], bounds: Option<&Bounds>) {
        self.in_the_making = self
            .rule
            .map(|rule| Approximation::new(rule, point, residual, &self.distances, bounds));
    }

    pub fn in_the_making(&mut self) -> Option<&mut Approximation<T>> {
        self.in_the_making.as_mut()
    }

    pub fn abandon(&mut self) {
        self.in_the_making = None;
    }

    /// Whether the parts have the sizes that go together; those of saved state may not. An
    /// approximation can be there only where the kernel `awaits` one.
    pub fn fits(&self, unknowns: usize, equations: usize, awaits: bool) -> bool {
        let fits = |approximation: &Approximation<T>| {
            awaits && self.rule.is_some() && approximation.fits(unknowns, equations)
        };
        self.distances.fits(unknowns) && self.in_the_making.as_ref().is_none_or(fits)
    }
}

/// An approximation in the making; residuals are what it asks for.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Entry")]
pub enum Approximation<T: Entry> {
    Differences(FiniteDifferences<T>),
    ComplexStep(ComplexStep<T>),
}

impl<T: Entry> Approximation<T> {
    fn new(
        rule: Rule,
        point: &[T],
        residual: &[T],
        distances: &Distances,
        bounds: Option<&Bounds>,
    ) -> Self {
        match rule {
            Rule::ComplexStep => {
                Approximation::ComplexStep(ComplexStep::new(point, residual.len(), distances))
            }
            Rule::Differences(scheme) => {
                let differences = FiniteDifferences::new(scheme, point, residual, distances);
                Approximation::Differences(match bounds {
                    Some(bounds) => differences.within(&bounds.lower, &bounds.upper),
                    None => differences,
                })
            }
        }
    }

    fn complete(&self) -> bool {
        match self {
            Approximation::Differences(differences) => differences.ask().is_none(),
            Approximation::ComplexStep(step) => step.ask().is_none(),
        }
    }

    /// The point at which the residual is wanted; empty where it is complete.
    pub fn question<'py>(
        &self,
        py: Python<'py>,
        unknowns: &Unknowns,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Approximation::Differences(differences) => {
                unknowns.point(py, differences.ask().unwrap_or_default())
            }
            Approximation::ComplexStep(step) => unknowns.point(py, step.ask().unwrap_or_default()),
        }
    }

    /// Takes the residual there; `expect_count` refuses a wrong number of values.
    pub fn answer(
        &mut self,
        value: &Bound<'_, PyAny>,
        name: &str,
        expect_count: impl Fn(usize) -> PyResult<()>,
    ) -> PyResult<()> {
        match self {
            Approximation::Differences(differences) => {
                let mut values: Vec<T> = Vec::new();
                arrays::read(value, name, &mut values)?;
                expect_count(values.len())?;
                differences.tell(&values);
            }
            Approximation::ComplexStep(step) => {
                let mut values: Vec<c64> = Vec::new();
                arrays::read(value, name, &mut values)?;
                expect_count(values.len())?;
                step.tell(&values);
            }
        }
        Ok(())
    }

    fn into_jacobian(self) -> Array2<T> {
        match self {
            Approximation::Differences(differences) => differences.into_jacobian(),
            Approximation::ComplexStep(step) => step.into_jacobian(),
        }
    }

    fn fits(&self, unknowns: usize, equations: usize) -> bool {
        !self.complete()
            && match self {
                Approximation::Differences(differences) => differences.fits(unknowns, equations),
                Approximation::ComplexStep(step) => step.fits(unknowns, equations),
            }
    }
}
