//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::ensure;
use clap::{Parser, Subcommand};
use hashvfl_alignment::PinnedKey;
use hashvfl_alignment::identity::SecretKey;
use hashvfl_audit::AuditEvent;
use hashvfl_cli::LogFormat;
use hashvfl_cli::audit::{AuditCommand, AuditedSide};
use hashvfl_cli::config::ConfigCommand;
use hashvfl_cli::doctor::DoctorArguments;
use hashvfl_cli::encryption::{EncryptionCommand, KeyArguments};
use hashvfl_core::PartyName;
use hashvfl_files::say;
use hashvfl_identity::{AuthorityCommand, HolderCommand, Role};
use hashvfl_ledger::{LedgerReport, Policy, RedbStore};
use hashvfl_monitor::{HealthArguments, StatusArguments};
use hashvfl_transport::stop;

use crate::commands::check::{self, Checked};
use crate::commands::{align, cancel, doctor, erase, evaluate, export, init, predict};
use crate::config::CoordinatorConfig;
use crate::labels::ChangedLabels;
use crate::several::{self, ConfigFile};
use crate::state::StateFolder;
use crate::{serving, training};

/// The coordinator of a HashVFL run: holds the labels, trains the top model on the parties' hash codes.
///
/// Without a command, it waits for the parties of its config file, trains, tests and writes its results.
#[derive(Debug, Parser)]
#[command(name = "coordinator", version)]
#[command(
    after_help = "Logs go to standard error; HASHVFL_LOG=debug shows every step (never a label, code or id)."
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
    /// The coordinator's config file (`coordinator init` writes one). Repeat the option to hold several runs in one process.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Check the config and the labels that it names, then exit. It opens its port for a moment, and writes nothing.
    #[arg(long)]
    check: bool,
    /// Print progress on standard output, one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Discard what an unfinished run has left in the state folder, and start over. Without it, that run is continued.
    #[arg(long, conflicts_with = "check")]
    fresh: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented config file for a table with labels; with --align, also the key and policy that an alignment needs.
    Init(Box<init::Arguments>),
    /// Evaluate the trained top model on the test records, from stored codes or from files of codes.
    Evaluate {
        /// The coordinator's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// A party's file of codes (`party encode` writes one). Repeat it for each party; without it, stored codes are
        /// used.
        #[arg(long, value_name = "PARTY=FILE", value_parser = parse_codes)]
        codes: Vec<(PartyName, PathBuf)>,
        /// A top model to evaluate in place of the run's own (`coordinator retrain` writes one).
        #[arg(long, value_name = "FILE")]
        top: Option<PathBuf>,
        /// Accept labels that differ from the run's, for example because they were corrected.
        #[arg(long)]
        accept_changed_labels: bool,
    },
    /// Erase the codes and transcript rows of the given records, and the whole transcript if it is older than
    /// `transcript_days`. The ledger keeps its totals.
    Erase {
        /// The coordinator's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// A text file of record ids, one per line.
        #[arg(long, value_name = "FILE")]
        ids: Option<PathBuf>,
    },
    /// Serve predictions with the trained top model; parties dial in with `party serve`.
    Serve {
        /// The coordinator's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print events on standard output, one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Train unless a run has finished in the state folder, then serve predictions: for a service that is always up.
    TrainAndServe {
        /// The coordinator's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print events on standard output, one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Cancel a run on this machine. Parties stop at once; the state folder is kept.
    Cancel {
        /// The config file of the run.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Also discard what the unfinished run has left in the state folder.
        #[arg(long)]
        fresh: bool,
        /// The longest wait for the coordinator to end the run, in seconds. It looks between its own computations.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        timeout_s: u64,
    },
    /// Show the state of the running coordinator: phase, epoch, metric, parties. Needs `monitor` in its config.
    Status {
        /// The coordinator's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// What to show.
        #[command(flatten)]
        arguments: StatusArguments,
    },
    /// Check the health of the running coordinator through gRPC; exit code 0 means healthy.
    Health {
        /// The coordinator's config file. Without it, the environment variable HASHVFL_MONITOR gives the address to ask.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// What to ask.
        #[command(flatten)]
        arguments: HealthArguments,
    },
    /// Export the figures of the finished run to TensorBoard or MLflow.
    Export(export::Arguments),
    /// Get predictions for the records in a file from a running `coordinator serve`.
    Predict(predict::Arguments),
    /// Relay a private alignment and take part in it as the label holder; write the order of the common records.
    Align {
        /// The coordinator's config file, with an [alignment] table.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Align the records of serve.records, for predictions, instead of the training records.
        #[arg(long)]
        served: bool,
        /// Print progress on standard output, one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Create the label holder's key for alignments and print the public key, for the others' policies.
    Keygen {
        /// The file to write; it must not exist.
        #[arg(long, value_name = "FILE", default_value = "coordinator.key")]
        out: PathBuf,
    },
    /// Print the label holder's public key again, for the others' policies.
    Key {
        /// The coordinator's config file, with an [alignment] table.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Pin other holders' public keys in the label holder's policy.
    Pin {
        /// The coordinator's config file, with an [alignment] table.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// A holder's name and its public key.
        #[arg(value_name = "NAME=KEY", required = true)]
        pins: Vec<PinnedKey>,
    },
    /// Manage the private authority, which signs and revokes certificates, and this coordinator's own identity.
    Identity {
        /// What to do.
        #[command(subcommand)]
        command: IdentityCommand,
    },
    /// Show how much label-dependent data was sent, per recipient and record.
    Ledger {
        /// The ledger file; no run may have it open.
        #[arg(long, value_name = "FILE", default_value = "label-ledger.redb")]
        ledger: PathBuf,
        /// Its key, if it is encrypted.
        #[command(flatten)]
        key: KeyArguments,
    },
    /// Make the key with which the coordinator's files are encrypted, encrypt existing files, and decrypt copies.
    Encryption {
        /// What to do.
        #[command(subcommand)]
        command: EncryptionCommand,
    },
    /// Retrain the top model on stored codes, without any party. Needs a run that refits (`run.refit`).
    Retrain {
        /// The coordinator's config file; its [top] table may have changed since the run.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The model file to write; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Accept labels that differ from the run's, for example because they were corrected.
        #[arg(long)]
        accept_changed_labels: bool,
    },
    /// Show, verify or export the audit trail of this side's decisions, and compare it with what peers kept.
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Write a support file, without labels, ids or keys.
    Doctor(DoctorArguments),
    /// Rewrite config files of earlier versions.
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
enum IdentityCommand {
    #[command(flatten)]
    Authority(AuthorityCommand),
    #[command(flatten)]
    Holder(HolderCommand),
}

/// Writes a revocation into the audit trail of the config that the command names.
fn note_revocation(command: &AuthorityCommand) -> anyhow::Result<()> {
    match command.revokes() {
        None => Ok(()),
        Some((_, None)) => {
            say!("not recorded in the audit trail; use --config FILE");
            Ok(())
        }
        Some((who, Some(config))) => {
            let trail = CoordinatorConfig::read(config)?.audit_trail()?;
            Ok(trail.note(AuditEvent::Revoked { name: who.to_string() })?)
        }
    }
}

fn parse_codes(text: &str) -> Result<(PartyName, PathBuf), String> {
    let (party, file) = text.split_once('=').ok_or("expected PARTY=FILE")?;
    Ok((PartyName::new(party).map_err(|error| error.to_string())?, PathBuf::from(file)))
}

fn changed_labels(accepted: bool) -> ChangedLabels {
    if accepted { ChangedLabels::Accept } else { ChangedLabels::Refuse }
}

/// Runs a coordinator's command line; `arguments` start with the program's name.
pub fn entry<I, T>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    hashvfl_cli::entry(arguments, execute)
}

fn show_ledger(ledger: &Path, key: &KeyArguments) -> anyhow::Result<()> {
    key.unlock(ledger)?;
    let report = LedgerReport::of(&RedbStore::open(ledger)?, &Policy::default())?;
    say!("{}", report.of_labels().trim_end());
    Ok(())
}

fn execute(arguments: Arguments) -> anyhow::Result<()> {
    hashvfl_cli::init_logging("coordinator", arguments.log_format);
    stop::handle_signals();
    match arguments.command {
        Some(Command::Init(arguments)) => init::write(&arguments),
        Some(Command::Evaluate { config, codes, top, accept_changed_labels }) => {
            let config = CoordinatorConfig::read(&config)?;
            erase::expire(&config)?;
            evaluate::evaluate(&config, &codes, top.as_deref(), changed_labels(accept_changed_labels))
        }
        Some(Command::Erase { config, ids }) => {
            erase::run(&CoordinatorConfig::read(&config)?, ids.as_deref())
        }
        Some(Command::Serve { config, json }) => serving::serve(&CoordinatorConfig::read(&config)?, json),
        Some(Command::TrainAndServe { config, json }) => {
            let config = CoordinatorConfig::read(&config)?;
            // Parties that do not know yet that a run has finished are told while predictions are served.
            if !StateFolder::existing(&config.state).is_finished() {
                training::run(&config, json, false)?;
            }
            serving::serve(&config, json)
        }
        Some(Command::Cancel { config, fresh, timeout_s }) => {
            cancel::cancel(&CoordinatorConfig::read(&config)?, fresh, timeout_s)
        }
        Some(Command::Status { config, arguments }) => {
            hashvfl_monitor::status(CoordinatorConfig::read(&config)?.monitor.as_ref(), &arguments)
        }
        Some(Command::Health { config, arguments }) => {
            let address = match config {
                Some(config) => CoordinatorConfig::read(&config)?.monitor,
                None => Some(hashvfl_monitor::address_of_environment()?),
            };
            hashvfl_monitor::health(address.as_ref(), &arguments)
        }
        Some(Command::Export(arguments)) => export::export(&arguments),
        Some(Command::Predict(arguments)) => predict::predict(&arguments),
        Some(Command::Align { config, served, json }) => {
            align::run(&CoordinatorConfig::read(&config)?, served, json)
        }
        Some(Command::Keygen { out }) => {
            say!("{}", SecretKey::create(&out)?.public());
            Ok(())
        }
        Some(Command::Key { config }) => {
            say!("{}", align::key(&CoordinatorConfig::read(&config)?)?);
            Ok(())
        }
        Some(Command::Pin { config, pins }) => align::pin(&CoordinatorConfig::read(&config)?, &pins),
        Some(Command::Identity { command: IdentityCommand::Authority(command) }) => {
            command.run()?;
            note_revocation(&command)
        }
        Some(Command::Identity { command: IdentityCommand::Holder(command) }) => {
            Ok(command.run("coordinator", Role::Coordinator)?)
        }
        Some(Command::Ledger { ledger, key }) => show_ledger(&ledger, &key),
        Some(Command::Encryption { command }) => command.run(|config| {
            let config = CoordinatorConfig::read(config)?;
            Ok(config.encryption.is_some().then(|| config.encrypted_places()))
        }),
        Some(Command::Retrain { config, out, accept_changed_labels }) => {
            let config = CoordinatorConfig::read(&config)?;
            evaluate::retrain(&config, &out, changed_labels(accept_changed_labels))
        }
        Some(Command::Audit { command }) => command.run(|config| {
            let CoordinatorConfig { audit, identity, .. } = CoordinatorConfig::read(config)?;
            Ok(AuditedSide { audit, identity })
        }),
        Some(Command::Doctor(arguments)) => doctor::run(&arguments),
        Some(Command::Config { command }) => Ok(command.run()?),
        None => {
            let Arguments { config, check, json, fresh, .. } = arguments;
            train(config, check, json, fresh)
        }
    }
}

/// Trains the runs of the configs at `paths`, or only checks them.
fn train(paths: Vec<PathBuf>, only_check: bool, json: bool, fresh: bool) -> anyhow::Result<()> {
    ensure!(!paths.is_empty(), "no config: pass `--config FILE`, or see `coordinator --help`");
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        files.push(ConfigFile { config: CoordinatorConfig::read(&path)?, path });
    }
    match files.as_slice() {
        files if only_check => {
            several::check(files)?;
            files.iter().try_for_each(|ConfigFile { config, path }| say_checked(config, path))
        }
        [ConfigFile { config, .. }] => training::run(config, json, fresh),
        files => several::run(files, json, fresh),
    }
}

/// Says what a check of the config at `path` finds.
fn say_checked(config: &CoordinatorConfig, path: &Path) -> anyhow::Result<()> {
    let Checked { described, reading, finished, gaps, to_do } = check::check(config, path)?;
    say!("{} is in order: {described}", path.display());
    say!("read: {reading}");
    finished.iter().for_each(|where_it_is| say!("done: {where_it_is}"));
    gaps.iter().for_each(|gap| say!("note: {gap}"));
    to_do.iter().for_each(|step| say!("to do before the run: {step}"));
    Ok(())
}
