//! QR factors A P = Q R by Householder reflections, for matrices with at least as many rows as
//! columns.
//!
//! Reflection j is H = I − u uᵀ / uⱼ and acts on the rows from j on; u is the column, divided by
//! its norm with the sign of its first component, plus the unit vector eⱼ. P brings the column with
//! the largest norm of what is left to the front, or is I where nobody wants pivots. All sums are
//! formed in the order of the rows, which fixes the bits of the factors.
//!
//! References: J. J. Moré, B. S. Garbow, K. E. Hillstrom, "User Guide for MINPACK-1", report
//! ANL-80-74, Argonne National Laboratory, 1980; P. Businger, G. H. Golub, "Linear least squares
//! solutions by Householder transformations", Numerische Mathematik 7, 1965.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::columns::copy_columns;
use super::memory::{OutOfMemory, size};
use super::panel::{Panel, WIDTH};
use super::scaled_norm::{scaled_norm, scaled_norm_of};
use crate::saved;

/// How the norm of what is left of a column is computed anew where its updates have lost all digits,
/// which happens in matrices that are rank-deficient, or nearly so.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Remainders {
    /// From the rows that are left.
    Exact,
    /// With one number too many, as in SciPy's C code since it is no Fortran: the first entry of the
    /// next column. After the last column that lies outside the matrix, so that SciPy's pivots may
    /// be other ones each time; here nothing is added.
    AsInSciPy,
}

/// A matrix, then its factors.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Householder {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// By columns: the matrix; once it is factored, R above the diagonal and the vectors u from
    /// the diagonal on.
    #[serde(with = "saved::vector")]
    pub(super) entries: Vec<f64>,
    /// Of R; before column j is reduced, the norm of what is left of it.
    #[serde(with = "saved::vector")]
    diagonal: Vec<f64>,
    /// What that norm was when it was last computed from the column itself.
    #[serde(with = "saved::vector")]
    computed_norms: Vec<f64>,
    /// Of the matrix.
    #[serde(with = "saved::vector")]
    column_norms: Vec<f64>,
    /// The first row as it was before the first reflection.
    #[serde(with = "saved::vector")]
    first_row: Vec<f64>,
    /// Which column of the matrix is where.
    #[serde(with = "saved::vector")]
    pub(super) permutation: Vec<u32>,
    #[serde(skip)]
    panel: Panel,
}

impl Householder {
    /// Makes room for a matrix of this shape, with at least as many rows as columns.
    pub fn size(&mut self, rows: usize, columns: usize) -> Result<(), OutOfMemory> {
        (self.rows, self.columns) = (rows, columns);
        size(&mut self.entries, rows.saturating_mul(columns))?;
        for vector in self.vectors_mut() {
            size(vector, columns)?;
        }
        size(&mut self.permutation, columns)?;
        self.permutation.fill(0);
        u32::try_from(columns).map(|_| ()).map_err(|_| OutOfMemory(usize::MAX))
    }

