//! Training: what a party does without a command.

use hashvfl_audit::{AuditEvent, Service};
use hashvfl_ledger::Refusal;
use tracing::error;

use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::releases::Releases;
use crate::state::StateFolder;
use crate::{detectors, response_key, training};

/// Joins the run of a config, and works until the coordinator ends it. What was learned is in the state folder then.
///
/// # Errors
/// If the data do not fit the config, another process has the state folder or the ledger open, the policy does not allow
/// what is asked for, or the coordinator cannot be reached, refuses this party or breaks off.
pub fn train(config: &PartyConfig) -> anyhow::Result<()> {
    let state = StateFolder::open(config)?;
    let board = config.board()?.with_progress_line();
    response_key::keep(config)?;
    let prepared = Prepared::load(config)?;
    detectors::check(config.detectors.as_ref(), &prepared.plan)?;
    let releases = Releases::open(config, &prepared).inspect_err(|error| note_refusal(config, error))?;
    // After the ledger, beside which it lies.
    let audit = config.audit_trail()?;
    training::join(config, prepared, &state, releases, &audit, &board)
}

/// Writes down that this party's own policy does not let it join, and by which key.
fn note_refusal(config: &PartyConfig, error: &anyhow::Error) {
    let Some(refusal) = error.downcast_ref::<Refusal>() else { return };
    let (party, service) = (Some(config.name.clone()), Service::Training);
    let event =
        AuditEvent::Refused { party, service, why: format!("policy:{}", refusal.rule.key()), count: 1 };
    match config.audit_trail() {
        Ok(audit) => audit.note_or_complain(event),
        Err(failed) => error!("{failed:#}"),
    }
}
