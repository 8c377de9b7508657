//! Passes over a few long vectors v₁ … vₘ of the same length n: inner products with all of them,
//! and combinations of all of them.
//!
//! For large n the cost is that of reading memory, so a pass works on one block of rows after
//! another, small enough for all that is needed there to stay in the cache, and shares the blocks
//! among the processor's cores. Sums are formed block by block in a fixed order: the result has
//! the same bits whatever the number of threads.

use std::ops::Range;
use std::sync::OnceLock;

use ndarray::{Array2, ArrayView1, ArrayViewMut1};
use rayon::prelude::*;

use super::Field;
use super::vector_units::vector_units;

/// Rows of a block: few enough for the blocks of some dozen vectors to fit the cache of a core.
const BLOCK: usize = 2048;

/// From this many numbers read and written on, the threads earn more than waking them costs.
const WORTH_THREADS: usize = 1 << 19;

/// Whether a pass over so many numbers may use threads. A forked process has none of the threads
/// that its parent started, and would wait for them forever.
pub fn may_use_threads(numbers: usize) -> bool {
    static OWNER: OnceLock<u32> = OnceLock::new();
    numbers >= WORTH_THREADS && *OWNER.get_or_init(std::process::id) == std::process::id()
}

fn blocks(rows: usize) -> usize {
    rows.div_ceil(BLOCK)
}

fn rows_of(block: usize, rows: usize) -> Range<usize> {
    block * BLOCK..((block + 1) * BLOCK).min(rows)
}

/// How many partial sums overlap their additions in the processor.
const LANES: usize = 8;

/// Runs a loop over a block compiled for the processor's vector units. The order of additions is
/// fixed by the lanes in the source, so the result has the same bits on all of them.
#[inline(always)]
fn vectorized<R>(run: impl FnOnce() -> R) -> R {
    vector_units().dispatch(run)
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

/// max |xᵢ| over the components that are not NaN.
pub fn largest_size<T: Field>(x: &[T]) -> f64 {
    vectorized(
        #[inline(always)]
        || {
            let (x_lanes, x_rest) = x.as_chunks::<LANES>();
            let mut largest = [0.0; LANES];
            for x in x_lanes {
                for lane in 0..LANES {
                    largest[lane] = larger(largest[lane], x[lane].size());
                }
            }
            let rest = x_rest.iter().fold(0.0, |largest, x| larger(largest, x.size()));
            largest.into_iter().fold(rest, larger)
        },
    )
}

/// The second number where it is the larger one, which a NaN never is.
#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
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
    each_block(y.len(), 3, [y], |rows, [y]| {
        for ((y, &x), &v) in y.iter_mut().zip(&x[rows.clone()]).zip(&v[rows]) {
            *y = x + a * v;
        }
    });
}

/// y ← y + v; whether rounding lets that change anything.
pub fn move_by<T: Field>(y: &mut [T], v: &[T]) -> bool {
    let changed = each_block(y.len(), 3, [y], |rows, [y]| {
        let mut changed = false;
        for (y, &v) in y.iter_mut().zip(&v[rows]) {
            let moved = *y + v;
            changed |= moved != *y;
            *y = moved;
        }
        changed
    });
    changed.contains(&true)
}

/// y ← x
pub fn copy<T: Field>(y: &mut [T], x: &[T]) {
    each_block(y.len(), 2, [y], |rows, [y]| y.copy_from_slice(&x[rows]));
}

/// Runs a pass on every block of rows and returns what the blocks give, in their order. Each run
/// gets its rows of the `targets`, which all have this many rows. `vectors` is how many vectors
/// the pass reads and writes.
pub fn each_block<T: Field, R: Send, const TARGETS: usize>(
    rows: usize,
    vectors: usize,
    targets: [&mut [T]; TARGETS],
    run: impl Fn(Range<usize>, [&mut [T]; TARGETS]) -> R + Sync,
) -> Vec<R> {
    if rows <= BLOCK {
        return vec![run(0..rows, targets)];
    }
    let mut rest = targets;
    let blocks: Vec<_> = (0..blocks(rows))
        .map(|block| {
            let rows = rows_of(block, rows);
            let now = rest.each_mut().map(|rest| {
                let (now, later) = std::mem::take(rest).split_at_mut(rows.len());
                *rest = later;
                now
            });
            (rows, now)
        })
        .collect();
    run_all(blocks, rows * vectors, |(rows, targets)| run(rows, targets))
}

