//! The Mahalanobis distance of the top model's features to the nearest class.
//!
//! Source: Lee et al., *A simple unified framework for detecting out-of-distribution samples and adversarial attacks*
//! (NeurIPS 2018), section 2.1: one Gaussian per class, all with the same covariance.

use serde::{Deserialize, Serialize};

use super::{CoordinatorNormal, CoordinatorRows};
use crate::detector::{Detector, Input, Needs};
use crate::error::DetectorError;
use crate::limits::{MAX_CLASSES, MAX_FEATURES};
use crate::numerics::eigen::{along, by_columns, covariance, eigen, means, whitened};
use crate::numerics::vectors::nearest;

/// The fraction of the mean variance that is added to every direction, so that none is without variance.
const RIDGE: f64 = 1e-3;

/// Class-conditional Gaussians with a shared covariance.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Mahalanobis {
    width: usize,
    /// The map to where the covariance is the identity; [width, width] by columns.
    whiten: Vec<f32>,
    /// The mean of each class there.
    means: Vec<Vec<f32>>,
}

impl Detector for Mahalanobis {
    type Normal<'a> = CoordinatorNormal<'a>;
    type Observations<'a> = CoordinatorRows<'a>;
    const NAME: &'static str = "mahalanobis";
    const NEEDS: Needs = Needs { input: Input::Features, rows: 2 };

    fn fit(normal: &CoordinatorNormal<'_>, _seed: u64) -> Result<Self, DetectorError> {
        let CoordinatorRows { classes: of_rows, features, .. } = normal.rows;
        let (classes, width) = (normal.rows.class_count(), features.width());
        DetectorError::at_most("features", width, MAX_FEATURES)?;
        let centers = means(features, classes, |row| of_rows[row] as usize);
        let shared = covariance(features, |row| &centers[of_rows[row] as usize]);
        let (variances, vectors) = eigen(shared, width);
        let ridge = RIDGE * variances.iter().sum::<f64>() / width as f64 + f64::MIN_POSITIVE.sqrt();
        let scaled = whitened(&vectors, &variances, ridge);
        // A class without normal rows has no centre.
        let seen = (0..classes).filter(|at| of_rows.iter().any(|class| *class as usize == *at));
        let means = seen.map(|at| along(&scaled, &centers[at])).collect();
        Ok(Self { width, whiten: by_columns(&scaled), means })
    }

    fn score(&self, rows: &CoordinatorRows<'_>) -> Result<Vec<f64>, DetectorError> {
        DetectorError::width("features", self.width, rows.features.width())?;
        Ok(nearest(&self.whiten, &self.means, rows.features))
    }

    fn check(&self) -> Result<(), DetectorError> {
        let fits = (1..=MAX_FEATURES).contains(&self.width)
            && self.whiten.len() == self.width * self.width
            && (1..=MAX_CLASSES).contains(&self.means.len())
            && self.means.iter().all(|mean| mean.len() == self.width)
            && self.whiten.iter().chain(self.means.iter().flatten()).all(|value| value.is_finite());
        DetectorError::stored(fits, "a set of Gaussians")
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::normal::normal_score;
    use hashvfl_core::random::stream;
    use rand::Rng;

    use super::*;
    use crate::codes::Codes;
    use crate::values::MatrixView;

    #[test]
    fn it_is_the_mahalanobis_distance_to_the_nearest_class() {
        let mut rng = stream(1, "features", &[]);
        let mut normal = || normal_score((f64::from(rng.next_u32()) + 0.5) / 2_f64.powi(32)) as f32;
        let classes: Vec<u32> = (0..4000).map(|row| row % 2).collect();
        // Deviations 3 and 0.5, means (0, 0) and (100, 0).
        let values: Vec<f32> = classes
            .iter()
            .flat_map(|class| [3.0 * normal() + 100.0 * *class as f32, 0.5 * normal()])
            .collect();
        let codes = Codes::of_values(&[&vec![1.0; 4000]], 4000).unwrap();
        let seen =
            CoordinatorRows::new(&codes, &classes, MatrixView::new("features", &values, 2).unwrap()).unwrap();
        let detector = Mahalanobis::fit(&seen.into(), 0).unwrap();
        assert!(detector.check().is_ok());
        let codes = Codes::of_values(&[&[1.0; 3]], 3).unwrap();
        let tests = [3.0, 0.5, 103.0, 0.0, 50.0, 0.0];
        let seen =
            CoordinatorRows::new(&codes, &[0; 3], MatrixView::new("features", &tests, 2).unwrap()).unwrap();
        let scores = detector.score(&seen).unwrap();
        for (score, expected) in scores.iter().zip([2.0, 1.0, 278.0]) {
            assert!((score / expected - 1.0).abs() < 0.15, "{scores:?}");
        }
        let narrow =
            CoordinatorRows::new(&codes, &[0; 3], MatrixView::new("features", &tests[..3], 1).unwrap())
                .unwrap();
        let error = detector.score(&narrow).unwrap_err().to_string();
        assert!(
            error.contains("features have 1 values per row, but the detector was fitted on 2"),
            "{error}"
        );
    }
}
