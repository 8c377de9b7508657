//! LAPACK borrowed from another library in the process: a table of addresses, filled once, and a
//! trampoline for each Fortran symbol that ndarray-linalg and `routines` refer to.
//!
//! Adding a routine is adding its line to `routines!`: the table, the names to look up and the
//! exported symbol all come from that list.

use std::ffi::{c_char, c_int};
use std::sync::OnceLock;

use ndarray_linalg::{c32, c64};

use super::Lapack;

static TABLE: OnceLock<[usize; NAMES.len()]> = OnceLock::new();

impl Lapack {
    /// LAPACK, if the table has been filled.
    pub fn loaded() -> Option<Lapack> {
        TABLE.get().map(|_| Lapack(()))
    }

    /// Fills the table, in the order of [`NAMES`]. Only the first call has an effect.
    ///
    /// # Safety
    ///
    /// Each address is that of a function with the C signature of the LAPACK routine named at its
    /// place in [`NAMES`] (32-bit integers, no hidden string lengths), and stays valid for the
    /// life of the process.
    pub unsafe fn fill(addresses: [usize; NAMES.len()]) -> Lapack {
        TABLE.get_or_init(|| addresses);
        Lapack(())
    }
}

fn address(index: usize) -> usize {
    // A `Lapack` value is only made with the table filled, so the other branch is unreachable;
    // unwinding through a C frame is not an option.
    TABLE.get().map_or_else(|| std::process::abort(), |table| table[index])
}

macro_rules! routines {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?);)*) => {
        /// The routines, by their LAPACK or BLAS names.
        pub const NAMES: [&str; [$(stringify!($name)),*].len()] = [$(stringify!($name)),*];

        #[allow(non_camel_case_types)]
        enum Index { $($name),* }

        $(
            /// Calls the LAPACK routine of this name.
            ///
            /// # Safety
            ///
            /// That of the routine: see its LAPACK documentation.
            // SAFETY: the name is LAPACK's own, which nothing else in this library defines.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($argument: $type),*) {
                type Routine = unsafe extern "C" fn($($type),*);
                // SAFETY: whoever filled the table promised this signature for this index.
                let routine = unsafe {
                    std::mem::transmute::<usize, Routine>(address(Index::$name as usize))
                };
                // SAFETY: the arguments are the caller's, passed on as they came.
                unsafe { routine($($argument),*) }
            }
        )*
    };
}