/// Runs a pass on all blocks, which touch so many numbers together.
fn run_all<B: Send, R: Send>(
    blocks: Vec<B>,
    numbers: usize,
    run: impl Fn(B) -> R + Sync + Send,
) -> Vec<R> {
    if may_use_threads(numbers) {
        blocks.into_par_iter().map(run).collect()
    } else {
        blocks.into_iter().map(run).collect()
    }
}

/// The sum of what the blocks of rows give, formed in their order.
fn total<T: Field>(parts: Vec<Vec<T>>) -> Vec<T> {
    let mut parts = parts.into_iter();
    let mut sums = parts.next().unwrap_or_default();
    for part in parts {
        for (sum, part) in sums.iter_mut().zip(part) {
            *sum += part;
        }
    }
    sums
}

/// Runs a pass that reads on every block of rows and adds up its `count` sums.
pub fn sum_blocks<T: Field>(
    rows: usize,
    vectors: usize,
    count: usize,
    sum_block: impl Fn(Range<usize>, &mut [T]) + Sync,
) -> Vec<T> {
    total(each_block::<T, _, 0>(rows, vectors, [], |rows, []| {
        let mut sums = vec![T::zero(); count];
        sum_block(rows, &mut sums);
        sums
    }))
}

/// Runs a pass that fills `target` on every block of rows and adds up its `count` sums.
pub fn fill_blocks<T: Field>(
    target: &mut [T],
    vectors: usize,
    count: usize,
    fill_block: impl Fn(Range<usize>, &mut [T], &mut [T]) + Sync,
) -> Vec<T> {
    total(each_block(target.len(), vectors, [target], |rows, [target]| {
        let mut sums = vec![T::zero(); count];
        fill_block(rows, target, &mut sums);
        sums
    }))
}

/// A block of vectors as the rows of a matrix: their products are then those of small matrices.
fn matrix_of_block<'a, T: Field>(vectors: impl ExactSizeIterator<Item = &'a [T]>) -> Array2<T> {
    let mut vectors = vectors.peekable();
    let rows = vectors.peek().map_or(0, |vector| vector.len());
    let mut matrix = Array2::zeros((vectors.len(), rows));
    for (mut row, vector) in matrix.rows_mut().into_iter().zip(vectors) {
        row.assign(&ArrayView1::from(vector));
    }
    matrix
}

/// All inner products vᵢᴴvⱼ.
pub fn gram<T: Field>(vectors: &[Vec<T>]) -> Array2<T> {
    let count = vectors.len();
    let rows = vectors.first().map_or(0, Vec::len);
    let parts = each_block::<T, _, 0>(rows, count, [], |rows, []| {
        let block = matrix_of_block(rows_of_all(vectors, rows));
        match T::COMPLEX {
            true => block.mapv(|entry| entry.conj()).dot(&block.t()),
            false => block.dot(&block.t()),
        }
    });
    parts.into_iter().fold(Array2::zeros((count, count)), |sum, part| sum + part)
}

/// vₖ ← Σᵢ vᵢ aᵢₖ for every column k of the matrix; further vectors stay.
pub fn replace_by_combinations<T: Field>(vectors: &mut [Vec<T>], matrix: &Array2<T>) {
    let rows = vectors.first().map_or(0, Vec::len);
    let mut by_block: Vec<Vec<&mut [T]>> = (0..blocks(rows)).map(|_| Vec::new()).collect();
    let numbers = 2 * rows * vectors.len();
    for vector in vectors {
        for (block, chunk) in by_block.iter_mut().zip(vector.chunks_mut(BLOCK)) {
            block.push(chunk);
        }
    }
    run_all(by_block, numbers, |mut block: Vec<&mut [T]>| {
        let new = matrix.t().dot(&matrix_of_block(block.iter().map(|chunk| &**chunk)));
        for (chunk, new) in block.iter_mut().zip(new.rows()) {
            ArrayViewMut1::from(&mut **chunk).assign(&new);
        }
    });
}

/// The rows of a block of every vector.
pub fn rows_of_all<T: Field>(
    vectors: &[Vec<T>],
    rows: Range<usize>,
) -> impl ExactSizeIterator<Item = &[T]> {
    vectors.iter().map(move |vector| &vector[rows.clone()])
}

