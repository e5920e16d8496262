//! Records as the coordinator's detectors see them.

use hashvfl_detectors::{Codes, CoordinatorRows, DetectorError, MatrixView};
use hashvfl_learning::Classifier;

/// Records with what the top model makes of them.
pub struct OwnedRows {
    /// All parties' codes.
    pub codes: Codes,
    /// The predicted classes.
    pub classes: Vec<u32>,
    features: Vec<f32>,
    width: usize,
}

impl OwnedRows {
    /// Records with the codes `parts[party]`, row-major signs, their predicted classes and their row-major features of
    /// `width` values per row.
    ///
    /// # Errors
    /// If the codes are not as many as the classes.
    pub fn new(
        parts: &[Vec<f32>],
        classes: Vec<u32>,
        features: Vec<f32>,
        width: usize,
    ) -> Result<Self, DetectorError> {
        let parts: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
        Ok(Self { codes: Codes::of_values(&parts, classes.len())?, classes, features, width })
    }

    /// The records `rows`, whose codes `gather` gives.
    ///
    /// # Errors
    /// If `gather` does not give one code per row.
    pub fn of(
        classifier: &Classifier,
        gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
        rows: &[u32],
    ) -> Result<Self, DetectorError> {
        let parts = gather(rows);
        let (outputs, features) = classifier.predict_with_features(&parts, rows.len());
        let classes = classifier.meaning().classes(&outputs);
        Self::new(&parts, classes, features, classifier.feature_count())
    }

    /// Some record with codes of these lengths and so many features.
    ///
    /// # Errors
    /// If a length is 0 or too large.
    pub fn probe(lengths: &[usize], width: usize) -> Result<Self, DetectorError> {
        let parts: Vec<Vec<f32>> = lengths.iter().map(|bits| vec![1.0; *bits]).collect();
        Self::new(&parts, vec![0], vec![0.0; width], width)
    }

    /// What detectors take.
    ///
    /// # Errors
    /// If a feature is not finite, or there are more or fewer than the records have.
    pub fn view(&self) -> Result<CoordinatorRows<'_>, DetectorError> {
        CoordinatorRows::new(
            &self.codes,
            &self.classes,
            MatrixView::new("features", &self.features, self.width)?,
        )
    }
}
