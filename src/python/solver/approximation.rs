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

/// An approximation in the making.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Entry")]
pub enum Approximation<T: Entry> {
    Differences(FiniteDifferences<T>),
    ComplexStep(ComplexStep<T>),
}

impl<T: Entry> Approximation<T> {
    pub fn new(
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

    pub fn complete(&self) -> bool {
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

    pub fn into_jacobian(self) -> Array2<T> {
        match self {
            Approximation::Differences(differences) => differences.into_jacobian(),
            Approximation::ComplexStep(step) => step.into_jacobian(),
        }
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize, equations: usize) -> bool {
        !self.complete()
            && match self {
                Approximation::Differences(differences) => differences.fits(unknowns, equations),
                Approximation::ComplexStep(step) => step.fits(unknowns, equations),
            }
    }
}
