//! `cargo run --release -p hashvfl-benches --bin predict -- --data FOLDER`: how fast a trained federation predicts.
//!
//! A federation of three processes is trained on the credit-default data and then serves records that are copies of
//! the real ones under new ids. A fourth process predicts all of them, from a Parquet file of ids to a Parquet file of
//! predictions, then single records one after the other.

mod absent;
mod connections;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use hashvfl_core::PartyName;
use hashvfl_core::settings::{RunSettings, Task};
use hashvfl_data::{CsvLabels, LabelsSource, Preprocessing};
use hashvfl_detectors::{CoordinatorKind, DetectorKind};
use hashvfl_files::say;
use hashvfl_learning::{EncoderConfig, TopConfig};
use hashvfl_testbed::dataset::{credit_default, csv};
use hashvfl_testbed::federation::{self, CoordinatorSide, PartySide, fresh_folder};
use hashvfl_testbed::processes::{self, Configs, ServingFederation, megabytes};

use crate::table::{PARTIES, Tables};

/// Measures prediction: records per second for a file, and the time of a single record.
#[derive(Debug, Parser)]
#[command(name = "predict", version)]
struct Arguments {
    /// The folder of data sets, which holds `credit-default`.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Folder for everything that is written.
    #[arg(long, value_name = "FOLDER", default_value = "out/predict")]
    out: PathBuf,
    /// Records to predict.
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// Files of records to predict; no code of any is known before.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Single records to predict one after the other.
    #[arg(long, default_value_t = 2000)]
    singles: usize,
    /// Epochs of training.
    #[arg(long, default_value_t = 8)]
    epochs: u32,
    /// Which detectors of abnormal inputs the coordinator has.
    #[arg(long, value_enum, default_value_t = Flags::Default)]
    flags: Flags,
    /// Instead, records per second over TLS and in plain text, in turn.
    #[arg(long)]
    plain_text_too: bool,
    /// Instead, what the metric is with all parties and without each, by rate of party dropout; so many seeds.
    #[arg(long, value_name = "SEEDS")]
    absent: Option<u64>,
}

/// Detectors of the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Flags {
    /// None: predictions without flags.
    None,
    /// Those that it has by default.
    Default,
    /// All that it can have.
    All,
}

fn main() -> ExitCode {
    processes::main(|| measure(&Arguments::parse()))
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(seeds) = arguments.absent {
        return absent::tell(&credit_default(&arguments.data)?, seeds);
    }
    let out = fresh_folder(&arguments.out, "prediction benchmark")?;
    let tables = Tables::read(&arguments.data)?;
    let configs = write_federation(arguments, &out, &tables)?;
    let summary = processes::run(&configs, |_| {})?;
    let test = summary.test.and_then(|test| test.auc).context("no test figures")?;
    say!("trained on {} records: test AUC {test:.4}", tables.records());

    if arguments.plain_text_too {
        return connections::tell(arguments.records, arguments.rounds, &out, &tables, configs);
    }
    let (all, singles) = (arguments.records * arguments.rounds, arguments.singles);
    tables.write_served(&out, all + singles)?;
    serve_those(&configs)?;
    let began = Instant::now();
    let serving = ServingFederation::start(&configs)?;
    say!("tables of {} records loaded by all sides: {:.2} s", all + singles, began.elapsed().as_secs_f64());
    let client = out.join("client/identity").display().to_string();
    for round in 0..arguments.rounds {
        let range = round * arguments.records..(round + 1) * arguments.records;
        let ids = out.join(format!("ids-{round}.parquet"));
        table::write_ids(&ids, range)?;
        for (what, name) in [("no code known before", "first"), ("all codes known", "again")] {
            let began = Instant::now();
            let memory = serving.predict(
                &ids,
                &out.join(format!("{name}-{round}.parquet")),
                &["--identity", &client],
            )?;
            let (seconds, memory) = (began.elapsed().as_secs_f64(), megabytes(memory));
            let rate = arguments.records as f64 / seconds;
            say!("{what}: {rate:.0} records/s ({seconds:.2} s; asking process at most {memory})");
        }
    }
    let ids = out.join("singles.parquet");
    table::write_ids(&ids, all..all + singles)?;
    let timings = out.join("timings.csv");
    let timings_path = timings.display().to_string();
    let more = ["--identity", &client, "--request-ids", "1", "--timings", &timings_path];
    for (what, name) in [("no code known before", "singles.csv"), ("all codes known", "singles-again.csv")] {
        serving.predict(&ids, &out.join(name), &more)?;
        tell_timings(what, &std::fs::read_to_string(&timings)?)?;
    }
    processes::tell_memory(&serving.usage());
    Ok(())
}

