//! Answers the kernel of Broyden's method with the user's functions.

use numpy::{PyArrayDescrMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyStopIteration, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyTuple};

use ndarray_linalg::{c32, c64};

use super::options::Settings;
use crate::kernels::broyden::inverse_jacobian::RankLimit;
use crate::kernels::broyden::solver::{Ask, Broyden, Options, Stop};
use crate::kernels::broyden::termination::Norms;
use crate::python::arrays::{self, Entry, as_array, describe};
use crate::python::callable::Callable;
use crate::python::lapack;
use crate::python::numbers::real;
use crate::python::results::optimize_result;
use crate::python::root::unknowns::{FieldOf, Points, Unknowns};
use crate::python::text::{formatted, print};

/// From this many unknowns on an iteration takes longer than handing the GIL over and back.
const WORTH_DETACHING: usize = 10_000;

pub struct Functions<'py> {
    pub residual: Callable<'py>,
    pub norm: Option<Callable<'py>>,
    pub callback: Option<Callable<'py>>,
}

impl<'py> Functions<'py> {
    pub fn new(
        residual: Callable<'py>,
        callback: &Bound<'py, PyAny>,
        settings: &Settings<'py>,
    ) -> PyResult<Self> {
        let py = callback.py();
        let callback = Callable::optional(callback, &PyTuple::empty(py), "callback")?;
        Ok(Functions { residual, norm: settings.tol_norm(py)?, callback })
    }
}

/// Solves. The field to compute in is that of x₀ and F(x₀) together.
pub fn solve<'py>(
    mut functions: Functions<'py>,
    unknowns: Unknowns<'py>,
    settings: &Settings<'py>,
) -> PyResult<Solution<'py>> {
    let (start, start_field) = (unknowns.first_point()?, unknowns.field()?);
    let first = functions.residual.call(&start)?;
    drop(start);
    let returned_field = if arrays::holds_python_reals(&first) {
        FieldOf::Double
    } else {
        let dtype = as_array(&first, functions.residual.name)?.dtype();
        match (dtype.kind(), dtype.char()) {
            (_, b'f') => FieldOf::Single,
            (_, b'F') => FieldOf::ComplexSingle,
            (b'c', _) => FieldOf::ComplexDouble,
            _ => FieldOf::Double,
        }
    };
    match start_field.join(returned_field) {
        FieldOf::Single => run::<f32>(functions, unknowns, settings, first),
        FieldOf::Double => run::<f64>(functions, unknowns, settings, first),
        FieldOf::ComplexSingle => run::<c32>(functions, unknowns, settings, first),
        FieldOf::ComplexDouble => run::<c64>(functions, unknowns, settings, first),
    }
}

/// Where the solve has ended.
pub struct Solution<'py> {
    pub x: Bound<'py, PyAny>,
    residual: Bound<'py, PyAny>,
    stop: Stop,
    looks: u64,
    calls: u64,
}

impl<'py> Solution<'py> {
    /// Whether this is what the caller wanted.
    pub fn wanted(&self) -> bool {
        self.stop != Stop::OutOfIterations
    }

    /// As SciPy's OptimizeResult.
    pub fn result(self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.x.py();
        let (status, message) = match self.stop {
            Stop::Converged => (1, "A solution was found at the specified tolerance."),
            Stop::Interrupted => (3, "Stopped by the callback."),
            _ => (2, "The maximum number of iterations allowed has been reached."),
        };
        let result = optimize_result(py)?;
        let fields = result.cast::<PyDict>()?;
        fields.set_item(intern!(py, "x"), self.x)?;
        fields.set_item(intern!(py, "method"), "broyden1")?;
        fields.set_item(intern!(py, "nit"), self.looks)?;
        fields.set_item(intern!(py, "fun"), self.residual)?;
        fields.set_item(intern!(py, "status"), status)?;
        fields.set_item(intern!(py, "success"), self.stop == Stop::Converged)?;
        fields.set_item(intern!(py, "message"), message)?;
        fields.set_item(intern!(py, "nfev"), self.calls)?;
        Ok(result)
    }
}

fn run<'py, T: Entry>(
    functions: Functions<'py>,
    unknowns: Unknowns<'py>,
    settings: &Settings<'py>,
    first: Bound<'py, PyAny>,
) -> PyResult<Solution<'py>> {
    let py = first.py();
    let (mut start, mut residual) = (Vec::new(), Vec::new());
    arrays::read::<T>(&unknowns.start, unknowns.name, &mut start)?;
    arrays::read::<T>(&first, functions.residual.name, &mut residual)?;
    let driver = Driver {
        functions,
        unknowns,
        points: Points::new(),
        buffer: Vec::new(),
        verbose: settings.verbose,
    };
    driver.expect_length(residual.len(), start.len(), &first)?;
    drop(first);
    let alpha = settings.alpha.map(|alpha| match alpha.im == 0.0 || T::COMPLEX {
        true => Ok(T::from_complex(alpha)),
        false => Err(PyTypeError::new_err("alpha is complex, but x and F(x) are real")),
    });
    let lapack = match settings.limit {
        RankLimit::Svd { .. } => Some(lapack::load(py)?),
        _ => None,
    };
    let options = Options {
        alpha: alpha.transpose()?,
        limit: settings.limit,
        termination: settings.termination,
        iterations: settings.iterations(start.len()),
        search: settings.search,
        own_norm: driver.functions.norm.is_some(),
    };
    driver.run(Broyden::new(start, residual, options, lapack))
}

