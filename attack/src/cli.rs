//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use hashvfl_core::Digest;
use hashvfl_files::{complain, say};
use hashvfl_transcript::Recording;

use crate::config::AttackConfig;
use crate::evaluation;
use crate::evidence::manifest::Manifest;
use crate::report::{Report, text, write};

/// Attacks what a run really sent, and says how much of the columns can be had back.
///
/// Works on the transcript that the coordinator kept (`transcript = true` in its config) and on a manifest that
/// names the truth, which only whoever evaluates has. Run it inside the trust boundary of all that take part.
#[derive(Debug, Parser)]
#[command(name = "attack", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a manifest: configs, tables and models of a finished run, each with its SHA-256.
    Manifest {
        /// The coordinator's config file.
        #[arg(long, value_name = "FILE")]
        coordinator: PathBuf,
        /// A party's config file; once for each party, in the run's order.
        #[arg(long = "party", value_name = "FILE", required = true)]
        parties: Vec<PathBuf>,
        /// The file to write.
        #[arg(long, value_name = "FILE", default_value = "manifest.toml")]
        out: PathBuf,
    },
    /// Carry out the attacks and write `report.html` and `report.json`.
    Run {
        /// What the coordinator recorded.
        #[arg(long, value_name = "FILE")]
        transcript: PathBuf,
        /// What is attacked and what the adversary is granted.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Folder for the report and the transcripts of simulated baselines; made if need be.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
}

/// Runs the command line; `arguments` start with the program's name.
pub fn entry<I, T>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too, with exit code 0; a closed pipe is nobody's error.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match carry_out(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Manifest { coordinator, parties, out } => {
            Manifest::of(&coordinator, &parties)?.write(&out)?;
            say!("{} names the run's files and their SHA-256", out.display());
            Ok(())
        }
        Command::Run { transcript, config, out } => {
            let report =
                run(&transcript, &AttackConfig::read(&config)?, &out, &mut |line| complain!("{line}"))?;
            say!("{}", text(&report).trim_end());
            say!("\nWritten: {0}/report.html, {0}/report.json", out.display());
            Ok(())
        }
    }
}

/// Carries out all attacks on `transcript` and writes the report into `out`; `tell` hears what is being done.
pub fn run(
    transcript: &Path,
    config: &AttackConfig,
    out: &Path,
    tell: &mut dyn FnMut(&str),
) -> anyhow::Result<Report> {
    let head = config.head.as_deref().map(|text| {
        Digest::from_hex(text).context("head must be the 64 hex digits of `transcript_head` in summary.json")
    });
    let recording = Recording::read(transcript, head.transpose()?)?;
    let manifest = Manifest::read(&config.manifest)?;
    ensure!(
        recording.header.recorder == "coordinator",
        "{} was recorded by {}: attacks on columns need what the coordinator recorded",
        transcript.display(),
        recording.header.recorder
    );
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let report = evaluation::evaluate(&recording, &manifest, config, out, tell)?;
    write(&report, out)?;
    Ok(report)
}
