//! Mahalanobis distance to the nearest class on the top model's features.
//!
//! Source: Lee et al., *A simple unified framework for detecting out-of-distribution samples and adversarial attacks*
//! (NeurIPS 2018), section 2.1: one Gaussian a class, all with the same covariance.

use serde::{Deserialize, Serialize};

use crate::error::DetectorError;
use crate::features::linear::{along, by_columns, covariance, eigen, means, nearest, whitened};
use crate::limits::{MAX_CLASSES, MAX_FEATURES};
use crate::rows::CoordinatorRows;
use crate::{Detector, Score};

/// Share of the mean variance that is added to every direction, so that none is without variance.
const RIDGE: f64 = 1e-3;

/// Class-conditional Gaussians with shared covariance.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Mahalanobis {
    width: usize,
    /// To where the covariance is the identity; [width, width] by columns.
    whiten: Vec<f32>,
    /// Mean of each class there.
    means: Vec<Vec<f32>>,
}

impl Mahalanobis {
    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        let fits = (1..=MAX_FEATURES).contains(&self.width)
            && self.whiten.len() == self.width * self.width
            && (1..=MAX_CLASSES).contains(&self.means.len())
            && self.means.iter().all(|mean| mean.len() == self.width)
            && self.whiten.iter().chain(self.means.iter().flatten()).all(|value| value.is_finite());
        DetectorError::stored(fits, "a set of Gaussians")
    }
}

impl Detector<CoordinatorRows<'_>> for Mahalanobis {
    fn fit(normal: &CoordinatorRows<'_>, _seed: u64) -> Result<Self, DetectorError> {
        let (features, width) = (normal.features, normal.features.width());
        DetectorError::rows("class-conditional Gaussians", 2, features.rows())?;
        if width > MAX_FEATURES {
            return Err(DetectorError::Limit { what: "features", found: width, limit: MAX_FEATURES });
        }
        let classes = normal.class_count();
        let class = |row: usize| normal.classes[row] as usize;
        let centers = means(features, classes, class);
        let shared = covariance(features, |row| &centers[class(row)]);
        let (variances, vectors) = eigen(shared, width);
        let ridge = RIDGE * variances.iter().sum::<f64>() / width as f64 + f64::MIN_POSITIVE.sqrt();
        let scaled = whitened(&vectors, &variances, ridge);
        // A class without normal rows has no centre.
        let seen = (0..classes).filter(|at| normal.classes.iter().any(|class| *class as usize == *at));
        let means = seen.map(|at| along(&scaled, &centers[at])).collect();
        Ok(Self { width, whiten: by_columns(&scaled), means })
    }
}

impl Score<CoordinatorRows<'_>> for Mahalanobis {
    fn score(&self, rows: &CoordinatorRows<'_>) -> Result<Vec<f64>, DetectorError> {
        DetectorError::width("features", self.width, rows.features.width())?;
        Ok(nearest(&self.whiten, &self.means, rows.features))
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::normal::normal_score;
    use hashvfl_core::random::stream;
    use rand::Rng;

    use super::*;
    use crate::codes::Codes;
    use crate::rows::Values;

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
            CoordinatorRows::new(&codes, &classes, Values::new("features", &values, 2).unwrap()).unwrap();
        let detector = Mahalanobis::fit(&seen, 0).unwrap();
        assert!(detector.check().is_ok());
        let codes = Codes::of_values(&[&[1.0; 3]], 3).unwrap();
        let tests = [3.0, 0.5, 103.0, 0.0, 50.0, 0.0];
        let seen =
            CoordinatorRows::new(&codes, &[0; 3], Values::new("features", &tests, 2).unwrap()).unwrap();
        let scores = detector.score(&seen).unwrap();
        for (score, expected) in scores.iter().zip([2.0, 1.0, 278.0]) {
            assert!((score / expected - 1.0).abs() < 0.15, "{scores:?}");
        }
        let narrow =
            CoordinatorRows::new(&codes, &[0; 3], Values::new("features", &tests[..3], 1).unwrap()).unwrap();
        let error = detector.score(&narrow).unwrap_err().to_string();
        assert!(error.contains("features of 1 values a row, the detector was fitted on 2"), "{error}");
    }
}
