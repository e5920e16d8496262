//! Records with their labels, as the coordinator has them in training, and what is strange about them.

use super::label_noise::LabelNoise;
use crate::calibration::combine::Combination;
use crate::calibration::panel::{Calibrated, Panel};
use crate::codes::Codes;
use crate::codes::chow_liu::ChowLiu;
use crate::error::DetectorError;
use crate::rows::{CoordinatorRows, Values};
use crate::{Detector, Score};

/// Labels of records.
#[derive(Clone, Copy)]
pub enum GivenLabels<'a> {
    /// A class each.
    Classes {
        /// Number of classes; all are below.
        count: usize,
        /// The class of each record.
        of: &'a [u32],
    },
    /// A finite value each.
    Values(&'a [f32]),
}

/// Records with codes and labels.
pub struct Labelled<'a> {
    codes: &'a Codes,
    told: GivenLabels<'a>,
    /// The label where it is a class, else 0 for all.
    classes: Vec<u32>,
    features: Vec<f32>,
}

impl<'a> Labelled<'a> {
    /// Puts the parts together.
    ///
    /// # Errors
    /// If they are of different numbers of records, a class is out of range, or a value not finite.
    pub fn new(codes: &'a Codes, told: GivenLabels<'a>) -> Result<Self, DetectorError> {
        let (found, classes) = match told {
            GivenLabels::Classes { of, .. } => (of.len(), of.to_vec()),
            GivenLabels::Values(values) => (values.len(), vec![0; values.len()]),
        };
        if found != codes.rows() {
            return Err(DetectorError::Rows { what: "labels", expected: codes.rows(), found });
        }
        match told {
            GivenLabels::Classes { count, of } => {
                if let Some(class) = of.iter().copied().find(|class| *class as usize >= count) {
                    return Err(DetectorError::Class { class, known: count });
                }
            }
            GivenLabels::Values(values) => {
                Values::new("labels", values, 1)?;
            }
        }
        Ok(Self { codes, told, classes, features: vec![0.0; found] })
    }

    /// The codes.
    pub fn codes(&self) -> &'a Codes {
        self.codes
    }

    /// The labels.
    pub fn told(&self) -> GivenLabels<'a> {
        self.told
    }

    fn seen(&self) -> Result<CoordinatorRows<'_>, DetectorError> {
        CoordinatorRows::new(self.codes, &self.classes, Values::new("features", &self.features, 1)?)
    }
}

/// What judges records with their labels.
// Few of them exist: their size does not matter.
#[allow(clippy::large_enum_variant)]
enum LabelDetector {
    /// The label is unlikely for the codes: mislabelled records.
    LabelNoise(LabelNoise),
    /// The codes are rare among records of the label: strange inputs, and marks that come with a label.
    ChowLiu(ChowLiu),
}

impl Score<Labelled<'_>> for LabelDetector {
    fn score(&self, rows: &Labelled<'_>) -> Result<Vec<f64>, DetectorError> {
        match self {
            Self::LabelNoise(detector) => detector.score(rows),
            Self::ChowLiu(detector) => detector.score(&rows.seen()?),
        }
    }
}

/// p-values of the records `judged`, from detectors that were fitted, scaled and calibrated on other records.
///
/// # Errors
/// If the records are too few for `level`, or do not fit together.
pub fn label_p_values(
    [fit, scale, calibrate, judged]: [&Labelled<'_>; 4],
    level: f64,
    seed: u64,
) -> Result<Vec<f64>, DetectorError> {
    let detectors = vec![
        LabelDetector::LabelNoise(LabelNoise::fit(fit, seed)?),
        LabelDetector::ChowLiu(ChowLiu::fit(&fit.seen()?, seed)?),
    ];
    let panel = Panel::new(detectors, Combination::Bonferroni, scale)?;
    let calibrated = Calibrated::new(panel, scale, calibrate, None)?;
    let verdicts = calibrated.judge(judged, None, level, None)?;
    Ok(verdicts.iter().map(|verdict| verdict.p_value).collect())
}
