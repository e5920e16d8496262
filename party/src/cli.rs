//! The command line.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use hashvfl_alignment::Pin;
use hashvfl_alignment::identity::SecretKey;
use hashvfl_core::Part;

use crate::commands::check::{self, Checked};
use crate::commands::ledger::LedgerCommand;
use crate::commands::{align, encode, erase, init, inspect, ledger};
use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::releases::Releases;
use crate::state::StateFolder;
use crate::{detectors, response_key, serving, training};
use hashvfl_files::{complain, say};

/// A party of a HashVFL run: holds columns of the records, sends hash codes of them and nothing else.
///
/// Without a command, it joins the run of its config file and trains until the coordinator ends the run.
#[derive(Debug, Parser)]
#[command(name = "party", version)]
#[command(
    after_help = "Logs go to standard error; HASHVFL_LOG=debug shows every step (never a value, code or id)."
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The party's config file (`party init` writes one).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the config and the data it names, then stop: nothing is sent or written.
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented config file for a table, and with --align all that an aligned run needs beside it.
    Init(init::Arguments),
    /// Show what a table holds: types, missing shares, quartiles and small histograms, on standard output alone.
    Inspect(inspect::Arguments),
    /// Encode records with the trained model, into a file that `coordinator evaluate` reads.
    Encode {
        /// The party's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Which records: train, validation or test.
        #[arg(long, default_value = "test", value_parser = parse_part)]
        part: Part,
        /// The file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Erase what the transcript holds of some records, and the transcript if it is older than `transcript_days`.
    /// The ledger keeps its totals.
    Erase {
        /// The party's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// A text file of record ids, one a line.
        #[arg(long, value_name = "FILE")]
        ids: Option<PathBuf>,
    },
    /// Serve predictions with the trained model: dial the coordinator and answer its requests for codes.
    Serve {
        /// The party's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Agree with the other holders on the records that all have, and write their order: nobody sees another's ids.
    Align {
        /// The party's config file, with an [alignment] table.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Align the records of [serve.columns], for predictions, instead of those of the training.
        #[arg(long)]
        served: bool,
    },
    /// Draw this party's key for alignments and print the public key, for the others' policies.
    Keygen {
        /// The file to write; it must not exist.
        #[arg(long, value_name = "FILE", default_value = "party.key")]
        out: PathBuf,
    },
    /// Print the public key again, for the others' policies.
    Key {
        /// The party's config file, with an [alignment] table.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Pin other holders' public keys in this party's policy.
    Pin {
        /// The party's config file, with an [alignment] table.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// A holder's name and the public key that it has told.
        #[arg(value_name = "NAME=KEY", required = true)]
        pins: Vec<Pin>,
    },
    /// Show, export or explain the ledger: what was released of each record, in all runs.
    Ledger {
        /// What to do.
        #[command(subcommand)]
        command: LedgerCommand,
    },
}

fn parse_part(text: &str) -> Result<Part, String> {
    match text {
        "train" => Ok(Part::Train),
        "validation" => Ok(Part::Validation),
        "test" => Ok(Part::Test),
        _ => Err("expected train, validation or test".to_string()),
    }
}

/// Runs a party's command line; `arguments` start with the program's name.
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
    let filter = tracing_subscriber::EnvFilter::try_from_env("HASHVFL_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // A line of the log that nobody can read is no reason to stop.
        .log_internal_errors(false)
        .try_init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Some(Command::Init(arguments)) => init::write(&arguments),
        Some(Command::Inspect(arguments)) => inspect::inspect(&arguments),
        Some(Command::Encode { config, part, out }) => {
            let config = PartyConfig::read(&config)?;
            erase::expire(&config)?;
            encode::encode(&config, part, &out)
        }
        Some(Command::Erase { config, ids }) => {
            let config = PartyConfig::read(&config)?;
            erase::expire(&config)?;
            ids.map_or(Ok(()), |ids| erase::erase(&config, &ids))
        }
        Some(Command::Serve { config }) => serving::serve(&PartyConfig::read(&config)?),
        Some(Command::Align { config, served }) => align::run(&PartyConfig::read(&config)?, served),
        Some(Command::Keygen { out }) => {
            say!("{}", SecretKey::create(&out)?.public());
            Ok(())
        }
        Some(Command::Key { config }) => {
            say!("{}", align::key(&PartyConfig::read(&config)?)?);
            Ok(())
        }
        Some(Command::Pin { config, pins }) => align::pin(&PartyConfig::read(&config)?, &pins),
        Some(Command::Ledger { command }) => ledger::run(&command),
        None => {
            let path =
                arguments.config.context("which config? Say `party --config FILE`, or see `party --help`")?;
            let config = PartyConfig::read(&path)?;
            if arguments.check {
                let Checked { described, reading, to_do } = check::check(&config, &path)?;
                say!("{} is in order: {described}", path.display());
                say!("read: {reading}");
                to_do.iter().for_each(|step| say!("to do before the run: {step}"));
                return Ok(());
            }
            let state = StateFolder::open(&config)?;
            response_key::keep(&config)?;
            let prepared = Prepared::load(&config)?;
            detectors::check(&config, &prepared.plan)?;
            let releases = Releases::open(&config, &prepared)?;
            training::join(&config, prepared, &state, releases)
        }
    }
}
