//! The network side of a run: dial out, keep one stream, pass messages to the worker. Every wait has a limit.

pub(crate) mod backlog;
pub(crate) mod gradient_monitor;
pub(crate) mod recorder;
pub(crate) mod worker;

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use hashvfl_audit::AuditTrail;
use hashvfl_core::protocol::message::{FromCoordinator, FromParty};
use hashvfl_core::protocol::party::PartyError;
use hashvfl_monitor::{Board, Phase};
use hashvfl_transport::StreamError;
use hashvfl_transport::dial::TrainingStream;
use hashvfl_transport::driver::Driver;
use hashvfl_transport::stop::{Stop, Stopped};
use tracing::{info, info_span, warn};

use crate::config::PartyConfig;
use crate::connection::{dialer, hello};
use crate::farewell::for_coordinator;
use crate::prepare::Prepared;
use crate::releases::Releases;
use crate::state::StateFolder;
use crate::training::recorder::Recorder;
use crate::training::worker::Worker;

/// Shortest and longest pause before a coordinator that refused for now is dialled again.
const PAUSE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];
/// Longest wait until the coordinator has heard what was said last.
const FAREWELL: Duration = Duration::from_secs(5);

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
    info!("{}", prepared.describe());
    info!("read: {}", prepared.reading(&config.trained_on())?);
    let driver = Driver::start()?;
    board.status().phase = Phase::Waiting;
    let mut connection = TrainingConnection::open(&driver, config, Stop::listen())?;
    let recorder = Recorder::open(config, &prepared, state)?;
    let mut worker = Worker::new(config, prepared, state, releases, recorder, audit, board);
    let result = work_once_accepted(&mut worker, &mut connection);
    let result = result.and(worker.settle());
    worker.note_end(result.as_ref().err());
    let result = result.and_then(|()| worker.exchange_heads(&mut connection));
    if let Err(error) = result.as_ref()
        && !matches!(error.downcast_ref(), Some(PartyError::Refused(_) | PartyError::TryAgain(_)))
    {
        // The coordinator is told, so that nobody waits for this party; it may be gone, though.
        let _ = connection.send(FromParty::Failed { text: for_coordinator(error) });
    }
    driver.wait(connection.stream.close(FAREWELL));
    result
}

/// Works; while the coordinator refuses for now, it dials again, for as long as a party waits for a run to start.
fn work_once_accepted(
    worker: &mut Worker<'_>,
    connection: &mut TrainingConnection<'_>,
) -> anyhow::Result<()> {
    let (driver, config) = (connection.driver, connection.config);
    let (began, limit) = (Instant::now(), Duration::from_secs(config.timeouts.start_s));
    let mut pause = PAUSE[0];
    loop {
        let error = match work(worker, connection) {
            Err(error) if matches!(error.downcast_ref(), Some(PartyError::TryAgain(_))) => error,
            ended => return ended,
        };
        if began.elapsed() + pause > limit {
            return Err(error);
        }
        if pause == PAUSE[0] {
            warn!("{error}: trying again for {} s", config.timeouts.start_s);
        }
        driver.wait(connection.stream.close(FAREWELL));
        driver.wait(async { tokio::time::sleep(pause).await });
        pause = (pause * 2).min(PAUSE[1]);
        worker.start_anew();
        *connection = TrainingConnection::open(driver, config, connection.stop.clone())?;
    }
}

fn work(worker: &mut Worker<'_>, connection: &mut TrainingConnection<'_>) -> anyhow::Result<()> {
    loop {
        let message = connection.receive(worker.step())?;
        let done = worker.receive(message)?;
        if let Some(answer) = done.answer {
            connection.send(answer).with_context(|| format!("step {}", worker.step()))?;
            connection.driver.flush();
            worker.work_off()?;
        }
        if done.finished {
            return Ok(());
        }
    }
}

/// The way to the coordinator, with the limits of the config on every wait.
pub(crate) struct TrainingConnection<'a> {
    stream: TrainingStream,
    driver: &'a Driver,
    stop: Stop,
    config: &'a PartyConfig,
}

impl<'a> TrainingConnection<'a> {
    /// Dials, and greets, unless somebody asks this process to stop.
    fn open(driver: &'a Driver, config: &'a PartyConfig, mut stop: Stop) -> anyhow::Result<Self> {
        let dialer = dialer(config)?;
        let stream = driver.wait(async {
            tokio::select! {
                dialled = dialer.training(FromParty::Hello(hello(config))) => {
                    dialled.map_err(anyhow::Error::from)
                }
                () = stop.stopped() => Err(Stopped.into()),
            }
        })?;
        Ok(Self { stream, driver, stop, config })
    }

    pub(crate) fn send(&self, message: FromParty) -> anyhow::Result<()> {
        let limit_s = self.config.timeouts.step_s;
        match self.driver.wait(self.stream.send(message, Duration::from_secs(limit_s))) {
            Ok(_) => Ok(()),
            Err(StreamError::TimedOut(_)) => Err(waited(limit_s, "the network to take a message")),
            Err(error) => Err(anyhow!("{error}: is the coordinator still up?")),
        }
    }

    /// The last message, if one comes soon.
    pub(crate) fn receive_last(&mut self) -> Option<FromCoordinator> {
        Some(self.driver.wait(self.stream.next_within(FAREWELL)).ok()?.message)
    }

    /// The next message after `step`, which is 0 until the run has started.
    fn receive(&mut self, step: u64) -> anyhow::Result<FromCoordinator> {
        let timeouts = &self.config.timeouts;
        let limit_s = if step == 0 { timeouts.start_s } else { timeouts.step_s };
        let (stop, next) = (&mut self.stop, self.stream.next_within(Duration::from_secs(limit_s)));
        let received = self.driver.wait(async {
            tokio::select! {
                biased;
                () = stop.stopped() => None,
                received = next => Some(received),
            }
        });
        let received =
            received.ok_or(Stopped).with_context(|| format!("step {step}: the run ends for all"))?;
        match received {
            Ok(received) => Ok(received.message),
            Err(StreamError::TimedOut(_)) if step == 0 => {
                Err(waited(limit_s, "the run to start: are all parties up?"))
            }
            Err(StreamError::TimedOut(_)) => Err(waited(limit_s, &format!("the request after step {step}"))),
            Err(StreamError::Closed) => Err(anyhow!(
                "step {step}: the coordinator closed the stream before the run's end: its log says why; then start all sides again"
            )),
            Err(StreamError::Broken(reason)) => {
                Err(anyhow!("step {step}: {reason}: is the coordinator still up?"))
            }
            Err(StreamError::Unusable(error)) => {
                Err(error).with_context(|| format!("step {step}: the coordinator sent an unusable message"))
            }
        }
    }
}

/// That a wait took too long.
pub fn waited(limit_s: u64, what: &str) -> anyhow::Error {
    anyhow!("waited {limit_s} s for {what} (limits are in the config's [timeouts] table)")
}
