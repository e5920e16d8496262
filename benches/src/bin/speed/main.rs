//! How fast it trains: one process, a federation of three, and the same network in PyTorch (`pytorch.py` beside
//! this file). One sample is one record through all bottom models and the top, forward and backward.
//!
//! Data is random: only speed is measured. Runs alternate, so that a noisy machine disturbs all alike.

mod data;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use hashvfl_core::PartyName;
use hashvfl_core::settings::{RunSettings, Schedule, Task};
use hashvfl_data::Preprocessing;
use hashvfl_files::{complain, say};
use hashvfl_learning::TopConfig;
use hashvfl_learning::bottom::{BottomConfig, CnnConfig, MlpConfig};
use hashvfl_learning::encoder::{CutLayer, EncoderConfig};
use hashvfl_learning::top::loss::Labels;
use hashvfl_learning::training::EpochReport;
use hashvfl_testbed::processes::{self, ProcessUsage};
use hashvfl_testbed::simulation::{SimulatedParty, simulate};
use hashvfl_testbed::statistics::median;

use crate::data::Random;

/// Measures training speed in samples a second and prints medians and ratios.
#[derive(Debug, Parser)]
#[command(name = "speed", version)]
struct Arguments {
    /// The network: mlp is 392-128-64 at each of two parties, cnn two convolutions on 28 x 14 pixels at each,
    /// table 165-128-64 at each.
    #[arg(value_enum)]
    network: Network,
    /// Records.
    #[arg(long, default_value_t = 20_000)]
    records: usize,
    /// Records of a batch.
    #[arg(long, default_value_t = 256)]
    batch: usize,
    /// Epochs of a run; the first is not counted.
    #[arg(long, default_value_t = 4)]
    epochs: u32,
    /// Runs of each kind, one after the other in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Also a federation of three processes, in plain text.
    #[arg(long)]
    federation: bool,
    /// Also a federation over mutual TLS.
    #[arg(long)]
    tls: bool,
    /// Also PyTorch, run by this Python.
    #[arg(long, value_name = "PYTHON")]
    torch: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Network {
    Mlp,
    Cnn,
    Table,
}

impl Network {
    fn columns(self) -> usize {
        match self {
            Self::Mlp | Self::Cnn => 392,
            Self::Table => 165,
        }
    }

    fn image(self) -> Option<[usize; 3]> {
        (self == Self::Cnn).then_some([1, 28, 14])
    }

