//! The `[detectors]` table, and what it asks of a run.

use anyhow::ensure;
use hashvfl_core::{Part, Plan};
use hashvfl_detectors::calibration::conformal::rows_needed;
use hashvfl_detectors::calibration::split;
use hashvfl_detectors::{BatchKind, CalibrationSplit, CoordinatorKind, DetectorKind, DetectorSettings};
use hashvfl_learning::top::loss::Labels;
use serde::Deserialize;

/// The `[detectors]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorsConfig {
    /// A record is flagged where its p-value is this or less.
    pub level: f64,
    /// Which detectors.
    pub kinds: Vec<CoordinatorKind>,
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
        DetectorSettings { kinds: &self.kinds, level: self.level_of_each(self.level) }
    }

    /// The level that each of the coordinator's own p-values must be able to reach for their combination to reach `level`.
    pub fn level_of_each(&self, level: f64) -> f64 {
        match self.batch {
            Some(_) => CoordinatorKind::COMBINATION.level_of_each(level, 2),
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

/// What is to be said before a run that calibrates by class and has too few calibrating records of some classes for the level.
pub fn silent_classes(config: &DetectorsConfig, plan: &Plan, labels: &Labels) -> Option<String> {
    let Labels::Classes { count, index } = labels else { return None };
    let (calibrate, level) =
        (CalibrationSplit::of(plan.part(Part::Calibration)).calibrate, config.settings().level);
    if !config.per_class || calibrate.is_empty() {
        return None;
    }
    let mut records = vec![0; *count];
    calibrate.iter().for_each(|row| records[index[*row as usize] as usize] += 1);
    let needed = rows_needed(level);
    let silent = records.iter().filter(|records| **records < needed).count();
    (silent > 0).then(|| {
        format!(
            "[detectors]: per_class calibrates by predicted class, and {silent} of {count} classes have fewer than the {needed} \
             calibrating records that level {level} needs: records predicted as one of these are never flagged; raise \
             run.calibration_fraction or the level, or leave per_class out"
        )
    })
}

#[cfg(test)]
mod tests {
    use hashvfl_core::{PartyName, RunSettings, Task};

    use super::*;

    #[test]
    fn classes_that_are_never_flagged_are_told_before_the_run() {
        let parties = vec![PartyName::new("bank").unwrap()];
        let settings =
            RunSettings { calibration_fraction: 0.2, ..RunSettings::new(parties, Task::Binary, 8, 1) };
        let records = 4000;
        let plan = Plan::new(&settings, records).unwrap();
        let labels = |rare: usize| Labels::Classes {
            count: 2,
            index: (0..records).map(|record| u32::from(record % rare == 0)).collect(),
        };
        let by_class = |level: f64| DetectorsConfig { per_class: true, level, ..DetectorsConfig::default() };
        let told = silent_classes(&by_class(0.01), &plan, &labels(40)).unwrap();
        assert!(told.contains("1 of 2 classes have fewer than the 99 calibrating records"), "{told}");
        assert_eq!(silent_classes(&by_class(0.05), &plan, &labels(2)), None);
        assert_eq!(silent_classes(&DetectorsConfig::default(), &plan, &labels(40)), None);
        assert_eq!(silent_classes(&by_class(0.01), &plan, &Labels::Real(vec![0.0; records])), None);
    }
}
