//! The settings of Broyden's method, read from the keywords of `broyden1`.

use ndarray_linalg::c64;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use serde::{Deserialize, Serialize};

use crate::kernels::broyden::inverse_jacobian::RankLimit;
use crate::kernels::broyden::solver::SearchMethod;
use crate::kernels::broyden::termination::Termination;
use crate::python::arrays::{named, to_complex};
use crate::python::callable::Callable;
use crate::python::numbers::{count, real};
use crate::python::options::given;

/// The settings as they are kept until F(x₀) is known.
#[derive(Deserialize, Serialize)]
pub struct Settings {
    pub alpha: Option<c64>,
    pub limit: RankLimit,
    pub termination: Termination,
    maxiter: Option<u64>,
    pub search: SearchMethod,
    pub keep_iterate: bool,
    /// The user measures the norms, with this.
    pub own_norm: bool,
    #[serde(skip)]
    pub norm: Option<Py<PyAny>>,
}

/// What the settings are called that `broyden1` and `root` do not call the same.
pub struct Names<'py> {
    residual: &'py Bound<'py, PyString>,
    relative_residual: &'py Bound<'py, PyString>,
    step: &'py Bound<'py, PyString>,
    relative_step: &'py Bound<'py, PyString>,
    iterations: &'py Bound<'py, PyString>,
    pub verbose: &'py Bound<'py, PyString>,
}

impl<'py> Names<'py> {
    pub fn of_broyden1(py: Python<'py>) -> Self {
        Names {
            residual: intern!(py, "f_tol"),
            relative_residual: intern!(py, "f_rtol"),
            step: intern!(py, "x_tol"),
            relative_step: intern!(py, "x_rtol"),
            iterations: intern!(py, "iter"),
            verbose: intern!(py, "verbose"),
        }
    }

    pub fn of_root(py: Python<'py>) -> Self {
        Names {
            residual: intern!(py, "fatol"),
            relative_residual: intern!(py, "ftol"),
            step: intern!(py, "xatol"),
            relative_step: intern!(py, "xtol"),
            iterations: intern!(py, "nit"),
            verbose: intern!(py, "disp"),
        }
    }
}

impl Settings {
    /// A setting that is missing or None has its default.
    pub fn read<'py>(settings: &Bound<'py, PyDict>, names: &Names<'py>) -> PyResult<Self> {
        let py = settings.py();
        let given = |name: &Bound<'py, PyString>| given(settings, name);
        let tolerance = |name: &Bound<'py, PyString>, default: f64| -> PyResult<f64> {
            given(name)?.map_or(Ok(default), |value| real(&value, name.to_str()?))
        };
        let whole = |name: &Bound<'py, PyString>| -> PyResult<Option<u64>> {
            given(name)?.map(|value| count(&value, name.to_str()?)).transpose()
        };
        let norm = given(intern!(py, "tol_norm"))?.map(read_norm).transpose()?;
        Ok(Settings {
            alpha: given(intern!(py, "alpha"))?.map(|alpha| read_alpha(&alpha)).transpose()?,
            limit: read_limit(
                given(intern!(py, "reduction_method"))?.as_ref(),
                given(intern!(py, "max_rank"))?.as_ref(),
            )?,
            termination: Termination {
                residual: tolerance(names.residual, f64::EPSILON.powf(1.0 / 3.0))?,
                relative_residual: tolerance(names.relative_residual, f64::INFINITY)?,
                step: tolerance(names.step, f64::INFINITY)?,
                relative_step: tolerance(names.relative_step, f64::INFINITY)?,
                iterations: whole(names.iterations)?,
            },
            maxiter: whole(intern!(py, "maxiter"))?,
            search: read_search(settings.get_item(intern!(py, "line_search"))?.as_ref())?,
            keep_iterate: false,
            own_norm: norm.is_some(),
            norm,
        })
    }

    pub fn iterations(&self, unknowns: usize) -> u64 {
        let wanted = self.termination.iterations;
        self.maxiter.unwrap_or_else(|| {
            wanted.map_or(100 * (unknowns as u64 + 1), |wanted| wanted.saturating_add(1))
        })
    }
}