    fn encoder(self) -> EncoderConfig {
        let model = match self {
            Self::Cnn => BottomConfig::Cnn(CnnConfig::default()),
            Self::Mlp | Self::Table => BottomConfig::Mlp(MlpConfig { hidden: vec![128] }),
        };
        EncoderConfig { model, ..EncoderConfig::default() }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setup {
    OneProcess,
    Federation { tls: bool },
    PyTorch,
}

impl Setup {
    fn name(self) -> &'static str {
        match self {
            Self::OneProcess => "one process",
            Self::Federation { tls: false } => "federation, three processes",
            Self::Federation { tls: true } => "federation over TLS",
            Self::PyTorch => "PyTorch, one process",
        }
    }
}

fn main() -> ExitCode {
    processes::main(|| measure(&Arguments::parse()))
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let random = Random::draw(arguments.records, arguments.network.columns());
    let mut kinds: Vec<(Setup, Vec<f64>)> = vec![(Setup::OneProcess, Vec::new())];
    kinds.extend(arguments.federation.then_some((Setup::Federation { tls: false }, Vec::new())));
    kinds.extend(arguments.tls.then_some((Setup::Federation { tls: true }, Vec::new())));
    kinds.extend(arguments.torch.as_ref().map(|_| (Setup::PyTorch, Vec::new())));
    let mut losses: Vec<f64> = Vec::new();
    // Of the last round.
    let mut memory = Vec::new();
    for round in 1..=arguments.rounds {
        for (kind, speeds) in &mut kinds {
            let speed = match *kind {
                Setup::OneProcess => {
                    let epochs = one_process(arguments, &random)?;
                    losses.push(epochs.last().map_or(f64::NAN, |last| last.train_loss));
                    speed(&epochs, arguments)
                }
                Setup::PyTorch => torch(arguments)?,
                Setup::Federation { tls } => {
                    let (epochs, used) = federation(arguments, &random, tls)?;
                    memory = used;
                    let loss = epochs.last().map_or(f64::NAN, |last| last.train_loss);
                    ensure!(
                        losses.last() == Some(&loss),
                        "the federation's loss {loss} is not that of one process"
                    );
                    speed(&epochs, arguments)
                }
            };
            complain!("round {round}: {}: {speed:.0} samples/s", kind.name());
            speeds.push(speed);
        }
    }
    say!("{:<30} {:>10} {:>10} {:>10} {:>16}", "samples/s", "minimum", "median", "maximum", "ratio (median)");
    let base = kinds[0].1.clone();
    for (kind, speeds) in &kinds {
        let mut sorted = speeds.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        say!(
            "{:<30} {:>10.0} {:>10.0} {:>10.0} {:>16.2}",
            kind.name(),
            sorted[0],
            sorted[middle],
            sorted[sorted.len() - 1],
            middle_ratio(speeds, &base)
        );
    }
    say!("ratio: to \"one process\" of the same round");
    let of = |kind| kinds.iter().find(|(other, _)| *other == kind).map(|(_, speeds)| speeds);
    if let (Some(plain), Some(tls)) =
        (of(Setup::Federation { tls: false }), of(Setup::Federation { tls: true }))
    {
        say!("TLS to plain text of the same round: {:.3}", middle_ratio(tls, plain));
    }
    if !memory.is_empty() {
        processes::tell_memory(&memory);
    }
    Ok(())
}

/// The median of the ratios, round by round.
fn middle_ratio(speeds: &[f64], base: &[f64]) -> f64 {
    median(speeds.iter().zip(base).map(|(speed, base)| speed / base).collect())
}

/// Samples per second, without the first epoch.
fn speed(epochs: &[EpochReport], arguments: &Arguments) -> f64 {
    let seconds: f64 = epochs.iter().skip(1).map(|report| report.train_seconds).sum();
    (arguments.records * (epochs.len() - 1)) as f64 / seconds
}

fn settings(arguments: &Arguments) -> anyhow::Result<RunSettings> {
    let names = ["left", "right"].map(PartyName::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(RunSettings {
        batch_rows: arguments.batch.into(),
        schedule: Schedule::Constant,
        test_fraction: 0.0,
        validation_fraction: 0.0,
        ..RunSettings::new(names, Task::Multiclass, 64, arguments.epochs)
    })
}

fn one_process(arguments: &Arguments, random: &Random) -> anyhow::Result<Vec<EpochReport>> {
    let network = arguments.network;
    let side = |(columns, seed)| SimulatedParty {
        columns,
        image: network.image(),
        preprocessing: (Preprocessing::None, None),
        encoder: network.encoder(),
        seed,
    };
    let sides: Vec<SimulatedParty> = random.sides.iter().zip(1..).map(side).collect();
    let labels = Labels::Classes { count: 10, index: random.labels.clone() };
    let (settings, top) = (settings(arguments)?, TopConfig::default());
    Ok(simulate(&sides, &labels, &settings, &top, 0, CutLayer::Hash)?.epochs)
}

/// Its epochs, and what the coordinator and each party have used.
fn federation(
    arguments: &Arguments,
    random: &Random,
    tls: bool,
) -> anyhow::Result<(Vec<EpochReport>, Vec<ProcessUsage>)> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let image = arguments.network.image();
    let settings = settings(arguments)?;
    let configs = random.write(folder.path(), &settings, &arguments.network.encoder(), image, tls)?;
    let (summary, used) = processes::run_measured(&configs, |_| {})?;
    Ok((summary.epochs, used))
}

fn torch(arguments: &Arguments) -> anyhow::Result<f64> {
    let python = arguments.torch.as_deref().context("--torch")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin/speed/pytorch.py");
    let network = if arguments.network == Network::Cnn { "cnn" } else { "mlp" };
    let numbers =
        [arguments.network.columns(), arguments.records, arguments.batch, arguments.epochs as usize];
    let output = Command::new(python)
        .arg(script)
        .arg(network)
        .args(numbers.map(|number| number.to_string()))
        .output()
        .with_context(|| format!("cannot start {}", python.display()))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().context("pytorch.py must print a number")
}
