//! Passes over a few long vectors v₁ … vₘ of the same length n: inner products with all of them,
//! and combinations of all of them.
//!
//! For large n the cost is that of reading memory, so a pass works on one block of rows after
//! another, small enough for all that is needed there to stay in the cache, and shares the blocks
//! among the processor's cores. Sums are formed block by block in a fixed order: the result has
//! the same bits whatever the number of threads.

use std::hint::black_box;
use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayViewMut1};
use rayon::ThreadPool;
use rayon::prelude::*;

use super::memory::bytes_of;
use super::vector_units::vector_units;
use super::{Field, threads};

/// Rows of a block: few enough for the blocks of some dozen vectors to fit the cache of a core.
const BLOCK: usize = 2048;

/// From this many numbers read and written on, the threads earn more than waking them costs.
const WORTH_THREADS: usize = 1 << 19;

/// The threads for a pass over so many numbers; None where it runs without.
pub fn threads_for(numbers: usize) -> Option<&'static ThreadPool> {
    if numbers >= WORTH_THREADS { threads::pool() } else { None }
}

fn blocks(rows: usize) -> usize {
    rows.div_ceil(BLOCK)
}

/// How many partial sums overlap their additions in the processor.
const LANES: usize = 8;

/// Runs a loop over a block compiled for the processor's vector units. The order of additions is
/// fixed by the lanes in the source, so the result has the same bits on all of them.
#[inline(always)]
pub fn vectorized<R>(run: impl FnOnce() -> R) -> R {
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

/// xᴴy − xᴴz in one pass
pub fn dot_difference<T: Field>(x: &[T], y: &[T], z: &[T]) -> T {
    vectorized(
        #[inline(always)]
        || {
            let (x_lanes, x_rest) = x.as_chunks::<LANES>();
            let (y_lanes, y_rest) = y[..x.len()].as_chunks::<LANES>();
            let (z_lanes, z_rest) = z[..x.len()].as_chunks::<LANES>();
            let mut sums = [T::zero(); LANES];
            for ((x, y), z) in x_lanes.iter().zip(y_lanes).zip(z_lanes) {
                for lane in 0..LANES {
                    sums[lane] += x[lane].conj() * (y[lane] - z[lane]);
                }
            }
            let rest = x_rest.iter().zip(y_rest).zip(z_rest);
            let rest = rest.fold(T::zero(), |sum, ((&x, &y), &z)| sum + x.conj() * (y - z));
            sums.into_iter().fold(rest, |sum, lane| sum + lane)
        },
    )
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
    // The compiler would vectorize across the four vectors instead of along the rows, with more
    // shuffling than arithmetic, if it saw how the lanes are added up.
    let sums = black_box(sums);
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
    fill(y.len(), 3, [y], |rows, [y]| {
        for ((y, &x), &v) in y.iter_mut().zip(&x[rows.clone()]).zip(&v[rows]) {
            *y = x + a * v;
        }
    });
}

/// y ← y + v; whether rounding lets that change anything.
pub fn move_by<T: Field>(y: &mut [T], v: &[T]) -> bool {
    let run = |rows: Range<usize>, [y]: [&mut [T]; 1]| {
        let mut changed = false;
        for (y, &v) in y.iter_mut().zip(&v[rows]) {
            let moved = *y + v;
            changed |= moved != *y;
            *y = moved;
        }
        changed
    };
    each_block(y.len(), 3, [y], run, |low, high| low | high)
}

/// y ← x
pub fn copy<T: Field>(y: &mut [T], x: &[T]) {
    fill(y.len(), 2, [y], |rows, [y]| y.copy_from_slice(&x[rows]));
}

/// Runs a pass on every block of rows and joins what the blocks give, pairwise. Each run gets its
/// rows of the `targets`, which all have this many rows. `vectors` is how many vectors the pass
/// reads and writes.
pub fn each_block<T: Field, R: Send, const TARGETS: usize>(
    rows: usize,
    vectors: usize,
    targets: [&mut [T]; TARGETS],
    run: impl Fn(Range<usize>, [&mut [T]; TARGETS]) -> R + Sync,
    join: impl Fn(R, R) -> R + Sync,
) -> R {
    let part = Part { rows: 0..rows, targets, sums: &mut [], count: 0 };
    let run = |rows: Range<usize>, targets: [&mut [T]; TARGETS], _: &mut [T]| run(rows, targets);
    start(part, rows * vectors, &run, &join)
}

/// Runs a pass that has nothing to say on every block of rows.
pub fn fill<T: Field, const TARGETS: usize>(
    rows: usize,
    vectors: usize,
    targets: [&mut [T]; TARGETS],
    run: impl Fn(Range<usize>, [&mut [T]; TARGETS]) + Sync,
) {
    each_block(rows, vectors, targets, run, |(), ()| ());
}

/// The same with sums, which each block adds up from zero: they are added in the order of the blocks.
/// `partial` is work space.
pub fn fill_and_sum<T: Field, const TARGETS: usize>(
    rows: usize,
    vectors: usize,
    targets: [&mut [T]; TARGETS],
    sums: &mut [T],
    partial: &mut Vec<T>,
    run: impl Fn(Range<usize>, [&mut [T]; TARGETS], &mut [T]) + Sync,
) {
    sums.fill(T::zero());
    if rows <= BLOCK {
        return run(0..rows, targets, sums);
    }
    let count = sums.len();
    partial.clear();
    partial.resize(count * blocks(rows), T::zero());
    let part = Part { rows: 0..rows, targets, sums: partial, count };
    start(part, rows * vectors, &run, &|(), ()| ());
    for part in partial.chunks_exact(count.max(1)) {
        for (sum, &part) in sums.iter_mut().zip(part) {
            *sum += part;
        }
    }
}

/// Some rows of a pass, with a place for the sums of each of their blocks.
struct Part<'a, T, const TARGETS: usize> {
    rows: Range<usize>,
    targets: [&'a mut [T]; TARGETS],
    sums: &'a mut [T],
    count: usize,
}

impl<'a, T, const TARGETS: usize> Part<'a, T, TARGETS> {
    /// Both halves, cut between two blocks.
    fn halves(self) -> (Self, Self) {
        let Part { rows, targets, sums, count } = self;
        let half = blocks(rows.len()) / 2;
        let middle = half * BLOCK;
        let (mut low, mut high) = ([const { None }; TARGETS], [const { None }; TARGETS]);
        for (i, target) in targets.into_iter().enumerate() {
            let (before, behind) = target.split_at_mut(middle);
            (low[i], high[i]) = (Some(before), Some(behind));
        }
        let [low, high] = [low, high].map(|halves| halves.map(Option::unwrap_or_default));
        let (low_sums, high_sums) = sums.split_at_mut(half * count);
        let middle = rows.start + middle;
        (
            Part { rows: rows.start..middle, targets: low, sums: low_sums, count },
            Part { rows: middle..rows.end, targets: high, sums: high_sums, count },
        )
    }
}

/// Runs a pass that touches so many numbers.
fn start<T: Field, R: Send, const TARGETS: usize>(
    part: Part<T, TARGETS>,
    numbers: usize,
    run: &(impl Fn(Range<usize>, [&mut [T]; TARGETS], &mut [T]) -> R + Sync),
    join: &(impl Fn(R, R) -> R + Sync),
) -> R {
    match threads_for(numbers) {
        Some(pool) => pool.install(|| run_halves(part, true, run, join)),
        None => run_halves(part, false, run, join),
    }
}

/// The halves are cut at the same places whether or not there are threads, so that what is joined
/// has the same bits.
fn run_halves<T: Field, R: Send, const TARGETS: usize>(
    part: Part<T, TARGETS>,
    threads: bool,
    run: &(impl Fn(Range<usize>, [&mut [T]; TARGETS], &mut [T]) -> R + Sync),
    join: &(impl Fn(R, R) -> R + Sync),
) -> R {
    if part.rows.len() <= BLOCK {
        return run(part.rows, part.targets, part.sums);
    }
    let (low, high) = part.halves();
    let (low, high) = if threads {
        rayon::join(|| run_halves(low, true, run, join), || run_halves(high, true, run, join))
    } else {
        (run_halves(low, false, run, join), run_halves(high, false, run, join))
    };
    join(low, high)
}

/// The bytes that a pass takes while it forms so many sums over vectors of this length.
pub fn room_for_sums<T>(rows: usize, sums: usize) -> usize {
    if rows <= BLOCK { 0 } else { blocks(rows).saturating_mul(bytes_of::<T>(sums)) }
}

/// The bytes that `gram` and `replace_by_combinations` take for so many vectors of this length.
pub fn room_for_products<T>(rows: usize, vectors: usize) -> usize {
    /// What the lists of blocks have for each vector of a block.
    const OF_A_BLOCK: usize = 48;
    let threads = threads_for(rows * vectors).map_or(1, ThreadPool::current_num_threads);
    let copies_of_blocks = bytes_of::<T>(3 * threads * vectors * BLOCK.min(rows));
    let matrices = bytes_of::<T>((threads + 64) * vectors * vectors);
    copies_of_blocks + matrices + blocks(rows) * OF_A_BLOCK * (vectors + 1)
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
    let rows = vectors.first().map_or(0, Vec::len);
    let run = |rows, []: [&mut [T]; 0]| {
        let block = matrix_of_block(rows_of_all(vectors, rows));
        match T::COMPLEX {
            true => block.mapv(|entry| entry.conj()).dot(&block.t()),
            false => block.dot(&block.t()),
        }
    };
    each_block(rows, vectors.len(), [], run, |low, high| low + high)
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
    let replace = |mut block: Vec<&mut [T]>| {
        let new = matrix.t().dot(&matrix_of_block(block.iter().map(|chunk| &**chunk)));
        for (chunk, new) in block.iter_mut().zip(new.rows()) {
            ArrayViewMut1::from(&mut **chunk).assign(&new);
        }
    };
    match threads_for(numbers) {
        Some(pool) => pool.install(|| by_block.into_par_iter().for_each(replace)),
        None => by_block.into_iter().for_each(replace),
    }
}

/// The rows of a block of every vector.
pub fn rows_of_all<T: Field>(
    vectors: &[Vec<T>],
    rows: Range<usize>,
) -> impl ExactSizeIterator<Item = &[T]> {
    vectors.iter().map(move |vector| &vector[rows.clone()])
}

/// sums ← vᵢᴴx for all i
pub fn dots<T: Field>(sums: &mut [T], partial: &mut Vec<T>, vectors: &[Vec<T>], x: &[T]) {
    fill_and_sum(x.len(), vectors.len() + 1, [], sums, partial, |rows, [], sums| {
        dots_of_block(sums, rows_of_all(vectors, rows.clone()), &x[rows]);
    });
}

/// y ← a x + Σ cᵢvᵢ; the sums become vᵢᴴy for all i and, last, yᴴy, which costs no further reading.
pub fn combine<T: Field>(
    y: &mut [T],
    (a, x): (T, &[T]),
    coefficients: &[T],
    vectors: &[Vec<T>],
    sums: &mut [T],
    partial: &mut Vec<T>,
) {
    let count = vectors.len();
    fill_and_sum(y.len(), count + 2, [y], sums, partial, |rows, [y], sums| {
        for (y, &x) in y.iter_mut().zip(&x[rows.clone()]) {
            *y = a * x;
        }
        add_combination(y, coefficients, rows_of_all(vectors, rows.clone()));
        dots_of_block(&mut sums[..count], rows_of_all(vectors, rows), y);
        sums[count] = dot(y, y);
    });
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
        let (mut sums, mut partial) = (vec![0.0; 8], Vec::new());
        dots(&mut sums[..7], &mut partial, &vectors, &x);
        for (sum, v) in sums.iter().zip(&vectors) {
            let plain: f64 = v.iter().zip(&x).map(|(v, x)| v * x).sum();
            assert!((sum - plain).abs() < 1e-12 * length as f64);
        }
        let mut y = vec![0.0; length];
        let coefficients = [1.0, -1.0, 0.5, 2.0, 3.0, -0.25, 0.125];
        combine(&mut y, (2.0, &x), &coefficients, &vectors, &mut sums, &mut partial);
        for i in 0..length {
            let terms = coefficients.iter().zip(&vectors).map(|(c, v)| c * v[i]);
            assert!((y[i] - 2.0 * x[i] - terms.sum::<f64>()).abs() < 1e-14);
        }
        for (sum, v) in sums.iter().zip(vectors.iter().chain([&y])) {
            assert!((sum - dot(v, &y)).abs() < 1e-12 * length as f64);
        }
    }

    #[test]
    fn repeated_passes_have_the_same_bits() {
        with_all_units(|| {
            let vectors = [vector(100_000, 1), vector(100_000, 2)];
            let x = vector(100_000, 3);
            assert_eq!(products(&vectors, &x), products(&vectors, &x));
        });
    }

    fn products<T: Field>(vectors: &[Vec<T>], x: &[T]) -> Vec<T> {
        let mut sums = vec![T::zero(); vectors.len()];
        dots(&mut sums, &mut Vec::new(), vectors, x);
        sums
    }

    /// All that the passes compute from some vectors.
    fn passes<T: Field>(vectors: &[Vec<T>], x: &[T]) -> (Vec<T>, f64) {
        let coefficients: Vec<T> = vectors.iter().map(|v| v[0]).collect();
        let (mut combined, mut displaced) = (x.to_vec(), x.to_vec());
        let (mut all, mut sums) = (products(vectors, x), vec![T::zero(); vectors.len() + 1]);
        let partial = &mut Vec::new();
        combine(&mut combined, (x[0], x), &coefficients, vectors, &mut sums, partial);
        all.extend(sums);
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
            assert_eq!(products(&[x.to_vec()], &y), [c64::new(0.0, -6.0)]);
        });
    }
}