    fn vectors_mut(&mut self) -> [&mut Vec<f64>; 4] {
        [&mut self.diagonal, &mut self.computed_norms, &mut self.column_norms, &mut self.first_row]
    }

    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, rows: usize, columns: usize) -> bool {
        let vectors = [&self.diagonal, &self.computed_norms, &self.column_norms, &self.first_row];
        (self.rows, self.columns) == (rows, columns)
            && rows >= columns
            && rows.checked_mul(columns) == Some(self.entries.len())
            && vectors.iter().all(|vector| vector.len() == columns)
            && self.permutation.len() == columns
            && self.permutation.iter().all(|&column| (column as usize) < columns)
    }

    /// The matrix that is to be factored.
    pub fn load(&mut self, matrix: ArrayView2<f64>) {
        copy_columns(&mut self.entries, matrix);
    }

    /// Floating-point operations of `factor`.
    pub fn operations(&self) -> f64 {
        let (rows, columns) = (self.rows as f64, self.columns as f64);
        2.0 * columns * columns * (rows - columns / 3.0)
    }

    /// Some columns at a time are given all reflections of the columns before them, and reduced.
    pub fn factor(&mut self) {
        self.begin();
        for first in (0..self.columns).step_by(WIDTH) {
            let end = self.end_of_block(first);
            let (before, block) = self.entries[..end * self.rows].split_at_mut(first * self.rows);
            let reflections = reflections(before, self.rows);
            reflect_block(&mut self.panel, block, self.rows, reflections);
            for j in first..end {
                self.reduce(j, end);
            }
        }
    }

    pub fn factor_with_pivots(&mut self, remainders: Remainders) {
        self.begin();
        for j in 0..self.columns {
            self.bring_largest_to(j);
            if j == 0 {
                self.keep_first_row();
            }
            if self.reduce(j, self.columns) {
                self.reduce_norms_after(j, remainders);
            }
        }
    }

    /// ‖Aeⱼ‖ for each column of the matrix.
    pub fn column_norms(&self) -> &[f64] {
        &self.column_norms
    }

    /// Column j of A P is this column of A.
    pub fn permutation(&self) -> &[u32] {
        &self.permutation
    }

    /// The diagonal of R.
    pub fn diagonal(&self) -> &[f64] {
        &self.diagonal
    }

    /// The factors as they are stored: R strictly above the diagonal, by columns.
    pub fn entries(&self) -> &[f64] {
        &self.entries
    }

    /// Column j of what is stored.
    pub fn column(&self, j: usize) -> &[f64] {
        &self.entries[j * self.rows..(j + 1) * self.rows]
    }

    pub fn entries_mut(&mut self) -> &mut [f64] {
        &mut self.entries
    }

    /// v ← Qᵀv
    pub fn multiply_by_transposed_q(&self, vector: &mut [f64]) {
        for (j, column) in self.entries.chunks_exact(self.rows).enumerate() {
            reflect(&column[j..], &mut vector[j..]);
        }
    }

    /// Puts the diagonal of R in its place among the entries, which ends the factored form of Q.
    pub fn store_diagonal(&mut self) {
        for (j, column) in self.entries.chunks_exact_mut(self.rows).enumerate() {
            column[j] = self.diagonal[j];
        }
    }

    /// Puts the orthogonal factor in the place of the entries, for a square matrix.
    pub fn form_q(&mut self, work: &mut [f64]) {
        let order = self.columns;
        for (j, column) in self.entries.chunks_exact_mut(order).enumerate() {
            column[..j].fill(0.0);
        }
        for first in (0..order).step_by(WIDTH).rev() {
            let end = self.end_of_block(first);
            let (before, block) = self.entries[..end * order].split_at_mut(first * order);
            for k in (first..end).rev() {
                let reflection = &mut work[k..];
                let remaining = &mut block[(k - first) * order..];
                reflection.copy_from_slice(&remaining[k..order]);
                remaining[k..order].fill(0.0);
                remaining[k] = 1.0;
                reflect_columns(reflection, remaining, order);
            }
            let reflections = reflections(before, order).rev();
            reflect_block(&mut self.panel, block, order, reflections);
        }
    }

    fn end_of_block(&self, first: usize) -> usize {
        self.columns.min(first + WIDTH)
    }

    fn begin(&mut self) {
        for (j, column) in self.entries.chunks_exact(self.rows).enumerate() {
            self.column_norms[j] = scaled_norm(column);
            self.permutation[j] = j as u32;
        }
        self.diagonal.copy_from_slice(&self.column_norms);
        self.computed_norms.copy_from_slice(&self.column_norms);
    }

    fn keep_first_row(&mut self) {
        for (kept, column) in self.first_row.iter_mut().zip(self.entries.chunks_exact(self.rows)) {
            *kept = column[0];
        }
    }

    /// Swaps column j with the largest of those that are left.
    fn bring_largest_to(&mut self, j: usize) {
        let mut largest = j;
        for k in j..self.columns {
            if self.diagonal[k] > self.diagonal[largest] {
                largest = k;
            }
        }
        if largest != j {
            let (before, after) = self.entries.split_at_mut(largest * self.rows);
            before[j * self.rows..][..self.rows].swap_with_slice(&mut after[..self.rows]);
            self.diagonal[largest] = self.diagonal[j];
            self.computed_norms[largest] = self.computed_norms[j];
            self.permutation.swap(j, largest);
        }
    }

    /// Reduces column j to a multiple of a unit vector, and gives the columns up to `end` the
    /// reflection. Whether there was anything to reduce.
    fn reduce(&mut self, j: usize, end: usize) -> bool {
        let entries = &mut self.entries[..end * self.rows];
        let (before, after) = entries.split_at_mut((j + 1) * self.rows);
        let reflection = &mut before[j * self.rows + j..];
        let mut norm = scaled_norm(reflection);
        if norm != 0.0 {
            if reflection[0] < 0.0 {
                norm = -norm;
            }
            reflection.iter_mut().for_each(|component| *component /= norm);
            reflection[0] += 1.0;
            reflect_columns(reflection, after, self.rows);
        }
        self.diagonal[j] = -norm;
        norm != 0.0
    }

    /// Takes row j of R off the norms of the columns after it. Where little is left of one, it is
    /// computed anew.
    fn reduce_norms_after(&mut self, j: usize, remainders: Remainders) {
        for k in j + 1..self.columns {
            let norm = self.diagonal[k];
            if norm == 0.0 {
                continue;
            }
            let share = self.entries[k * self.rows + j] / norm;
            self.diagonal[k] *= f64::max(0.0, 1.0 - share * share).sqrt();
            let left = self.diagonal[k] / self.computed_norms[k];
            if 0.05 * (left * left) <= f64::EPSILON {
                self.diagonal[k] = self.remainder(j, k, remainders);
                self.computed_norms[k] = self.diagonal[k];
            }
        }
    }

    /// The norm of column k below row j.
    fn remainder(&self, j: usize, k: usize, remainders: Remainders) -> f64 {
        let left = &self.column(k)[j + 1..];
        if remainders == Remainders::Exact || k + 1 == self.columns {
            return scaled_norm(left);
        }
        let next = if j == 0 { self.first_row[k + 1] } else { self.column(k + 1)[0] };
        scaled_norm_of(left.iter().copied().chain([next]), left.len() + 1)
    }
}

