//! A few columns of a matrix, row after row, while many reflections are applied to them.
//!
//! A column's products and sums must be formed one after another, which a processor is slow at; but
//! those of several columns can be formed at the same time, in the lanes of its vector units. The
//! columns stay in the cache meanwhile. The bits are those of one column after the other.

use super::memory::{OutOfMemory, size};
use super::vector_units::vector_units;

/// Columns of a panel.
pub const WIDTH: usize = 8;

#[derive(Debug, Default)]
pub struct Panel(Vec<[f64; WIDTH]>);

impl Panel {
    pub fn size(&mut self, rows: usize) -> Result<(), OutOfMemory> {
        size(&mut self.0, rows)
    }

    /// Applies reflections I − u uᵀ / u₀ to the columns, each to the rows from its number on, and
    /// none where u₀ is zero.
    pub fn reflect<'a>(
        &mut self,
        columns: &mut [f64],
        reflections: impl Iterator<Item = (usize, &'a [f64])>,
    ) {
        let rows = self.0.len();
        for (column, lane) in columns.chunks_exact(rows).zip(0..WIDTH) {
            self.0.iter_mut().zip(column).for_each(|(row, entry)| row[lane] = *entry);
        }
        let units = vector_units();
        for (first, u) in reflections.filter(|(_, u)| u[0] != 0.0) {
            units.dispatch(|| reflect(&mut self.0[first..], u));
        }
        for (column, lane) in columns.chunks_exact_mut(rows).zip(0..WIDTH) {
            self.0.iter().zip(column).for_each(|(row, entry)| *entry = row[lane]);
        }
    }
}

#[inline(always)]
fn reflect(rows: &mut [[f64; WIDTH]], u: &[f64]) {
    let mut multiples = [0.0; WIDTH];
    for (row, u) in rows.iter().zip(u) {
        for (sum, entry) in multiples.iter_mut().zip(row) {
            *sum += entry * u;
        }
    }
    multiples.iter_mut().for_each(|multiple| *multiple /= u[0]);
    for (row, u) in rows.iter_mut().zip(u) {
        for (entry, multiple) in row.iter_mut().zip(&multiples) {
            *entry -= multiple * u;
        }
    }
}
