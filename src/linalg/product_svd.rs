//! The leading singular vectors of a product C Dᴴ of two tall matrices, from their Gram matrices.
//!
//! With CᴴC = R₁ᴴR₁ and DᴴD = R₂ᴴR₂ (Cholesky), C = Q₁R₁ and D = Q₂R₂, so
//!
//!     C Dᴴ = Q₁ (R₁R₂ᴴ) Q₂ᴴ,   R₁R₂ᴴ = U S Wᴴ,
//!
//! and Q₁ U S = C R₂ᴴ W and Q₂ W = D R₂⁻¹ W are combinations of the columns of C and of D. A Gram
//! matrix has the square of the condition of its columns; scaling them to length one first leaves
//! only what is due to their directions.

use ndarray::{Array1, Array2, Axis, ShapeBuilder, s};

use super::Field;
use super::small::{cholesky, right_singular_vectors};

/// C `left` and D `right` are the factors of the leading part of C Dᴴ.
pub struct LeadingSubspace<T> {
    pub left: Array2<T>,
    pub right: Array2<T>,
}

/// None where the Gram matrices, or what is made of them, are not finite.
pub fn leading_subspace<T: Field>(
    left_gram: &Array2<T>,
    right_gram: &Array2<T>,
    columns: usize,
) -> Option<LeadingSubspace<T>> {
    let r1 = triangular_factor(left_gram)?;
    let r2 = triangular_factor(right_gram)?;
    let r2_adjoint = adjoint(&r2);
    let product = r1.dot(&r2_adjoint);
    if !product.iter().all(|entry| entry.finite()) {
        return None;
    }
    let rotation = rotation(product);
    let leading = rotation.slice(s![.., ..columns]).to_owned();
    let left = r2_adjoint.dot(&leading);
    let right = solve_upper(&r2, leading);
    Some(LeadingSubspace { left, right })
}

/// W of U S Wᴴ.
fn rotation<T: Field>(product: Array2<T>) -> Array2<T> {
    let order = product.nrows();
    // The columns of the transpose in memory are the rows of an array in C order.
    let mut columns: Vec<T> = product.t().iter().copied().collect();
    let mut vectors = Array2::zeros((order, order).f());
    if let Some(vectors) = vectors.as_slice_memory_order_mut() {
        right_singular_vectors(&mut columns, order, vectors);
    }
    vectors
}

/// R⁻¹B by back substitution.
fn solve_upper<T: Field>(r: &Array2<T>, mut b: Array2<T>) -> Array2<T> {
    for i in (0..r.nrows()).rev() {
        let (mut above, below) = b.view_mut().split_at(Axis(0), i + 1);
        let mut row = above.row_mut(i);
        for (entry, solved) in r.slice(s![i, i + 1..]).iter().zip(below.rows()) {
            row.scaled_add(-*entry, &solved);
        }
        row.mapv_inplace(|entry| entry.over(r[[i, i]]));
    }
    b
}

/// R with RᴴR = `gram`. Where rounding keeps the Gram matrix from being positive definite it is
/// moved by a few units in the last place (T. Fukaya et al., "Shifted Cholesky QR", SIAM Journal on
/// Scientific Computing 42(1), 2020).
fn triangular_factor<T: Field>(gram: &Array2<T>) -> Option<Array2<T>> {
    let order = gram.nrows();
    if !gram.iter().all(|entry| entry.finite()) {
        return None;
    }
    let lengths: Array1<f64> = gram.diag().mapv(|square| square.size().sqrt().max(1e-300));
    let scaled = Array2::from_shape_fn((order, order), |(i, j)| {
        gram[[i, j]].over(T::of(lengths[i])).over(T::of(lengths[j]))
    });
    let shift = T::of(11.0 * (order * order) as f64 * T::EPSILON);
    let shifted = &scaled + &(Array2::eye(order) * shift);
    let mut factor = upper_factor(scaled).or_else(|| upper_factor(shifted))?;
    for (mut column, &length) in factor.columns_mut().into_iter().zip(&lengths) {
        column.mapv_inplace(|entry| entry * T::of(length));
    }
    Some(factor)
}

fn upper_factor<T: Field>(matrix: Array2<T>) -> Option<Array2<T>> {
    let order = matrix.nrows();
    let mut columns: Vec<T> = matrix.t().iter().copied().collect();
    let definite = cholesky(&mut columns, order);
    definite.then(|| Array2::from_shape_vec((order, order).f(), columns).ok()).flatten()
}

fn adjoint<T: Field>(matrix: &Array2<T>) -> Array2<T> {
    matrix.t().mapv(|entry| entry.conj())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_product_that_overflows_has_no_leading_part() {
        let gram = array![[1e308, 0.9e308], [0.9e308, 1e308]];
        assert!(leading_subspace(&gram, &gram, 1).is_none());
    }
}