/// v ← v + u (−uᵀv / u₀), for a reflection that is not I.
fn reflect(u: &[f64], v: &mut [f64]) {
    if u[0] != 0.0 {
        let multiple = -product(u, v) / u[0];
        for (v, u) in v.iter_mut().zip(u) {
            *v += u * multiple;
        }
    }
}

/// The reflections that are stored in columns of so many rows, and the first row each acts on.
fn reflections(columns: &[f64], rows: usize) -> impl DoubleEndedIterator<Item = (usize, &[f64])> {
    columns.chunks_exact(rows).enumerate().map(|(j, column)| (j, &column[j..]))
}

/// Applies many reflections to a few columns.
fn reflect_block<'a>(
    panel: &mut Panel,
    block: &mut [f64],
    rows: usize,
    reflections: impl Iterator<Item = (usize, &'a [f64])>,
) {
    if block.len() == WIDTH * rows && panel.size(rows).is_ok() {
        return panel.reflect(block, reflections);
    }
    for (_, u) in reflections {
        reflect_columns(u, block, rows);
    }
}

/// v ← v − (uᵀv / u₀) u for the last rows v of each of these columns, unless u₀ is zero.
fn reflect_columns(u: &[f64], columns: &mut [f64], rows: usize) {
    if u[0] == 0.0 {
        return;
    }
    let reflect = |column: &mut [f64], product: f64| {
        let multiple = product / u[0];
        for (v, u) in column.iter_mut().zip(u) {
            *v -= multiple * u;
        }
    };
    let first = rows - u.len();
    let mut blocks = columns.chunks_exact_mut(4 * rows);
    for block in &mut blocks {
        let products = products([0, 1, 2, 3].map(|k| &block[k * rows + first..(k + 1) * rows]), u);
        for (column, product) in block.chunks_exact_mut(rows).zip(products) {
            reflect(&mut column[first..], product);
        }
    }
    for column in blocks.into_remainder().chunks_exact_mut(rows) {
        let product = product(&column[first..], u);
        reflect(&mut column[first..], product);
    }
}

/// Aᵀu for a matrix of whole columns, each product in the order of the rows.
pub fn multiply_transposed(columns: &[f64], u: &[f64], image: &mut [f64]) {
    let rows = u.len();
    let (blocks, singles) = image.split_at_mut(image.len() / 4 * 4);
    let (blocked, single) = columns.split_at(blocks.len() * rows);
    for (image, block) in blocks.chunks_exact_mut(4).zip(blocked.chunks_exact(4 * rows)) {
        let products = products([0, 1, 2, 3].map(|k| &block[k * rows..(k + 1) * rows]), u);
        image.copy_from_slice(&products);
    }
    for (image, column) in singles.iter_mut().zip(single.chunks_exact(rows)) {
        *image = product(column, u);
    }
}

