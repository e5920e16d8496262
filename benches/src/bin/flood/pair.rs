//! Two runs that differ only in the flood, and what is compared of them.

use std::path::{Path, PathBuf};

use anyhow::Context;
use hashvfl_core::PartyName;
use hashvfl_core::settings::{RunSettings, Task};
use hashvfl_data::{CsvLabels, LabelsSource, Preprocessing};
use hashvfl_learning::{EncoderConfig, TopConfig};
use hashvfl_testbed::dataset::csv;
use hashvfl_testbed::digits::Digits;
use hashvfl_testbed::federation::{self, CoordinatorSide, PartySide, fresh_folder, home};
use hashvfl_testbed::processes::Configs;

use crate::Arguments;
use crate::stranger::Target;

/// The names of the parties.
pub const PARTIES: [&str; 2] = ["left", "right"];

/// What the coordinator used for the same work.
#[derive(Debug, Clone, Default)]
pub struct Used {
    /// Its processor time in the window, in seconds.
    pub processor_s: f64,
    /// Its largest memory, in bytes.
    pub peak_bytes: f64,
    /// Bytes of its log per second of the window.
    pub log_per_second: f64,
}

/// An undisturbed and a flooded run.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Undisturbed.
    pub quiet: Used,
    /// While strangers were there.
    pub flooded: Used,
    /// Seconds of the window while strangers were there.
    pub seconds: f64,
    /// Connections that strangers opened per second of the window.
    pub opened_per_second: f64,
    /// Connections that they held in the window, on average.
    pub held: f64,
    /// Connections that they could not open.
    pub failed: u64,
    /// Whether the same was learned, or predicted.
    pub same: bool,
}

impl Pair {
    /// Processor time flooded by undisturbed.
    pub fn ratio(&self) -> f64 {
        self.flooded.processor_s / self.quiet.processor_s
    }

    /// Memory above the undisturbed, in megabytes.
    pub fn more_megabytes(&self) -> f64 {
        (self.flooded.peak_bytes - self.quiet.peak_bytes) / 1e6
    }

    /// Bytes of log per second above the undisturbed.
    pub fn more_log_per_second(&self) -> f64 {
        self.flooded.log_per_second - self.quiet.log_per_second
    }
}

/// Writes a federation for `target` into a fresh folder.
pub fn write_federation(
    arguments: &Arguments,
    target: Target,
    epochs: u32,
) -> anyhow::Result<(PathBuf, Configs)> {
    let out = fresh_folder(&arguments.out, "flood benchmark")?;
    let digits = Digits::load();
    let parties = PARTIES.map(PartyName::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    for (half, name) in parties.iter().enumerate() {
        federation::write(&home(&out, name.as_str())?.join("table.csv"), &digits.table(half))?;
    }
    federation::write(&home(&out, "coordinator")?.join("labels.csv"), &digits.label_table())?;
    let run =
        RunSettings { batch_rows: 64.into(), ..RunSettings::new(parties, Task::Multiclass, 32, epochs) };
    let side = |seed| PartySide {
        columns: csv("table.csv", Vec::new()),
        preprocessing: Preprocessing::default(),
        encoder: EncoderConfig::default(),
        seed,
    };
    let labels = LabelsSource::Csv(CsvLabels {
        paths: vec!["labels.csv".into()],
        id: "id".into(),
        column: "digit".into(),
    });
    let coordinator = CoordinatorSide { labels, top: TopConfig::default(), seed: 0, transcript: false };
    let configs = federation::write_configs(&out, "flood", &run, &[side(1), side(2)], &coordinator)?;
    if target != Target::TrainingOverTls {
        for config in
            [&configs.coordinator].into_iter().chain(configs.parties.iter().map(|(_, config)| config))
        {
            change(config, |text| format!("insecure_plaintext = true\n{text}"))?;
        }
    }
    if !arguments.shipped_limits {
        let seats = "\n[limits]\nconnections = 16384\nconnections_per_address = 16384\n";
        change(&configs.coordinator, |text| text + seats)?;
    }
    Ok((out, configs))
}

/// Changes a config file.
pub fn change(config: &Path, changed: impl FnOnce(String) -> String) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(config).with_context(|| format!("cannot read {}", config.display()))?;
    federation::write(config, &changed(text))
}

/// Bytes of a log so far.
pub fn log_bytes(log: &Path) -> u64 {
    std::fs::metadata(log).map_or(0, |metadata| metadata.len())
}