routines! {
    fn sgetrf_(m: *const c_int, n: *const c_int, a: *mut f32, lda: *const c_int,
        pivots: *mut c_int, info: *mut c_int);
    fn sgetrs_(transpose: *const c_char, n: *const c_int, columns: *const c_int, a: *const f32,
        lda: *const c_int, pivots: *const c_int, b: *mut f32, ldb: *const c_int,
        info: *mut c_int);
    fn spotrf_(triangle: *const c_char, n: *const c_int, a: *mut f32, lda: *const c_int,
        info: *mut c_int);
    fn strtrs_(triangle: *const c_char, transpose: *const c_char, diagonal: *const c_char,
        n: *const c_int, columns: *const c_int, a: *const f32, lda: *const c_int, b: *mut f32,
        ldb: *const c_int, info: *mut c_int);
    fn sgesdd_(job: *const c_char, m: *const c_int, n: *const c_int, a: *mut f32,
        lda: *const c_int, s: *mut f32, u: *mut f32, ldu: *const c_int, vt: *mut f32,
        ldvt: *const c_int, work: *mut f32, lwork: *const c_int,
        iwork: *mut c_int, info: *mut c_int);
    fn dgetrf_(m: *const c_int, n: *const c_int, a: *mut f64, lda: *const c_int,
        pivots: *mut c_int, info: *mut c_int);
    fn dgetrs_(transpose: *const c_char, n: *const c_int, columns: *const c_int, a: *const f64,
        lda: *const c_int, pivots: *const c_int, b: *mut f64, ldb: *const c_int,
        info: *mut c_int);
    fn dpotrf_(triangle: *const c_char, n: *const c_int, a: *mut f64, lda: *const c_int,
        info: *mut c_int);
    fn dtrtrs_(triangle: *const c_char, transpose: *const c_char, diagonal: *const c_char,
        n: *const c_int, columns: *const c_int, a: *const f64, lda: *const c_int, b: *mut f64,
        ldb: *const c_int, info: *mut c_int);
    fn dgeqrf_(m: *const c_int, n: *const c_int, a: *mut f64, lda: *const c_int,
        tau: *mut f64, work: *mut f64, lwork: *const c_int, info: *mut c_int);
    fn dtpqrt_(m: *const c_int, n: *const c_int, l: *const c_int, nb: *const c_int,
        a: *mut f64, lda: *const c_int, b: *mut f64, ldb: *const c_int, t: *mut f64,
        ldt: *const c_int, work: *mut f64, info: *mut c_int);
    fn dtrcon_(norm: *const c_char, triangle: *const c_char, diagonal: *const c_char,
        n: *const c_int, a: *const f64, lda: *const c_int, rcond: *mut f64, work: *mut f64,
        iwork: *mut c_int, info: *mut c_int);
    fn dsyrk_(triangle: *const c_char, transpose: *const c_char, n: *const c_int,
        k: *const c_int, alpha: *const f64, a: *const f64, lda: *const c_int,
        beta: *const f64, c: *mut f64, ldc: *const c_int);
    fn dgesdd_(job: *const c_char, m: *const c_int, n: *const c_int, a: *mut f64,
        lda: *const c_int, s: *mut f64, u: *mut f64, ldu: *const c_int, vt: *mut f64,
        ldvt: *const c_int, work: *mut f64, lwork: *const c_int,
        iwork: *mut c_int, info: *mut c_int);
    fn cgetrf_(m: *const c_int, n: *const c_int, a: *mut c32, lda: *const c_int,
        pivots: *mut c_int, info: *mut c_int);
    fn cgetrs_(transpose: *const c_char, n: *const c_int, columns: *const c_int, a: *const c32,
        lda: *const c_int, pivots: *const c_int, b: *mut c32, ldb: *const c_int,
        info: *mut c_int);
    fn cpotrf_(triangle: *const c_char, n: *const c_int, a: *mut c32, lda: *const c_int,
        info: *mut c_int);
    fn ctrtrs_(triangle: *const c_char, transpose: *const c_char, diagonal: *const c_char,
        n: *const c_int, columns: *const c_int, a: *const c32, lda: *const c_int, b: *mut c32,
        ldb: *const c_int, info: *mut c_int);
    fn cgesdd_(job: *const c_char, m: *const c_int, n: *const c_int, a: *mut c32,
        lda: *const c_int, s: *mut f32, u: *mut c32, ldu: *const c_int, vt: *mut c32,
        ldvt: *const c_int, work: *mut c32, lwork: *const c_int,
        rwork: *mut f32,
        iwork: *mut c_int, info: *mut c_int);
    fn zgetrf_(m: *const c_int, n: *const c_int, a: *mut c64, lda: *const c_int,
        pivots: *mut c_int, info: *mut c_int);
    fn zgetrs_(transpose: *const c_char, n: *const c_int, columns: *const c_int, a: *const c64,
        lda: *const c_int, pivots: *const c_int, b: *mut c64, ldb: *const c_int,
        info: *mut c_int);
    fn zpotrf_(triangle: *const c_char, n: *const c_int, a: *mut c64, lda: *const c_int,
        info: *mut c_int);
    fn ztrtrs_(triangle: *const c_char, transpose: *const c_char, diagonal: *const c_char,
        n: *const c_int, columns: *const c_int, a: *const c64, lda: *const c_int, b: *mut c64,
        ldb: *const c_int, info: *mut c_int);
    fn zgesdd_(job: *const c_char, m: *const c_int, n: *const c_int, a: *mut c64,
        lda: *const c_int, s: *mut f64, u: *mut c64, ldu: *const c_int, vt: *mut c64,
        ldvt: *const c_int, work: *mut c64, lwork: *const c_int,
        rwork: *mut f64,
        iwork: *mut c_int, info: *mut c_int);
}
