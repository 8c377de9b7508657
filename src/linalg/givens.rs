//! Givens rotations, one at a time and in the sequences that an update by a matrix of rank one
//! consists of.
//!
//! Reference: P. E. Gill, G. H. Golub, W. Murray, M. A. Saunders, "Methods for modifying matrix
//! factorizations", Mathematics of Computation 28, 1974.

/// (a, b) ↦ (c a + s b, −s a + c b)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotation {
    pub cosine: f64,
    pub sine: f64,
}

impl Rotation {
    /// The rotation that takes (kept, entry) to a multiple of (1, 0), for an entry that is not
    /// zero.
    pub fn eliminating(kept: f64, entry: f64) -> Self {
        if kept.abs() < entry.abs() {
            let cotangent = kept / entry;
            let sine = hypotenuse_inverse(cotangent);
            Rotation { cosine: sine * cotangent, sine }
        } else {
            let tangent = entry / kept;
            let cosine = hypotenuse_inverse(tangent);
            Rotation { cosine, sine: cosine * tangent }
        }
    }

    pub fn apply(self, a: f64, b: f64) -> (f64, f64) {
        (self.cosine * a + self.sine * b, -self.sine * a + self.cosine * b)
    }

    pub fn inverse(self) -> Self {
        Rotation { cosine: self.cosine, sine: -self.sine }
    }

    /// Applies it to pairs of components.
    pub fn apply_to_vectors(self, a: &mut [f64], b: &mut [f64]) {
        for (a, b) in a.iter_mut().zip(b) {
            (*a, *b) = self.apply(*a, *b);
        }
    }

    /// The rotation that a code stands for.
    pub fn of_code(code: f64) -> Self {
        if code.abs() > 1.0 {
            let cosine = 1.0 / code;
            Rotation { cosine, sine: (1.0 - cosine * cosine).sqrt() }
        } else {
            Rotation { cosine: (1.0 - code * code).sqrt(), sine: code }
        }
    }

    /// One number for a rotation that took (kept, entry) to a multiple of (1, 0): the smaller one
    /// of sine and cosine, the latter as its inverse. The sign that is lost is that of both.
    fn code(self, kept: f64, entry: f64) -> f64 {
        if kept.abs() < entry.abs() {
            if self.cosine.abs() * f64::MAX > 1.0 { 1.0 / self.cosine } else { 1.0 }
        } else {
            self.sine
        }
    }
}

/// 1 / sqrt(1 + t²) for |t| ≤ 1
fn hypotenuse_inverse(t: f64) -> f64 {
    1.0 / (1.0 + t * t).sqrt()
}

/// The product of two sequences of rotations in the planes (j, n), by their codes: the first in
/// the order j = n − 1, …, 1, and inverted, the second in the order 1, …, n − 1.
#[derive(Clone, Copy, Debug)]
pub struct Sequences<'a> {
    pub first: &'a [f64],
    pub second: &'a [f64],
}

/// Rows that are rotated by all of the sequences before the next ones are: two columns of them
/// stay in the first cache.
const BLOCK: usize = 512;

impl Sequences<'_> {
    /// A ← A Q, for a matrix of so many rows and n columns, stored by columns.
    pub fn multiply_from_right(&self, matrix: &mut [f64], rows: usize) {
        let columns = self.first.len();
        if columns < 2 || rows == 0 {
            return;
        }
        let (others, last) = matrix.split_at_mut(rows * (columns - 1));
        for start in (0..rows).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(rows);
            let last = &mut last[block.clone()];
            let mut rotate = |j: usize, rotation: Rotation| {
                let column = &mut others[j * rows..(j + 1) * rows];
                rotation.apply_to_vectors(&mut column[block.clone()], last);
            };
            for (j, &code) in self.first[..columns - 1].iter().enumerate().rev() {
                rotate(j, Rotation::of_code(code).inverse());
            }
            for (j, &code) in self.second[..columns - 1].iter().enumerate() {
                rotate(j, Rotation::of_code(code));
            }
        }
    }
}

/// Finds the sequences of rotations Q for which (L + u vᵀ) Q is lower triangular again, and makes
/// that the new L. The triangle is stored by columns, without the zeros; v becomes the codes of the
/// first sequence, and `spike` those of the second.
///
/// The first sequence turns v into a multiple of the last unit vector. It turns the last column of
/// L, by what it takes from the others, into a spike, to which the multiple of u is added; and the
/// second sequence takes the spike away.
pub fn update_triangle(triangle: &mut [f64], u: &[f64], v: &mut [f64], spike: &mut [f64]) {
    let order = v.len();
    let Some(last) = order.checked_sub(1) else { return };
    let column_at = |j: usize| j * order - j * j.saturating_sub(1) / 2;
    spike[last] = triangle[column_at(last)];
    for j in (0..last).rev() {
        spike[j] = 0.0;
        if v[j] != 0.0 {
            let rotation = Rotation::eliminating(v[last], v[j]);
            let code = rotation.code(v[last], v[j]);
            v[last] = rotation.sine * v[j] + rotation.cosine * v[last];
            v[j] = code;
            let column = &mut triangle[column_at(j)..column_at(j + 1)];
            rotation.inverse().apply_to_vectors(column, &mut spike[j..]);
        }
    }
    for (entry, u) in spike.iter_mut().zip(u) {
        *entry += v[last] * u;
    }
    for j in 0..last {
        let column = &mut triangle[column_at(j)..column_at(j + 1)];
        if spike[j] != 0.0 {
            let (kept, entry) = (column[0], spike[j]);
            let rotation = Rotation::eliminating(kept, entry);
            rotation.apply_to_vectors(column, &mut spike[j..]);
            spike[j] = rotation.code(kept, entry);
        }
    }
    triangle[column_at(last)] = spike[last];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_eliminates_what_it_is_for() {
        for (kept, entry) in [(3.0, 4.0), (-4.0, 3.0), (0.0, 2.0), (1e300, -1e300), (1e-9, 5.0)] {
            let (length, zero) = Rotation::eliminating(kept, entry).apply(kept, entry);
            let norm = f64::hypot(kept, entry);
            assert!((length.abs() / norm - 1.0).abs() < 1e-15);
            assert!(zero.abs() <= 1e-15 * norm);
        }
    }

    #[test]
    fn a_code_gives_the_rotation_back_but_for_its_sign() {
        for (kept, entry) in [(3.0, 4.0), (-4.0, 3.0), (4.0, -3.0), (0.0, 2.0), (-1e-9, 5.0)] {
            let rotation = Rotation::eliminating(kept, entry);
            let again = Rotation::of_code(rotation.code(kept, entry));
            let sign = f64::signum(rotation.cosine * again.cosine + rotation.sine * again.sine);
            assert!((rotation.cosine - sign * again.cosine).abs() < 1e-15);
            assert!((rotation.sine - sign * again.sine).abs() < 1e-15);
        }
    }

    #[test]
    fn the_inverse_undoes_a_rotation() {
        let rotation = Rotation::eliminating(3.0, 4.0);
        let (a, b) = rotation.apply(1.0, 2.0);
        let (a, b) = rotation.inverse().apply(a, b);
        assert!((a - 1.0).abs() < 1e-15 && (b - 2.0).abs() < 1e-15);
    }
}
