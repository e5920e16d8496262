//! `party --check`: what a run of the config will need is tried. Nothing is sent, and nothing written but a cache.

use std::net::ToSocketAddrs;
use std::path::Path;

use anyhow::Context;
use hashvfl_ledger::{Policy, RedbStore};
use tracing::warn;

use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::state::StateFolder;
use crate::{detect, releases};

/// What a check found.
pub struct Checked {
    /// One line about the records and the model.
    pub described: String,
    /// What is to be done before the run, each with its command.
    pub to_do: Vec<String>,
}

/// Tries all that the run of `config`, read from `path`, needs.
///
/// # Errors
/// If something is missing or does not fit.
pub fn check(config: &PartyConfig, path: &Path) -> anyhow::Result<Checked> {
    places(config)?;
    let mut to_do = alignment(config, path)?;
    let described = data(config)?;
    if let Some(order) = config.awaited_served_order() {
        let command = format!("party align --served --config {}", path.display());
        to_do.push(format!("align the records to be served, which writes {}: `{command}`", order.display()));
    }
    Ok(Checked { described, to_do })
}

/// Tries what the config says of records and models: one line about them. An order that is not there yet is left out.
///
/// # Errors
/// If a table cannot be loaded, or the run's settings do not fit it.
pub fn data(config: &PartyConfig) -> anyhow::Result<String> {
    let mut config = config.clone();
    if config.awaited_order().is_some() {
        config.order = None;
    }
    if config.awaited_served_order().is_some() {
        config.serve.order = None;
    }
    let prepared = Prepared::load(&config)?;
    detect::check(&config, &prepared.plan)?;
    if config.policy.as_ref().is_none_or(|policy| policy.exists()) {
        releases::policy(&config, &prepared.plan)?;
    }
    if config.serve.columns.is_some() {
        prepared.check_served(&config).context("[serve]")?;
    }
    Ok(prepared.describe())
}

/// The places that the run reads from and writes to.
fn places(config: &PartyConfig) -> anyhow::Result<()> {
    StateFolder::check(config)?;
    RedbStore::check(&config.ledger)?;
    if let Some(policy) = &config.policy {
        Policy::read(policy)?;
    }
    if config.run.randomised_response.is_some() && !config.response_key.exists() {
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

/// What is to be done for the alignment that the training waits for.
fn alignment(config: &PartyConfig, path: &Path) -> anyhow::Result<Vec<String>> {
    let Some(alignment) = &config.alignment else { return Ok(Vec::new()) };
    if config.awaited_order().is_none() && config.awaited_served_order().is_none() {
        return Ok(Vec::new());
    }
    let policy = config.policy.as_deref().map_or_else(|| Ok(Policy::default()), Policy::read)?;
    let mut to_do = Vec::new();
    let missing = alignment.check_files(&config.name, &policy).context("[alignment]")?;
    if !missing.is_empty() {
        let pins: Vec<String> = missing.iter().map(|holder| format!("{holder}=KEY")).collect();
        let command = format!("party pin --config {} {}", path.display(), pins.join(" "));
        to_do.push(format!("pin the public keys of the other holders: `{command}`"));
    }
    if let Some(order) = config.awaited_order() {
        let command = format!("party align --config {}", path.display());
        to_do.push(format!("align the records, which writes {}: `{command}`", order.display()));
    }
    Ok(to_do)
}
