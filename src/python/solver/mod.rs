//! The solvers as Python objects: who asks and who tells is up to the user, and the functions are
//! these objects and a loop (`functions`).

pub mod approximation;
pub mod errand;
pub mod functions;
pub mod of_kernel;
pub mod saving;
pub mod session;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyBytes, PyDict, PyTuple};

use crate::python::call::call;
use crate::python::callable::{Callable, unpack};
use crate::python::memory::expect_memory;
use crate::python::numbers::real;
use crate::python::presence::{Inside, at_work, detached};
use errand::{Errand, sees_signals};
use functions::{Callbacks, Functions, Jacobians};
use session::{Figures, Next, Session};

/// A solve in progress: what `Broyden1`, `NewtonSystem` and `LeastSquares` have in common.
///
/// A solver never calls a function. It is asked what it wants to know, and told:
///
/// .. code-block:: python
///
///     while not solver.done:
///         what, x = solver.ask()
///         solver.tell(residual(x) if what == "residual" else jacobian(x))
///     result = solver.result()
///
/// Between any two lines it can be saved, with pickle or ``to_bytes``, and loaded in another
/// process, where it goes on to the same iterates, bit for bit. Arrays that it hands out are the
/// user's to keep.
///
/// A solver is for one thread at a time: another that uses it meanwhile gets a RuntimeError, and
/// the solve is unharmed.
///
/// See Also
/// --------
/// Broyden1, NewtonSystem, LeastSquares : The solvers.
/// checkpoint : Saves a solver while it runs.
#[pyclass(subclass, weakref, module = "raphson")]
pub struct Solver {
    /// None while it is away, and when the garbage collector has taken it.
    session: Option<Box<dyn Session>>,
    /// The session is at work in another thread.
    away: Option<Errand>,
    /// Lsqtr's callbacks may return what is true in order to stop.
    truth_stops: bool,
    /// How many values it has been told.
    told: u64,
    /// There is a question that the user has been asked.
    asked: bool,
}

impl Solver {
    pub fn new(session: Box<dyn Session>, truth_stops: bool) -> Self {
        Solver { session: Some(session), away: None, truth_stops, told: 0, asked: false }
    }

    /// The solver for as long as no line of Python runs.
    pub fn hold<'py>(solver: &Bound<'py, Solver>) -> PyResult<PyRefMut<'py, Solver>> {
        let mut held = solver.try_borrow_mut().map_err(|_| {
            PyRuntimeError::new_err(
                "the solver is in use: by another thread, or by what it has just called",
            )
        })?;
        if held.away.is_some() {
            held.await_session(solver.py())?;
        }
        Ok(held)
    }

    fn await_session(&mut self, py: Python<'_>) -> PyResult<()> {
        if let Some(errand) = &mut self.away {
            let (session, found) = errand.wait(py)?;
            self.session = Some(session);
            self.away = None;
            found?;
        }
        Ok(())
    }

    pub fn session(&mut self) -> PyResult<&mut dyn Session> {
        match &mut self.session {
            Some(session) => Ok(&mut **session),
            None => Err(PyRuntimeError::new_err("the solver has been garbage-collected")),
        }
    }

    fn advance(&mut self, py: Python<'_>) -> PyResult<Next> {
        loop {
            let session = self.session()?;
            match session.advance(py)? {
                Next::Work if sees_signals(py)? => {
                    let at_work = at_work(py);
                    let session = self.session.take();
                    self.away = session.map(|session| Errand::start(py, session, at_work));
                    self.await_session(py)?;
                }
                Next::Work => detached(py, session.room(), || session.work())?,
                next => return Ok(next),
            }
        }
    }

    /// Where a value is wanted, and a ticket to tell it with.
    fn question<'py>(&mut self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, u64)> {
        Ok((self.session()?.question(py)?, self.told))
    }

    fn answer(&mut self, value: &Bound<'_, PyAny>, name: &str, ticket: u64) -> PyResult<()> {
        if ticket != self.told {
            return Err(PyRuntimeError::new_err(format!(
                "the solver was told another value while {name} was evaluated"
            )));
        }
        if let Some(session) = self.session()?.answer(value, name)? {
            self.session = Some(session);
        }
        self.told += 1;
        self.asked = false;
        Ok(())
    }

    /// Goes on to the next question, past reports that nobody is there to see.
    fn settle(&mut self, py: Python<'_>) -> PyResult<Next> {
        loop {
            match self.advance(py)? {
                Next::Report => self.report(py, false)?,
                next => return Ok(next),
            }
        }
    }

    /// A report has been made. Whoever saw it may have gone on already, by asking what comes next.
    fn reported(&mut self, py: Python<'_>, stop: bool) -> PyResult<()> {
        match self.advance(py)? {
            Next::Report => self.report(py, stop),
            Next::Nothing => Ok(()),
            _ if stop => self.end(),
            _ => Ok(()),
        }
    }

    fn report(&mut self, py: Python<'_>, stop: bool) -> PyResult<()> {
        expect_memory(self.session()?.room())?;
        self.session()?.reported(py, stop)
    }

    /// Ends the solve at the current iterate, whatever it has asked for.
    fn end(&mut self) -> PyResult<()> {
        self.session()?.stop()?;
        self.asked = false;
        self.told += 1;
        Ok(())
    }

    /// Tells the residual at the start, which is known already.
    pub fn tell_first(
        solver: &Bound<'_, Self>,
        residual: &Bound<'_, PyAny>,
        name: &str,
    ) -> PyResult<()> {
        let mut held = Self::hold(solver)?;
        held.advance(solver.py())?;
        let ticket = held.told;
        held.answer(residual, name, ticket)
    }

    pub fn figures(solver: &Bound<'_, Self>) -> PyResult<Figures> {
        Ok(Self::hold(solver)?.session()?.figures())
    }
}

