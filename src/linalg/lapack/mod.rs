//! Whose LAPACK: the routines behind ndarray-linalg.
//!
//! The crate is built with no LAPACK backend. In the Python extension the Fortran symbols that
//! ndarray-linalg refers to are trampolines (`borrowed`) into the LAPACK that SciPy already
//! loaded; in `cargo test --features system-lapack` they are OpenBLAS itself.
//!
//! A [`Lapack`] value is the proof that the routines can be called. Whatever reaches LAPACK takes
//! one, so a call through an empty table does not compile.

#[cfg(not(feature = "system-lapack"))]
pub mod borrowed;
pub mod routines;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Proof that LAPACK can be called.
#[derive(Clone, Copy, Debug)]
pub struct Lapack(());

impl Serialize for Lapack {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_unit()
    }
}

/// A proof cannot be read from a file: it is made anew, where LAPACK is there.
impl<'de> Deserialize<'de> for Lapack {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <()>::deserialize(from)?;
        Lapack::loaded().ok_or_else(|| D::Error::custom("LAPACK is not loaded"))
    }
}

#[cfg(feature = "system-lapack")]
impl Lapack {
    /// The system's LAPACK is linked in, so there is nothing to wait for.
    pub fn of_the_system() -> Lapack {
        Lapack(())
    }

    pub fn loaded() -> Option<Lapack> {
        Some(Lapack::of_the_system())
    }
}
