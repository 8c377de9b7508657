//! Matrices as LAPACK wants them, column after column (Fortran order), and the passes over them
//! that are no LAPACK routine.

use ndarray::{ArrayView2, s};
use rayon::prelude::*;

use super::norm::norm;
use super::tall::{add_combination, dot, dots_of_block, fill, fill_and_sum, threads_for};

/// Rows and columns of the tiles in which a matrix is transposed: a tile's lines fit the cache.
const TILE: usize = 32;

/// Copies a matrix of any layout column by column.
pub fn copy_columns(target: &mut [f64], matrix: ArrayView2<f64>) {
    let (rows, columns) = matrix.dim();
    assert_eq!(target.len(), rows * columns);
    if rows == 0 {
        return;
    }
    let copy = |(index, target): (usize, &mut [f64])| {
        let first = index * TILE;
        match matrix.to_slice() {
            Some(by_rows) => transpose_strip(target, rows, &by_rows[first..], columns),
            None => copy_strip(target, rows, matrix.slice(s![.., first..])),
        }
    };
    let strips = TILE * rows;
    match threads_for(2 * rows * columns) {
        Some(pool) => {
            pool.install(|| target.par_chunks_mut(strips).enumerate().for_each(copy));
        }
        None => target.chunks_mut(strips).enumerate().for_each(copy),
    }
}

/// Fills columns from a matrix that lies row by row; a row is `stride` long.
fn transpose_strip(target: &mut [f64], rows: usize, by_rows: &[f64], stride: usize) {
    for first in (0..rows).step_by(TILE) {
        let last = (first + TILE).min(rows);
        for (j, column) in target.chunks_exact_mut(rows).enumerate() {
            for (i, entry) in (first..last).zip(&mut column[first..last]) {
                *entry = by_rows[i * stride + j];
            }
        }
    }
}

fn copy_strip(target: &mut [f64], rows: usize, matrix: ArrayView2<f64>) {
    for (target, column) in target.chunks_exact_mut(rows).zip(matrix.columns()) {
        match column.to_slice() {
            Some(column) => target.copy_from_slice(column),
            None => target.iter_mut().zip(column).for_each(|(entry, &source)| *entry = source),
        }
    }
}

/// Aᵀb and the norms of the columns of A, which has as many rows as b: the first and the second half
/// of `sums`.
pub fn products_and_norms(a: &[f64], b: &[f64], sums: &mut [f64], partial: &mut Vec<f64>) {
    let rows = b.len();
    let columns = a.len() / rows;
    fill_and_sum(rows, columns + 1, [], sums, partial, |range, [], sums| {
        let (products, squares) = sums.split_at_mut(columns);
        let blocks = || a.chunks_exact(rows).map(|column| &column[range.clone()]);
        dots_of_block(products, blocks(), &b[range.clone()]);
        squares.iter_mut().zip(blocks()).for_each(|(square, block)| *square = dot(block, block));
    });
    for (square, column) in sums[columns..].iter_mut().zip(a.chunks_exact(rows)) {
        *square = if square.is_normal() { square.sqrt() } else { norm(column) };
    }
}

/// image ← A x, for an A of as many rows as the image has.
pub fn image_into(image: &mut [f64], a: &[f64], x: &[f64]) {
    let rows = image.len();
    fill(rows, x.len() + 1, [image], |range, [image]| {
        image.fill(0.0);
        add_combination(image, x, a.chunks_exact(rows).map(|column| &column[range.clone()]));
    });
}

/// A x, for an A of so many rows.
pub fn image(a: &[f64], rows: usize, x: &[f64]) -> Vec<f64> {
    let mut image = vec![0.0; rows];
    image_into(&mut image, a, x);
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, ShapeBuilder};

    fn matrix(rows: usize, columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(i, j)| {
            ((i * 7919 + j * 31) % 1009) as f64 / 1009.0 - 0.5
        })
    }

    #[test]
    fn any_layout_is_copied_column_by_column() {
        for (rows, columns) in [(1, 1), (3, 70), (70, 3), (100, 33), (700, 500)] {
            let c_order = matrix(rows, columns);
            let mut f_order = Array2::zeros((rows, columns).f());
            f_order.assign(&c_order);
            let reversed = c_order.slice(s![..;-1, ..]).to_owned();
            for view in [c_order.view(), f_order.view(), reversed.slice(s![..;-1, ..])] {
                let mut target = vec![f64::NAN; rows * columns];
                copy_columns(&mut target, view);
                let expected = c_order.t();
                assert!(target.iter().zip(expected.iter()).all(|(a, b)| a == b));
            }
        }
    }

    #[test]
    fn products_norms_and_images() {
        let (rows, columns) = (5000, 7);
        let a = matrix(rows, columns);
        let mut flat = vec![0.0; rows * columns];
        copy_columns(&mut flat, a.view());
        let b: Vec<f64> = (0..rows).map(|i| (i % 13) as f64 - 6.0).collect();
        let mut sums = vec![0.0; 2 * columns];
        products_and_norms(&flat, &b, &mut sums, &mut Vec::new());
        let (products, norms) = sums.split_at(columns);
        let x: Vec<f64> = (0..columns).map(|j| j as f64 - 2.5).collect();
        let image = image(&flat, rows, &x);
        for j in 0..columns {
            let plain: f64 = a.column(j).iter().zip(&b).map(|(a, b)| a * b).sum();
            assert!((products[j] - plain).abs() < 1e-9);
            assert!((norms[j] - a.column(j).dot(&a.column(j)).sqrt()).abs() < 1e-12);
        }
        for (image, row) in image.iter().zip(a.rows()) {
            let plain: f64 = row.iter().zip(&x).map(|(a, x)| a * x).sum();
            assert!((image - plain).abs() < 1e-12);
        }
    }

    #[test]
    fn norms_survive_where_squares_overflow() {
        let mut sums = [0.0; 2];
        products_and_norms(&[3e200, 4e200], &[1.0, 1.0], &mut sums, &mut Vec::new());
        assert!((sums[1] / 5e200 - 1.0).abs() < 1e-15);
    }
}
