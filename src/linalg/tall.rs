//! Passes over a few long vectors v₁ … vₘ of the same length n: inner products with all of them,
//! and combinations of all of them.
//!
//! For large n the cost is that of reading memory, so a pass works on one block of rows after
//! another, small enough for all that is needed there to stay in the cache, and shares the blocks
//! among the processor's cores. Sums are formed block by block in a fixed order: the result has
//! the same bits whatever the number of threads.

use std::sync::OnceLock;

use ndarray::Array2;
use rayon::prelude::*;

use super::Field;

/// Rows of a block: few enough for the blocks of some dozen vectors to fit the cache of a core.
const BLOCK: usize = 2048;

/// From this many rows on, the threads earn more than waking them costs.
const WORTH_THREADS: usize = 1 << 15;

/// Whether a pass over so many rows may use threads. A forked process has none of the threads that
/// its parent started, and would wait for them forever.
fn may_use_threads(rows: usize) -> bool {
    static OWNER: OnceLock<u32> = OnceLock::new();
    rows >= WORTH_THREADS && *OWNER.get_or_init(std::process::id) == std::process::id()
}

fn blocks(rows: usize) -> usize {
    rows.div_ceil(BLOCK)
}

fn rows_of(block: usize, rows: usize) -> std::ops::Range<usize> {
    block * BLOCK..((block + 1) * BLOCK).min(rows)
}

/// The sum of `count` terms. Independent partial sums let the processor overlap the additions.
pub fn sum<T: Field>(count: usize, term: impl Fn(usize) -> T) -> T {
    const LANES: usize = 8;
    let whole = count - count % LANES;
    let mut sums = [T::zero(); LANES];
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    let rest = (whole..count).fold(T::zero(), |sum, i| sum + term(i));
    sums.into_iter().fold(rest, |sum, lane| sum + lane)
}

/// xᴴy
pub fn dot<T: Field>(x: &[T], y: &[T]) -> T {
    let count = x.len().min(y.len());
    let (x, y) = (&x[..count], &y[..count]);
    sum(count, |i| x[i].conj() * y[i])
}

