//! The user's functions, and the loop that answers a solver with them.

use pyo3::exceptions::{PyStopIteration, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyString, PyTuple, PyType};

use super::Solver;
use super::session::Next;
use crate::python::arrays::describe;
use crate::python::call::call;
use crate::python::callable::Callable;
use crate::python::options::truth;

/// Where Jacobians come from, if the solver asks for them.
pub enum Jacobians<'py> {
    None,
    Callable(Callable<'py>),
    /// From the function of the residual, which returns the pair (F, J); the J of its last call.
    WithResidual(Option<Bound<'py, PyAny>>),
}

/// Who looks at the iterations.
enum Callback<'py> {
    /// A function of x, or of x and F.
    Plain(Callable<'py>),
    /// A `raphson.Observer`, which gets the solver itself.
    Observer(Bound<'py, PyAny>),
}

pub struct Callbacks<'py> {
    callbacks: Vec<Callback<'py>>,
    /// Whether what is true ends the solve, as StopIteration does.
    truth_stops: bool,
    observed: bool,
}

impl<'py> Callbacks<'py> {
    /// None, a callback, or a list or tuple of them; `arguments` follow those of plain ones.
    pub fn read(
        callback: &Bound<'py, PyAny>,
        arguments: &Bound<'py, PyTuple>,
        truth_stops: bool,
    ) -> PyResult<Self> {
        let several =
            callback.is_exact_instance_of::<PyList>() || callback.is_exact_instance_of::<PyTuple>();
        let callbacks = if callback.is_none() {
            Vec::new()
        } else if several {
            let items = callback.try_iter()?;
            items.map(|item| read_callback(&item?, arguments)).collect::<PyResult<_>>()?
        } else {
            vec![read_callback(callback, arguments)?]
        };
        let observed = callbacks.iter().any(|callback| matches!(callback, Callback::Observer(_)));
        Ok(Callbacks { callbacks, truth_stops, observed })
    }

    /// Whether any of them gets the solver itself.
    pub fn observed(&self) -> bool {
        self.observed
    }

    /// Shows an iteration that is complete; whether somebody wants to stop.
    fn iterated(&mut self, solver: &Bound<'py, Solver>) -> PyResult<bool> {
        let py = solver.py();
        let mut stop = false;
        for callback in &mut self.callbacks {
            let answer = match callback {
                Callback::Observer(observer) => {
                    tell(observer, intern!(py, "iterated"), solver).map(|()| None)
                }
                Callback::Plain(function) => {
                    let arguments = Solver::hold(solver)?.session()?.for_callback(py)?;
                    match arguments {
                        None => continue,
                        Some(arguments) => function.call_with(py, arguments).map(Some),
                    }
                }
            };
            match answer {
                Ok(Some(answer)) => {
                    stop |= self.truth_stops && truth(&answer, "callback: the result")?
                }
                Ok(None) => {}
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => stop = true,
                Err(error) => return Err(error),
            }
        }
        Ok(stop)
    }

    /// Tells the observers what has happened.
    fn notify(&self, solver: &Bound<'py, Solver>, method: &str) -> PyResult<()> {
        let method = PyString::new(solver.py(), method);
        for callback in &self.callbacks {
            if let Callback::Observer(observer) = callback {
                tell(observer, &method, solver)?;
            }
        }
        Ok(())
    }
}

fn tell(
    observer: &Bound<'_, PyAny>,
    method: &Bound<'_, PyString>,
    solver: &Bound<'_, Solver>,
) -> PyResult<()> {
    call(&observer.getattr(method)?, (solver,)).map(|_| ())
}

fn read_callback<'py>(
    callback: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Callback<'py>> {
    static OBSERVER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let observer: &Bound<'_, PyAny> =
        OBSERVER.import(callback.py(), "raphson._observer", "Observer")?;
    if callback.is_instance(observer)? {
        return Ok(Callback::Observer(callback.clone()));
    }
    if let Ok(class) = callback.cast::<PyType>()
        && class.is_subclass(observer)?
    {
        let name = class.name()?;
        return Err(PyTypeError::new_err(format!(
            "callback is the class {name}; pass an instance of it, as in callback={name}()"
        )));
    }
    Ok(Callback::Plain(Callable::new(callback, arguments, "callback")?))
}

pub struct Functions<'py> {
    pub residual: Callable<'py>,
    pub jacobians: Jacobians<'py>,
    pub callbacks: Callbacks<'py>,
    pub verbosity: f64,
}

