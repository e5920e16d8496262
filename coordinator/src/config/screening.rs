//! The table `[screening]`.

use anyhow::{Context, ensure};
use hashvfl_core::{Part, Plan};
use hashvfl_detectors::screening::{ScreeningAction, ScreeningSettings};
use serde::Deserialize;

/// The `[screening]` table.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScreeningConfig {
    /// What is done with a record that is flagged.
    pub action: ScreeningAction,
    /// It is flagged where its p-value is this or less.
    pub level: f64,
    /// Epochs after which the records are judged for the first time.
    pub after_epochs: u32,
}

impl Default for ScreeningConfig {
    fn default() -> Self {
        let ScreeningSettings { action, level, .. } = ScreeningSettings::default();
        Self { action, level, after_epochs: 3 }
    }
}

impl ScreeningConfig {
    /// What the detectors are told.
    pub fn settings(&self) -> ScreeningSettings {
        ScreeningSettings { action: self.action, level: self.level, ..ScreeningSettings::default() }
    }

    /// Checks every range for a run of so many epochs.
    pub fn check(&self, epochs: u32) -> anyhow::Result<()> {
        self.settings().check()?;
        ensure!(
            (1..epochs).contains(&self.after_epochs),
            "screening.after_epochs must be 1 or more and less than run.epochs = {epochs}, not {}",
            self.after_epochs
        );
        Ok(())
    }

    /// Checks that the cohort has records enough.
    pub fn check_records(&self, plan: &Plan) -> anyhow::Result<()> {
        self.settings().check_rows(plan.part(Part::CohortTrain).len()).context("[screening]")
    }
}
