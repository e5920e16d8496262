//! One Gaussian on the top model's features, measured along the directions in which normal rows hardly vary.
//!
//! Source: Rippel et al., *Modeling the distribution of normal data in pre-trained deep features for anomaly detection*
//! (ICPR 2020): the principal components of least variance tell strange rows best ("negated PCA").

use serde::{Deserialize, Serialize};

use super::{CoordinatorNormal, CoordinatorRows};
use crate::detector::{Detector, Input, Needs};
use crate::error::DetectorError;
use crate::limits::MAX_FEATURES;
use crate::numerics::eigen::{along, by_columns, covariance, eigen, means, whitened};
use crate::numerics::vectors::nearest;

/// The largest fraction of all variance that the kept components have together.
const KEPT_VARIANCE: f64 = 0.01;
/// The fraction of the mean variance that is added to every direction, so that none is without variance.
const RIDGE: f64 = 1e-6;

/// The Mahalanobis distance along the kept components.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Pca {
    width: usize,
    /// Components over their deviations; [kept, width] by columns.
    directions: Vec<f32>,
    /// Where the mean lies along each.
    mean: Vec<f32>,
}

impl Detector for Pca {
    type Normal<'a> = CoordinatorNormal<'a>;
    type Observations<'a> = CoordinatorRows<'a>;
    const NAME: &'static str = "pca";
    const NEEDS: Needs = Needs { input: Input::Features, rows: 2 };

    fn fit(normal: &CoordinatorNormal<'_>, _seed: u64) -> Result<Self, DetectorError> {
        let features = normal.rows.features;
        let width = features.width();
        DetectorError::at_most("features", width, MAX_FEATURES)?;
        let center = means(features, 1, |_| 0).remove(0);
        let (variances, vectors) = eigen(covariance(features, |_| &center), width);
        let total: f64 = variances.iter().map(|v| v.max(0.0)).sum();
        let ridge = RIDGE * total / width as f64 + f64::MIN_POSITIVE.sqrt();
        let mut sum = 0.0;
        let kept = variances.iter().take_while(|variance| {
            sum += variance.max(0.0);
            sum <= KEPT_VARIANCE * total
        });
        // At least the component of least variance.
        let kept = kept.count().max(1);
        let scaled = whitened(&vectors[..kept], &variances, ridge);
        Ok(Self { width, mean: along(&scaled, &center), directions: by_columns(&scaled) })
    }

    fn score(&self, rows: &CoordinatorRows<'_>) -> Result<Vec<f64>, DetectorError> {
        DetectorError::width("features", self.width, rows.features.width())?;
        Ok(nearest(&self.directions, std::slice::from_ref(&self.mean), rows.features))
    }

    fn check(&self) -> Result<(), DetectorError> {
        let fits = (1..=MAX_FEATURES).contains(&self.width)
            && (1..=self.width).contains(&self.mean.len())
            && self.directions.len() == self.mean.len() * self.width
            && self.directions.iter().chain(&self.mean).all(|value| value.is_finite());
        DetectorError::stored(fits, "a set of principal components")
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;
    use rand::Rng;

    use super::*;
    use crate::codes::Codes;
    use crate::values::MatrixView;

    #[test]
    fn only_a_step_off_the_plane_of_normal_rows_counts() {
        let mut rng = stream(1, "features", &[]);
        let mut draw = || (f64::from(rng.next_u32()) / 2_f64.powi(31) - 1.0) as f32;
        // Two free directions; the third is their sum but for a little noise.
        let values: Vec<f32> = (0..1000)
            .flat_map(|_| {
                let (a, b) = (draw(), draw());
                [a, b, a + b + 0.01 * draw()]
            })
            .collect();
        let codes = Codes::of_values(&[&vec![1.0; 1000]], 1000).unwrap();
        let classes = vec![0; 1000];
        let seen =
            CoordinatorRows::new(&codes, &classes, MatrixView::new("features", &values, 3).unwrap()).unwrap();
        let detector = Pca::fit(&seen.into(), 0).unwrap();
        assert!(detector.check().is_ok() && detector.mean.len() == 1);
        let codes = Codes::of_values(&[&[1.0; 2]], 2).unwrap();
        let tests = [5.0, 5.0, 10.0, 0.0, 0.0, 0.1];
        let seen =
            CoordinatorRows::new(&codes, &[0; 2], MatrixView::new("features", &tests, 3).unwrap()).unwrap();
        let scores = detector.score(&seen).unwrap();
        assert!(scores[0] < 10.0 && scores[1] > 50.0, "{scores:?}");
    }
}
