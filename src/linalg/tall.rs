//! Passes over a few long vectors v₁ … vₘ of the same length n: inner products with all of them,
//! and combinations of all of them.
//!
//! For large n the cost is that of reading memory, so a pass works on one block of rows after
//! another, small enough for all that is needed there to stay in the cache, and shares the blocks
//! among the processor's cores. Sums are formed block by block in a fixed order: the result has
//! the same bits whatever the number of threads.

use std::sync::OnceLock;

use ndarray::Array2;
use pulp::Arch;
use rayon::prelude::*;

use super::Field;

/// Rows of a block: few enough for the blocks of some dozen vectors to fit the cache of a core.
const BLOCK: usize = 1024;

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

/// How many partial sums overlap their additions in the processor.
const LANES: usize = 8;

/// Runs a loop over a block compiled for the widest vectors that the processor has. The order of
/// additions is fixed by the lanes in the source, so the result has the same bits on all of them.
#[inline(always)]
fn vectorized<R>(run: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(run)
}

/// Σ term(xᵢ, yᵢ) over two vectors of the same length.
pub fn sum_pairs<T: Field, S: Field>(x: &[T], y: &[T], term: impl Fn(T, T) -> S) -> S {
    vectorized(
        #[inline(always)]
        || sum_lanes(x, y, term),
    )
}

#[inline(always)]
fn sum_lanes<T: Field, S: Field>(x: &[T], y: &[T], term: impl Fn(T, T) -> S) -> S {
    let (x_lanes, x_rest) = x.as_chunks::<LANES>();
    let (y_lanes, y_rest) = y[..x.len()].as_chunks::<LANES>();
    let mut sums = [S::zero(); LANES];
    for (x, y) in x_lanes.iter().zip(y_lanes) {
        for lane in 0..LANES {
            sums[lane] += term(x[lane], y[lane]);
        }
    }
    let rest = x_rest.iter().zip(y_rest).fold(S::zero(), |sum, (&x, &y)| sum + term(x, y));
    sums.into_iter().fold(rest, |sum, lane| sum + lane)
}

/// xᴴy
pub fn dot<T: Field>(x: &[T], y: &[T]) -> T {
    sum_pairs(x, y, |x, y| x.conj() * y)
}

/// How many vectors go through a block of rows together, so that what they share is read once.
const ABREAST: usize = 4;

/// vᵢᴴx for all i, over a block of rows.
pub fn dots_of_block<'a, T: Field>(
    sums: &mut [T],
    vectors: impl Iterator<Item = &'a [T]>,
    x: &[T],
) {
    let mut rest = sums;
    let mut vectors = vectors.peekable();
    while vectors.peek().is_some() {
        let group: [&[T]; ABREAST] = std::array::from_fn(|_| vectors.next().unwrap_or(x));
        let count = rest.len().min(ABREAST);
        let (now, later) = rest.split_at_mut(count);
        let products = vectorized(
            #[inline(always)]
            || dots_abreast(group, x),
        );
        now.copy_from_slice(&products[..count]);
        rest = later;
    }
}

#[inline(always)]
fn dots_abreast<T: Field>(vectors: [&[T]; ABREAST], x: &[T]) -> [T; ABREAST] {
    const LANES: usize = 4;
    let (x_lanes, x_rest) = x.as_chunks::<LANES>();
    let parts = vectors.map(|vector| vector[..x.len()].as_chunks::<LANES>());
    let [a, b, c, d] = parts.map(|(lanes, _)| &lanes[..x_lanes.len()]);
    let mut sums = [[T::zero(); LANES]; ABREAST];
    for (i, x) in x_lanes.iter().enumerate() {
        for lane in 0..LANES {
            sums[0][lane] += a[i][lane].conj() * x[lane];
            sums[1][lane] += b[i][lane].conj() * x[lane];
            sums[2][lane] += c[i][lane].conj() * x[lane];
            sums[3][lane] += d[i][lane].conj() * x[lane];
        }
    }
    let mut totals = sums.map(|lanes| lanes.into_iter().fold(T::zero(), |sum, lane| sum + lane));
    for (total, (_, rest)) in totals.iter_mut().zip(parts) {
        for (&v, &x) in rest.iter().zip(x_rest) {
            *total += v.conj() * x;
        }
    }
    totals
}

