//! `party --check`: what a run of the config will need is tried, and its owner hears what to know before anything is sent.
//! Nothing is sent, and nothing written but a cache.

use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use hashvfl_audit::LedgerTotals;
use hashvfl_cli::config::check_state_folder;
use hashvfl_core::text::{counted, records_on_lines};
use hashvfl_data::EncodingNotes;
use hashvfl_ledger::{LedgerView, Policy, RedbStore, StoreError, Volume, known_under_other_ids};
use hashvfl_transport::dial::DialError;
use tracing::{info, warn};

use crate::alarm;
use crate::commands::chosen;
use crate::config::PartyConfig;
use crate::connection::dialer;
use crate::prepare::{Prepared, taken_otherwise, told_of_faulty};
use crate::state::StateFolder;
use crate::{detectors, finished, releases, response_key};

/// Longest wait for whoever answers at the coordinator's address.
const LOOK: Duration = Duration::from_secs(5);

/// What a check found.
pub struct Checked {
    /// One line about the records and the model.
    pub described: String,
    /// How the table was read: numbers alone.
    pub reading: String,
    /// Where the model is, where the run has finished already.
    pub finished: Option<String>,
    /// Who answers at the coordinator's address, or that nobody does yet; absent in plain text, and until there is an identity.
    pub answers: Option<String>,
    /// What is to be done before the run, each with its command.
    pub to_do: Vec<String>,
}

/// Tries all that the run of `config`, read from `path`, needs.
///
/// # Errors
/// If something is missing or does not fit.
pub fn check(config: &PartyConfig, path: &Path) -> anyhow::Result<Checked> {
    check_state_folder(path, &config.state, &config.side())?;
    places(config)?;
    let answers = who_answers(config)?;
    chosen::missing(config, path)?.iter().for_each(|missing| warn!("{missing}"));
    // In the order in which it is done: an alignment needs the identity.
    let mut to_do = Vec::from_iter(identity(config, path));
    to_do.extend(alignment(config, path)?);
    if alarm::check(config).is_err() {
        to_do.push(format!(
            "a gradient alarm has stopped this party: `party alarm --config {}` says more",
            path.display()
        ));
    }
    let prepared = load(config)?;
    // Last of what ends the run: whoever checks a config again after it hears what is new.
    StateFolder::check(config)?;
    let finished = finished::model_of(config)?;
    warn_of_ids(config, &prepared)?;
    warn_of_cycles(config);
    if let Some(order) = config.awaited_served_order() {
        let command = format!("party align --served --config {}", path.display());
        to_do.push(format!("align the records to be served, which writes {}: `{command}`", order.display()));
    }
    let reading = prepared.reading(&config.trained_on())?;
    Ok(Checked { described: prepared.describe(), reading, finished, answers, to_do })
}

/// Tries what the config says of records and models: one line about them. An order that is not there yet is left out.
///
/// # Errors
/// If a table cannot be loaded, or the run's settings do not fit it.
pub fn data(config: &PartyConfig) -> anyhow::Result<String> {
    Ok(load(config)?.describe())
}

fn load(config: &PartyConfig) -> anyhow::Result<Prepared> {
    let mut config = config.clone();
    if config.awaited_order().is_some() {
        config.order = None;
    }
    if config.awaited_served_order().is_some() {
        config.serve.order = None;
    }
    let prepared = Prepared::load(&config)?;
    detectors::check(config.detectors.as_ref(), &prepared.plan)?;
    if let Some(told) = detectors::resolution(config.detectors.as_ref(), &prepared.plan) {
        warn!("{told}");
    }
    if config.policy.as_ref().is_none_or(|policy| policy.exists()) {
        let policy = releases::policy(&config, &prepared)?;
        check_refused(&config, &policy, prepared.ids.len())?;
    }
    if config.serve.columns.is_some() {
        let (noted, records) = prepared.check_served(&config).context("[serve]")?;
        if let Some(told) = told_of_faulty(&config, &noted, records) {
            warn!("[serve]: {told}");
        }
        info!("[serve]: {}", served_reading(&config, &noted, records)?);
    }
    Ok(prepared)
}

/// How the table to be served was read, as that of the training is told.
fn served_reading(config: &PartyConfig, noted: &EncodingNotes, records: usize) -> anyhow::Result<String> {
    let columns = config.served().columns;
    let mut parts = vec![records_on_lines(records, columns.lines()?)];
    parts.extend(taken_otherwise(noted));
    parts.extend(columns.remarks()?);
    Ok(parts.join("; "))
}

