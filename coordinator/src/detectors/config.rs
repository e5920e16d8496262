//! The `[detectors]` table, and what it asks of a run.

use anyhow::ensure;
use hashvfl_core::{Part, Plan};
use hashvfl_detectors::calibration::split;
use hashvfl_detectors::{BatchKind, Combination, CoordinatorKind, DetectorKind, DetectorSettings};
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
    /// How what these say and p-values of parties' own detectors become one score, which is then calibrated.
    pub parties: Combination,
    /// Whether p-values are calibrated for each predicted class alone.
    pub per_class: bool,
    /// Which detector compares the records of a request with each other, if any.
    pub batch: Option<BatchKind>,
    /// The fewest records of a request that it compares.
    pub batch_rows: usize,
}

/// The least [`DetectorsConfig::batch_rows`].
const BATCH_ROWS: usize = 100;

impl Default for DetectorsConfig {
    fn default() -> Self {
        Self {
            level: 0.01,
            kinds: CoordinatorKind::DEFAULT.to_vec(),
            combination: CoordinatorKind::COMBINATION,
            parties: Combination::Bonferroni,
            per_class: false,
            batch: None,
            batch_rows: 1000,
        }
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
            self.batch_rows >= BATCH_ROWS,
            "batch_rows must be at least {BATCH_ROWS}, not {}",
            self.batch_rows
        );
        Ok(self.settings().check()?)
    }

    /// What both sides' tables have in common.
    pub fn settings(&self) -> DetectorSettings<'_, CoordinatorKind> {
        DetectorSettings {
            kinds: &self.kinds,
            combination: self.combination,
            level: self.level_of_each(self.level),
        }
    }

    /// The level that each of the coordinator's own p-values must be able to reach for their combination to reach `level`.
    pub fn level_of_each(&self, level: f64) -> f64 {
        match self.batch {
            Some(_) => self.combination.level_of_each(level, 2),
            None => level,
        }
    }
}

/// Whether the calibration part, if there is one, is large enough for the level.
pub fn check(config: &DetectorsConfig, plan: &Plan) -> anyhow::Result<()> {
    let rows = plan.part(Part::Calibration);
    if rows.is_empty() && config.batch.is_none() {
        return Ok(());
    }
    Ok(config.settings().check_part(rows, "detectors.batch")?)
}

/// What is to be said before a run whose calibration part leaves flags to a handful of records.
pub fn resolution(config: &DetectorsConfig, plan: &Plan) -> Option<String> {
    let told = split::resolution(plan.part(Part::Calibration), config.settings().level)?;
    Some(format!("[detectors]: {told}"))
}
