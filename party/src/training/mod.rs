//! The network side of a run: dial out, keep one stream, pass messages to the worker. Every wait has a limit.

pub(crate) mod answers;
pub(crate) mod backlog;
pub(crate) mod checkpoint;
pub(crate) mod connection;
pub(crate) mod gradient_monitor;
pub(crate) mod recorder;
pub(crate) mod worker;

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use hashvfl_audit::AuditTrail;
use hashvfl_cli::at_run;
use hashvfl_core::protocol::message::FromParty;
use hashvfl_core::protocol::party::PartyError;
use hashvfl_monitor::{Board, Phase};
use hashvfl_traces::spans;
use hashvfl_transport::driver::Driver;
use hashvfl_transport::stop::{Stop, Stopped};
use tracing::{info, info_span, warn};

use crate::config::PartyConfig;
use crate::farewell::for_coordinator;
use crate::prepare::Prepared;
use crate::releases::Releases;
use crate::state::StateFolder;
use crate::training::answers::RunAnswers;
use crate::training::connection::TrainingConnection;
use crate::training::worker::Worker;

/// Shortest and longest pause before a coordinator that refused for now is dialled again.
const PAUSE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];

/// Joins the run and works until the coordinator ends it.
///
/// # Errors
/// If the coordinator is not there, refuses or breaks the protocol, a wait takes too long, or the policy, the ledger or
/// the gradient monitor stop this party.
pub fn join(
    config: &PartyConfig,
    prepared: Prepared,
    state: &StateFolder,
    releases: Releases,
    audit: &AuditTrail,
    board: &Board,
) -> anyhow::Result<()> {
    let span = info_span!("party", run = %config.run_id, party = %config.name);
    let _entered = span.enter();
    at_run(config.name.as_str(), config.run_id.as_str());
    let _traced = spans::run(config.run_id.as_str(), Some(config.name.as_str())).entered();
    info!("{}", prepared.describe());
    info!("read: {}", prepared.reading(&config.trained_on())?);
    let answers = RunAnswers::open(config, &prepared, state)?;
    let driver = Driver::start()?;
    board.status().phase = Phase::Waiting;
    let mut connection = TrainingConnection::open(&driver, config, Stop::listen())?;
    let mut worker = Worker::new(config, prepared, state, releases, answers, audit, board);
    let result = work_once_accepted(&mut worker, &mut connection, (&driver, config));
    let result = result.map_err(|error| match error.downcast_ref() {
        // What the others make of it is not why this side ends.
        Some(PartyError::Refused(_) | PartyError::Interrupted(_)) if connection.is_leaving() => {
            anyhow::Error::from(Stopped).context(format!("step {}", worker.step()))
        }
        _ => error,
    });
    let result = result.and(worker.settle());
    worker.note_end(result.as_ref().err(), connection.returned());
    let result = result.and_then(|()| worker.exchange_heads(&mut connection));
    if let Err(error) = result.as_ref()
        && !connection.is_leaving()
        && !matches!(error.downcast_ref(), Some(PartyError::Refused(_) | PartyError::TryAgain(_)))
    {
        // The coordinator is told, so that nobody waits for this party; it may be gone, though.
        let _ = connection.send(FromParty::Failed { text: for_coordinator(error) });
    }
    connection.close();
    result
}

/// Works; while the coordinator refuses for now, it dials again, for as long as a party waits for a run to start, and where a
/// connection breaks in the handshake, for as long as it waits for a coordinator.
fn work_once_accepted<'a>(
    worker: &mut Worker<'_>,
    connection: &mut TrainingConnection<'a>,
    (driver, config): (&'a Driver, &'a PartyConfig),
) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut pause = PAUSE[0];
    loop {
        let Err(error) = work(worker, connection) else { return Ok(()) };
        let limit_s = match error.downcast_ref() {
            Some(PartyError::TryAgain(_)) => config.timeouts.start_s,
            _ if error.is::<Interrupted>() && !worker.is_accepted() => config.timeouts.connect_s,
            _ => return Err(error),
        };
        if began.elapsed() + pause > Duration::from_secs(limit_s) {
            return Err(error);
        }
        if pause == PAUSE[0] {
            warn!("{error}: trying again for {limit_s} s");
        }
        connection.close();
        connection.pause(pause)?;
        pause = (pause * 2).min(PAUSE[1]);
        worker.start_anew();
        *connection = TrainingConnection::open(driver, config, connection.stop())?;
    }
}

fn work(worker: &mut Worker<'_>, connection: &mut TrainingConnection<'_>) -> anyhow::Result<()> {
    loop {
        let message = connection.receive(worker.step())?;
        let done = worker.receive(message)?;
        if let Some(answer) = done.answer {
            worker.spans.end_phase();
            connection.send(answer).with_context(|| format!("step {}", worker.step()))?;
            connection.flush();
            worker.work_off()?;
        }
        worker.spans.end();
        if done.finished {
            return Ok(());
        }
    }
}

/// That the run was interrupted: another side is gone, and the run may go on when it is back.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Interrupted(pub String);

/// Whether a run that has ended so may go on when all sides are there again.
pub fn is_interruption(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Interrupted>() || matches!(cause.downcast_ref(), Some(PartyError::Interrupted(_)))
    })
}

/// That a wait took too long.
pub fn waited(limit_s: u64, what: &str) -> anyhow::Error {
    anyhow!("waited {limit_s} s for {what} (limits are in the config's [timeouts] table)")
}
