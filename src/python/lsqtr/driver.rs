//! Answers the least-squares kernel with the user's functions.

use numpy::PyArray1;
use pyo3::exceptions::{PyStopIteration, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::jacobian::{Source, expect_count};
use super::report;
use crate::kernels::lsqtr::bounds::Margin;
use crate::kernels::lsqtr::solver::{Ask, LeastSquares};
use crate::kernels::lsqtr::termination::Stop;
use crate::linalg::norm::norm;
use crate::python::arrays::{self, describe};
use crate::python::callable::Callable;
use crate::python::results::optimize_result;
use crate::python::root::unknowns::Unknowns;
use crate::python::text::print;

/// From this many elements of the Jacobian on, a step takes longer than handing the GIL over and
/// back.
const WORTH_DETACHING: usize = 2_000;

pub struct Driver<'py> {
    solver: LeastSquares,
    unknowns: Unknowns<'py>,
    fun: Callable<'py>,
    source: Source<'py>,
    callback: Option<Callable<'py>>,
    verbose: f64,
    /// For residuals that cannot be read where they are.
    buffer: Vec<f64>,
    first_residual: Option<Bound<'py, PyAny>>,
    jacobian: Option<Bound<'py, PyAny>>,
    points: Bound<'py, PyList>,
    radii: Vec<f64>,
}

impl<'py> Driver<'py> {
    pub fn new(
        solver: LeastSquares,
        unknowns: Unknowns<'py>,
        fun: Callable<'py>,
        source: Source<'py>,
        callback: Option<Callable<'py>>,
        verbose: f64,
    ) -> Self {
        Driver {
            points: PyList::empty(unknowns.start.py()),
            solver,
            unknowns,
            fun,
            source,
            callback,
            verbose,
            buffer: Vec::new(),
            first_residual: None,
            jacobian: None,
            radii: Vec::new(),
        }
    }

    pub fn run(mut self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.unknowns.start.py();
        loop {
            match self.solver.ask() {
                Ask::Residual(x) => {
                    let x = self.unknowns.point(x)?;
                    let returned = self.fun.call(&x)?;
                    self.tell_residual(&returned)?;
                }
                Ask::Jacobian => {
                    let (solver, unknowns) = (&mut self.solver, &self.unknowns);
                    self.jacobian = Some(self.source.answer(solver, unknowns, &mut self.fun)?);
                }
                Ask::Step => {
                    let solver = &mut self.solver;
                    if solver.residual().len() * solver.point().len() < WORTH_DETACHING {
                        solver.step();
                    } else {
                        py.detach(|| solver.step());
                    }
                }
                Ask::Report => {
                    let interrupted = self.report()?;
                    self.solver.tell_reported(interrupted);
                }
                Ask::Done(stop) => return self.result(stop),
            }
        }
    }

    fn tell_residual(&mut self, returned: &Bound<'py, PyAny>) -> PyResult<()> {
        let (name, expected) = (self.fun.name, self.solver.residual().len());
        let first = expected == 0;
        let solver = &mut self.solver;
        let count = arrays::with_values(returned, name, &mut self.buffer, |residual| {
            if residual.len() == expected || (first && !residual.is_empty()) {
                solver.tell_residual(residual);
            }
            residual.len()
        })?;
        if !first {
            expect_count(count, expected, name, returned)?;
            self.radii.push(self.solver.radius());
        } else if count == 0 {
            return Err(PyValueError::new_err(format!(
                "{name}: expected at least one residual, got {}",
                describe(returned)
            )));
        } else {
            self.first_residual = Some(self.array(self.solver.residual())?);
        }
        Ok(())
    }

    fn array(&self, values: &[f64]) -> PyResult<Bound<'py, PyAny>> {
        self.unknowns.array(values, &[values.len()])
    }

    /// Tells the user of an iteration; whether they ask to stop.
    fn report(&mut self) -> PyResult<bool> {
        let py = self.unknowns.start.py();
        let accepted = self.solver.report().accepted;
        let first = self.radii.is_empty();
        if first {
            self.radii.push(self.solver.radius());
        }
        if first || accepted {
            self.points.append(self.unknowns.point(self.solver.point())?)?;
        }
        let mut interrupted = false;
        if accepted && let Some(callback) = &mut self.callback {
            let x = self.unknowns.point(self.solver.point())?;
            interrupted = match callback.call(&x) {
                Ok(answer) => answer.is_truthy()?,
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => true,
                Err(error) => return Err(error),
            };
        }
        if self.verbose > 1.0 {
            if first && self.verbose > 2.0 {
                let radius = self.solver.radius();
                print(py, &report::settings(py, self.solver.options(), radius)?)?;
            }
            if first {
                print(py, &report::header())?;
            }
            print(py, &report::row(py, &self.solver)?)?;
        }
        Ok(interrupted)
    }

    fn result(self, stop: Stop) -> PyResult<Bound<'py, PyAny>> {
        let py = self.unknowns.start.py();
        let solver = &self.solver;
        let limits = &solver.options().termination;
        let message = report::message(py, stop, limits)?;
        if self.verbose > 0.0 {
            let gaps = solver.point().iter().zip(solver.start()).map(|(x, start)| x - start);
            let distance = norm(&gaps.collect::<Vec<_>>());
            print(py, &report::summary(py, solver, stop.success(), &message, distance)?)?;
        }
        if stop == Stop::NonFiniteJacobian && solver.jacobians() > 1 {
            self.points.append(self.unknowns.point(solver.point())?)?;
        }
        let margin = if limits.step == 0.0 { Margin::None } else { Margin::Relative(limits.step) };
        let active = solver.options().bounds.active(solver.point(), margin);
        let residual = self.array(solver.residual())?;

        let result = optimize_result(py)?;
        let fields = result.cast::<PyDict>()?;
        fields.set_item(intern!(py, "x"), self.unknowns.point(solver.point())?)?;
        fields.set_item(intern!(py, "success"), stop.success())?;
        fields.set_item(intern!(py, "status"), report::status(stop))?;
        fields.set_item(intern!(py, "message"), message)?;
        fields.set_item(intern!(py, "cost"), solver.cost())?;
        fields.set_item(intern!(py, "fun"), &residual)?;
        fields.set_item(intern!(py, "grad"), self.unknowns.point(solver.gradient())?)?;
        fields.set_item(intern!(py, "v"), self.unknowns.point(solver.distances())?)?;
        fields.set_item(intern!(py, "jac"), &self.jacobian)?;
        fields.set_item(intern!(py, "optimality"), solver.optimality())?;
        fields.set_item(intern!(py, "nfev"), solver.evaluations())?;
        fields.set_item(intern!(py, "njev"), solver.jacobians())?;
        fields.set_item(intern!(py, "nit"), solver.iterations())?;
        let active = PyArray1::from_iter(py, active.into_iter().map(i64::from));
        fields.set_item(intern!(py, "active_mask"), active)?;
        fields.set_item(intern!(py, "allx"), &self.points)?;
        fields.set_item(intern!(py, "alltr"), self.radii)?;
        fields.set_item(intern!(py, "fse"), residual)?;
        fields.set_item(intern!(py, "f0se"), &self.first_residual)?;
        Ok(result)
    }
}
