//! `coordinator --check`: what a run of the config will need is tried, its port and its monitor's included. Nothing listens
//! when it is over, and nothing is written.

use std::net::TcpListener;
use std::path::Path;

use anyhow::Context;
use hashvfl_audit::Side;
use hashvfl_cli::config::check_state_folder;
use hashvfl_core::text::counted;
use hashvfl_core::{Digest, Plan};
use hashvfl_files::check_file;
use hashvfl_learning::device;
use hashvfl_ledger::{Policy, RedbStore};
use hashvfl_monitor::check_runs;

use crate::config::CoordinatorConfig;
use crate::permissions::{self, PartyAction};
use crate::serving::RecordIndex;
use crate::state::StateFolder;
use crate::training::checkpoints::run_name;
use crate::{coverage, detectors, finished, identity, labels, training};

/// What a check found.
pub struct Checked {
    /// One line about the records and the device.
    pub described: String,
    /// How the labels were read: numbers alone.
    pub reading: String,
    /// Where the top model is, where the run has finished already.
    pub finished: Option<String>,
    /// Parts of the records on which a metric is undefined, or which are too few for a level, and classes that may be one.
    pub gaps: Vec<String>,
    /// What is to be done before the run, each with its command.
    pub to_do: Vec<String>,
}

/// Tries all that the run of `config`, read from `path`, needs.
///
/// # Errors
/// If something is missing or does not fit.
pub fn check(config: &CoordinatorConfig, path: &Path) -> anyhow::Result<Checked> {
    check_state_folder(path, &config.state, &Side::Coordinator)?;
    RedbStore::check(&config.ledger)?;
    config.audit.check(&Side::Coordinator)?;
    check_file(&config.runs).context("the list of finished runs (runs)")?;
    check_runs(&config.runs).with_context(|| format!("runs = {:?}", config.runs))?;
    // Whether somebody can listen where the process is to say how it is.
    drop(config.board()?);
    permissions::check_parties(config, &config.run.parties, PartyAction::Join)?;
    let mut to_do = alignment(config, path)?;
    let Data { described, reading, gaps, name } = data(config)?;
    // Last of what ends the run: whoever checks a config again after it hears what is new.
    StateFolder::check(&config.state)?;
    let finished = finished::top_of(&StateFolder::existing(&config.state), &name)?;
    if let Some(order) = config.awaited_served_order() {
        let command = format!("coordinator align --served --config {}", path.display());
        to_do.push(format!("align the records to be served, which writes {}: `{command}`", order.display()));
    }
    match identity::to_do(config, path) {
        // An alignment needs it.
        Some(step) => to_do.insert(0, step),
        None => drop(identity::files(config)?),
    }
    TcpListener::bind(config.listen).with_context(|| config.cannot_listen())?;
    Ok(Checked { described, reading, finished, gaps, to_do })
}

/// What the tables of a config hold.
pub struct Data {
    /// One line about the records and the device.
    described: String,
    /// How the labels were read: numbers alone.
    reading: String,
    /// Parts of the records on which a metric is undefined, or which are too few for a level, and classes that may be one.
    gaps: Vec<String>,
    /// Names the run.
    name: Digest,
}

/// Tries what the config says of records and models. An order that is not there yet is left out.
///
/// # Errors
/// If a table cannot be loaded, or the run's settings do not fit it.
pub fn data(config: &CoordinatorConfig) -> anyhow::Result<Data> {
    let mut config = config.clone();
    if config.awaited_order().is_some() {
        config.order = None;
    }
    if config.awaited_served_order().is_some() {
        config.serve.order = None;
    }
    let labels = labels::load(&config)?;
    let plan = Plan::new(&config.run, labels.ids.len())?;
    training::check_plan(&config, &plan)?;
    let mut gaps = coverage::gaps(&labels.labels, &plan, &config.run);
    gaps.extend(coverage::respelt(&labels.classes));
    gaps.extend(detectors::resolution(&config.detectors, &plan));
    gaps.extend(detectors::silent_classes(&config.detectors, &plan, &labels.labels));
    if config.serve.records.is_some() || config.serve.order.is_some() {
        RecordIndex::served(&config)?;
    }
    let device = device::open(config.device)?.name;
    let records = counted(labels.ids.len(), "record");
    let described = format!("labels of {records}, a top model on {device}");
    let name = run_name(&config, &labels.ids, labels.digest())?;
    Ok(Data { described, reading: labels.reading, gaps, name })
}

/// What is to be done for the alignment that the training waits for.
fn alignment(config: &CoordinatorConfig, path: &Path) -> anyhow::Result<Vec<String>> {
    let policy = config.policy.as_deref().map_or_else(|| Ok(Policy::default()), Policy::read)?;
    let Some((alignment, name)) =
        config.alignment.as_ref().and_then(|table| Some((table, table.name.as_ref()?)))
    else {
        return Ok(Vec::new());
    };
    if config.awaited_order().is_none() && config.awaited_served_order().is_none() {
        return Ok(Vec::new());
    }
    alignment.to_do(name, &policy, "coordinator", path, config.awaited_order()).context("[alignment]")
}
