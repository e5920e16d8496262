//! The `[detectors]` table, and what it asks of a run.

use anyhow::ensure;
use hashvfl_core::{Part, Plan};
use hashvfl_detectors::{BatchKind, Combination, CoordinatorKind, split};
use serde::Deserialize;
use tracing::warn;

/// The `[detectors]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorsConfig {
    /// A record is flagged where its p-value is this or less.
    pub level: f64,
    /// Which detectors.
    pub kinds: Vec<CoordinatorKind>,
    /// How their p-values become one.
    pub combination: Combination,
    /// How that one and those of parties' own detectors become one.
    pub parties: Combination,
    /// Whether p-values are calibrated for each predicted class alone.
    pub per_class: bool,
    /// Which detector compares the records of a request with each other, if any.
    pub batch: Option<BatchKind>,
    /// Records of a request that it needs, at least.
    pub batch_rows: usize,
}

/// Calibrating records that decide on flags below which that is told: the share that is flagged then varies by half of it.
const DECIDING: usize = 5;

/// The fewest records that may be asked for as [`DetectorsConfig::batch_rows`].
const BATCH_ROWS: usize = 100;

impl Default for DetectorsConfig {
    fn default() -> Self {
        let kinds = CoordinatorKind::DEFAULT.to_vec();
        let (combination, parties) = Default::default();
        Self { level: 0.01, kinds, combination, parties, per_class: false, batch: None, batch_rows: 1000 }
    }
}

impl DetectorsConfig {
    /// Checks every range.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.level > 0.0 && self.level < 1.0,
            "level must be above 0 and below 1, not {}",
            self.level
        );
        ensure!(
            !self.kinds.is_empty(),
            "kinds must name a detector; without any, set run.calibration_share = 0"
        );
        ensure!(
            self.batch_rows >= BATCH_ROWS,
            "batch_rows must be at least {BATCH_ROWS}, not {}",
            self.batch_rows
        );
        Ok(())
    }

    /// The level that each of the coordinator's own p-values must be able to reach, for theirs to reach `level`.
    pub fn level_of_each(&self, level: f64) -> f64 {
        match self.batch {
            Some(_) => self.combination.level_of_each(level, 2),
            None => level,
        }
    }
}

/// Whether the calibration part, if there is one, is large enough for the level.
pub fn check(config: &DetectorsConfig, plan: &Plan) -> anyhow::Result<()> {
    match plan.part(Part::Calibration) {
        [] => {
            ensure!(
                config.batch.is_none(),
                "detectors.batch needs run.calibration_share above 0: records that a request's are compared with"
            );
            Ok(())
        }
        rows => {
            let level = config.level_of_each(config.level);
            split::check(rows, level)?;
            if let Some(warning) = resolution(level, split::calibrating(rows).len(), rows.len()) {
                warn!("{warning}");
            }
            Ok(())
        }
    }
}

/// What is to be said where few of the calibrating records decide on flags.
fn resolution(level: f64, calibrating: usize, records: usize) -> Option<String> {
    let least = 1.0 / (calibrating + 1) as f64;
    // The shift keeps 0.01 * 100 from becoming 0 by rounding.
    let deciding = (level / least + 1e-9).floor() as usize;
    (deciding < DECIDING).then(|| {
        format!(
            "detectors: {calibrating} of {records} calibration records calibrate, by which no p-value is below \
             {least:.4}: at level {level} flags hang on the {deciding} strangest of them, so the share that is flagged \
             varies much from run to run; a larger run.calibration_share or level tells more"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_few_records_decide_on_is_told_with_what_they_can_tell() {
        let told = resolution(0.01, 290, 968).unwrap();
        assert!(told.contains("290 of 968 calibration records calibrate"), "{told}");
        assert!(
            told.contains("no p-value is below 0.0034: at level 0.01 flags hang on the 2 strangest"),
            "{told}"
        );
        assert_eq!(resolution(0.01, 99, 330).map(|told| told.contains("the 1 strangest")), Some(true));
        assert_eq!(resolution(0.05, 290, 968), None);
    }
}
