//! Records with their labels, as the coordinator has them in training, and how well these go together.

use super::label_noise::LabelNoise;
use crate::calibration::combine::Combination;
use crate::calibration::panel::{Calibrated, Panel};
use crate::calibration::split::CalibrationSplit;
use crate::codes::Codes;
use crate::coordinator::{ChowLiu, CoordinatorRows};
use crate::detector::{Detector, Score};
use crate::error::DetectorError;
use crate::values::MatrixView;

/// Labels of records.
#[derive(Clone, Copy)]
pub enum GivenLabels<'a> {
    /// One class per record.
    Classes {
        /// The number of classes, above every class.
        count: usize,
        /// The class of each record.
        of: &'a [u32],
    },
    /// One finite value per record.
    Values(&'a [f32]),
}

/// Records with codes and labels.
pub struct Labelled<'a> {
    codes: &'a Codes,
    labels: GivenLabels<'a>,
    /// The label of each record where labels are classes; 0 for all records in a regression.
    classes: Vec<u32>,
    features: Vec<f32>,
}

impl<'a> Labelled<'a> {
    /// Puts the parts together.
    ///
    /// # Errors
    /// If there are more or fewer labels than codes, a class is out of range, or a value is not finite.
    pub fn new(codes: &'a Codes, labels: GivenLabels<'a>) -> Result<Self, DetectorError> {
        let classes = match labels {
            GivenLabels::Classes { count, of } => {
                DetectorError::same_rows("labels", codes.rows(), of.len())?;
                if let Some(class) = of.iter().copied().find(|class| *class as usize >= count) {
                    return Err(DetectorError::Class { class, known: count });
                }
                of.to_vec()
            }
            GivenLabels::Values(values) => {
                DetectorError::same_rows("labels", codes.rows(), values.len())?;
                MatrixView::new("labels", values, 1)?;
                vec![0; values.len()]
            }
        };
        Ok(Self { codes, labels, features: vec![0.0; classes.len()], classes })
    }

    /// The codes.
    pub fn codes(&self) -> &'a Codes {
        self.codes
    }

    /// The labels.
    pub fn labels(&self) -> GivenLabels<'a> {
        self.labels
    }

    /// The records as rows whose class is their label, and which have no features.
    fn rows(&self) -> Result<CoordinatorRows<'_>, DetectorError> {
        CoordinatorRows::new(self.codes, &self.classes, MatrixView::new("features", &self.features, 1)?)
    }
}

/// The detectors of records with labels.
// Few of them exist: their sizes may differ.
#[allow(clippy::large_enum_variant)]
enum LabelDetector {
    /// The label is unlikely for the codes: mislabelled records.
    LabelNoise(LabelNoise),
    /// The codes are unlikely among records of the label: strange inputs, and marks that come with a label.
    ChowLiu(ChowLiu),
}

impl Score<Labelled<'_>> for LabelDetector {
    fn score(&self, rows: &Labelled<'_>) -> Result<Vec<f64>, DetectorError> {
        match self {
            Self::LabelNoise(detector) => detector.score(rows),
            Self::ChowLiu(detector) => detector.score(&rows.rows()?),
        }
    }
}

/// The p-value of each record of `judged`, from detectors that were fitted, scaled and calibrated on `others`.
///
/// # Errors
/// If there are too few records for `level`, or their codes have different lengths.
pub fn label_p_values(
    others: &CalibrationSplit<Labelled<'_>>,
    judged: &Labelled<'_>,
    level: f64,
    seed: u64,
) -> Result<Vec<f64>, DetectorError> {
    let CalibrationSplit { fit, scale, calibrate } = others;
    let detectors = vec![
        LabelDetector::LabelNoise(LabelNoise::fit(fit, seed)?),
        LabelDetector::ChowLiu(ChowLiu::fit(&fit.rows()?.into(), seed)?),
    ];
    let panel = Panel::new(detectors, Combination::Bonferroni, scale)?;
    let calibrated = Calibrated::new(panel, scale, calibrate, None)?;
    let verdicts = calibrated.judge(judged, None, level, None)?;
    Ok(verdicts.iter().map(|verdict| verdict.p_value).collect())
}
