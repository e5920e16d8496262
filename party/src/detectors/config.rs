//! The `[detectors]` table, and what it asks of a run.

use anyhow::ensure;
use hashvfl_core::p_value::Grid;
use hashvfl_core::{Part, Plan};
use hashvfl_detectors::calibration::split;
use hashvfl_detectors::{DetectorKind, DetectorSettings, PartyKind};
use serde::Deserialize;

/// What of a record's judgement leaves beside its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SentEvidence {
    /// Nothing.
    #[default]
    Nothing,
    /// One bit: whether the p-value is at most the largest power of two that is the level or less.
    Flag,
    /// Four bits: the p-value, rounded up to a power of two, at least 2^-15.
    PValue,
}

/// The `[detectors]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorsConfig {
    /// What leaves.
    pub send: SentEvidence,
    /// The level of a flag, which p-values must be able to reach.
    pub level: f64,
    /// Which detectors.
    pub kinds: Vec<PartyKind>,
}

impl Default for DetectorsConfig {
    fn default() -> Self {
        Self { send: SentEvidence::Nothing, level: 0.01, kinds: PartyKind::DEFAULT.to_vec() }
    }
}

impl DetectorsConfig {
    /// Checks every range.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            Grid::flag(self.level).is_some(),
            "level must be at least 2^-15 and below 1, not {}",
            self.level
        );
        Ok(self.settings().check()?)
    }

    /// What both sides' tables have in common. The calibration must be able to tell a flag's level, a power of two.
    pub fn settings(&self) -> DetectorSettings<'_, PartyKind> {
        let level = match self.send {
            SentEvidence::Flag => Grid::flag(self.level).map_or(self.level, Grid::least),
            SentEvidence::Nothing | SentEvidence::PValue => self.level,
        };
        DetectorSettings { kinds: &self.kinds, level }
    }

    /// The p-values that are sent.
    pub fn grid(&self) -> Option<Grid> {
        match self.send {
            SentEvidence::Nothing => None,
            SentEvidence::Flag => Grid::flag(self.level),
            SentEvidence::PValue => Some(Grid::FINE),
        }
    }
}

/// Checks that the run has records enough to fit and calibrate the detectors of `config`, if there are any.
///
/// # Errors
/// With the number of records that are needed.
pub fn check(config: Option<&DetectorsConfig>, plan: &Plan) -> anyhow::Result<()> {
    let Some(config) = config else { return Ok(()) };
    Ok(config.settings().check_part(plan.part(Part::Calibration), "[detectors]")?)
}

/// What is to be said before a run whose calibration part leaves what this party's detectors say to a handful of records.
pub fn resolution(config: Option<&DetectorsConfig>, plan: &Plan) -> Option<String> {
    let told = split::resolution(plan.part(Part::Calibration), config?.settings().level)?;
    Some(format!("[detectors]: {told}"))
}

#[cfg(test)]
mod tests {
    use hashvfl_core::{PartyName, RunSettings, Task};

    use super::*;

    #[test]
    fn a_level_that_few_records_tell_is_told() {
        let parties = vec![PartyName::new("bank").unwrap()];
        let settings =
            RunSettings { calibration_fraction: 0.2, ..RunSettings::new(parties, Task::Binary, 8, 1) };
        let config = |level: f64| DetectorsConfig { level, ..DetectorsConfig::default() };
        let told = |records: usize, level: f64| {
            resolution(Some(&config(level)), &Plan::new(&settings, records).unwrap())
        };
        let few = told(4000, 0.01).unwrap();
        assert!(
            few.starts_with("[detectors]: ") && few.contains("calibrate, so no p-value is below"),
            "{few}"
        );
        assert_eq!(told(100_000, 0.01), None);
        assert_eq!(resolution(None, &Plan::new(&settings, 4000).unwrap()), None);
    }
}
