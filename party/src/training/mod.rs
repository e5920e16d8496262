//! The network side of a run: dial out, keep one stream, pass messages to the worker. Every wait has a limit.

pub(crate) mod answers;
mod attempts;
pub(crate) mod backlog;
pub(crate) mod checkpoint;
pub(crate) mod connection;
pub(crate) mod excluded;
pub(crate) mod gradient_monitor;
mod line;
pub(crate) mod patience;
pub(crate) mod recorder;
pub(crate) mod worker;

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use hashvfl_audit::AuditTrail;
use hashvfl_cli::{at_run, own_files};
use hashvfl_core::protocol::message::FromParty;
use hashvfl_core::protocol::party::PartyError;
use hashvfl_core::protocol::timeout_counter::{MOST_VAIN_WAITS, TimeoutCounter};
use hashvfl_core::text::PublicReason;
use hashvfl_monitor::{Board, ProcessPhase};
use hashvfl_traces::spans;
use hashvfl_transport::driver::Driver;
use hashvfl_transport::stop::{Stop, Stopped};
use tracing::{info, info_span, warn};

use crate::config::PartyConfig;
use crate::connection::{dialer, hello};
use crate::farewell::for_coordinator;
use crate::prepare::Prepared;
use crate::releases::ReleaseLedger;
use crate::state::StateFolder;
use crate::training::answers::RunAnswers;
use crate::training::attempts::Attempts;
use crate::training::connection::TrainingConnection;
pub use crate::training::line::CoordinatorLine;
use crate::training::worker::Worker;

/// Longest time in which the coordinator is told that this party will not take part.
const GIVING_UP: Duration = Duration::from_secs(5);

/// Joins the run and works until the coordinator ends it. `vain` has the waits of this process that were in vain.
///
/// # Errors
/// If the coordinator is not there, refuses or breaks the protocol, a wait takes too long, or the policy, the ledger or
/// the gradient monitor stop this party.
pub fn join(
    config: &PartyConfig,
    prepared: Prepared,
    state: &StateFolder,
    releases: ReleaseLedger,
    audit: &AuditTrail,
    board: &Board,
    vain: &mut TimeoutCounter,
) -> anyhow::Result<()> {
    let span = info_span!("party", run = %config.run_id, party = %config.name);
    let _entered = span.enter();
    at_run(config.name.as_str(), config.run_id.as_str());
    let _traced = spans::run(config.run_id.as_str(), Some(config.name.as_str())).entered();
    info!("{}", prepared.describe());
    info!("read: {}", prepared.reading(&config.trained_on())?);
    let answers = RunAnswers::open(config, &prepared, state, &releases);
    let answers = answers.inspect_err(|error| give_up(config, error))?;
    let driver = Driver::start()?;
    board.status().phase = ProcessPhase::Waiting;
    // Whoever was in before waits out what answers in the coordinator's place.
    let was_in = state.has_begun();
    let mut connection = TrainingConnection::open(&driver, config, Stop::listen(), was_in)?;
    let mut worker = Worker::new(config, prepared, state, releases, answers, audit, board);
    let worked = work_once_accepted(&mut worker, &mut connection, &driver, config);
    let result = end(&mut worker, &mut connection, worked, vain);
    connection.close();
    result
}

/// The same over a line that is there already, and that nobody dials again.
///
/// # Errors
/// As [`join`].
pub fn take_part(
    config: &PartyConfig,
    prepared: Prepared,
    state: &StateFolder,
    releases: ReleaseLedger,
    audit: &AuditTrail,
    board: &Board,
    line: &mut impl CoordinatorLine,
) -> anyhow::Result<()> {
    let answers = RunAnswers::open(config, &prepared, state, &releases)?;
    let mut worker = Worker::new(config, prepared, state, releases, answers, audit, board);
    let worked = work(&mut worker, line);
    end(&mut worker, line, worked, &mut TimeoutCounter::default())
}