fn read_norm(norm: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    expect_callable(&norm)?;
    Ok(norm.unbind())
}

pub fn expect_callable(norm: &Bound<'_, PyAny>) -> PyResult<()> {
    Callable::new(norm, &PyTuple::empty(norm.py()), "tol_norm").map(|_| ())
}

fn read_alpha(alpha: &Bound<'_, PyAny>) -> PyResult<c64> {
    to_complex(alpha).map_err(|error| named(error, "alpha", "a number", alpha))
}

fn read_search(value: Option<&Bound<'_, PyAny>>) -> PyResult<SearchMethod> {
    let Some(value) = value else { return Ok(SearchMethod::Armijo) };
    match value.extract() {
        Ok("armijo") => return Ok(SearchMethod::Armijo),
        Ok("wolfe") => return Ok(SearchMethod::Wolfe),
        _ => {}
    }
    match value.extract() {
        Ok(true) => Ok(SearchMethod::Armijo),
        Ok(false) => Ok(SearchMethod::None),
        Err(_) if value.is_none() => Ok(SearchMethod::None),
        Err(_) => Err(PyValueError::new_err(format!(
            "Invalid line search: line_search must be None, 'armijo' or 'wolfe', not {}",
            value.repr()?
        ))),
    }
}

/// The reduction method, perhaps with its parameter in a tuple, and the largest rank.
fn read_limit(
    method: Option<&Bound<'_, PyAny>>,
    max_rank: Option<&Bound<'_, PyAny>>,
) -> PyResult<RankLimit> {
    let rank = max_rank.map(read_rank).transpose()?.flatten();
    let (name, parameters) = match method {
        None => ("restart".to_string(), Vec::new()),
        Some(method) => read_method(method)?,
    };
    let refuse_parameters = || match parameters.len() {
        0 => Ok(()),
        _ => Err(PyValueError::new_err(format!("reduction_method '{name}' has no parameters"))),
    };
    match name.as_str() {
        "restart" => {
            refuse_parameters()?;
            Ok(rank.map_or(RankLimit::None, |rank| RankLimit::Restart { rank }))
        }
        "simple" => {
            refuse_parameters()?;
            Ok(rank.map_or(RankLimit::None, |rank| RankLimit::Simple { rank }))
        }
        "svd" if parameters.len() <= 1 => {
            let rank = rank.unwrap_or(usize::MAX);
            let to_retain = parameters.first().filter(|parameter| !parameter.is_none());
            let retained = match to_retain {
                Some(to_retain) => {
                    usize::try_from(count(to_retain, "to_retain")?).unwrap_or(usize::MAX)
                }
                None => rank.saturating_sub(2),
            };
            Ok(RankLimit::Svd { rank, retained })
        }
        "svd" => Err(PyValueError::new_err("reduction_method 'svd' has one parameter, to_retain")),
        _ => Err(PyValueError::new_err(format!(
            "Unknown rank reduction method '{name}': reduction_method must be 'restart', 'simple' \
             or 'svd'"
        ))),
    }
}

fn read_method<'py>(method: &Bound<'py, PyAny>) -> PyResult<(String, Vec<Bound<'py, PyAny>>)> {
    if let Ok(name) = method.cast::<PyString>() {
        return Ok((name.to_string(), Vec::new()));
    }
    let mut parts = match method.try_iter() {
        Ok(parts) => parts.collect::<PyResult<Vec<_>>>()?,
        Err(_) => Vec::new(),
    };
    if parts.is_empty() {
        return Err(PyTypeError::new_err(format!(
            "reduction_method must be a name or a tuple that begins with one, not {}",
            method.repr()?
        )));
    }
    Ok((parts.remove(0).str()?.to_string(), parts))
}

/// One less than `max_rank`: what may be kept when the next update is about to come. None where it
/// is infinite.
fn read_rank(max_rank: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    let rank = real(max_rank, "max_rank")?;
    if rank >= 2.0 {
        return Ok(rank.is_finite().then_some(rank.floor() as usize - 1));
    }
    Err(PyValueError::new_err(format!("max_rank must be at least 2, got {max_rank}")))
}
