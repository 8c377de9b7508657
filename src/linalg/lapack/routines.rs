//! LAPACK and BLAS routines that ndarray-linalg has no function for, on matrices in Fortran order.

use std::ffi::{c_char, c_int};

use super::Lapack;

unsafe extern "C" {
    fn dgeqrf_(
        m: *const c_int,
        n: *const c_int,
        a: *mut f64,
        lda: *const c_int,
        tau: *mut f64,
        work: *mut f64,
        lwork: *const c_int,
        info: *mut c_int,
    );
    fn dtpqrt_(
        m: *const c_int,
        n: *const c_int,
        l: *const c_int,
        nb: *const c_int,
        a: *mut f64,
        lda: *const c_int,
        b: *mut f64,
        ldb: *const c_int,
        t: *mut f64,
        ldt: *const c_int,
        work: *mut f64,
        info: *mut c_int,
    );
    fn dtrtrs_(
        triangle: *const c_char,
        transpose: *const c_char,
        diagonal: *const c_char,
        n: *const c_int,
        columns: *const c_int,
        a: *const f64,
        lda: *const c_int,
        b: *mut f64,
        ldb: *const c_int,
        info: *mut c_int,
    );
    fn dtrcon_(
        norm: *const c_char,
        triangle: *const c_char,
        diagonal: *const c_char,
        n: *const c_int,
        a: *const f64,
        lda: *const c_int,
        rcond: *mut f64,
        work: *mut f64,
        iwork: *mut c_int,
        info: *mut c_int,
    );
    fn dpotrf_(
        triangle: *const c_char,
        n: *const c_int,
        a: *mut f64,
        lda: *const c_int,
        info: *mut c_int,
    );
    fn dsyrk_(
        triangle: *const c_char,
        transpose: *const c_char,
        n: *const c_int,
        k: *const c_int,
        alpha: *const f64,
        a: *const f64,
        lda: *const c_int,
        beta: *const f64,
        c: *mut f64,
        ldc: *const c_int,
    );
}

const UPPER: c_char = b'U' as c_char;
const TRANSPOSED: c_char = b'T' as c_char;
const PLAIN: c_char = b'N' as c_char;
const ONE_NORM: c_char = b'1' as c_char;

/// Dimensions that do not fit LAPACK's integers could not be allocated as matrices of doubles.
fn int(dimension: usize) -> c_int {
    c_int::try_from(dimension).unwrap_or(c_int::MAX)
}

/// Columns that LAPACK's QR works on together, if there is workspace for them.
const QR_BLOCK: usize = 32;

/// Panels of the factorization of two triangles; measured at n = 10, 200 and 1000.
const PANEL: usize = 16;

/// The work space of the two routines that follow, for matrices with so many rows and columns.
pub fn work_space(rows: usize, columns: usize) -> usize {
    (rows.min(columns) + QR_BLOCK * columns).max(2 * PANEL * columns)
}

/// Householder QR in place, A = QR, of a matrix of `rows` × `columns`: R is left in the upper
/// triangle. `work` grows to what the routine needs.
pub fn qr(_: Lapack, a: &mut [f64], rows: usize, columns: usize, work: &mut Vec<f64>) {
    assert_eq!(a.len(), rows * columns);
    let (m, n, mut info) = (int(rows), int(columns), 0);
    let reflectors = rows.min(columns);
    work.resize(work.len().max(reflectors + QR_BLOCK * columns), 0.0);
    let (tau, work) = work.split_at_mut(reflectors);
    let lwork = int(work.len());
    // SAFETY: `a` has rows × columns elements, `tau` one for each reflector, `work` at least one
    // for each column.
    unsafe {
        let (tau, work) = (tau.as_mut_ptr(), work.as_mut_ptr());
        dgeqrf_(&m, &n, a.as_mut_ptr(), &m, tau, work, &lwork, &mut info);
    }
    debug_assert_eq!(info, 0);
}

/// QR of one upper triangle R of order n on another of `rows` ≤ n rows: R becomes that of both.
/// The other is overwritten.
pub fn qr_of_triangles(
    _: Lapack,
    r: &mut [f64],
    order: usize,
    other: &mut [f64],
    rows: usize,
    work: &mut Vec<f64>,
) {
    assert!(rows <= order && r.len() == order * order && other.len() == rows * order);
    let panel = PANEL.min(order).max(1);
    work.resize(work.len().max(2 * panel * order), 0.0);
    let (t, work) = work.split_at_mut(panel * order);
    let (m, n, nb, mut info) = (int(rows), int(order), int(panel), 0);
    // SAFETY: the matrices have the sizes asserted, `t` and `work` panel × order elements each.
    unsafe {
        let (a, b) = (r.as_mut_ptr(), other.as_mut_ptr());
        let (t, work) = (t.as_mut_ptr(), work.as_mut_ptr());
        dtpqrt_(&m, &n, &m, &nb, a, &n, b, &m, t, &nb, work, &mut info);
    }
    debug_assert_eq!(info, 0);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// R x = b
    Plain,
    /// Rᵀx = b
    Transposed,
}

/// Overwrites b with the solution for the leading upper triangle of order `b.len()` of a matrix
/// with so many rows. Leaves b as it is where a diagonal element is zero.
pub fn solve_triangle(_: Lapack, r: &[f64], rows: usize, side: Side, b: &mut [f64]) {
    let order = b.len();
    assert!(order <= rows && r.len() >= rows * order);
    let transpose = if side == Side::Plain { PLAIN } else { TRANSPOSED };
    let (n, one, lda, mut info) = (int(order), 1, int(rows), 0);
    // SAFETY: r holds `order` columns of `rows` ≥ `order` elements, b has `order`.
    unsafe {
        let b = b.as_mut_ptr();
        dtrtrs_(&UPPER, &transpose, &PLAIN, &n, &one, r.as_ptr(), &lda, b, &n, &mut info);
    }
}