#[pymethods]
impl Solver {
    /// What the solver wants to know next.
    ///
    /// Asking again before telling gives the same question.
    ///
    /// Returns
    /// -------
    /// what : {'residual', 'jacobian'}
    ///     Which value is wanted.
    /// x : ndarray, or array of the kind of ``x0``
    ///     The point, of the shape of ``x0``. It is a new array, or one that nobody else holds.
    ///
    /// Raises
    /// ------
    /// RuntimeError
    ///     If the solver is done.
    fn ask<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        static QUESTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = slf.py();
        let _inside = Inside::new(py)?;
        let mut solver = Self::hold(slf)?;
        let what = match solver.settle(py)? {
            Next::Residual => intern!(py, "residual"),
            Next::Jacobian => intern!(py, "jacobian"),
            _ => {
                return Err(PyRuntimeError::new_err(
                    "the solver is done and has nothing to ask; see result()",
                ));
            }
        };
        let (x, _) = solver.question(py)?;
        solver.asked = true;
        drop(solver);
        let question: &Bound<'_, PyAny> = QUESTION.import(py, "raphson._results", "Question")?;
        call(question, (what, x))
    }

    /// Tells the value that was asked for, and computes up to the next question.
    ///
    /// Parameters
    /// ----------
    /// value : array_like
    ///     The residual, or the Jacobian with a row for each of its components. An error leaves the
    ///     solver as it was, and it can be told again.
    ///
    /// Raises
    /// ------
    /// RuntimeError
    ///     If nothing was asked since the last value.
    /// ValueError, TypeError
    ///     If the value does not have the right shape, or is not made of numbers.
    fn tell(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let _inside = Inside::new(py)?;
        let mut solver = Self::hold(slf)?;
        if !solver.asked {
            return Err(PyRuntimeError::new_err(match solver.settle(py)? {
                Next::Nothing => "the solver is done and takes no more values; see result()",
                _ => "ask() comes first: nothing was asked since the last value",
            }));
        }
        let ticket = solver.told;
        solver.answer(value, "value", ticket)?;
        solver.settle(py).map(|_| ())
    }

    /// Whether the solve has ended.
    #[getter]
    fn done(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let _inside = Inside::new(slf.py())?;
        Ok(Self::hold(slf)?.settle(slf.py())? == Next::Nothing)
    }

    /// End the solve at the current iterate.
    ///
    /// Raises
    /// ------
    /// RuntimeError
    ///     If no residual is known yet.
    fn stop(slf: &Bound<'_, Self>) -> PyResult<()> {
        let _inside = Inside::new(slf.py())?;
        let mut solver = Self::hold(slf)?;
        match solver.settle(slf.py())? {
            Next::Nothing => Ok(()),
            _ => solver.end(),
        }
    }

    /// Answer the solver with functions until it is done.
    ///
    /// Parameters
    /// ----------
    /// fun : callable ``fun(x, *args)``
    ///     The residual.
    /// jac : callable ``jac(x, *args)`` or True, optional
    ///     The Jacobian, for a solver that asks for it; True where ``fun`` returns the pair (F, J).
    /// args : tuple, optional
    ///     Extra arguments.
    /// callback : callable, `Observer`, or list of them, optional
    ///     As in the function of the same method.
    /// verbose : float, optional
    ///     What to print, as in the function of the same method.
    ///
    /// Returns
    /// -------
    /// result : Result
    ///     As from ``result``.
    #[pyo3(signature = (fun, jac=None, args=None, callback=None, verbose=None))]
    fn solve<'py>(
        slf: &Bound<'py, Self>,
        fun: &Bound<'py, PyAny>,
        jac: Option<&Bound<'py, PyAny>>,
        args: Option<&Bound<'py, PyAny>>,
        callback: Option<&Bound<'py, PyAny>>,
        verbose: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let _inside = Inside::new(py)?;
        let truth_stops = Self::hold(slf)?.truth_stops;
        let args = args.map_or(Ok(PyTuple::empty(py)), unpack)?;
        let for_callback = if truth_stops { args.clone() } else { PyTuple::empty(py) };
        let none = py.None().into_bound(py);
        let mut functions = Functions {
            residual: Callable::new(fun, &args, "fun")?,
            jacobians: match jac {
                None => Jacobians::None,
                Some(jac) if jac.is_callable() => {
                    Jacobians::Callable(Callable::new(jac, &args, "jac")?)
                }
                Some(jac) if jac.extract::<bool>().unwrap_or(false) => {
                    Jacobians::WithResidual(None)
                }
                Some(jac) => {
                    return Err(PyTypeError::new_err(format!(
                        "jac must be callable, True or None, not {}: how a Jacobian is \
                         approximated is an option of the solver",
                        jac.repr()?
                    )));
                }
            },
            callbacks: Callbacks::read(callback.unwrap_or(&none), &for_callback, truth_stops)?,
            verbosity: verbose.map_or(Ok(0.0), |verbose| real(verbose, "verbose"))?,
        };
        functions.solve(slf)?;
        Self::result(slf)
    }

    /// The result of a solve that has ended.
    ///
    /// Returns
    /// -------
    /// result : Result
    ///     What the function of the same method returns. Where that would raise an exception,
    ///     ``success`` is False and ``message`` says why.
    ///
    /// Raises
    /// ------
    /// RuntimeError
    ///     If the solver is not done.
    fn result<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let _inside = Inside::new(py)?;
        let mut solver = Self::hold(slf)?;
        if solver.settle(py)? != Next::Nothing {
            return Err(PyRuntimeError::new_err(
                "the solver is not done: go on with ask() and tell(), or call stop()",
            ));
        }
        solver.session()?.result(py)
    }

    /// The current iterate, of the shape of ``x0``.
    #[getter]
    fn x<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let _inside = Inside::new(slf.py())?;
        Self::hold(slf)?.session()?.point(slf.py())
    }

    /// The residual at the current iterate; None before it is known.
    #[getter]
    fn fun<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let _inside = Inside::new(slf.py())?;
        Self::hold(slf)?.session()?.residual(slf.py())
    }

    /// Iterations completed.
    #[getter]
    fn nit(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Ok(Self::figures(slf)?.iterations)
    }

    /// Residuals told.
    #[getter]
    fn nfev(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Ok(Self::figures(slf)?.evaluations)
    }

    /// Residuals told, those for approximated Jacobians included.
    #[getter]
    fn calls(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Ok(Self::figures(slf)?.calls)
    }

    /// The tolerances that are in use, by the names of the options.
    #[getter]
    fn tolerances<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let _inside = Inside::new(slf.py());
        let tolerances = Self::hold(slf)?.session()?.tolerances();
        tolerances.into_py_dict(slf.py())
    }

    /// Euclidean norm of the last step; 0 before there is one.
    #[getter]
    fn step_norm(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Self::figures(slf)?.step_norm)
    }

    /// The solver as bytes, which ``from_bytes`` of its class reads.
    ///
    /// The format has a version, and is described in the documentation ("Control and checkpoints").
    /// What a `tol_norm` is, or which library the arrays of `x0` came from, is not saved.
    ///
    /// Returns
    /// -------
    /// data : bytes
    fn to_bytes<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyBytes>> {
        let py = slf.py();
        let _inside = Inside::new(py)?;
        let data = Self::hold(slf)?.session()?.to_bytes(py)?;
        PyBytes::new_with(py, data.len(), |target| {
            target.copy_from_slice(&data);
            Ok(())
        })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let data = Self::to_bytes(slf)?;
        let norm = Self::hold(slf)?.session()?.norm().map(|norm| norm.clone_ref(py));
        let load = slf.get_type().getattr(intern!(py, "from_bytes"))?;
        let arguments = match norm {
            Some(norm) => PyTuple::new(py, [data.into_any(), norm.into_bound(py)])?,
            None => PyTuple::new(py, [data])?,
        };
        Ok(PyTuple::new(py, [load, arguments.into_any()])?.into_any())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get_type().name()?;
        let mut solver = Self::hold(slf)?;
        let figures = solver.session()?.figures();
        let (quantity, size) = match figures.cost {
            Some(cost) => ("cost", cost),
            None => ("residual_norm", figures.residual_norm),
        };
        Ok(format!(
            "<raphson.{name}: nit={}, nfev={}, {quantity}={size:.3e}>",
            figures.iterations, figures.evaluations
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let references = self.session.as_ref().map(|session| session.references());
        references.into_iter().flatten().try_for_each(|reference| visit.call(reference))
    }

    fn __clear__(&mut self) {
        self.session = None;
    }
}