/// y ← y + a x
pub fn add_scaled<T: Field>(y: &mut [T], a: T, x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// Runs `sum_block` on every block of rows and adds up what it leaves in its `count` sums.
pub fn sum_blocks<T: Field>(
    rows: usize,
    count: usize,
    sum_block: impl Fn(std::ops::Range<usize>, &mut [T]) + Sync,
) -> Vec<T> {
    if rows <= BLOCK {
        let mut sums = vec![T::zero(); count];
        sum_block(0..rows, &mut sums);
        return sums;
    }
    let mut partial = vec![T::zero(); count * blocks(rows)];
    let run = |(block, sums): (usize, &mut [T])| sum_block(rows_of(block, rows), sums);
    let chunk = count.max(1);
    if may_use_threads(rows) {
        partial.par_chunks_mut(chunk).enumerate().for_each(run);
    } else {
        partial.chunks_mut(chunk).enumerate().for_each(run);
    }
    total(&partial, count)
}

/// Runs `fill_block` on every block of `target`, and adds up what it leaves in its `count` sums.
pub fn fill_blocks<T: Field>(
    target: &mut [T],
    count: usize,
    fill_block: impl Fn(std::ops::Range<usize>, &mut [T], &mut [T]) + Sync,
) -> Vec<T> {
    let rows = target.len();
    if rows <= BLOCK {
        let mut sums = vec![T::zero(); count];
        fill_block(0..rows, target, &mut sums);
        return sums;
    }
    // Every chunk has at least one sum, so that chunks and blocks pair up.
    let chunk = count.max(1);
    let mut partial = vec![T::zero(); chunk * blocks(rows)];
    let run = |(block, (target, sums)): (usize, (&mut [T], &mut [T]))| {
        fill_block(rows_of(block, rows), target, &mut sums[..count]);
    };
    if may_use_threads(rows) {
        let targets = target.par_chunks_mut(BLOCK);
        targets.zip(partial.par_chunks_mut(chunk)).enumerate().for_each(run);
    } else {
        target.chunks_mut(BLOCK).zip(partial.chunks_mut(chunk)).enumerate().for_each(run);
    }
    total(&partial, count)
}

fn total<T: Field>(partial: &[T], count: usize) -> Vec<T> {
    let mut sums = vec![T::zero(); count];
    for block in partial.chunks_exact(count.max(1)) {
        for (sum, &part) in sums.iter_mut().zip(block) {
            *sum += part;
        }
    }
    sums
}

/// Runs `fill_block` on every block of two vectors of the same length.
pub fn fill_two<T: Field>(
    first: &mut [T],
    second: &mut [T],
    fill_block: impl Fn(std::ops::Range<usize>, &mut [T], &mut [T]) + Sync,
) {
    let rows = first.len();
    let run = |(block, (first, second)): (usize, (&mut [T], &mut [T]))| {
        fill_block(rows_of(block, rows), first, second);
    };
    if may_use_threads(rows) {
        let seconds = second.par_chunks_mut(BLOCK);
        first.par_chunks_mut(BLOCK).zip(seconds).enumerate().for_each(run);
    } else {
        first.chunks_mut(BLOCK).zip(second.chunks_mut(BLOCK)).enumerate().for_each(run);
    }
}

/// All inner products vᵢᴴvⱼ.
pub fn gram<T: Field>(vectors: &[Vec<T>]) -> Array2<T> {
    let count = vectors.len();
    let rows = vectors.first().map_or(0, Vec::len);
    let sums = sum_blocks(rows, count * count, |rows, sums| {
        for i in 0..count {
            for j in 0..=i {
                sums[i * count + j] = dot(&vectors[i][rows.clone()], &vectors[j][rows.clone()]);
            }
        }
    });
    Array2::from_shape_fn((count, count), |(i, j)| {
        if j <= i { sums[i * count + j] } else { sums[j * count + i].conj() }
    })
}

/// vₖ ← Σᵢ vᵢ aᵢₖ for every column k of the matrix; further vectors stay.
pub fn replace_by_combinations<T: Field>(vectors: &mut [Vec<T>], matrix: &Array2<T>) {
    let rows = vectors.first().map_or(0, Vec::len);
    let mut by_block: Vec<Vec<&mut [T]>> = (0..blocks(rows)).map(|_| Vec::new()).collect();
    for vector in vectors {
        for (block, chunk) in by_block.iter_mut().zip(vector.chunks_mut(BLOCK)) {
            block.push(chunk);
        }
    }
    let run = |mut block: Vec<&mut [T]>| {
        let old: Vec<Vec<T>> = block.iter().map(|chunk| chunk.to_vec()).collect();
        for (chunk, column) in block.iter_mut().zip(matrix.columns()) {
            chunk.fill(T::zero());
            for (&a, old) in column.iter().zip(&old) {
                add_scaled(chunk, a, old);
            }
        }
    };
    if may_use_threads(rows) {
        by_block.into_par_iter().for_each(run);
    } else {
        by_block.into_iter().for_each(run);
    }
}

/// vᵢᴴx for all i
pub fn dots<T: Field, V: AsRef<[T]> + Sync>(vectors: &[V], x: &[T]) -> Vec<T> {
    sum_blocks(x.len(), vectors.len(), |rows, sums| {
        let x = &x[rows.clone()];
        for (sum, vector) in sums.iter_mut().zip(vectors) {
            *sum = dot(&vector.as_ref()[rows.clone()], x);
        }
    })
}

/// y ← a x + Σ cᵢvᵢ; returns vᵢᴴy for all i and, last, yᴴy, which costs no further reading.
pub fn combine<T: Field, V: AsRef<[T]> + Sync>(
    y: &mut [T],
    a: T,
    x: &[T],
    coefficients: &[T],
    vectors: &[V],
) -> Vec<T> {
    fill_blocks(y, vectors.len() + 1, |rows, y, sums| {
        for (y, &x) in y.iter_mut().zip(&x[rows.clone()]) {
            *y = a * x;
        }
        for (&coefficient, vector) in coefficients.iter().zip(vectors) {
            add_scaled(y, coefficient, &vector.as_ref()[rows.clone()]);
        }
        for (sum, vector) in sums.iter_mut().zip(vectors) {
            *sum = dot(&vector.as_ref()[rows.clone()], y);
        }
        sums[vectors.len()] = dot(y, y);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray_linalg::c64;

    fn vector(length: usize, seed: usize) -> Vec<f64> {
        (0..length).map(|i| ((i * 7919 + seed * 104_729) % 1013) as f64 / 1013.0 - 0.5).collect()
    }

    #[test]
    fn blocks_and_threads_do_not_change_the_result_beyond_rounding() {
        for length in [1, 5, 8, BLOCK, BLOCK + 1, 3 * BLOCK - 1, WORTH_THREADS + 17] {
            let vectors: Vec<Vec<f64>> = (0..3).map(|seed| vector(length, seed)).collect();
            let x = vector(length, 9);
            for (sum, v) in dots(&vectors, &x).iter().zip(&vectors) {
                let plain: f64 = v.iter().zip(&x).map(|(v, x)| v * x).sum();
                assert!((sum - plain).abs() < 1e-12 * length as f64);
            }
            let mut y = vec![0.0; length];
            let sums = combine(&mut y, 2.0, &x, &[1.0, -1.0, 0.5], &vectors);
            for i in 0..length {
                let plain = 2.0 * x[i] + vectors[0][i] - vectors[1][i] + 0.5 * vectors[2][i];
                assert!((y[i] - plain).abs() < 1e-14);
            }
            assert_eq!(sums.len(), 4);
            assert!((sums[3] - dot(&y, &y)).abs() < 1e-12 * length as f64);
        }
    }

    #[test]
    fn repeated_passes_have_the_same_bits() {
        let vectors = [vector(100_000, 1), vector(100_000, 2)];
        let x = vector(100_000, 3);
        assert_eq!(dots(&vectors, &x), dots(&vectors, &x));
    }

    #[test]
    fn the_first_factor_is_conjugated() {
        let (x, y) = ([c64::new(0.0, 2.0)], [c64::new(3.0, 0.0)]);
        assert_eq!(dot(&x, &y), c64::new(0.0, -6.0));
        assert_eq!(dots(&[x], &y), [c64::new(0.0, -6.0)]);
    }
}
