//! `root(method='newton')`: the driver of `kernels::newton::system`.

use pyo3::exceptions::{PyStopIteration, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use ndarray::{Dimension, IxDyn};
use ndarray_linalg::{c32, c64};

use super::jacobian::{Returned, Source, refuse_large_order};
use super::options::Options;
use super::unknowns::{FieldOf, Unknowns};
use crate::kernels::differences::{ComplexStep, Distances, FiniteDifferences, Scheme};
use crate::kernels::newton::system::{Ask, Stop, System};
use crate::linalg::norm::max_norm;
use crate::python::arrays::{self, Entry, describe};
use crate::python::callable::Callable;
use crate::python::lapack;
use crate::python::results::optimize_result;

/// From this order on a factorization takes longer than handing the GIL over and back.
const WORTH_DETACHING: usize = 64;

#[pyfunction]
pub fn root_newton<'py>(
    fun: &Bound<'py, PyAny>,
    x0: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    jac: &Bound<'py, PyAny>,
    tol: Option<&Bound<'py, PyAny>>,
    callback: Option<&Bound<'py, PyAny>>,
    options: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let unknowns = Unknowns::new(x0)?;
    match unknowns.field()? {
        FieldOf::Single => solve::<f32>(fun, unknowns, args, jac, tol, callback, options),
        FieldOf::Double => solve::<f64>(fun, unknowns, args, jac, tol, callback, options),
        FieldOf::ComplexSingle => solve::<c32>(fun, unknowns, args, jac, tol, callback, options),
        FieldOf::ComplexDouble => solve::<c64>(fun, unknowns, args, jac, tol, callback, options),
    }
}

fn solve<'py, T: Entry>(
    fun: &Bound<'py, PyAny>,
    unknowns: Unknowns<'py>,
    args: &Bound<'py, PyTuple>,
    jac: &Bound<'py, PyAny>,
    tol: Option<&Bound<'py, PyAny>>,
    callback: Option<&Bound<'py, PyAny>>,
    options: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let options = Options::read(options, tol, T::EPSILON)?;
    let start: Vec<T> = unknowns.start()?;
    let driver = Driver {
        distances: Distances::from_start(&start, options.relative_step),
        system: System::new(start, options.system),
        unknowns,
        fun: Callable::new(fun, args, "fun")?,
        source: Source::new(jac, args, T::COMPLEX)?,
        callback: callback
            .map(|callback| Callable::new(callback, &PyTuple::empty(fun.py()), "callback"))
            .transpose()?,
        residual_shape: IxDyn(&[]),
        residual: Vec::new(),
        with_residual: None,
        jacobian: None,
        jacobians: 0,
    };
    driver.run()
}

/// Answers the solver with the user's functions.
struct Driver<'py, T: Entry> {
    system: System<T>,
    unknowns: Unknowns<'py>,
    distances: Distances,
    fun: Callable<'py>,
    source: Source<'py>,
    callback: Option<Callable<'py>>,
    /// The shape in which `fun` returns its values.
    residual_shape: IxDyn,
    residual: Vec<T>,
    /// The Jacobian that came with the last residual.
    with_residual: Option<Bound<'py, PyAny>>,
    jacobian: Option<Returned<'py, T>>,
    jacobians: u64,
}

