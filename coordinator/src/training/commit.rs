//! After a run that has finished: tells parties that have written their models and did not hear that these count.
//!
//! A party whose connection, or process, ended between its last answer and the coordinator's word does not decide alone. It
//! asks when it is started again, and the coordinator has the answer in its state folder: started again by the same command,
//! it waits a while for whoever has not acknowledged it ([`announce`]), and one that serves predictions answers as long as it
//! does ([`answer_all`]), as does one that holds other runs ([`answer_later`]). A party that serves predictions with the run's model
//! has acknowledged it by that.
//!
//! Each stream is answered by itself, so that a silent one keeps nobody waiting. The records are compared under the run's own
//! salt, whose digest the state folder holds: no table of labels is read for whoever asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use hashvfl_audit::Service;
use hashvfl_core::PartyName;
use hashvfl_core::protocol::admission::Admission;
use hashvfl_core::protocol::message::{FromCoordinator, FromParty};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::records::run_records::salt_of_run;
use hashvfl_monitor::{Board, BoardConfig, Status, is_listed};
use hashvfl_transport::Received;
use hashvfl_transport::driver::Driver;
use hashvfl_transport::handshake::{Handshake, HandshakeError, turn_away};
use hashvfl_transport::limits::FIRST_BYTES;
use hashvfl_transport::limits::quiet::QuietLog;
use hashvfl_transport::stop::{Stop, Stopped};
use tokio::sync::{Notify, OnceCell};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use super::HeldRun;
use super::admission::names;
use super::arrivals::{self, Arrival, PartyStreams};
use super::shared_port::SharedPort;
use crate::admission_log::AdmissionLog;
use crate::config::CoordinatorConfig;
use crate::finished::keep_among_runs;
use crate::state::StateFolder;

/// Longest wait, when the run has finished, for a party to say that its model counts and to hear what is said last. Its model
/// is written by then, and a party that takes longer asks when it is started again: so nothing hangs on it.
pub(super) const PARTING: Duration = Duration::from_secs(10);

/// The parties that have not acknowledged yet that the run has finished, in memory and on disk.
pub struct Unacknowledged {
    state: StateFolder,
    parties: Mutex<Vec<PartyName>>,
    /// One less is left.
    fewer: Notify,
}

