//! Answers the kernel of Broyden's method with the user's functions.

use numpy::{PyArrayDescrMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyStopIteration, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

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
use crate::python::root::unknowns::{FieldOf, Unknowns};

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

/// Solves, and says whether that ended as the caller wanted. The field to compute in is that of
/// x₀ and F(x₀) together.
pub fn solve<'py>(
    mut functions: Functions<'py>,
    unknowns: Unknowns<'py>,
    settings: &Settings<'py>,
) -> PyResult<(Bound<'py, PyAny>, bool)> {
    let (start, start_field) = (unknowns.first_point()?, unknowns.field()?);
    let returned = functions.residual.call(&start)?;
    let first = as_array(&returned, functions.residual.name)?;
    let dtype = first.dtype();
    let returned_field = match (dtype.kind(), dtype.char()) {
        (_, b'f') => FieldOf::Single,
        (_, b'F') => FieldOf::ComplexSingle,
        (b'c', _) => FieldOf::ComplexDouble,
        _ => FieldOf::Double,
    };
    match start_field.join(returned_field) {
        FieldOf::Single => run::<f32>(functions, unknowns, settings, &first),
        FieldOf::Double => run::<f64>(functions, unknowns, settings, &first),
        FieldOf::ComplexSingle => run::<c32>(functions, unknowns, settings, &first),
        FieldOf::ComplexDouble => run::<c64>(functions, unknowns, settings, &first),
    }
}

fn run<'py, T: Entry>(
    functions: Functions<'py>,
    unknowns: Unknowns<'py>,
    settings: &Settings<'py>,
    first: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, bool)> {
    let py = first.py();
    let mut start: Vec<T> = Vec::new();
    arrays::read(&unknowns.start, unknowns.name, &mut start)?;
    let mut driver =
        Driver { functions, unknowns, residual: Vec::new(), verbose: settings.verbose };
    driver.read_residual(first, start.len())?;
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
    let residual = std::mem::replace(&mut driver.residual, vec![T::zero(); start.len()]);
    driver.run(Broyden::new(start, residual, options, lapack))
}

struct Driver<'py, T: Entry> {
    functions: Functions<'py>,
    unknowns: Unknowns<'py>,
    residual: Vec<T>,
    verbose: bool,
}

impl<'py, T: Entry> Driver<'py, T> {
    fn run(mut self, mut solver: Broyden<T>) -> PyResult<(Bound<'py, PyAny>, bool)> {
        let py = self.unknowns.start.py();
        let length = solver.point().len();
        loop {
            match solver.ask() {
                Ask::Residual(x) => {
                    let x = self.unknowns.point(x)?;
                    let returned = self.functions.residual.call(&x)?;
                    self.read_residual(&returned, length)?;
                    let residual = &mut self.residual;
                    if length < WORTH_DETACHING {
                        solver.tell_residual(residual);
                    } else {
                        py.detach(|| solver.tell_residual(residual));
                    }
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
                    let result = self.result(&solver, stop)?;
                    let wanted = stop != Stop::OutOfIterations;
                    return Ok((result, wanted));
                }
            }
        }
    }

    fn read_residual(&mut self, returned: &Bound<'py, PyAny>, length: usize) -> PyResult<()> {
        let name = self.functions.residual.name;
        arrays::read(returned, name, &mut self.residual)?;
        if self.residual.len() == length {
            return Ok(());
        }
        Err(PyValueError::new_err(format!(
            "{name}: expected {length} values, one for each element of {}, got {} ({})",
            self.unknowns.name,
            self.residual.len(),
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
            let general = |value: f64| -> PyResult<String> {
                value.into_pyobject(py)?.call_method1("__format__", ("g",))?.extract()
            };
            let line = format!(
                "{}:  |F(x)| = {}; step {}\n",
                solver.iterations() - 1,
                general(size)?,
                general(solver.length())?
            );
            let stdout = py.import("sys")?.getattr("stdout")?;
            stdout.call_method1("write", (line,))?;
            stdout.call_method0("flush")?;
        }
        Ok(true)
    }

    fn result(self, solver: &Broyden<T>, stop: Stop) -> PyResult<Bound<'py, PyAny>> {
        let at = format!("at iteration {}", solver.iterations() + 1);
        let name = self.functions.residual.name;
        let (status, message) = match stop {
            Stop::Converged => (1, "A solution was found at the specified tolerance."),
            Stop::IterationsMade | Stop::OutOfIterations => {
                (2, "The maximum number of iterations allowed has been reached.")
            }
            Stop::Interrupted => (3, "Stopped by the callback."),
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
        };
        let py = self.unknowns.start.py();
        // SciPy counts how often it has looked at its tolerances.
        let looks = match stop {
            Stop::OutOfIterations | Stop::Interrupted => solver.iterations(),
            _ => solver.iterations() + 1,
        };
        let result = optimize_result(py)?;
        let fields = result.cast::<PyDict>()?;
        fields.set_item(intern!(py, "x"), self.unknowns.point(solver.point())?)?;
        fields.set_item(intern!(py, "method"), "broyden1")?;
        fields.set_item(intern!(py, "nit"), looks)?;
        fields.set_item(intern!(py, "fun"), self.flat(solver.residual())?)?;
        fields.set_item(intern!(py, "status"), status)?;
        fields.set_item(intern!(py, "success"), stop == Stop::Converged)?;
        fields.set_item(intern!(py, "message"), message)?;
        fields.set_item(intern!(py, "nfev"), self.functions.residual.calls)?;
        Ok(result)
    }
}