impl<'py, T: Entry> Driver<'py, T> {
    fn run(mut self) -> PyResult<Bound<'py, PyAny>> {
        loop {
            match self.system.ask() {
                Ask::Residual(x) => {
                    let x = self.unknowns.point(x)?;
                    self.evaluate(&x)?;
                    self.system.tell_residual(&self.residual);
                }
                Ask::Jacobian => self.answer_jacobian()?,
                Ask::Solution(rhs) => {
                    let Some(Returned::Sparse(sparse)) = &mut self.jacobian else {
                        unreachable!("only a sparse Jacobian is kept");
                    };
                    match sparse.solve(rhs)? {
                        Some(solution) => self.system.tell_solution(&solution),
                        None => self.system.tell_singular_jacobian(),
                    }
                }
                Ask::Report => self.report()?,
                Ask::Done(stop) => return self.result(stop),
            }
        }
    }

    /// Calls `fun` and reads what it returns into `self.residual`.
    fn evaluate(&mut self, x: &Bound<'py, PyAny>) -> PyResult<()> {
        let mut returned = self.fun.call(x)?;
        if matches!(self.source, Source::WithResidual) {
            let [residual, jacobian] = [0, 1].map(|i| returned.get_item(i));
            let (Ok(residual), Ok(jacobian)) = (residual, jacobian) else {
                return Err(PyValueError::new_err(format!(
                    "fun must return a pair (F, J) where jac is True, got {}",
                    describe(&returned)
                )));
            };
            returned = residual;
            self.with_residual = Some(jacobian);
        }
        let shape = arrays::read(&returned, "fun", &mut self.residual)?;
        self.expect_length(&returned, self.residual.len())?;
        self.residual_shape = shape;
        Ok(())
    }

    fn expect_length(&self, returned: &Bound<'_, PyAny>, length: usize) -> PyResult<()> {
        let count = self.system.point().len();
        if length == count {
            return Ok(());
        }
        Err(PyValueError::new_err(format!(
            "fun: expected {count} values, one for each element of x0, got {length} ({})",
            describe(returned)
        )))
    }

    fn answer_jacobian(&mut self) -> PyResult<()> {
        self.jacobians += 1;
        // The last one is not needed any more, and its memory may be.
        self.jacobian = None;
        let py = self.unknowns.start.py();
        let jacobian = self.evaluate_jacobian()?;
        match &jacobian {
            Returned::Dense(matrix) => {
                let lapack = lapack::load(py)?;
                let system = &mut self.system;
                if matrix.nrows() < WORTH_DETACHING {
                    system.tell_jacobian(lapack, matrix.view());
                } else {
                    py.detach(|| system.tell_jacobian(lapack, matrix.view()));
                }
            }
            Returned::Sparse(sparse) => {
                let scales = sparse.scales(self.system.point())?;
                self.system.tell_kept_jacobian(&scales);
            }
        }
        self.jacobian = Some(jacobian);
        Ok(())
    }

    fn evaluate_jacobian(&mut self) -> PyResult<Returned<'py, T>> {
        let (returned, name) = match &mut self.source {
            Source::Callable(jac) => {
                let x = self.unknowns.point(self.system.point())?;
                (jac.call(&x)?, "jac")
            }
            Source::WithResidual => match self.with_residual.take() {
                Some(jacobian) => (jacobian, "fun (the Jacobian)"),
                None => unreachable!("the residual at the current point was asked for first"),
            },
            Source::Differences(scheme) => {
                let scheme = *scheme;
                return self.differences(scheme);
            }
            Source::ComplexStep => return self.complex_step(),
        };
        Returned::read(&returned, name, (self.residual_shape.slice(), self.unknowns.shape()))
    }

    fn differences(&mut self, scheme: Scheme) -> PyResult<Returned<'py, T>> {
        let (point, residual) = (self.system.point().to_vec(), self.system.residual().to_vec());
        refuse_large_order::<T>(point.len())?;
        let mut differences = FiniteDifferences::new(scheme, &point, &residual, &self.distances);
        while let Some(x) = differences.ask() {
            let x = self.unknowns.point(x)?;
            self.evaluate(&x)?;
            differences.tell(&self.residual);
        }
        Ok(Returned::Dense(differences.into_jacobian()))
    }

    fn complex_step(&mut self) -> PyResult<Returned<'py, T>> {
        let point = self.system.point();
        refuse_large_order::<T>(point.len())?;
        let mut step: ComplexStep<T> = ComplexStep::new(point, point.len(), &self.distances);
        let mut values: Vec<c64> = Vec::new();
        while let Some(x) = step.ask() {
            let returned = self.fun.call(&self.unknowns.point(x)?)?;
            arrays::read(&returned, "fun", &mut values)?;
            self.expect_length(&returned, values.len())?;
            step.tell(&values);
        }
        Ok(Returned::Dense(step.into_jacobian()))
    }

    fn report(&mut self) -> PyResult<()> {
        if let Some(callback) = &mut self.callback {
            let x = self.unknowns.point(self.system.point())?;
            let f = self.unknowns.array(self.system.residual(), self.residual_shape.slice())?;
            match callback.call_with(&x, &f) {
                Ok(_) => {}
                Err(error) if error.is_instance_of::<PyStopIteration>(x.py()) => {
                    self.system.interrupt();
                }
                Err(error) => return Err(error),
            }
        }
        self.system.tell_reported();
        Ok(())
    }

    fn result(self, stop: Stop) -> PyResult<Bound<'py, PyAny>> {
        let current = matches!(stop, Stop::SmallResidual | Stop::SmallStep | Stop::Interrupted);
        let (x, f) = if current {
            (self.system.point(), self.system.residual())
        } else {
            self.system.best()
        };
        let py = self.unknowns.start.py();
        let result = optimize_result(py)?;
        let fields = result.cast::<PyDict>()?;
        fields.set_item(intern!(py, "message"), message(stop, self.system.iterations(), f))?;
        fields.set_item(
            intern!(py, "success"),
            matches!(stop, Stop::SmallResidual | Stop::SmallStep),
        )?;
        fields.set_item(intern!(py, "status"), status(stop))?;
        fields.set_item(intern!(py, "method"), "newton")?;
        fields
            .set_item(intern!(py, "fun"), self.unknowns.array(f, self.residual_shape.slice())?)?;
        fields.set_item(intern!(py, "x"), self.unknowns.point(x)?)?;
        fields
            .set_item(intern!(py, "jac"), self.jacobian.map(|jacobian| jacobian.to_python(py)))?;
        fields.set_item(intern!(py, "nit"), self.system.iterations())?;
        fields.set_item(intern!(py, "nfev"), self.fun.calls)?;
        fields.set_item(intern!(py, "njev"), self.jacobians)?;
        Ok(result)
    }
}

