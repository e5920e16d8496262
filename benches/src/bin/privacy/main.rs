//! How much do codes tell? A federation over the network, then every attack on what its coordinator recorded.
//!
//! ```text
//! coordinator + two parties (processes)  ->  transcript.parquet  -.
//! configs, tables, models  ->  manifest.toml (SHA-256)  -----------+->  attacks  ->  report.html, report.json
//! ```

mod dataset;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use hashvfl_attack::{AttackConfig, Manifest};
use hashvfl_coordinator::progress::Event;
use hashvfl_core::settings::parse_own_code;
use hashvfl_core::{CodeForm, PartyName};
use hashvfl_testbed::federation::{fresh_folder, write_configs};
use hashvfl_testbed::processes;

use crate::dataset::{Dataset, roles};
use hashvfl_files::say;

/// Trains a federation over the network, attacks what its coordinator recorded, and writes a report.
#[derive(Debug, Parser)]
#[command(name = "privacy", version)]
struct Arguments {
    /// The data.
    #[arg(value_enum, default_value = "digits")]
    dataset: Dataset,
    /// Folder with `credit-default/` and `mnist/`.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Folder for everything that is written; its old content is replaced if this story wrote it.
    #[arg(long, value_name = "FOLDER", default_value = "out/privacy")]
    out: PathBuf,
    /// Bits of each party's code.
    #[arg(long, default_value_t = 16)]
    bits: usize,
    /// Bits of each latent of a code; 1: signs.
    #[arg(long, default_value_t = 1)]
    bits_per_latent: usize,
    /// Codes of parties' own, latents x bits of each, as host=1x5.
    #[arg(long, value_delimiter = ',', value_parser = parse_codes)]
    codes: Vec<(PartyName, CodeForm)>,
    /// Deviation of the noise before the sign or the level, at each party; by default that of the data set's recipe.
    #[arg(long)]
    noise: Option<f32>,
    /// Epochs; by default those of the data set's recipe.
    #[arg(long)]
    epochs: Option<u32>,
    /// Other code lengths at which the run is repeated in this process.
    #[arg(long, value_delimiter = ',', default_value = "4,64")]
    lengths: Vec<usize>,
    /// Epsilons per bit of randomised response at which the run is repeated in this process; a draw of a code costs as
    /// many times as much as it has bits.
    #[arg(long, value_delimiter = ',', default_value = "0.5,1,2,4")]
    epsilons: Vec<f64>,
    /// Noise on gradients with which the run is repeated, as multiples of the longest gradient.
    #[arg(long, value_delimiter = ',', default_value = "0.3,1,3")]
    noises: Vec<f64>,
    /// Only code lengths: no other defence, no label inference, no further attacks.
    #[arg(long)]
    lengths_only: bool,
    /// Only randomised response: no other defence, no other code length, no label inference, no further attacks.
    #[arg(long, conflicts_with = "lengths_only")]
    epsilons_only: bool,
    /// How often the run is trained, over the network once and the others in this process.
    #[arg(long, default_value_t = 3)]
    trainings: u32,
    /// Seed of splits, batches, weights and attacks.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    processes::main(|| privacy(&Arguments::parse()))
}

fn parse_codes(text: &str) -> Result<(PartyName, CodeForm), &'static str> {
    parse_own_code(text).ok_or("expected a party and its code, latents x bits of each, as host=1x5")
}

fn privacy(arguments: &Arguments) -> anyhow::Result<()> {
    let out = fresh_folder(&arguments.out, "privacy")?;
    let mut sides = arguments.dataset.sides(
        arguments.data.as_deref(),
        &out,
        arguments.bits,
        arguments.bits_per_latent,
        arguments.seed,
    )?;
    sides.run.codes = arguments.codes.iter().cloned().collect();
    if let Some(noise) = arguments.noise {
        sides.parties.iter_mut().for_each(|side| side.encoder.hash.noise = noise);
    }
    if let Some(epochs) = arguments.epochs {
        sides.run.epochs = epochs;
    }
    let configs = write_configs(&out, "privacy", &sides.run, &sides.parties, &sides.coordinator)?;
    say!("training: a coordinator and {} parties, each in its own process", sides.parties.len());
    let summary = processes::run(&configs, |event| {
        if let Event::Joined { party } = event {
            say!("{party} joined");
        }
    })?;
    if let Some(test) = summary.test {
        say!("test {}\n", test.describe(sides.run.task));
    }

    let manifest = out.join("manifest.toml");
    let parties: Vec<PathBuf> = configs.parties.iter().map(|(_, config)| config.clone()).collect();
    Manifest::of(&configs.coordinator, &parties)?.write(&manifest)?;
    let (victim, own) = roles(arguments.dataset);
    let all = !arguments.lengths_only && !arguments.epsilons_only;
    let config = AttackConfig {
        own: Some(PartyName::new(own)?),
        bits: if arguments.epsilons_only { Vec::new() } else { arguments.lengths.clone() },
        randomised_response: if arguments.lengths_only { Vec::new() } else { arguments.epsilons.clone() },
        encode_once: all,
        label_inference: all,
        gradient_noise: if all { arguments.noises.clone() } else { Vec::new() },
        further_attacks: all,
        trainings: if all { arguments.trainings } else { 1 },
        keep_columns: true,
        head: summary.transcript_head,
        seed: arguments.seed,
        ..AttackConfig::new(manifest, PartyName::new(victim)?)
    };
    let transcript = out.join("coordinator/state/transcript.parquet");
    let report = hashvfl_attack::run(&transcript, &config, &out, &mut |line| say!("{line}"))?;
    say!("\n{}", hashvfl_attack::report::text(&report).trim_end());
    say!(
        "\nWritten: {0}/report.html, {0}/report.json; configs, logs and transcripts beside them.",
        out.display()
    );
    Ok(())
}
