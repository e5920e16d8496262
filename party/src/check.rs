//! `party --check`: whether config, data and policy fit together, and what its owner should know before anything is sent.
//! Nothing is sent, and nothing but a configured cache is written.

use std::path::Path;

use hashvfl_files::say;
use hashvfl_ledger::{LedgerView, StoreError, known_under_other_ids};
use tracing::warn;

use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::{detectors, releases, response_key};

/// Checks the config at `path`.
pub fn check(config: &PartyConfig, path: &Path) -> anyhow::Result<()> {
    let prepared = Prepared::load(config)?;
    detectors::check(config.detectors.as_ref(), &prepared.plan)?;
    releases::policy(config, &prepared.plan)?;
    if config.response_key.exists() {
        response_key::response(config)?;
    }
    let respelt = prepared.table_ids().respelt();
    if respelt > 0 {
        warn!(
            "{respelt} records have the id of another record, spelt otherwise: each of them shares that one's account and budget"
        );
    }
    let elsewhere = known_elsewhere(config, &prepared)?;
    if elsewhere > 0 {
        warn!(
            "{elsewhere} records are new to the ledger and have the same columns as records that it knows under other ids. Twins are normal in a table of few distinct rows; but records under new ids, respelt or pseudonyms, would get fresh budgets, and who asks under both could average flips away"
        );
    }
    say!("{} is in order: {}", path.display(), prepared.describe());
    say!("read: {}", prepared.reading(&config.trained_on())?);
    Ok(())
}

/// Records whose columns the ledger knows under other ids, as far as it can be looked at.
fn known_elsewhere(config: &PartyConfig, prepared: &Prepared) -> anyhow::Result<usize> {
    if !config.ledger.exists() {
        return Ok(0);
    }
    match LedgerView::open(&config.ledger) {
        Ok(ledger) => Ok(known_under_other_ids(&ledger, prepared.table_ids(), &prepared.contents)?),
        Err(error @ (StoreError::Locked(_) | StoreError::NotClosed(_))) => {
            warn!("{error}: whether records are known under other ids is not checked");
            Ok(0)
        }
        Err(error) => Err(error.into()),
    }
}
