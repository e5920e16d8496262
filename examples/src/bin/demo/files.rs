//! The tables and configs of the demo's three organisations.

use std::path::Path;

use hashvfl_core::RunSettings;
use hashvfl_data::{CsvLabels, LabelsSource, Preprocessing};
use hashvfl_testbed::dataset::csv;
use hashvfl_testbed::digits::Digits;
use hashvfl_testbed::federation::{self, CoordinatorSide, PartySide, home, write};
use hashvfl_testbed::processes::Configs;

use crate::baseline;

/// Names of the parties, in the order of their codes.
pub const PARTIES: [&str; 2] = ["left", "right"];

/// Writes tables and configs of the federation.
pub fn write_federation(
    out: &Path,
    digits: &Digits,
    settings: &RunSettings,
    seed: u64,
) -> anyhow::Result<Configs> {
    let mut parties = Vec::new();
    for (half, name) in PARTIES.into_iter().enumerate() {
        write(&home(out, name)?.join("pixels.csv"), &digits.table(half))?;
        parties.push(PartySide {
            columns: csv("pixels.csv", Vec::new()),
            preprocessing: Preprocessing::default(),
            encoder: baseline::encoder(),
            seed: baseline::party_seed(seed, half),
        });
    }
    write(&home(out, "coordinator")?.join("labels.csv"), &digits.label_table())?;
    let labels = LabelsSource::Csv(CsvLabels {
        paths: vec!["labels.csv".into()],
        id: "id".into(),
        column: "digit".to_string(),
    });
    let coordinator = CoordinatorSide { labels, top: baseline::top(), seed, transcript: true };
    federation::write_configs(out, "demo", settings, &parties, &coordinator)
}