/// vᵢᴴx for all i
pub fn dots<T: Field>(vectors: &[Vec<T>], x: &[T]) -> Vec<T> {
    sum_blocks(x.len(), vectors.len() + 1, vectors.len(), |rows, sums| {
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
    let count = vectors.len();
    fill_blocks(y, count + 2, count + 1, |rows, y, sums| {
        for (y, &x) in y.iter_mut().zip(&x[rows.clone()]) {
            *y = a * x;
        }
        add_combination(y, coefficients, rows_of_all(vectors, rows.clone()));
        dots_of_block(&mut sums[..count], rows_of_all(vectors, rows), y);
        sums[count] = dot(y, y);
    })
}

#[cfg(test)]
mod tests {
    use super::super::vector_units::tests::with_all_units;
    use super::*;
    use ndarray_linalg::{c32, c64};

    fn vector(length: usize, seed: usize) -> Vec<f64> {
        (0..length).map(|i| ((i * 7919 + seed * 104_729) % 1013) as f64 / 1013.0 - 0.5).collect()
    }

    fn complex_vector(length: usize, seed: usize) -> Vec<c64> {
        let (real, imaginary) = (vector(length, seed), vector(length, seed + 50));
        real.into_iter().zip(imaginary).map(|(re, im)| c64::new(re, im)).collect()
    }

    #[test]
    fn blocks_and_threads_do_not_change_the_result_beyond_rounding() {
        with_all_units(|| {
            for length in [1, 5, 8, BLOCK, BLOCK + 1, 3 * BLOCK - 1, WORTH_THREADS / 2 + 17] {
                expect_plain_sums(length);
            }
        });
    }

    fn expect_plain_sums(length: usize) {
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

    #[test]
    fn repeated_passes_have_the_same_bits() {
        with_all_units(|| {
            let vectors = [vector(100_000, 1), vector(100_000, 2)];
            let x = vector(100_000, 3);
            assert_eq!(dots(&vectors, &x), dots(&vectors, &x));
        });
    }

    /// All that the passes compute from some vectors.
    fn passes<T: Field>(vectors: &[Vec<T>], x: &[T]) -> (Vec<T>, f64) {
        let coefficients: Vec<T> = vectors.iter().map(|v| v[0]).collect();
        let (mut combined, mut displaced) = (x.to_vec(), x.to_vec());
        let mut all = dots(vectors, x);
        all.extend(combine(&mut combined, x[0], x, &coefficients, vectors));
        displace(&mut displaced, x, coefficients[0], &vectors[0]);
        assert!(move_by(&mut displaced, &vectors[1]));
        add_scaled(&mut displaced, coefficients[1], &vectors[2]);
        all.push(sum_pairs(x, &vectors[0], |x, v| x * v + x));
        let largest = largest_size(&combined);
        all.extend(combined.into_iter().chain(displaced));
        (all, largest)
    }

    #[test]
    fn all_vector_units_give_the_same_bits() {
        for length in [1, 5, 8, 100, BLOCK + 13] {
            let real: Vec<_> = (0..7).map(|seed| vector(length, seed)).collect();
            let results = with_all_units(|| passes(&real, &vector(length, 9)));
            assert!(results.iter().all(|result| *result == results[0]));

            let complex: Vec<_> = (0..7).map(|seed| complex_vector(length, seed)).collect();
            let results = with_all_units(|| passes(&complex, &complex_vector(length, 9)));
            assert!(results.iter().all(|result| *result == results[0]));

            let narrow = |v: Vec<c64>| -> Vec<_> {
                v.into_iter().map(|z| c32::new(z.re as f32, z.im as f32)).collect()
            };
            let single: Vec<_> = complex.into_iter().map(narrow).collect();
            let x = narrow(complex_vector(length, 9));
            let results = with_all_units(|| passes(&single, &x));
            assert!(results.iter().all(|result| *result == results[0]));
        }
    }

    #[test]
    fn the_first_factor_is_conjugated() {
        with_all_units(|| {
            let (x, y) = ([c64::new(0.0, 2.0)], [c64::new(3.0, 0.0)]);
            assert_eq!(dot(&x, &y), c64::new(0.0, -6.0));
            assert_eq!(dots(&[x.to_vec()], &y), [c64::new(0.0, -6.0)]);
        });
    }
}