impl Unacknowledged {
    /// Those of a finished run.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn read(state: StateFolder) -> anyhow::Result<Self> {
        let parties = Mutex::new(state.read_unacknowledged()?);
        Ok(Self { state, parties, fewer: Notify::new() })
    }

    /// Their names.
    pub fn parties(&self) -> Vec<PartyName> {
        self.lock().clone()
    }

    /// `party` has its model.
    pub fn acknowledged(&self, party: &PartyName) {
        let mut parties = self.lock();
        let before = parties.len();
        parties.retain(|other| other != party);
        if parties.len() == before {
            return;
        }
        info!(%party, "has its model, and knows that the run has finished");
        if let Err(error) = self.state.keep_unacknowledged(&parties) {
            // It is told once more, which changes nothing.
            warn!("{error:#}");
        }
        drop(parties);
        self.fewer.notify_waiters();
    }

    /// Waits until all have acknowledged it.
    async fn none_is_left(&self) {
        loop {
            // Before the look: what happens in between is heard.
            let fewer = self.fewer.notified();
            if self.lock().is_empty() {
                return;
            }
            fewer.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PartyName>> {
        // The list is whole after each call, also one that panicked.
        self.parties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells parties that have not acknowledged it, as they come, that the run `run` has finished.
///
/// Parties that do not ask in time are logged and remembered: such a party may have its model without having confirmed it;
/// otherwise it asks later, and the same command answers it.
///
/// # Errors
/// If it cannot listen, or is asked to end.
pub fn tell_the_rest(run: &HeldRun<'_>, state: StateFolder) -> anyhow::Result<()> {
    let unacknowledged = Arc::new(Unacknowledged::read(state)?);
    if unacknowledged.parties().is_empty() {
        return Ok(());
    }
    info!("{} has not confirmed its model", names(&unacknowledged.parties()));
    Driver::start()?.wait(wait_for_all(run, unacknowledged))
}

/// The same of a run that has finished before, which is then shown and listed.
///
/// # Errors
/// As [`tell_the_rest`].
pub fn announce(run: &HeldRun<'_>, state: StateFolder) -> anyhow::Result<()> {
    let HeldRun { config, reporter, .. } = run;
    tell_the_rest(run, state.clone())?;
    reporter.finished(&state.summary());
    // A process may have been killed between the run's end and its line in the list. What parties wait for needs none.
    if !is_listed(&config.runs, &config.run_id) {
        match state.read_summary() {
            Ok(summary) => keep_among_runs(config, &summary),
            Err(error) => warn!("the run is not listed among finished ones: {error:#}"),
        }
    }
    Ok(())
}

async fn wait_for_all(run: &HeldRun<'_>, unacknowledged: Arc<Unacknowledged>) -> anyhow::Result<()> {
    let config = run.config;
    let log = arrivals::admission_log(run, Arc::new(config.audit_trail()?));
    let (streams, server) = arrivals::let_in(run, Arc::clone(&log)).await?;
    let announcer = Announcer::new(config, Arc::clone(&unacknowledged), log);
    tokio::spawn(answer_all(Arc::new(announcer), streams));
    let (mut stop, limit_s) = (Stop::listen(), config.timeouts.reconnect_s);
    tokio::select! {
        biased;
        () = stop.stopped() => Err(asked_to_end(&unacknowledged.parties())),
        ended = server => match ended.context("the server")? {
            Ok(()) => bail!("the server ended before all parties had heard that the run has finished"),
            Err(error) => Err(error).context("the server"),
        },
        waited = timeout(Duration::from_secs(limit_s), unacknowledged.none_is_left()) => {
            if waited.is_err() {
                warn!(
                    "waited {limit_s} s (timeouts.reconnect_s), but {} has not confirmed its model: if its command \
                     ended with exit code 75, start it and this command again",
                    names(&unacknowledged.parties())
                );
            }
            Ok(())
        }
    }
}

/// Answers parties that ask later, for as long as this process keeps the `port` for its other runs; whether any may. The state folder
/// is free meanwhile, so that predictions can be served from it.
///
/// # Errors
/// If it cannot be read who may ask, or its audit trail not be opened.
pub fn answer_later(config: &CoordinatorConfig, port: &SharedPort) -> anyhow::Result<bool> {
    let unacknowledged = Arc::new(Unacknowledged::read(StateFolder::existing(&config.state))?);
    let parties = unacknowledged.parties();
    if parties.is_empty() {
        return Ok(false);
    }
    let status = Status::new("coordinator", config.run_id.clone());
    let board = Arc::new(Board::open(BoardConfig::default(), status)?);
    let (audit, all) = (Arc::new(config.audit_trail()?), config.run.parties.clone());
    let log = Arc::new(AdmissionLog::new(audit, Service::Training, all, board));
    let streams = PartyStreams::Shared(port.enter(&config.run_id, log.clone()));
    let announcer = Announcer::new(config, unacknowledged, log);
    info!("{} is told when it asks, while this process holds other runs", names(&parties));
    port.spawn(answer_all(Arc::new(announcer), streams));
    Ok(true)
}

/// That this process was asked to end before all `parties` had said that their models count.
pub fn asked_to_end(parties: &[PartyName]) -> anyhow::Error {
    let what = format!("the run has finished, but {} has not confirmed its model", names(parties));
    anyhow::Error::from(Stopped).context(what)
}

/// Answers parties that ask, until the server ends; must be spawned on its runtime. The port's limits bound how many are
/// answered at a time.
pub async fn answer_all(announcer: Arc<Announcer>, mut streams: PartyStreams) {
    while let Some(arrival) = streams.next().await {
        let announcer = Arc::clone(&announcer);
        tokio::spawn(async move { announcer.answer(arrival).await });
    }
}

/// Tells the parties of a run that it has finished.
pub struct Announcer {
    config: CoordinatorConfig,
    unacknowledged: Arc<Unacknowledged>,
    log: Arc<AdmissionLog>,
    /// Of the run's records under the run's salt, once the state folder was read.
    records: OnceCell<RecordsDigest>,
    failures: QuietLog,
}

impl Announcer {
    /// For the run of `config`; `log` hears who is refused.
    pub fn new(
        config: &CoordinatorConfig,
        unacknowledged: Arc<Unacknowledged>,
        log: Arc<AdmissionLog>,
    ) -> Self {
        let (config, records) = (config.clone(), OnceCell::new());
        Self { config, unacknowledged, log, records, failures: QuietLog::new() }
    }

    /// Tells whoever has opened the stream of `arrival` that the run has finished, or why not.
    async fn answer(&self, mut arrival: Arrival) {
        let mut named = None;
        match self.tell(&mut arrival, &mut named).await {
            Ok(party) => self.unacknowledged.acknowledged(&party),
            Err(error) => {
                self.log.refused(named.as_ref(), error.reason(), &error.to_string());
                turn_away(&arrival.stream, &error).await;
            }
        }
    }

    /// Which party has heard it; `named` is who it says it is, also where it is refused.
    async fn tell(
        &self,
        arrival: &mut Arrival,
        named: &mut Option<PartyName>,
    ) -> Result<PartyName, HandshakeError> {
        let (config, run) = (&self.config, &self.config.run);
        let admission = Admission::new(config.run_id.clone(), run.to_settings(), run.parties.iter().cloned());
        let first = arrival.first(config.timeouts.handshake_s).await?;
        let stream = &mut arrival.stream;
        let mut handshake = Handshake::new(stream, config.timeouts.handshake_s);
        let hello = match first {
            FromParty::Return(_) => return Err(HandshakeError::NoReturn),
            first => handshake.greeting(first)?,
        };
        *named = Some(hello.party.clone());
        admission.check(&hello)?;
        let records = self.records().await?;
        handshake.allow(records.count.div_ceil(8) as usize + FIRST_BYTES);
        handshake.compare_known_records(&hello.party, salt_of_run(&config.run_id), records).await?;
        handshake.accept(&hello.party, FromCoordinator::Commit).await?;
        // Until the party has given its model its name, and until it has gone.
        match stream.next_within(PARTING).await {
            Ok(Received { message: FromParty::Committed, .. }) => {
                // The head, signed, of the log in which the decision stands; and the end of the stream. It has said what it had to say:
                // whether it hears that is its own business.
                if let Some(head) = self.log.audit().head() {
                    let _ = stream.send(FromCoordinator::Heads { heads: vec![head] }, PARTING).await;
                }
                let _ = stream.end(PARTING).await;
                Ok(hello.party)
            }
            _ => Err(HandshakeError::Left { party: hello.party }),
        }
    }

    /// What the run's parties say of its records under the run's salt.
    async fn records(&self) -> Result<RecordsDigest, HandshakeError> {
        let read = self.records.get_or_try_init(|| async {
            let state = self.unacknowledged.state.clone();
            let records = spawn_blocking(move || state.read_records()).await??;
            anyhow::Ok(RecordsDigest { count: records.count() as u64, digest: records.digest() })
        });
        read.await.copied().map_err(|error| {
            self.failures
                .warn(&format!("cannot answer a party that asks whether the run has finished: {error:#}"));
            HandshakeError::Failed(
                "the coordinator cannot read the list of the run's records: see its log".into(),
            )
        })
    }
}
