//! The sizes of the variables: the trust region is a ball in x / scale.
//!
//! Either they are given, or each is the inverse of the largest norm that the variable's column of
//! the Jacobian has had, so that a unit of any scaled variable moves the residual about as far
//! (J. J. Moré, "The Levenberg-Marquardt algorithm: implementation and theory", Lecture Notes in
//! Mathematics 630, 1978, section 5).

use crate::saved;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Scaling {
    #[serde(with = "saved::vector")]
    pub scale: Vec<f64>,
    /// 1 / scale
    #[serde(with = "saved::vector")]
    pub inverse: Vec<f64>,
    /// The inverses follow the Jacobian.
    from_jacobian: bool,
}

impl Scaling {
    pub fn given(scale: &[f64]) -> Self {
        let inverse = scale.iter().map(|scale| 1.0 / scale).collect();
        Scaling { scale: scale.to_vec(), inverse, from_jacobian: false }
    }

    pub fn from_jacobian(unknowns: usize) -> Self {
        let (scale, inverse) = (vec![f64::INFINITY; unknowns], vec![0.0; unknowns]);
        Scaling { scale, inverse, from_jacobian: true }
    }

    /// Takes the norms of the columns of a new Jacobian, which has so many rows.
    pub fn update(&mut self, column_norms: &[f64], rows: usize) {
        if !self.from_jacobian {
            return;
        }
        let negligible = f64::EPSILON * rows.max(column_norms.len()) as f64;
        for (inverse, &norm) in self.inverse.iter_mut().zip(column_norms) {
            *inverse = inverse.max(if norm < negligible { 1.0 } else { norm });
        }
        self.scale = self.inverse.iter().map(|inverse| 1.0 / inverse).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_only_shrink_and_a_zero_column_counts_as_one() {
        let mut scaling = Scaling::from_jacobian(3);
        scaling.update(&[2.0, 0.0, 3.0], 5);
        scaling.update(&[1.0, 0.5, 4.0], 5);
        assert_eq!(scaling.inverse, [2.0, 1.0, 4.0]);
    }

    #[test]
    fn given_scales_stay() {
        let mut scaling = Scaling::given(&[0.5]);
        scaling.update(&[100.0], 1);
        assert_eq!(scaling.inverse, [2.0]);
    }
}
