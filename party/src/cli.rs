//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use hashvfl_alignment::PinnedKey;
use hashvfl_alignment::identity::SecretKey;
use hashvfl_cli::LogFormat;
use hashvfl_cli::audit::{AuditCommand, AuditedSide};
use hashvfl_cli::config::ConfigCommand;
use hashvfl_cli::doctor::DoctorArguments;
use hashvfl_cli::encryption::EncryptionCommand;
use hashvfl_core::Part;
use hashvfl_identity::{HolderCommand, Role};

use crate::commands::check::{self, Checked};
use crate::commands::ledger::LedgerCommand;
use crate::commands::{alarm, align, approve, doctor, encode, erase, init, inspect, ledger, train};
use crate::config::PartyConfig;
use crate::serving;
use hashvfl_files::say;
use hashvfl_monitor::{HealthArguments, StatusArguments};
use hashvfl_transport::stop;

/// A party of a HashVFL run: holds columns of the records, and sends hash codes of them, never the columns.
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
    /// Log format: text for people, or one JSON object per line with side, run and step.
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        env = "HASHVFL_LOG_FORMAT",
        default_value = "text",
        global = true
    )]
    log_format: LogFormat,
    /// The party's config file (`party init` writes one).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the config and the data that it names, then exit. It sends no record data and writes only the configured cache.
    #[arg(long)]
    check: bool,
    /// Discard what an unfinished run has left in the state folder, and start over. Without it, that run is continued.
    #[arg(long, conflicts_with = "check")]
    fresh: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented config file for a table; with --align, also the key and policy that an alignment needs.
    Init(Box<init::Arguments>),
    /// Show what a table holds: types, fractions of missing values, quartiles and small histograms.
    Inspect(inspect::Arguments),
    /// Encode records with the trained bottom model, into a file that `coordinator evaluate` reads.
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
    /// Erase the transcript rows and kept answers of the given records, and the whole transcript if it is older than
    /// `transcript_days`. The ledger keeps its totals.
    Erase {
        /// The party's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// A text file of record ids, one per line.
        #[arg(long, value_name = "FILE")]
        ids: Option<PathBuf>,
    },
    /// Serve predictions with the trained bottom model: dial the coordinator and answer its requests for codes.
    Serve {
        /// The party's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Train unless a run has finished in the state folder, then serve predictions: for a service that is always up.
    TrainAndServe {
        /// The party's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Show the state of the running party: phase, steps, bits released. Needs `monitor` in its config.
    Status {
        /// The party's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// What to show.
        #[command(flatten)]
        arguments: StatusArguments,
    },
    /// Check the health of the running party through gRPC; exit code 0 means healthy.
    Health {
        /// The party's config file. Without it, the environment variable HASHVFL_MONITOR gives the address to ask.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// What to ask.
        #[command(flatten)]
        arguments: HealthArguments,
    },
    /// Private alignment: find the records that all organisations have, without showing ids, and write their order.
    Align {
        /// The party's config file, with an [alignment] table.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Align the records of [serve.columns], for predictions, instead of the training records.
        #[arg(long)]
        served: bool,
    },
    /// Create this party's key for alignments and print the public key, for the others' policies.
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
        /// A holder's name and its public key.
        #[arg(value_name = "NAME=KEY", required = true)]
        pins: Vec<PinnedKey>,
    },
    /// Show the settings of the run, or approve them by their digest. With require_approval = true in its policy, a party
    /// joins no run that is not approved.
    Approve {
        /// The party's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Approve the settings with this digest; the command shows it when this option is left out.
        #[arg(long, value_name = "DIGEST")]
        digest: Option<String>,
        /// The name of whoever approves, for the audit trail.
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
    /// Show the gradient alarm that has stopped this party, or dismiss it, so that the run may go on until a new alarm is
    /// raised.
    Alarm {
        /// The party's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Dismiss the alarm.
        #[arg(long)]
        dismiss: bool,
        /// The name of whoever dismisses it, for the audit trail.
        #[arg(long, value_name = "NAME", requires = "dismiss")]
        by: Option<String>,
    },
    /// Show, verify or export the audit trail of this side's decisions, and compare it with what peers kept.
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Make this party's key, request and install its certificate, and pin peers' keys.
    Identity {
        /// What to do.
        #[command(subcommand)]
        command: HolderCommand,
    },
    /// Make the key with which this party's files are encrypted, encrypt existing files, and decrypt copies.
    Encryption {
        /// What to do.
        #[command(subcommand)]
        command: EncryptionCommand,
    },
    /// Show, export or explain the ledger: what was released of each record, in all runs.
    Ledger {
        /// What to do.
        #[command(subcommand)]
        command: LedgerCommand,
    },
    /// Write a support file, without values, ids or keys.
    Doctor(DoctorArguments),
    /// Rewrite config files of earlier versions.
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
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
    hashvfl_cli::entry(arguments, run)
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    hashvfl_cli::init_logging("party", arguments.log_format);
    stop::handle_signals();
    match arguments.command {
        Some(Command::Init(arguments)) => init::write(&arguments),
        Some(Command::Inspect(arguments)) => inspect::inspect(&arguments),
        Some(Command::Encode { config, part, out }) => {
            let config = PartyConfig::read(&config)?;
            erase::expire(&config)?;
            encode::encode(&config, part, &out)
        }
        Some(Command::Erase { config, ids }) => erase::run(&PartyConfig::read(&config)?, ids.as_deref()),
        Some(Command::Serve { config }) => serving::serve(&PartyConfig::read(&config)?, false),
        Some(Command::TrainAndServe { config }) => {
            let config = PartyConfig::read(&config)?;
            if !config.model_path().exists() {
                train::train_as_a_service(&config)?;
            }
            // A service that ended while its coordinator is away would stay down. It was in when it trained.
            serving::serve(&config, true)
        }
        Some(Command::Status { config, arguments }) => {
            hashvfl_monitor::status(PartyConfig::read(&config)?.monitor.as_ref(), &arguments)
        }
        Some(Command::Health { config, arguments }) => {
            let address = match config {
                Some(config) => PartyConfig::read(&config)?.monitor,
                None => Some(hashvfl_monitor::address_of_environment()?),
            };
            hashvfl_monitor::health(address.as_ref(), &arguments)
        }
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
        Some(Command::Approve { config, digest, by }) => {
            approve::approve(&PartyConfig::read(&config)?, digest.as_deref(), by.as_deref())
        }
        Some(Command::Alarm { config, dismiss, by }) => {
            alarm::run(&PartyConfig::read(&config)?, dismiss, by.as_deref())
        }
        Some(Command::Audit { command }) => command.run(|config| {
            let PartyConfig { audit, identity, .. } = PartyConfig::read(config)?;
            Ok(AuditedSide { audit, identity })
        }),
        Some(Command::Identity { command }) => Ok(command.run("party", Role::Party)?),
        Some(Command::Encryption { command }) => command.run(|config| {
            let config = PartyConfig::read(config)?;
            Ok(config.encryption.is_some().then(|| config.encrypted_places()))
        }),
        Some(Command::Ledger { command }) => ledger::run(&command),
        Some(Command::Doctor(arguments)) => doctor::run(&arguments),
        Some(Command::Config { command }) => Ok(command.run()?),
        None => {
            let path = arguments.config.context("no config: pass `--config FILE`, or see `party --help`")?;
            let config = PartyConfig::read(&path)?;
            if arguments.check {
                let Checked { described, reading, finished, answers, to_do } = check::check(&config, &path)?;
                say!("{} is in order: {described}", path.display());
                say!("read: {reading}");
                finished.iter().for_each(|where_it_is| say!("done: {where_it_is}"));
                answers.iter().for_each(|who| say!("at {}: {who}", config.coordinator));
                to_do.iter().for_each(|step| say!("to do before the run: {step}"));
                return Ok(());
            }
            train::train(&config, arguments.fresh)
        }
    }
}