impl<'py> Functions<'py> {
    /// Answers the solver until it is done. Observers are told of the beginning, and of the end,
    /// whatever it is.
    pub fn solve(&mut self, solver: &Bound<'py, Solver>) -> PyResult<()> {
        if !self.callbacks.observed {
            return self.answer(solver);
        }
        let outcome = self.callbacks.notify(solver, "started").and_then(|()| self.answer(solver));
        match (outcome, self.callbacks.notify(solver, "ended")) {
            (Err(error), Err(another)) => {
                another.write_unraisable(solver.py(), Some(solver.as_any()));
                Err(error)
            }
            (outcome, end) => outcome.and(end),
        }
    }

    fn answer(&mut self, solver: &Bound<'py, Solver>) -> PyResult<()> {
        let py = solver.py();
        let mut evaluated = false;
        let mut held = Solver::hold(solver)?;
        loop {
            match held.advance(py)? {
                Next::Nothing => return held.session()?.print_end(py, self.verbosity),
                Next::Report => {
                    drop(held);
                    let stop = self.callbacks.iterated(solver)?;
                    held = Solver::hold(solver)?;
                    if self.verbosity > 0.0 {
                        held.session()?.print(py, self.verbosity)?;
                    }
                    held.reported(py, stop)?;
                }
                next => {
                    if evaluated && self.callbacks.observed && !self.knows(next) {
                        drop(held);
                        self.callbacks.notify(solver, "evaluated")?;
                        held = Solver::hold(solver)?;
                    }
                    evaluated = true;
                    let (x, ticket) = held.question(py)?;
                    if next == Next::Jacobian && !held.session()?.jacobian_is_of_the_last_residual()
                    {
                        self.forget_jacobian();
                    }
                    drop(held);
                    let (value, name) = self.value_at(x, next)?;
                    held = Solver::hold(solver)?;
                    held.answer(&value, name, ticket)?;
                }
            }
        }
    }

    /// Whether the value came with the last one.
    fn knows(&self, next: Next) -> bool {
        matches!((&self.jacobians, next), (Jacobians::WithResidual(Some(_)), Next::Jacobian))
    }

    fn forget_jacobian(&mut self) {
        if let Jacobians::WithResidual(kept) = &mut self.jacobians {
            *kept = None;
        }
    }

    fn value_at(
        &mut self,
        x: Bound<'py, PyAny>,
        next: Next,
    ) -> PyResult<(Bound<'py, PyAny>, &'static str)> {
        match next {
            Next::Jacobian => self.jacobian_at(&x),
            _ => Ok((self.residual_at(&x)?, self.residual.name)),
        }
    }

    /// F at a point.
    pub fn residual_at(&mut self, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let returned = self.residual.call(x)?;
        match &mut self.jacobians {
            Jacobians::WithResidual(kept) => {
                let (residual, jacobian) = pair(&returned, x, self.residual.name)?;
                *kept = Some(jacobian);
                Ok(residual)
            }
            _ => Ok(returned),
        }
    }

    /// J at a point, and the name of what gave it.
    pub fn jacobian_at(
        &mut self,
        x: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyAny>, &'static str)> {
        match &mut self.jacobians {
            Jacobians::Callable(jacobian) => Ok((jacobian.call(x)?, jacobian.name)),
            Jacobians::WithResidual(kept) => {
                // A solver that was saved may ask for the Jacobian first, and one that has gone back
                // for that of an earlier point.
                let jacobian = match kept.take() {
                    Some(jacobian) => jacobian,
                    None => pair(&self.residual.call(x)?, x, self.residual.name)?.1,
                };
                Ok((jacobian, "fun (the Jacobian)"))
            }
            Jacobians::None => Err(PyTypeError::new_err(
                "jac is missing: pass it to solve(fun, jac), or make the solver with jac='2-point'",
            )),
        }
    }
}

/// The first two values of a sequence. A vector of residuals is none, though it could be taken
/// apart.
fn pair<'py>(
    returned: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    name: &str,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    if returned.len().is_ok_and(|length| length >= 2)
        && !returned.hasattr(intern!(returned.py(), "shape"))?
        && let [Ok(residual), Ok(jacobian)] = [0, 1].map(|i| returned.get_item(i))
    {
        // Two numbers are a pair for one unknown only.
        let numbers = is_number(&residual) && is_number(&jacobian);
        if !numbers || x.len().map_or(true, |unknowns| unknowns == 1) {
            return Ok((residual, jacobian));
        }
    }
    Err(PyValueError::new_err(format!(
        "{name} must return a pair (F, J) where jac is True, got {}",
        describe(returned)
    )))
}

fn is_number(value: &Bound<'_, PyAny>) -> bool {
    value.len().is_err() && value.extract::<f64>().is_ok()
}