/// An estimate of 1 / (‖R‖₁ ‖R⁻¹‖₁), the inverse of the condition, for the leading upper triangle of
/// order `order` of a matrix with so many rows.
pub fn inverse_condition(_: Lapack, r: &[f64], rows: usize, order: usize) -> f64 {
    assert!(order <= rows && r.len() >= rows * order);
    let (n, lda, mut estimate, mut info) = (int(order), int(rows), 0.0, 0);
    let (mut work, mut signs) = (vec![0.0; 3 * order], vec![0; order]);
    // SAFETY: r holds `order` columns of `rows` ≥ `order` elements; the workspaces are 3n and n.
    unsafe {
        let (work, signs) = (work.as_mut_ptr(), signs.as_mut_ptr());
        let a = r.as_ptr();
        dtrcon_(&ONE_NORM, &UPPER, &PLAIN, &n, a, &lda, &mut estimate, work, signs, &mut info);
    }
    estimate
}

/// Cholesky factor in place, A = RᵀR, from and in the upper triangle; false where A is not
/// positive definite.
pub fn cholesky(_: Lapack, a: &mut [f64], order: usize) -> bool {
    assert_eq!(a.len(), order * order);
    let (n, mut info) = (int(order), 0);
    // SAFETY: a has order² elements.
    unsafe { dpotrf_(&UPPER, &n, a.as_mut_ptr(), &n, &mut info) };
    info == 0
}

/// The upper triangle of AᵀA, for the leading `columns` of a matrix with so many rows.
pub fn gram(_: Lapack, a: &[f64], rows: usize, columns: usize, product: &mut [f64]) {
    assert!(a.len() >= rows * columns && product.len() == columns * columns);
    let (n, k, alpha, beta) = (int(columns), int(rows), 1.0, 0.0);
    // SAFETY: a has rows × columns elements, the product columns².
    unsafe {
        let c = product.as_mut_ptr();
        dsyrk_(&UPPER, &TRANSPOSED, &n, &k, &alpha, a.as_ptr(), &k, &beta, c, &n);
    }
}

#[cfg(all(test, feature = "system-lapack"))]
mod tests {
    use super::*;

    fn matrix(rows: usize, columns: usize) -> Vec<f64> {
        let entry = |i: usize| ((i * i * 7919 + i * 31) % 1009) as f64 / 1009.0 - 0.5;
        (0..rows * columns).map(entry).collect()
    }

    /// The upper triangle of a matrix of so many rows, of order `order`.
    fn triangle(a: &[f64], rows: usize, order: usize) -> Vec<f64> {
        let entry = |k: usize| match (k % order, k / order) {
            (i, j) if i <= j => a[j * rows + i],
            _ => 0.0,
        };
        (0..order * order).map(entry).collect()
    }

    fn product(a: &[f64], rows: usize, columns: usize) -> Vec<f64> {
        let mut c = vec![0.0; columns * columns];
        gram(Lapack::of_the_system(), a, rows, columns, &mut c);
        c
    }

    fn close(a: &[f64], b: &[f64]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12)
    }

    #[test]
    fn factors_have_the_gram_matrix_of_what_they_factor() {
        let lapack = Lapack::of_the_system();
        let (a, mut work) = (matrix(40, 20), Vec::new());
        let expected = product(&a, 40, 20);

        let mut factored = a.clone();
        qr(lapack, &mut factored, 40, 20, &mut work);
        let mut r = triangle(&factored, 40, 20);
        assert!(close(&product(&r, 20, 20), &expected));

        let mut c = expected.clone();
        assert!(cholesky(lapack, &mut c, 20));
        assert!(close(&product(&triangle(&c, 20, 20), 20, 20), &expected));

        let square = triangle(&matrix(20, 20), 20, 20);
        let mut other: Vec<f64> = square.chunks(20).flat_map(|c| c[..19].to_vec()).collect();
        let more = product(&other, 19, 20);
        qr_of_triangles(lapack, &mut r, 20, &mut other, 19, &mut work);
        let sum: Vec<f64> = expected.iter().zip(more).map(|(a, b)| a + b).collect();
        assert!(close(&product(&triangle(&r, 20, 20), 20, 20), &sum));
    }

    #[test]
    fn triangles_are_solved_on_either_side() {
        let lapack = Lapack::of_the_system();
        let r = [2.0, 0.0, 1.0, 4.0];
        let mut b = [4.0, 4.0];
        solve_triangle(lapack, &r, 2, Side::Plain, &mut b);
        assert_eq!(b, [1.5, 1.0]);
        let mut b = [4.0, 6.0];
        solve_triangle(lapack, &r, 2, Side::Transposed, &mut b);
        assert_eq!(b, [2.0, 1.0]);
    }

    #[test]
    fn the_condition_is_seen_where_the_diagonal_is_harmless() {
        // Kahan's example: ones on the diagonal, minus ones above.
        let order = 60;
        let entry = |k: usize| match (k % order, k / order) {
            (i, j) if i == j => 1.0,
            (i, j) if i < j => -1.0,
            _ => 0.0,
        };
        let r: Vec<f64> = (0..order * order).map(entry).collect();
        let estimate = inverse_condition(Lapack::of_the_system(), &r, order, order);
        assert!(estimate > 0.0 && estimate < 1e-16);
    }

    #[test]
    fn an_indefinite_matrix_has_no_cholesky_factor() {
        assert!(!cholesky(Lapack::of_the_system(), &mut [1.0, 0.0, 2.0, 1.0], 2));
    }
}