/// What follows when this party has `worked`, however that ended: the ledger is settled, and the coordinator hears of it.
fn end(
    worker: &mut Worker<'_>,
    line: &mut impl CoordinatorLine,
    worked: anyhow::Result<()>,
    vain: &mut TimeoutCounter,
) -> anyhow::Result<()> {
    let worked = worked.map_err(|error| unless_in_vain(error, vain));
    let result = worked.map_err(|error| match error.downcast_ref() {
        // What the others make of it is not why this side ends.
        Some(PartyError::Refused(_) | PartyError::Interrupted(_)) if line.is_leaving() => {
            anyhow::Error::from(Stopped).context(format!("step {}", worker.step()))
        }
        _ => error,
    });
    if let Err(error) = worker.settle() {
        // How the run has ended does not depend on it: what is not given back counts.
        warn!(
            "the ledger may count more than has left, since what was reserved cannot be given back: {error:#}"
        );
    }
    worker.note_end(result.as_ref().err(), line.returned());
    if result.is_ok() {
        worker.exchange_heads(line);
    }
    if let Err(error) = result.as_ref()
        && !line.is_leaving()
        && let Some(parting) = parting(error, worker.is_accepted())
    {
        // So that nobody waits for this party, or all know that it may come back; the coordinator may be gone, though.
        let _ = line.send(parting);
    }
    result
}

/// What the coordinator hears of why this party leaves; nothing where it has said so itself. Where the run may go on, it must not
/// hear that this party has failed: it would end the run for all.
fn parting(error: &anyhow::Error, is_accepted: bool) -> Option<FromParty> {
    match error.downcast_ref() {
        Some(PartyError::Refused(_) | PartyError::TryAgain(_) | PartyError::Interrupted(_)) => None,
        _ if is_interruption(error) => is_accepted.then_some(FromParty::Leaving),
        // As if this process had died: once its disk has room, the same command goes on.
        _ if is_accepted && own_files::are_unusable(error) => Some(FromParty::Leaving),
        // Before it is in, it would be taken for one that will not take part.
        _ if error.is::<Stopped>() && !is_accepted => None,
        _ => Some(FromParty::Failed { text: for_coordinator(error) }),
    }
}

/// Tells the coordinator that this party will not take part, because of `error`, before it has joined: so nobody waits for it.
/// Where the coordinator is not there, that is left to it.
pub fn give_up(config: &PartyConfig, error: &anyhow::Error) {
    let text = for_coordinator(error);
    let farewell = async {
        let greeting = FromParty::Hello(hello(config));
        let mut stream = dialer(config)?.training_once(greeting, GIVING_UP).await?;
        stream.send(FromParty::Failed { text }, GIVING_UP).await?;
        stream.end(GIVING_UP).await?;
        anyhow::Ok(())
    };
    let told = Driver::start()
        .map_err(anyhow::Error::from)
        .and_then(|driver| driver.wait(async { tokio::time::timeout(GIVING_UP, farewell).await })?);
    match told {
        Ok(()) => info!("told the coordinator that this party will not take part"),
        Err(failed) => info!(
            "could not tell the coordinator that this party will not take part, so the coordinator may keep waiting \
             for it: {failed:#}"
        ),
    }
}

/// Works; while the coordinator does not let this party in, it dials again, as long as [`Attempts`] allows it.
fn work_once_accepted<'a>(
    worker: &mut Worker<'_>,
    connection: &mut TrainingConnection<'a>,
    driver: &'a Driver,
    config: &'a PartyConfig,
) -> anyhow::Result<()> {
    let (mut attempts, mut was_in) = (Attempts::begin(Instant::now()), false);
    loop {
        let Err(error) = work(worker, connection) else { return Ok(()) };
        let was_accepted = worker.is_accepted();
        was_in |= was_accepted;
        let pause = attempts.pause_after(&error, was_accepted, &config.timeouts, Instant::now());
        let Some(pause) = pause else { return Err(error) };
        connection.close();
        connection.pause(pause)?;
        worker.start_anew();
        *connection = TrainingConnection::open(driver, config, connection.stop(), was_in)?;
    }
}

fn work(worker: &mut Worker<'_>, line: &mut impl CoordinatorLine) -> anyhow::Result<()> {
    loop {
        let message = line.receive(worker.step())?;
        let done = worker.receive(message)?;
        if let Some(answer) = done.answer {
            worker.spans.end_phase();
            match line.send(answer) {
                Err(error) if done.finished => {
                    warn!("the model is final, but the coordinator may not know that: {error:#}");
                }
                said => said.with_context(|| format!("step {}", worker.step()))?,
            }
            line.flush();
            worker.work_off()?;
        }
        worker.spans.end();
        if done.finished {
            return Ok(());
        }
    }
}

