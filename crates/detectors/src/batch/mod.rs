//! Detectors that look at a whole batch of unlabelled rows at once, with calibration rows among them.
//!
//! They learn from the batch: a code that is common among normal rows is strange where it is more common in the batch. So
//! they need many rows, and find most where many rows are strange in the same way: a sensor that broke, a file joined
//! wrongly.
//!
//! A score treats calibration rows and rows of the batch alike, so p-values hold as [`crate::calibration::conformal`] says.

mod adaptive;
mod mutual;

pub use adaptive::adaptive_scores;
pub use mutual::mutual_scores;

use serde::{Deserialize, Serialize};

use crate::calibration::conformal::{Calibration, Ties};
use crate::codes::Codes;
use crate::error::DetectorError;
use crate::file::CheckStored;
use crate::limits::MAX_SCORES;

/// The seed of draws, which hide nothing.
const SEED: u64 = 0;

/// Which detector looks at a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchKind {
    /// [`mutual_scores`].
    Mutual,
    /// [`adaptive_scores`].
    Adaptive,
}

impl BatchKind {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Mutual, Self::Adaptive];

    /// The name in settings and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mutual => "mutual",
            Self::Adaptive => "adaptive",
        }
    }
}

/// Codes of normal rows that a batch is compared with.
#[derive(Serialize, Deserialize)]
pub struct References {
    /// Codes that a detector may learn from.
    normal: Codes,
    /// Codes that are scored among the batch, and that nothing was fitted on.
    calibration: Codes,
}

impl References {
    /// Keeps `normal` rows to learn from and `calibration` rows that nothing was fitted on.
    ///
    /// # Errors
    /// If there are none or too many of them, or their lengths differ.
    pub fn new(normal: Codes, calibration: Codes) -> Result<Self, DetectorError> {
        let references = Self { normal, calibration };
        references.check()?;
        Ok(references)
    }

    /// The scores of the calibration rows, and the scores of `batch`.
    ///
    /// # Errors
    /// If the batch's codes have other lengths, or there are too few rows.
    pub fn scores(&self, kind: BatchKind, batch: &Codes) -> Result<[Vec<f64>; 2], DetectorError> {
        let together = Codes::stack(&[&self.calibration, batch])?;
        let mut calibration = match kind {
            BatchKind::Mutual => mutual_scores(&together, SEED),
            BatchKind::Adaptive => adaptive_scores(&self.normal, &together, SEED)?,
        };
        let batch = calibration.split_off(self.calibration.rows());
        Ok([calibration, batch])
    }

    /// The p-value of each row of `batch`.
    ///
    /// # Errors
    /// See [`Self::scores`].
    pub fn p_values(&self, kind: BatchKind, batch: &Codes) -> Result<Vec<f64>, DetectorError> {
        let [calibration, scores] = self.scores(kind, batch)?;
        let calibration = Calibration::new(calibration)?;
        Ok(scores.into_iter().map(|score| calibration.p_value(score, 0, &mut Ties::Count)).collect())
    }

    /// Checks that a batch of codes of such `lengths` can be compared with these.
    ///
    /// # Errors
    /// If these codes have other lengths.
    pub fn check_codes(&self, lengths: &[usize]) -> Result<(), DetectorError> {
        DetectorError::code_lengths(self.normal.lengths(), lengths)
    }
}

impl CheckStored for References {
    fn check(&self) -> Result<(), DetectorError> {
        self.normal.check()?;
        self.calibration.check()?;
        self.calibration.check_lengths(self.normal.lengths())?;
        let allowed = 1..=MAX_SCORES;
        let fits = allowed.contains(&self.normal.rows()) && allowed.contains(&self.calibration.rows());
        DetectorError::stored(fits, "codes to compare a batch with")
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;
    use rand::Rng;

    use super::*;

    /// Codes of 12 bits of two parties; a share of them is one code that a tenth of normal rows have, too.
    fn drawn(rows: usize, common: f64, seed: u64) -> Codes {
        let mut rng = stream(seed, "codes", &[]);
        let mut parts = [Vec::new(), Vec::new()];
        for _ in 0..rows {
            let same = f64::from(rng.next_u32()) < common * 2_f64.powi(32);
            for part in &mut parts {
                part.extend((0..6).map(|_| if same || rng.next_u32() & 1 == 1 { 1.0_f32 } else { -1.0 }));
            }
        }
        Codes::of_values(&[&parts[0], &parts[1]], rows).unwrap()
    }

    fn flagged(kind: BatchKind, batch: &Codes) -> usize {
        let references = References::new(drawn(2000, 0.1, 1), drawn(999, 0.1, 2)).unwrap();
        let p_values = references.p_values(kind, batch).unwrap();
        p_values.iter().filter(|p| **p <= 0.15).count()
    }

    #[test]
    fn what_is_common_is_strange_where_it_is_more_common() {
        let strange = drawn(300, 1.0, 4);
        let batch = Codes::stack(&[&drawn(1000, 0.1, 3), &strange]).unwrap();
        let references = References::new(drawn(2000, 0.1, 1), drawn(999, 0.1, 2)).unwrap();
        let p_values = references.p_values(BatchKind::Adaptive, &batch).unwrap();
        assert!(p_values[1000..].iter().all(|p| *p <= 0.15), "a tenth of normal rows has that code");
        // Mutual scoring looks for rows that are alone.
        let p_values = references.p_values(BatchKind::Mutual, &batch).unwrap();
        assert!(p_values[1000..].iter().all(|p| *p > 0.5));
    }

    #[test]
    fn normal_batches_are_flagged_no_more_than_promised() {
        for kind in BatchKind::ALL {
            let counts: Vec<usize> = (10..14).map(|seed| flagged(*kind, &drawn(1000, 0.1, seed))).collect();
            // 150 each on average at most, with the spread of 999 calibration rows and 1,000 others.
            assert!(counts.iter().sum::<usize>() < 4 * 200, "{} {counts:?}", kind.name());
        }
    }

    #[test]
    fn other_lengths_and_damaged_codes_are_refused() {
        let codes = |bits: usize| Codes::of_values(&[&vec![1.0; 100 * bits]], 100).unwrap();
        assert!(matches!(References::new(codes(8), codes(9)), Err(DetectorError::CodeLengths { .. })));
        let references = References::new(codes(8), codes(8)).unwrap();
        for kind in BatchKind::ALL {
            let error = references.p_values(*kind, &codes(9)).unwrap_err();
            assert!(matches!(error, DetectorError::CodeLengths { .. }));
        }
        let mut json = serde_json::to_value(&references).unwrap();
        assert!(serde_json::from_value::<References>(json.clone()).unwrap().check().is_ok());
        json["normal"]["rows"] = 99.into();
        assert!(serde_json::from_value::<References>(json).unwrap().check().is_err());
    }
}