/// Prints percentiles of each column of a file of timings.
fn tell_timings(what: &str, text: &str) -> anyhow::Result<()> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().context("empty timings")?.split(',').skip(1).collect();
    let cells = |line: &str| line.split(',').skip(1).map(str::parse).collect::<Result<Vec<u64>, _>>();
    let rows = lines.map(cells).collect::<Result<Vec<_>, _>>()?;
    say!("one record at a time, {what}: microseconds");
    say!("  {:<10}{:>8}{:>8}{:>8}", "stage", "p50", "p99", "share");
    let total: u64 = rows.iter().map(|row| row[0]).sum();
    let mut inside = 0;
    for (column, name) in names.iter().enumerate() {
        let mut values: Vec<u64> = rows.iter().map(|row| row[column]).collect();
        let sum: u64 = values.iter().sum();
        values.sort_unstable();
        let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize];
        let share = sum as f64 / total.max(1) as f64 * 100.0;
        say!("  {name:<10}{:>8}{:>8}{share:>7.1}%", at(0.5), at(0.99));
        inside += if column > 0 { sum } else { 0 };
    }
    let rest = total.saturating_sub(inside) as f64 / total.max(1) as f64 * 100.0;
    say!("  {:<26}{rest:>7.1}%", "network and client");
    Ok(())
}

fn write_federation(arguments: &Arguments, out: &Path, tables: &Tables) -> anyhow::Result<Configs> {
    tables.write_training(out)?;
    let names = PARTIES.map(PartyName::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    let run = RunSettings {
        learning_rate: 0.005,
        calibration_fraction: if arguments.flags == Flags::None { 0.0 } else { 0.1 },
        ..RunSettings::new(names, Task::Binary, 16, arguments.epochs)
    };
    let side = |seed| PartySide {
        columns: csv("training.csv", Vec::new()),
        preprocessing: Preprocessing::default(),
        encoder: EncoderConfig::default(),
        seed,
    };
    let labels = LabelsSource::Csv(CsvLabels {
        paths: vec!["training.csv".into()],
        id: "id".into(),
        column: "y".into(),
    });
    let coordinator = CoordinatorSide { labels, top: TopConfig::default(), seed: 0, transcript: false };
    let configs = federation::write_configs(out, "predict", &run, &[side(1), side(2)], &coordinator)?;
    if arguments.flags == Flags::All {
        let kinds: Vec<&str> = CoordinatorKind::ALL.iter().map(|kind| kind.name()).collect();
        append(&configs.coordinator, &format!("\n[detectors]\nkinds = {kinds:?}\n"))?;
    }
    Ok(configs)
}

fn append(config: &Path, text: &str) -> anyhow::Result<()> {
    federation::write(config, &(std::fs::read_to_string(config)? + text))
}

/// Adds to all configs the records that are served.
fn serve_those(configs: &Configs) -> anyhow::Result<()> {
    let add = |config: &Path, table: &str| {
        append(
            config,
            &format!("\n[serve.{table}]\nformat = \"csv\"\npaths = [\"served.csv\"]\nid = \"id\"\n"),
        )
    };
    add(&configs.coordinator, "records")?;
    configs.parties.iter().try_for_each(|(_, config)| add(config, "columns"))?;
    Ok(())
}
