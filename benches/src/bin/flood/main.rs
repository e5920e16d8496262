//! What strangers cost a coordinator: the same federation left alone and while its port is flooded, in pairs.
//!
//! Each kind of flood is what anybody can do who reaches the port. Floods that end in the greeting meet a federation over
//! TLS. Those that need a stream, which TLS gives to nobody without a certificate, meet one in plain text: they are what
//! somebody with a certificate, or a process of the same machine, can do.

mod crowd;
mod foreign;
mod pair;
mod report;
mod serving;
mod stranger;
mod training;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use hashvfl_files::say;
use hashvfl_testbed::processes;

use crate::stranger::{Stranger, Target};

/// Measures what floods cost a coordinator.
#[derive(Debug, Parser)]
#[command(name = "flood", version)]
struct Arguments {
    /// What strangers do; all of it by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    kinds: Vec<Stranger>,
    /// Run floods with the same target at the same time; otherwise one after the other.
    #[arg(long)]
    together: bool,
    /// Multiply the rates and connections of the table by this factor.
    #[arg(long, default_value_t = 1.0)]
    times: f64,
    /// The coordinator has `[limits]` as shipped, which leave strangers of one address 64 connections. Otherwise it has a
    /// seat for each of them.
    #[arg(long)]
    shipped_limits: bool,
    /// Epochs of a run, or passes over all records by a client of a coordinator that serves.
    #[arg(long, default_value_t = 3000)]
    epochs: u32,
    /// Pairs of an undisturbed and a flooded run.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Folder for everything that is written.
    #[arg(long, value_name = "FOLDER", default_value = "out/flood")]
    out: PathBuf,
}

fn main() -> ExitCode {
    processes::main(|| measure(&Arguments::parse()))
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    ensure!(arguments.times > 0.0 && arguments.times.is_finite(), "--times must be above 0");
    let mut rows = Vec::new();
    for strangers in groups(arguments) {
        let mut pairs = Vec::new();
        for round in 0..arguments.rounds {
            let pair = match strangers[0].target() {
                Target::Serving => serving::measure(arguments, &strangers, round)?,
                Target::Training | Target::TrainingOverTls => {
                    training::measure(arguments, &strangers, round)?
                }
            };
            report::tell(&strangers, round, &pair);
            pairs.push(pair);
        }
        rows.push(report::Row { strangers, pairs });
    }
    report::print(&rows);
    let same = rows.iter().flat_map(|row| &row.pairs).all(|pair| pair.same);
    ensure!(same, "a flooded coordinator learned or predicted something different from an undisturbed one");
    say!("all flooded coordinators learned and predicted the same");
    Ok(())
}

/// The strangers that come at the same time.
fn groups(arguments: &Arguments) -> Vec<Vec<Stranger>> {
    let kinds = match arguments.kinds.is_empty() {
        true => Stranger::value_variants().to_vec(),
        false => arguments.kinds.clone(),
    };
    let mut groups: Vec<Vec<Stranger>> = Vec::new();
    for stranger in kinds {
        let together =
            groups.iter_mut().find(|group| arguments.together && group[0].target() == stranger.target());
        match together {
            Some(group) => group.push(stranger),
            None => groups.push(vec![stranger]),
        }
    }
    groups
}