struct Driver<'py, T: Entry> {
    functions: Functions<'py>,
    unknowns: Unknowns<'py>,
    points: Points<'py, T>,
    /// For residuals that cannot be read where they are.
    buffer: Vec<T>,
    verbose: bool,
}

impl<'py, T: Entry> Driver<'py, T> {
    fn run(mut self, mut solver: Broyden<T>) -> PyResult<Solution<'py>> {
        let py = self.unknowns.start.py();
        let length = solver.point().len();
        loop {
            match solver.ask() {
                Ask::Residual(x) => {
                    let x = self.points.next(&self.unknowns, x)?;
                    let returned = self.functions.residual.call(&x)?;
                    drop(x);
                    self.tell(&mut solver, &returned)?;
                }
                Ask::Norms { residual, point, step } => {
                    let norms = self.measure(residual, point, step)?;
                    solver.tell_norms(norms);
                }
                Ask::Report => {
                    if self.report(&solver)? {
                        if length < WORTH_DETACHING {
                            solver.tell_reported();
                        } else {
                            py.detach(|| solver.tell_reported());
                        }
                    } else {
                        solver.interrupt();
                    }
                }
                Ask::Done(stop) => {
                    return self.solution(&solver, stop);
                }
            }
        }
    }

    fn tell(&mut self, solver: &mut Broyden<T>, returned: &Bound<'py, PyAny>) -> PyResult<()> {
        let (name, expected) = (self.functions.residual.name, solver.point().len());
        let count = arrays::with_values(returned, name, &mut self.buffer, |residual| {
            if residual.len() == expected {
                solver.tell_residual(residual);
            }
            residual.len()
        })?;
        self.expect_length(count, expected, returned)
    }

    fn expect_length(
        &self,
        count: usize,
        expected: usize,
        returned: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        if count == expected {
            return Ok(());
        }
        Err(PyValueError::new_err(format!(
            "{}: expected {expected} values, one for each element of {}, got {count} ({})",
            self.functions.residual.name,
            self.unknowns.name,
            describe(returned)
        )))
    }

    fn flat(&self, values: &[T]) -> PyResult<Bound<'py, PyAny>> {
        self.unknowns.array(values, &[values.len()])
    }

    fn norm_of(&mut self, values: &[T]) -> PyResult<f64> {
        let values = self.flat(values)?;
        match &mut self.functions.norm {
            Some(norm) => real(&norm.call(&values)?, "tol_norm: the result"),
            None => Ok(f64::NAN),
        }
    }

    fn measure(&mut self, residual: &[T], point: &[T], step: &[T]) -> PyResult<Norms> {
        // Before there is a direction, SciPy measures a vector of infinities.
        let first = vec![T::of(f64::INFINITY); point.len()];
        let step = if step.is_empty() { &first } else { step };
        Ok(Norms {
            residual: self.norm_of(residual)?,
            point: self.norm_of(point)?,
            step: self.norm_of(step)?,
        })
    }

    /// Calls the callback and prints; false where the callback stops the solve.
    fn report(&mut self, solver: &Broyden<T>) -> PyResult<bool> {
        let py = self.unknowns.start.py();
        if self.functions.callback.is_some() {
            let (x, f) = (self.flat(solver.point())?, self.flat(solver.residual())?);
            if let Some(callback) = &mut self.functions.callback {
                match callback.call_with(&x, &f) {
                    Ok(_) => {}
                    Err(error) if error.is_instance_of::<PyStopIteration>(py) => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
        }
        if self.verbose {
            let size = match self.functions.norm {
                Some(_) => self.norm_of(solver.residual())?,
                None => crate::linalg::norm::max_norm(solver.residual()),
            };
            let (size, step) = (PyFloat::new(py, size), PyFloat::new(py, solver.length()));
            print(
                py,
                &format!(
                    "{}:  |F(x)| = {}; step {}\n",
                    solver.iterations() - 1,
                    formatted(&size, "g")?,
                    formatted(&step, "g")?
                ),
            )?;
        }
        Ok(true)
    }

    fn solution(self, solver: &Broyden<T>, stop: Stop) -> PyResult<Solution<'py>> {
        let at = format!("at iteration {}", solver.iterations() + 1);
        let name = self.functions.residual.name;
        match stop {
            Stop::NonFiniteResidual => {
                return Err(PyValueError::new_err(format!(
                    "{name}: the residual must not contain infs or NaNs, but does {at}"
                )));
            }
            Stop::NonFiniteStep => {
                return Err(PyValueError::new_err(format!(
                    "{name}: the step {at} contains infs or NaNs; the residual is too large"
                )));
            }
            Stop::ZeroStep => {
                return Err(PyValueError::new_err(format!(
                    "Jacobian inversion yielded zero vector {at}: alpha is zero, or the residual \
                     too small"
                )));
            }
            _ => {}
        }
        // SciPy counts how often it has looked at its tolerances.
        let looks = match stop {
            Stop::OutOfIterations | Stop::Interrupted => solver.iterations(),
            _ => solver.iterations() + 1,
        };
        Ok(Solution {
            x: self.unknowns.point(solver.point())?,
            residual: self.flat(solver.residual())?,
            stop,
            looks,
            calls: self.functions.residual.calls,
        })
    }
}
