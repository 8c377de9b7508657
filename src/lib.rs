//! Nonlinear solvers for Python.
//!
//! - `kernels`: the solvers, as state machines that ask for evaluations and are told the answers
//! - `drive`: loops that answer a kernel without Python
//! - `linalg`: the linear algebra under them, and where LAPACK comes from
//! - `saved`: the state of a solver as bytes
//! - `forks`: who computes, for a fork to wait for
//! - `python`: the drivers that answer the kernels with Python callables, and the module itself
//!
//! `python` uses `kernels`, `kernels` uses `linalg`, and neither of those knows of Python.

pub mod drive;
pub mod forks;
pub mod kernels;
pub mod linalg;
#[cfg(feature = "python")]
mod python;
pub mod saved;

/// The compiled half of the package; `raphson` itself is in `python/raphson`.
#[cfg(feature = "python")]
#[pyo3::pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        crate::python::expect_main_interpreter(module.py())?;
        crate::python::read_vector_units()?;
        crate::python::presence::register(module.py())
    }

    #[pymodule_export]
    use crate::python::{
        broyden::{Broyden1, broyden1, root_broyden1},
        hybrid::{PowellHybrid, fsolve},
        lsqtr::{LeastSquares, lsqtr},
        newton::newton,
        root::{NewtonSystem, root_newton},
        solver::{Solver, saving::saved_class},
        stand_in::StandIn,
    };
}
