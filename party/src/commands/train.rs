//! Training: what a party does without a command.

use std::thread;
use std::time::{Duration, Instant};

use hashvfl_audit::{AuditEvent, AuditTrail, Service};
use hashvfl_cli::Unfinished;
use hashvfl_core::protocol::timeout_counter::TimeoutCounter;
use hashvfl_core::text::counted;
use hashvfl_ledger::PolicyRefusal;
use hashvfl_monitor::Board;
use hashvfl_transport::stop::Stopped;
use tracing::{error, info, warn};

use crate::alarm;
use crate::config::{PartyConfig, Timeouts};
use crate::prepare::Prepared;
use crate::releases::ReleaseLedger;
use crate::state::StateFolder;
use crate::training::CoordinatorLine;
use crate::training::patience::Patience;
use crate::{detectors, finished, response_key, training};

/// Pause before a run that was interrupted is joined again.
const PAUSE: Duration = Duration::from_secs(1);

/// Joins the run of a config, and works until the coordinator ends it. What was learned is in the state folder then. Where
/// the run has finished there already, nothing is done. Where `fresh`, an unfinished run there is discarded first.
///
/// # Errors
/// If the data do not fit the config, another process has the state folder or the ledger open, another run has finished
/// there, an alarm of the gradient monitor stands there, the policy does not allow what is asked for, or the coordinator
/// cannot be reached, refuses this party or breaks off.
pub fn train(config: &PartyConfig, fresh: bool) -> anyhow::Result<()> {
    run(config, fresh, false)
}

/// The same of a process that is always up: where an alarm of the gradient monitor stands, and somebody can ask the process how it
/// is, it stays up, sends nothing, and goes on when a person has dismissed the alarm.
///
/// # Errors
/// As [`train`].
pub fn train_as_a_service(config: &PartyConfig) -> anyhow::Result<()> {
    run(config, false, config.monitor.is_some())
}

fn run(config: &PartyConfig, fresh: bool, stays_up: bool) -> anyhow::Result<()> {
    let state = StateFolder::open(config)?;
    if fresh {
        // Whoever begins anew has not said anything about the coordinator.
        alarm::check(config)?;
        let files = state.throw_away()?;
        let (count, names) = (counted(files.len(), "file"), files.join(", "));
        info!("discarded {count} of an unfinished run; the ledger still counts what it released: {names}");
    } else if let Some(where_it_is) = finished::model_of(config)? {
        info!("{where_it_is}");
        return Ok(());
    }
    let (seed, board) = begin(config, &state).inspect_err(|error| {
        // A run that has begun goes on when this party is mended and started again.
        if !state.has_begun() {
            training::give_up(config, error);
        }
    })?;
    let config = &PartyConfig { seed: Some(seed), ..config.clone() };
    loop {
        // Before the look: a dismissal from then on is one that is waited for, also while this process still parts.
        let before = alarm::dismissed(&config.state);
        let joined = alarm::check(config).and_then(|()| join_until_it_ends(config, &state, &board));
        let Err(error) = joined.map_err(|error| unfinished(error, &state)) else { return Ok(()) };
        if !stays_up || !alarm::is_alarm(&error) {
            return Err(error);
        }
        alarm::wait_for_dismissal(error, config, &board, before.as_ref())?;
    }
}

/// The run's seed, and where this process says how it is.
fn begin(config: &PartyConfig, state: &StateFolder) -> anyhow::Result<(u64, Board)> {
    let seed = state.seed(config)?;
    Ok((seed, config.board()?.with_progress_line()))
}

/// `error` with what to do, where the run may go on.
fn unfinished(error: anyhow::Error, state: &StateFolder) -> anyhow::Error {
    if state.is_in_doubt() {
        let what = "the model is saved, but it is unclear whether the run has finished. Run the same command again \
                    to ask the coordinator (start the coordinator again, too, if it has ended)";
        error.context(Unfinished::InDoubt(what.to_string()))
    } else if error.is::<Stopped>() {
        error.context(Unfinished::AskedToEnd("start the same command again to continue the run"))
    } else {
        error
    }
}

/// As [`train`] over a line to the coordinator that is there already; where that breaks, nobody joins again.
///
/// # Errors
/// As [`train`].
pub fn take_part(config: &PartyConfig, line: &mut impl CoordinatorLine) -> anyhow::Result<()> {
    let state = StateFolder::open(config)?;
    if finished::model_of(config)?.is_some() {
        return Ok(());
    }
    alarm::check(config)?;
    let config = &PartyConfig { seed: Some(state.seed(config)?), ..config.clone() };
    let board = config.board()?;
    let (prepared, releases, audit) = prepare(config)?;
    training::take_part(config, prepared, &state, releases, &audit, &board, line)
}

/// Joins the run, and joins it again where it was interrupted and the config says to wait, or has begun before and its coordinator
/// is away, for as long as its [`Patience`] lasts.
fn join_until_it_ends(config: &PartyConfig, state: &StateFolder, board: &Board) -> anyhow::Result<()> {
    let mut patience = Patience::begin(config, state.has_begun(), Instant::now());
    let mut vain = TimeoutCounter::default();
    loop {
        let timeouts = Timeouts { connect_s: patience.dials_s(Instant::now()), ..config.timeouts };
        let attempt = PartyConfig { timeouts, ..config.clone() };
        let Err(error) = join(&attempt, state, board, &mut vain) else { return Ok(()) };
        if !patience.bears(&error, Instant::now()) {
            return Err(patience.explain(error));
        }
        warn!("{error:#}; waiting for all sides to reconnect (on_interruption)");
        thread::sleep(PAUSE);
    }
}

fn join(
    config: &PartyConfig,
    state: &StateFolder,
    board: &Board,
    vain: &mut TimeoutCounter,
) -> anyhow::Result<()> {
    let prepared = prepare(config).inspect_err(|error| training::give_up(config, error));
    let (prepared, releases, audit) = prepared?;
    training::join(config, prepared, state, releases, &audit, board, vain)
}

/// What this party needs before it dials, if its table, policy and ledger let it take part.
fn prepare(config: &PartyConfig) -> anyhow::Result<(Prepared, ReleaseLedger, AuditTrail)> {
    response_key::keep(config)?;
    let prepared = Prepared::load(config)?;
    detectors::check(config.detectors.as_ref(), &prepared.plan)?;
    let releases = ReleaseLedger::open(config, &prepared).inspect_err(|error| note_refusal(config, error))?;
    // After the ledger, beside which it lies.
    let audit = releases.audit_trail(config)?;
    Ok((prepared, releases, audit))
}

/// Writes down that this party's own policy does not let it join, and by which key.
fn note_refusal(config: &PartyConfig, error: &anyhow::Error) {
    let Some(refusal) = error.downcast_ref::<PolicyRefusal>() else { return };
    let (party, service) = (Some(config.name.clone()), Service::Training);
    let why = format!("policy:{}", refusal.rule.key());
    let event = AuditEvent::Refused { party, who: None, service, why, count: 1 };
    match config.audit_trail() {
        Ok(audit) => audit.note_or_complain(event),
        Err(failed) => error!("{failed:#}"),
    }
}
