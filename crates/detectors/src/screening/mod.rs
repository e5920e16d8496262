//! Training records are judged before the top model learns from them: reported, weighed down or dropped.
//!
//! No record is judged by a detector that was fitted on it: records fall into folds, and the records of a fold get p-values
//! from detectors fitted and calibrated on the other folds (cross-conformal prediction: Vovk 2015).

mod label_noise;
mod labelled;

pub use label_noise::LabelNoise;
pub use labelled::{GivenLabels, Labelled, label_p_values};

use hashvfl_core::random::{shuffle, stream};
use serde::{Deserialize, Serialize};

use crate::calibration::split::{CalibrationSplit, records_needed};
use crate::error::DetectorError;

/// What is done with a training record of a low p-value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScreeningAction {
    /// It is counted, and learned from like any other.
    #[default]
    Report,
    /// Its weight is its p-value over the level.
    DownWeight,
    /// It is not learned from.
    Drop,
}

/// The settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScreeningSettings {
    /// What is done.
    pub action: ScreeningAction,
    /// The p-value at or below which it is done, above 0 and below 1.
    pub level: f64,
    /// The number of folds, 2 to 20.
    pub folds: usize,
}

impl Default for ScreeningSettings {
    fn default() -> Self {
        Self { action: ScreeningAction::default(), level: 0.01, folds: 5 }
    }
}

/// The rows of one fold, and what the rows of the other folds do.
pub struct Fold {
    /// The rows to be judged.
    pub judged: Vec<u32>,
    /// The rows of the other folds.
    pub others: CalibrationSplit<Vec<u32>>,
}

/// What screening found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Screened {
    /// The weight of each row, from 0 to 1.
    pub weights: Vec<f32>,
    /// Rows whose p-value is the level or less.
    pub flagged: usize,
    /// The p-value of each row.
    pub p_values: Vec<f64>,
}

impl ScreeningSettings {
    /// Checks every range.
    ///
    /// # Errors
    /// If a setting is out of range.
    pub fn check(&self) -> Result<(), DetectorError> {
        DetectorError::fraction("screening.level", self.level)?;
        match self.folds {
            2..=20 => Ok(()),
            found => Err(DetectorError::Limit { what: "folds of a screening (2 to 20)", found, limit: 20 }),
        }
    }

    /// Checks that there are rows enough for folds, detectors and the level.
    ///
    /// # Errors
    /// With the number of rows that are needed.
    pub fn check_rows(&self, rows: usize) -> Result<(), DetectorError> {
        let folds = self.folds.max(2);
        let needed = (records_needed(self.level) * folds).div_ceil(folds - 1);
        DetectorError::rows("screening of training records", needed, rows)
    }

    /// Judges `rows` rows; `judge` fits on the other rows of a fold and gives a p-value per row to be judged, in order.
    ///
    /// # Errors
    /// If a setting is out of range, there are too few rows, or `judge` fails.
    pub fn run<E: From<DetectorError>>(
        &self,
        rows: usize,
        seed: u64,
        mut judge: impl FnMut(&Fold) -> Result<Vec<f64>, E>,
    ) -> Result<Screened, E> {
        self.check()?;
        self.check_rows(rows)?;
        let mut order: Vec<u32> = (0..rows as u32).collect();
        shuffle(&mut order, &mut stream(seed, "screening folds", &[]));
        let mut p_values = vec![1.0; rows];
        for fold in 0..self.folds {
            let (start, end) = (rows * fold / self.folds, rows * (fold + 1) / self.folds);
            let others = [&order[..start], &order[end..]].concat();
            let others = CalibrationSplit::of(&others).map(<[u32]>::to_vec);
            let fold = Fold { judged: order[start..end].to_vec(), others };
            let found = judge(&fold)?;
            DetectorError::same_rows("p-values", fold.judged.len(), found.len())?;
            for (row, p_value) in fold.judged.iter().zip(found) {
                p_values[*row as usize] = p_value;
            }
        }
        let flagged = p_values.iter().filter(|p_value| **p_value <= self.level).count();
        let weights = p_values.iter().map(|p_value| self.weight(*p_value)).collect();
        Ok(Screened { weights, flagged, p_values })
    }

    /// The weight of a record in training, from 0 to 1.
    fn weight(&self, p_value: f64) -> f32 {
        if p_value > self.level {
            return 1.0;
        }
        match self.action {
            ScreeningAction::Report => 1.0,
            ScreeningAction::DownWeight => (p_value / self.level) as f32,
            ScreeningAction::Drop => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(action: ScreeningAction) -> Screened {
        let screening = ScreeningSettings { action, level: 0.1, folds: 4 };
        screening
            .run::<DetectorError>(300, 1, |fold| {
                let CalibrationSplit { fit, scale, calibrate } = &fold.others;
                let mut all = [&fold.judged[..], fit, scale, calibrate].concat();
                all.sort_unstable();
                assert_eq!(all, (0..300).collect::<Vec<u32>>());
                Ok(fold.judged.iter().map(|row| if *row < 5 { 0.05 } else { 0.5 }).collect())
            })
            .unwrap()
    }

    #[test]
    fn every_record_is_judged_by_others() {
        let found = screen(ScreeningAction::Drop);
        assert_eq!(found.flagged, 5);
        assert_eq!(found.weights.iter().map(|w| f64::from(*w)).sum::<f64>(), 295.0);
        assert!(screen(ScreeningAction::Report).weights.iter().all(|weight| *weight == 1.0));
        assert_eq!(screen(ScreeningAction::DownWeight).weights[0], 0.5);
    }

    #[test]
    fn settings_and_rows_have_limits() {
        let judge = |_: &Fold| -> Result<Vec<f64>, DetectorError> { Ok(Vec::new()) };
        let few = ScreeningSettings::default().run(412, 0, judge);
        // A level of 1 % needs 330 records beside those of the fold.
        assert!(matches!(few, Err(DetectorError::TooFewRows { needed: 413, .. })));
        let folds = ScreeningSettings { folds: 1, ..ScreeningSettings::default() }.run(500, 0, judge);
        assert!(matches!(folds, Err(DetectorError::Limit { .. })));
        let level = ScreeningSettings { level: 0.0, ..ScreeningSettings::default() }.run(500, 0, judge);
        assert!(matches!(level, Err(DetectorError::Fraction { .. })));
        assert!(matches!(ScreeningSettings::default().run(500, 0, judge), Err(DetectorError::Rows { .. })));
    }
}