/// That the connection broke before the coordinator had let this party in: nothing was interrupted.
#[derive(Debug, thiserror::Error)]
#[error("the handshake with the coordinator: {0}")]
pub struct HandshakeBroke(pub String);

/// That the run was interrupted: another side is gone, and the run may go on when it is back.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Interrupted(pub String);

/// That the coordinator asked for nothing within the limit. It may only be slow: the run was interrupted.
#[derive(Debug, thiserror::Error)]
#[error("waited {limit_s} s for the request after step {step} (limits are in the config's [timeouts] table)")]
pub struct RequestTimeout {
    /// The last step that was asked for.
    pub step: u64,
    /// The limit.
    pub limit_s: u64,
}

/// Whether a run that has ended so may go on when all sides are there again.
pub fn is_interruption(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Interrupted>()
            || cause.is::<RequestTimeout>()
            || matches!(cause.downcast_ref(), Some(PartyError::Interrupted(_)))
    })
}

/// `error`, or, where this party has waited so too often, one that ends the run for all.
fn unless_in_vain(error: anyhow::Error, vain: &mut TimeoutCounter) -> anyhow::Error {
    match error.downcast_ref() {
        Some(RequestTimeout { step, limit_s }) if vain.note(*step) => PublicReason(format!(
            "waited {limit_s} s for the request after step {step}, {MOST_VAIN_WAITS} times in a row: raise the parties' timeouts.step_s, which must cover what the coordinator computes between two requests"
        ))
        .into(),
        _ => error,
    }
}

/// That a wait took too long.
pub fn waited(limit_s: u64, what: &str) -> anyhow::Error {
    anyhow!("waited {limit_s} s for {what} (limits are in the config's [timeouts] table)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_that_was_interrupted_or_cannot_write_says_that_it_leaves_and_not_that_it_has_failed() {
        let waited = || anyhow::Error::from(RequestTimeout { step: 7, limit_s: 3 });
        assert_eq!(parting(&waited(), true), Some(FromParty::Leaving));
        assert_eq!(parting(&waited().context("step 7"), true), Some(FromParty::Leaving));
        let failed = anyhow!("no such layer in /secret");
        let Some(FromParty::Failed { text }) = parting(&failed, true) else { panic!() };
        assert!(!text.contains("secret"), "{text}");
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let full = anyhow::Error::from(full).context("step 7");
        assert_eq!(parting(&full, true), Some(FromParty::Leaving), "it is started again when there is room");
        assert!(matches!(parting(&full, false), Some(FromParty::Failed { .. })), "nobody waits for it yet");
        for said in [PartyError::Refused("no".into()), PartyError::Interrupted("later".into())] {
            assert_eq!(parting(&said.into(), true), None, "the coordinator has said so itself");
        }
        let stopped = Err::<(), _>(Stopped).context("step 0").unwrap_err();
        assert_eq!(parting(&stopped, false), None);
        assert!(!is_interruption(&HandshakeBroke("it closed the stream".into()).into()));
    }

    #[test]
    fn a_party_that_waits_in_vain_at_one_step_again_and_again_ends_the_run_and_says_why() {
        let mut vain = TimeoutCounter::default();
        let mut wait = |step| unless_in_vain(RequestTimeout { step, limit_s: 900 }.into(), &mut vain);
        for step in [7, 7, 9, 9] {
            let error = wait(step);
            assert!(is_interruption(&error), "{error}");
            assert_eq!(parting(&error, true), Some(FromParty::Leaving));
        }
        let last = wait(9);
        assert!(!is_interruption(&last));
        let Some(FromParty::Failed { text }) = parting(&last, true) else { panic!("{last}") };
        let said = "waited 900 s for the request after step 9, 3 times in a row: raise the parties' timeouts";
        assert!(text.starts_with(said), "{text}");
        let lost = unless_in_vain(Interrupted("no way back".into()).into(), &mut vain);
        assert!(is_interruption(&lost), "a connection that is lost is waited for, however often");
    }
}