/// The products of four vectors with one, each in the order of the components. A processor adds
/// four at a time what it would have to add one after another.
fn products(vectors: [&[f64]; 4], u: &[f64]) -> [f64; 4] {
    let [a, b, c, d] = vectors.map(|vector| &vector[..u.len()]);
    let mut sums = [0.0; 4];
    for (i, u) in u.iter().enumerate() {
        sums[0] += a[i] * u;
        sums[1] += b[i] * u;
        sums[2] += c[i] * u;
        sums[3] += d[i] * u;
    }
    sums
}

/// uᵀv, in the order of the components.
pub fn product(u: &[f64], v: &[f64]) -> f64 {
    u.iter().zip(v).fold(0.0, |sum, (u, v)| sum + u * v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, ShapeBuilder, s};

    /// Numbers without a pattern.
    fn matrix(rows: usize, columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(i, j)| ((7 * i + 13 * j * j + 3) as f64).sin())
    }

    fn factors(matrix: &Array2<f64>, factor: impl Fn(&mut Householder)) -> Householder {
        let mut factors = Householder::default();
        factors.size(matrix.nrows(), matrix.ncols()).unwrap();
        factors.load(matrix.view());
        factor(&mut factors);
        assert!(factors.fits(matrix.nrows(), matrix.ncols()));
        factors
    }

    /// R, with zeros below it down to the last row.
    fn r(factors: &Householder) -> Array2<f64> {
        let mut r = Array2::zeros(factors.shape());
        for (j, &diagonal) in factors.diagonal().iter().enumerate() {
            for i in 0..j {
                r[(i, j)] = factors.column(j)[i];
            }
            r[(j, j)] = diagonal;
        }
        r
    }

    fn assert_close(a: &Array2<f64>, b: &Array2<f64>) {
        assert!((a - b).iter().all(|error| error.abs() < 1e-13), "{a} {b}");
    }

    #[test]
    fn the_factors_of_a_square_matrix_have_it_as_their_product() {
        for order in [1, 2, 5, 9] {
            let matrix = matrix(order, order);
            let mut factors = factors(&matrix, Householder::factor);
            let r = r(&factors);
            factors.form_q(&mut vec![0.0; order]);
            let q = Array2::from_shape_vec((order, order).f(), factors.entries().to_vec()).unwrap();
            assert_close(&q.t().dot(&q), &Array2::eye(order));
            assert_close(&q.dot(&r), &matrix);
        }
    }

    #[test]
    fn pivots_bring_the_largest_remainders_to_the_front() {
        for (rows, columns) in [(1, 1), (6, 3), (9, 9)] {
            let matrix = matrix(rows, columns);
            let factors = factors(&matrix, |f| f.factor_with_pivots(Remainders::Exact));
            let r = r(&factors);
            assert!(factors.diagonal().windows(2).all(|pair| pair[0].abs() >= pair[1].abs()));
            for (j, &column) in factors.permutation().iter().enumerate() {
                let mut rotated = matrix.column(column as usize).to_vec();
                factors.multiply_by_transposed_q(&mut rotated);
                let rotated = Array2::from_shape_vec((rows, 1), rotated).unwrap();
                assert_close(&rotated, &r.slice(s![.., j..=j]).to_owned());
            }
        }
    }

    /// Columns that depend on the first but for a part that is only in one of them.
    #[test]
    fn what_is_left_of_a_column_is_measured_without_the_next_one() {
        let mut matrix = Array2::from_shape_fn((5, 4), |(i, j)| ((i + 1) * (j + 1)) as f64);
        matrix[(4, 2)] += 1e-3;
        let pivots = |remainders| factors(&matrix, |f| f.factor_with_pivots(remainders));
        let exact = pivots(Remainders::Exact);
        assert_eq!(exact.permutation()[..2], [3, 2]);
        assert!(exact.diagonal()[2].abs() < 1e-14);
        let as_in_scipy = pivots(Remainders::AsInSciPy);
        assert_ne!(as_in_scipy.permutation(), exact.permutation());
    }
}
