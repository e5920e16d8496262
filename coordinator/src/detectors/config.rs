//! The `[detectors]` table, and what it asks of a run.

use anyhow::ensure;
use hashvfl_core::{Part, Plan};
use hashvfl_detectors::{BatchKind, Combination, CoordinatorKind, split};
use serde::Deserialize;

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
            "kinds must name a detector; without any, set run.calibration_fraction = 0"
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
                "detectors.batch needs run.calibration_fraction above 0: records that a request's are compared with"
            );
            Ok(())
        }
        rows => Ok(split::check(rows, config.level_of_each(config.level))?),
    }
}