/// Whether the run was refused before for what its codes tell, or too many runs were.
fn check_refused(config: &PartyConfig, policy: &Policy, records: usize) -> anyhow::Result<()> {
    if !policy.limits_leakage() || !config.ledger.exists() {
        return Ok(());
    }
    match LedgerView::open(&config.ledger) {
        Ok(view) => {
            let (of_run, of_all) = view.refusals(config.run_id.as_str())?;
            Ok(policy.check_refused(of_run, of_all, records)?)
        }
        // The next process puts it in order.
        Err(StoreError::NotClosed(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The places that the run reads from and writes to, beside its state folder.
fn places(config: &PartyConfig) -> anyhow::Result<()> {
    RedbStore::check(&config.ledger)?;
    config.audit.check(&config.side())?;
    check_counted(config)?;
    // Whether somebody can listen where the process is to say how it is.
    drop(config.board()?);
    if let Some(policy) = &config.policy {
        Policy::read(policy)?;
    }
    if config.response_key.exists() {
        response_key::response(config)?;
    } else if config.run.randomised_response.is_some() {
        hashvfl_files::check_file(&config.response_key).context("the key of randomised response")?;
    }
    if let Some(cache) = &config.cache {
        hashvfl_files::check_file(cache).context("the cache")?;
    }
    let (host, port) = (config.coordinator.host(), config.coordinator.port());
    if let Err(reason) = (host, port).to_socket_addrs() {
        // Names of containers, say, are known once these are up.
        warn!("the coordinator's machine {host} is not known here yet: {reason}");
    }
    Ok(())
}

/// Whether the ledger is no older one than the audit trail knows; one that a process was killed with can be looked at when it
/// is put in order.
fn check_counted(config: &PartyConfig) -> anyhow::Result<()> {
    let before = config.audit.counted()?;
    let counted = match config.ledger.exists().then(|| LedgerView::open(&config.ledger)) {
        None => LedgerTotals::default(),
        Some(Err(StoreError::NotClosed(_) | StoreError::Locked(_))) => return Ok(()),
        Some(view) => {
            let Volume { items, bits } = view?.total()?;
            LedgerTotals { items, bits }
        }
    };
    Ok(counted.check(before, &config.ledger)?)
}

/// Who answers at the coordinator's address: the handshake is tried, and nothing is sent over it.
fn who_answers(config: &PartyConfig) -> anyhow::Result<Option<String>> {
    if config.identity.as_ref().is_none_or(|identity| !identity.is_made()) {
        return Ok(None);
    }
    let dialer = dialer(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answered = runtime.block_on(async { tokio::time::timeout(LOOK, dialer.who_answers()).await });
    match answered {
        Ok(Ok(peer)) => Ok(peer.map(|peer| format!("{} with the key {}", peer.identity, peer.fingerprint))),
        Ok(Err(DialError::Absent { .. })) | Err(_) => {
            Ok(Some("nobody answers yet: is the coordinator running?".to_string()))
        }
        Ok(Err(error)) => Err(error.into()),
    }
}

/// What is to be done for this party's identity.
fn identity(config: &PartyConfig, path: &Path) -> Option<String> {
    config.identity.as_ref().filter(|identity| !identity.is_made())?;
    Some(format!(
        "create an identity, by which the coordinator recognises this party: `party identity request --config {}` \
         (docs/how-to/identities.md)",
        path.display()
    ))
}

/// What is to be done for the alignment that the training waits for.
fn alignment(config: &PartyConfig, path: &Path) -> anyhow::Result<Vec<String>> {
    let Some(alignment) = &config.alignment else { return Ok(Vec::new()) };
    if config.awaited_order().is_none() && config.awaited_served_order().is_none() {
        return Ok(Vec::new());
    }
    let policy = config.policy.as_deref().map_or_else(|| Ok(Policy::default()), Policy::read)?;
    alignment.to_do(&config.name, &policy, "party", path, config.awaited_order()).context("[alignment]")
}

/// Warns of cycles that leave the gradient monitor nothing to compare codes with.
fn warn_of_cycles(config: &PartyConfig) {
    let run = &config.run;
    if config.on_alarm.monitors() && run.epochs > 1 && run.cycles == run.epochs {
        warn!(
            "run.cycles is as much as run.epochs: the gradient monitor compares codes within a cycle, so it will not see \
             gradients that pull a record towards its earlier codes. Fewer cycles would let it"
        );
    }
}

/// Warns of records whose ids may give them a budget that is not their own.
fn warn_of_ids(config: &PartyConfig, prepared: &Prepared) -> anyhow::Result<()> {
    let respelt = prepared.table_ids().respelt();
    if respelt > 0 {
        warn!(
            "found {} with the same id as another record in a different spelling: such records share the account \
             and budget of that record",
            counted(respelt, "record")
        );
    }
    let look_alike = prepared.table_ids().look_alike();
    if look_alike > 0 {
        warn!(
            "found {} like another id except for white space or invisible characters: each such id has its own \
             account and budget",
            counted(look_alike, "id")
        );
    }
    let elsewhere = known_elsewhere(config, prepared)?;
    if elsewhere > 0 {
        warn!(
            "found {} new to the ledger with the same columns as records that it has under other \
             ids. Duplicate rows are normal in small tables. But if these are known records under new ids, they get \
             a fresh budget, and the noise of randomised response can be averaged out",
            counted(elsewhere, "record")
        );
    }
    Ok(())
}

/// Records whose columns the ledger knows under other ids, as far as it can be looked at.
fn known_elsewhere(config: &PartyConfig, prepared: &Prepared) -> anyhow::Result<usize> {
    if !config.ledger.exists() {
        return Ok(0);
    }
    match LedgerView::open(&config.ledger) {
        Ok(ledger) => Ok(known_under_other_ids(&ledger, prepared.table_ids(), &prepared.contents)?),
        Err(error @ StoreError::NotClosed(_)) => {
            warn!("{error}: whether records are known under other ids is not checked");
            Ok(0)
        }
        Err(error) => Err(error.into()),
    }
}
