//! The singular values of the least-squares form, R̂ = U S Vᵀ: one decomposition, and then every
//! multiplier costs two products with V.
//!
//! Directions whose singular value is zero to rounding are left alone, which is the step of minimum
//! norm, and the limit of the steps for α → 0.

use ndarray::{Array2, ArrayView1};
use ndarray_linalg::{JobSvd, SVDDC};
use serde::{Deserialize, Serialize};

use super::qr::Triangle;
use super::{Factors, Trial};
use crate::linalg::lapack::Lapack;
use crate::linalg::memory::bytes_of;
use crate::saved;

#[derive(Debug, Deserialize, Serialize)]
pub struct Spectrum {
    /// S
    #[serde(with = "saved::vector")]
    values: Vec<f64>,
    /// Vᵀ
    #[serde(with = "saved::matrix")]
    directions: Array2<f64>,
    /// Uᵀz, and 0 where the singular value is.
    #[serde(with = "saved::vector")]
    components: Vec<f64>,
}

impl Spectrum {
    /// The bytes that a decomposition takes: R̂ and a copy, U and Vᵀ, and the work space of dgesdd.
    pub fn room(unknowns: usize) -> usize {
        bytes_of::<f64>(10 * unknowns * unknowns + 200 * unknowns)
    }

    /// The decomposition of R̂; singular values count as zero relative to the number of rows that
    /// were factored. None where there is no convergence, which LAPACK would seek among infinities
    /// for ever.
    pub fn of(_: Lapack, triangle: &Triangle, rows: usize) -> Option<Self> {
        let unknowns = triangle.unknowns();
        let mut r = Array2::zeros((unknowns, unknowns));
        for j in 0..unknowns {
            for (i, &entry) in triangle.column(j).iter().enumerate() {
                r[[i, j]] = entry;
            }
        }
        if !r.iter().all(|entry: &f64| entry.is_finite()) {
            return None;
        }
        let (u, values, directions) = r.svddc(JobSvd::Some).ok()?;
        let projected = u?.t().dot(&ArrayView1::from(triangle.column(unknowns)));
        let smallest = f64::EPSILON * rows as f64 * values[0];
        let components = projected.iter().zip(&values);
        Some(Spectrum {
            components: components.map(|(&c, &s)| if s > smallest { c } else { 0.0 }).collect(),
            values: values.to_vec(),
            directions: directions?,
        })
    }

    /// Whether it is that of a matrix with so many columns.
    pub fn fits(&self, unknowns: usize) -> bool {
        let vectors = [&self.values, &self.components];
        vectors.iter().all(|vector| vector.len() == unknowns)
            && self.directions.dim() == (unknowns, unknowns)
    }

    /// −V applied to a function of singular value and component; the function is 0 where the
    /// component is.
    fn combination(&self, of: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let pairs = self.values.iter().zip(&self.components);
        let weights = pairs.map(|(&s, &c)| if c == 0.0 { 0.0 } else { -of(s, c) });
        self.directions.t().dot(&weights.collect::<ndarray::Array1<_>>()).to_vec()
    }
}

impl Factors for Spectrum {
    fn newton_step(&self) -> Vec<f64> {
        self.combination(|s, c| c / s)
    }

    fn trial(&mut self, multiplier: f64) -> Option<Trial> {
        let spread = self.values.iter().zip(&self.components).filter(|(_, c)| **c != 0.0);
        Some(Trial {
            step: self.combination(|s, c| s * c / (s * s + multiplier)),
            spread: spread.map(|(s, c)| (s * c).powi(2) / (s * s + multiplier).powi(3)).sum(),
        })
    }

    fn image(&self, step: &[f64]) -> Vec<f64> {
        let components = self.directions.dot(&ArrayView1::from(step));
        components.iter().zip(&self.values).map(|(c, s)| c * s).collect()
    }
}

#[cfg(all(test, feature = "system-lapack"))]
mod tests {
    use super::*;
    use crate::kernels::lsqtr::geometry::Geometry;

    /// LAPACK's dgesdd need not come back from such a matrix.
    #[test]
    fn infinities_have_no_decomposition() {
        let lapack = Lapack::of_the_system();
        let mut triangle = Triangle::new(lapack);
        let geometry = Geometry { unit: vec![f64::INFINITY, 1.0], ..Geometry::default() };
        triangle.factor(&mut [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, &geometry);
        assert!(Spectrum::of(lapack, &triangle, 2).is_none());
    }
}
