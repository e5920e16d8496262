//! Detectors of abnormal inputs at the coordinator: fitted and calibrated at the end of a run, on records that fitted
//! no model and on which none was chosen, and judging records when predictions are served.

mod anomaly_scorer;
mod config;
mod fit;

use hashvfl_detectors::{Codes, CoordinatorRows, DetectorError, Values};
use hashvfl_learning::Classifier;

pub use anomaly_scorer::{AnomalyScorer, Flags};
pub use config::{DetectorsConfig, check};
pub use fit::{Fitted, fit, measure};

/// Records as detectors see them.
struct OwnedRows {
    codes: Codes,
    classes: Vec<u32>,
    features: Vec<f32>,
    width: usize,
}

impl OwnedRows {
    /// The records with codes `parts[party]`, row-major signs, and what the top model makes of them.
    fn new(
        parts: &[Vec<f32>],
        classes: Vec<u32>,
        features: Vec<f32>,
        width: usize,
    ) -> Result<Self, DetectorError> {
        let parts: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
        Ok(Self { codes: Codes::of_values(&parts, classes.len())?, classes, features, width })
    }

    fn of(
        classifier: &Classifier,
        gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
        rows: &[u32],
    ) -> Result<Self, DetectorError> {
        let parts = gather(rows);
        let (outputs, features) = classifier.predict_with_features(&parts, rows.len());
        let classes = classifier.meaning().classes(&outputs);
        Self::new(&parts, classes, features, classifier.feature_count())
    }

    fn seen(&self) -> Result<CoordinatorRows<'_>, DetectorError> {
        CoordinatorRows::new(&self.codes, &self.classes, Values::new("features", &self.features, self.width)?)
    }
}
