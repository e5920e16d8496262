//! Results with the configs that `init` writes, unchanged: codes by the defaults, the same network with floats, and each
//! party alone.
//!
//! ```text
//! tables -> first_configs: `coordinator init`, `party init`, --set -> a trial per seed and model -> report
//! ```
//!
//! Each seed has splits, weights and noise of its own. Nothing is fitted on test records; defaults are chosen on other
//! seeds than those that are reported, or on validation records.

mod monitored;
mod report;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use hashvfl_benches::first_configs::{FirstConfigs, Setting};
use hashvfl_benches::tables::Name;
use hashvfl_files::say;
use hashvfl_testbed::processes;

use crate::report::Figures;
use crate::trial::Model;

/// Trains by the defaults of `init` alone, and prints the test metric of codes, of floats and of each party alone; of several classes
/// the macro AUC as well.
#[derive(Debug, Parser)]
#[command(name = "defaults", version)]
struct Arguments {
    /// The folder that holds credit-default/, adult/, vehicle/, kdd99/, diabetes/ and wage/, as far as they are asked for.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    data: PathBuf,
    /// The tables; by default all.
    #[arg(long, value_enum, value_delimiter = ',')]
    tables: Vec<Name>,
    /// Seeds: of splits, weights and noise.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// A key of the configs and a value in TOML, in place of what `init` writes: run.bits=64. Once for each.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Setting>,
    /// Which models; by default all.
    #[arg(long, value_enum, value_delimiter = ',')]
    models: Vec<Model>,
    /// Show figures of validation records in place of those of test records: for choosing defaults.
    #[arg(long)]
    validation_only: bool,
}

fn main() -> ExitCode {
    processes::main(|| run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let names = if arguments.tables.is_empty() { &Name::ALL[..] } else { &arguments.tables };
    let models = if arguments.models.is_empty() { &Model::ALL[..] } else { &arguments.models };
    for name in names {
        let folder = tempfile::tempdir()?;
        let configs = FirstConfigs::write(&name.read(&arguments.data)?, folder.path(), &arguments.set)?;
        say!("{name}: {}", configs.describe());
        let mut figures = Figures::new(configs.coordinator.run.task, arguments.validation_only);
        for seed in arguments.first_seed..arguments.first_seed + arguments.seeds {
            for model in models {
                figures.add(*model, trial::run(&configs, seed, *model)?);
            }
            say!("  seed {seed}: {}", figures.last());
        }
        figures.tell();
    }
    Ok(())
}