fn status(stop: Stop) -> i32 {
    match stop {
        Stop::SmallResidual => 1,
        Stop::SmallStep => 2,
        Stop::OutOfIterations => 0,
        Stop::SingularJacobian => -1,
        Stop::NonFiniteJacobian => -2,
        Stop::NonFiniteResidual => -3,
        Stop::Stalled => -4,
        Stop::Interrupted => -5,
    }
}

fn message<T: Entry>(stop: Stop, iterations: u64, residual: &[T]) -> String {
    let largest = max_norm(residual);
    let at = format!("at iteration {}", iterations + 1);
    match stop {
        Stop::SmallResidual => "Converged: the residual is within ftol.".into(),
        Stop::SmallStep => "Converged: the next step and the residual are within xtol.".into(),
        Stop::OutOfIterations => {
            format!("No convergence after {iterations} iterations (max |F| = {largest:.3e}).")
        }
        Stop::SingularJacobian => format!("The Jacobian is singular {at}."),
        Stop::NonFiniteJacobian => format!("The Jacobian has NaN or inf {at}."),
        Stop::NonFiniteResidual if iterations == 0 && !largest.is_finite() => {
            "The residual has NaN or inf at x0.".into()
        }
        Stop::NonFiniteResidual => format!("The residual has NaN or inf along the step {at}."),
        Stop::Stalled => format!(
            "No step along the Newton direction reduces the residual {at} (max |F| = \
             {largest:.3e}): x is near a local minimum of its norm, the residual is lost in \
             rounding errors, or the Jacobian is wrong."
        ),
        Stop::Interrupted => format!("Stopped by the callback after {iterations} iterations."),
    }
}
