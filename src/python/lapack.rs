//! Borrows LAPACK and BLAS from SciPy, which publishes the addresses of its routines to Cython
//! modules.

use ndarray::Array2;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods, PyDict};

use super::call::import;
use super::memory::expect_memory;
use crate::linalg::lapack::Lapack;
use crate::linalg::lapack::borrowed::NAMES;
use crate::linalg::lu::Lu;

/// What OpenBLAS takes for a thread (32 MiB), with room for another kind of processor. Where it
/// does not get it, it ends the process.
const FOR_OPENBLAS: usize = 64 << 20;

/// LAPACK, imported from SciPy the first time.
pub fn load(py: Python<'_>) -> PyResult<Lapack> {
    if let Some(lapack) = Lapack::loaded() {
        return Ok(lapack);
    }
    let published_by = |module: &str| -> PyResult<Bound<'_, PyDict>> {
        Ok(import(py, module)?.getattr("__pyx_capi__")?.cast_into()?)
    };
    let lapack = published_by("scipy.linalg.cython_lapack")?;
    let blas = published_by("scipy.linalg.cython_blas")?;
    let mut addresses = [0; NAMES.len()];
    for (address, name) in addresses.iter_mut().zip(NAMES) {
        let name = name.trim_end_matches('_');
        let published = if blas.contains(name)? { &blas } else { &lapack };
        *address = address_of(published, name)?;
    }
    expect_memory(FOR_OPENBLAS)?;
    // SAFETY: each address was published under the name at its place, with a signature that has
    // C ints; it is part of a module that is never unloaded.
    let lapack = unsafe { Lapack::fill(addresses) };
    // OpenBLAS takes its memory with the first call, and keeps it.
    let _ = Lu::new(lapack, Array2::<f64>::eye(4).view());
    Ok(lapack)
}

fn address_of(published: &Bound<'_, PyDict>, routine: &str) -> PyResult<usize> {
    let unusable = |reason: &str| {
        let version = || -> PyResult<String> {
            published.py().import("scipy")?.getattr("__version__")?.extract()
        };
        PyImportError::new_err(format!(
            "raphson borrows the routine {routine} from SciPy, but SciPy {} {reason}",
            version().unwrap_or_else(|_| "of unknown version".into())
        ))
    };
    let capsule = published.get_item(routine)?.ok_or_else(|| unusable("does not publish it"))?;
    let capsule = capsule.cast_into::<PyCapsule>().map_err(PyErr::from)?;
    let name = capsule.name()?.ok_or_else(|| unusable("publishes it without a signature"))?;
    // SAFETY: the capsule, which owns its name, is alive, and nothing renames it.
    let signature = unsafe { name.as_cstr() };
    if !signature.to_string_lossy().contains("int *") {
        return Err(unusable("publishes it with integers other than C's int"));
    }
    Ok(capsule.pointer_checked(Some(signature))?.as_ptr().addr())
}