/// y ← y + Σ aᵢvᵢ over a block of rows.
pub fn add_combination<'a, T: Field>(
    y: &mut [T],
    coefficients: &[T],
    vectors: impl Iterator<Item = &'a [T]>,
) {
    let mut vectors = vectors;
    for group in coefficients.chunks(ABREAST) {
        if let [a, b, c, d] = *group
            && let (Some(v), Some(w)) = (vectors.next(), vectors.next())
            && let (Some(r), Some(s)) = (vectors.next(), vectors.next())
        {
            let [v, w, r, s] = [v, w, r, s].map(|vector| &vector[..y.len()]);
            vectorized(
                #[inline(always)]
                || {
                    for (i, y) in y.iter_mut().enumerate() {
                        *y += a * v[i] + b * w[i] + (c * r[i] + d * s[i]);
                    }
                },
            );
        } else {
            for (&a, vector) in group.iter().zip(&mut vectors) {
                add_scaled(y, a, vector);
            }
        }
    }
}

/// y ← y + a x
pub fn add_scaled<T: Field>(y: &mut [T], a: T, x: &[T]) {
    vectorized(
        #[inline(always)]
        || {
            for (y, &x) in y.iter_mut().zip(x) {
                *y += a * x;
            }
        },
    );
}

/// y ← x + a v
pub fn displace<T: Field>(y: &mut [T], x: &[T], a: T, v: &[T]) {
    fill_blocks(y, 0, |rows, y, _| {
        for ((y, &x), &v) in y.iter_mut().zip(&x[rows.clone()]).zip(&v[rows]) {
            *y = x + a * v;
        }
    });
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

/// What `value_of` finds in the blocks of rows, joined in their order.
pub fn join_blocks(
    rows: usize,
    value_of: impl Fn(std::ops::Range<usize>) -> f64 + Sync,
    join: impl Fn(f64, f64) -> f64,
) -> f64 {
    if rows <= BLOCK {
        return value_of(0..rows);
    }
    let value_of = |block| value_of(rows_of(block, rows));
    if may_use_threads(rows) {
        let values: Vec<f64> = (0..blocks(rows)).into_par_iter().map(value_of).collect();
        values.into_iter().fold(0.0, join)
    } else {
        (0..blocks(rows)).map(value_of).fold(0.0, join)
    }
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

/// The rows of a block of every vector.
pub fn rows_of_all<T: Field>(
    vectors: &[Vec<T>],
    rows: std::ops::Range<usize>,
) -> impl Iterator<Item = &[T]> {
    vectors.iter().map(move |vector| &vector[rows.clone()])
}

/// vᵢᴴx for all i
pub fn dots<T: Field>(vectors: &[Vec<T>], x: &[T]) -> Vec<T> {
    sum_blocks(x.len(), vectors.len(), |rows, sums| {
        dots_of_block(sums, rows_of_all(vectors, rows.clone()), &x[rows]);
    })
}

/// y ← a x + Σ cᵢvᵢ; returns vᵢᴴy for all i and, last, yᴴy, which costs no further reading.
pub fn combine<T: Field>(
    y: &mut [T],
    a: T,
    x: &[T],
    coefficients: &[T],
    vectors: &[Vec<T>],
) -> Vec<T> {
    fill_blocks(y, vectors.len() + 1, |rows, y, sums| {
        for (y, &x) in y.iter_mut().zip(&x[rows.clone()]) {
            *y = a * x;
        }
        add_combination(y, coefficients, rows_of_all(vectors, rows.clone()));
        dots_of_block(&mut sums[..vectors.len()], rows_of_all(vectors, rows), y);
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
            let vectors: Vec<Vec<f64>> = (0..7).map(|seed| vector(length, seed)).collect();
            let x = vector(length, 9);
            for (sum, v) in dots(&vectors, &x).iter().zip(&vectors) {
                let plain: f64 = v.iter().zip(&x).map(|(v, x)| v * x).sum();
                assert!((sum - plain).abs() < 1e-12 * length as f64);
            }
            let mut y = vec![0.0; length];
            let coefficients = [1.0, -1.0, 0.5, 2.0, 3.0, -0.25, 0.125];
            let sums = combine(&mut y, 2.0, &x, &coefficients, &vectors);
            for i in 0..length {
                let terms = coefficients.iter().zip(&vectors).map(|(c, v)| c * v[i]);
                assert!((y[i] - 2.0 * x[i] - terms.sum::<f64>()).abs() < 1e-14);
            }
            assert_eq!(sums.len(), 8);
            for (sum, v) in sums.iter().zip(vectors.iter().chain([&y])) {
                assert!((sum - dot(v, &y)).abs() < 1e-12 * length as f64);
            }
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
        assert_eq!(dots(&[x.to_vec()], &y), [c64::new(0.0, -6.0)]);
    }
}
