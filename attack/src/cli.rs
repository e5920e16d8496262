//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use hashvfl_cli::config::ConfigCommand;
use hashvfl_files::{complain, say};
use hashvfl_transport::stop;

use crate::config::AttackConfig;
use crate::evaluation;
use crate::evidence::manifest::Manifest;
use crate::inputs::Inputs;
use crate::report::{Report, text, write};

/// Attack what a run really sent, and report how much of the columns can be reconstructed.
///
/// It reads the transcript that the coordinator kept (`transcript = true` in its config) and a manifest that names the
/// true columns and labels, which only the evaluator has. Run it inside the trust boundary of all organisations.
#[derive(Debug, Parser)]
#[command(name = "attack", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a manifest: the configs, tables and models of a finished run, each with its SHA-256.
    Manifest {
        /// The coordinator's config file.
        #[arg(long, value_name = "FILE")]
        coordinator: PathBuf,
        /// A party's config file. Repeat it for each party, in the run's order.
        #[arg(long = "party", value_name = "FILE", required = true)]
        parties: Vec<PathBuf>,
        /// The file to write.
        #[arg(long, value_name = "FILE", default_value = "manifest.toml")]
        out: PathBuf,
    },
    /// Run the attacks and write `report.html` and `report.json`.
    Run {
        /// The transcript that the coordinator recorded.
        #[arg(long, value_name = "FILE")]
        transcript: PathBuf,
        /// The config file of the attacks: whose columns are attacked, and what the adversary knows.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Folder for the report and the transcripts of simulated baselines. It is created if it does not exist.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// Keep the report in that folder if it was made of the same transcript, manifest and config by this version, and all
        /// its checks held.
        #[arg(long)]
        keep: bool,
    },
    /// Rewrite config files of earlier versions.
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// Runs the command line; `arguments` start with the program's name.
pub fn entry<I, T>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    hashvfl_cli::entry(arguments, run_command)
}

fn run_command(arguments: Arguments) -> anyhow::Result<()> {
    stop::handle_signals();
    match arguments.command {
        Command::Config { command } => Ok(command.run()?),
        Command::Manifest { coordinator, parties, out } => {
            Manifest::of(&coordinator, &parties)?.write(&out)?;
            say!("{} names the run's files and their SHA-256", out.display());
            Ok(())
        }
        Command::Run { transcript, config, out, keep } => {
            let config = AttackConfig::read(&config)?;
            let inputs = Inputs::read(&transcript, &config)?;
            if keep && inputs.made(&out) {
                say!("kept: {}/report.html is of this transcript, manifest and config", out.display());
                return Ok(());
            }
            let report = evaluate(&inputs, &config, &out, &mut |line| complain!("{line}"))?;
            say!("{}", text(&report).trim_end());
            say!("\nWritten: {0}/report.html, {0}/report.json", out.display());
            let failed = report.checks.iter().filter(|check| !check.held);
            let failed: Vec<String> =
                failed.map(|check| format!("- {}: {}", check.name, check.detail)).collect();
            ensure!(
                failed.is_empty(),
                "checks on the evaluation did not hold, so do not rely on its figures:\n{}",
                failed.join("\n")
            );
            Ok(())
        }
    }
}

/// Runs all attacks on `transcript` and writes the report into `out`. Calls `tell` with a description of each step, for progress.
///
/// # Errors
/// If transcript, manifest and config are not of one run, or a file cannot be written.
pub fn run(
    transcript: &Path,
    config: &AttackConfig,
    out: &Path,
    tell: &mut dyn FnMut(&str),
) -> anyhow::Result<Report> {
    evaluate(&Inputs::read(transcript, config)?, config, out, tell)
}

fn evaluate(
    inputs: &Inputs,
    config: &AttackConfig,
    out: &Path,
    tell: &mut dyn FnMut(&str),
) -> anyhow::Result<Report> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create the folder {}", out.display()))?;
    let mut report = evaluation::evaluate(&inputs.recording, &inputs.manifest, config, out, tell)?;
    inputs.note(&mut report);
    write(&report, out)?;
    Ok(report)
}
