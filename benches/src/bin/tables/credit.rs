//! Credit card defaults: the figures of each seed, and their mean.

use anyhow::Context;
use hashvfl_benches::tables::raw_credit;
use hashvfl_core::settings::Schedule;
use hashvfl_core::{PartyName, RunSettings, Task};
use hashvfl_testbed::federation::fresh_folder;
use hashvfl_testbed::processes;

use crate::Arguments;
use crate::files::{Files, PARTIES};
use hashvfl_files::say;

const BITS: usize = 16;
/// The recipe of the accuracy benchmark for the same columns as numbers, see `docs/research/accuracy.md`.
const ENCODER: &str = "[encoder]\ndropout = 0.1\n[encoder.model]\nkind = \"mlp\"\nhidden = [128]\n";
const TOP: &str = "[top]\ndropout = 0.3\n";

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let out = fresh_folder(&arguments.out, "tables")?;
    let raw = raw_credit(&arguments.data)?;
    let mut found = Vec::new();
    for seed in &arguments.seeds {
        let run = settings(*seed)?;
        let files = Files {
            raw: &raw,
            missing: arguments.missing,
            numbers: arguments.numbers,
            seed: *seed,
            run: &run,
            models: (ENCODER, TOP),
        };
        let (configs, records) = files.write(&out.join(format!("seed-{seed}")))?;
        let summary = processes::run(&configs, |_| {})?;
        let metric = summary.test.and_then(|test| test.auc).context("the run gave no figure")?;
        say!("seed {seed}: {records} records held by all, AUC {metric:.4}");
        found.push(metric);
    }
    say!("mean of {} seeds: {:.4}", found.len(), found.iter().sum::<f64>() / found.len().max(1) as f64);
    Ok(())
}

fn settings(seed: u64) -> anyhow::Result<RunSettings> {
    let names = PARTIES.iter().map(|(name, _)| PartyName::new(*name)).collect::<Result<Vec<_>, _>>()?;
    Ok(RunSettings {
        batch_rows: 128.into(),
        learning_rate: 3e-3,
        schedule: Schedule::OneCycle,
        test_fraction: 0.2,
        validation_fraction: 0.1,
        refit: true,
        seed,
        ..RunSettings::new(names, Task::Binary, BITS, 30)
    })
}
