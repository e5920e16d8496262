//! Admission: greets parties, lets the right ones in, and waits until all are there.
//!
//! ```text
//!  stream --> Hello? --> Welcome(salt) --> Records? --> Accepted --> waits ... --> all there: the run
//!               |                            |                         |
//!               |--------- Refused ----------'                         `- left: the name is free again
//!               |
//!  stream --> Return? --> to whoever waits for the party
//! ```
//!
//! It goes on for the whole run, so that a party whose connection broke is let in again, and one that comes late or twice is
//! refused and does not wait in vain. Whoever waits is told whom for, and why that one has not come ([`super::awaited`]).

mod greeting;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::future::join_all;
use hashvfl_cli::OnInterruption;
use hashvfl_core::limits::{MAX_BATCH_ROWS, MAX_P_VALUE_BITS, MAX_TEXT_BYTES};
use hashvfl_core::protocol::admission::Admission;
use hashvfl_core::protocol::message::{AuditHead, CheckpointId};
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::{ExcludedRecords, PartyName};
use hashvfl_monitor::Board;
use hashvfl_transport::handshake::Turns;
use hashvfl_transport::stop::{Stop, Stopped};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tracing::info;

use self::greeting::{HandshakeContext, receive_all};
use crate::admission_log::AdmissionLog;
use crate::config::CoordinatorConfig;
use crate::permissions::{self, PartyAction};
use crate::training::arrivals::PartyStreams;
use crate::training::awaited::{Absence, Absences, MissingParties, Reminders, StartError};
use crate::training::beginning::{Beginning, StartNotice};
use crate::training::cancellation::{Cancellation, Cancelled};
use crate::training::line::PartyLine;
use crate::training::network::NetworkError;
use crate::training::returns::AdmittedParties;

/// Events that may wait to be looked at.
const WAITING: usize = 16;
/// Longest wait until parties that are in have heard that the run does not begin.
const GOING: Duration = Duration::from_secs(2);

/// A party that was accepted, with its stream.
pub struct Joined {
    /// Its name.
    pub party: PartyName,
    /// Records that its policy does not allow the run for.
    pub excluded: ExcludedRecords,
    /// The head of its audit log, where it has one.
    pub head: Option<AuditHead>,
    /// The checkpoints from which it can go on.
    pub checkpoints: Vec<CheckpointId>,
    /// The way to it.
    pub line: PartyLine,
}

// Few of them exist, each once per run: their size does not matter.
#[allow(clippy::large_enum_variant)]
enum Event {
    Ready(PartyName),
    Left(PartyName),
    Handed(Joined),
}

/// Admission to one run.
pub struct AdmissionService {
    events: mpsc::Receiver<Event>,
    start: watch::Sender<Beginning>,
    context: Arc<HandshakeContext>,
    absences: Arc<Absences>,
    awaited: MissingParties,
    /// Parties that wait for the run to begin.
    ready: BTreeSet<PartyName>,
    /// Those whose streams have been handed over since it is to begin.
    handed: Vec<Joined>,
    join_s: u64,
    /// Whether it may begin later where a party is lost just before.
    waits: bool,
    /// Whether it is waited on where a party says that it will not take part: that may come in a later attempt.
    outlasts_failures: bool,
}

impl AdmissionService {
    /// Opens admission to the run of `config`, which is about the records `ids`, for those who come out of `arrivals`;
    /// must be called within a runtime. `log` hears who joins and who is refused.
    ///
    /// # Errors
    /// If it cannot be read how often parties have joined.
    pub fn open(
        config: &CoordinatorConfig,
        ids: Vec<String>,
        arrivals: PartyStreams,
        log: Arc<AdmissionLog>,
        board: &Arc<Board>,
    ) -> anyhow::Result<Self> {
        let run = &config.run;
        let admission = Admission::new(config.run_id.clone(), run.to_settings(), run.parties.iter().cloned());
        let (event, events) = mpsc::channel(WAITING);
        let absences = Arc::new(Absences::of(&run.parties));
        log.tell(Arc::clone(&absences));
        let (start, started) = watch::channel(Beginning::Awaited);
        let context = Arc::new(HandshakeContext {
            run: config.run_id.clone(),
            admission: Mutex::new(admission),
            seats: AdmittedParties::default(),
            ids,
            on_refusal: run.on_refusal,
            handshake_s: config.timeouts.handshake_s,
            step_s: config.timeouts.step_s,
            events: event,
            start: started,
            notices: watch::Sender::new(String::new()),
            absences: Arc::clone(&absences),
            joins: permissions::joins(config, PartyAction::Join, Some(log.audit()))?,
            turns: Turns::default(),
            log,
            board: Arc::clone(board),
            asides: Arc::default(),
            answer_bytes: answer_bytes(config),
        });
        tokio::spawn(receive_all(Arc::clone(&context), arrivals));
        Ok(Self {
            events,
            start,
            context,
            absences,
            awaited: MissingParties::default(),
            ready: BTreeSet::new(),
            handed: Vec::new(),
            join_s: config.timeouts.join_s,
            waits: config.on_interruption == OnInterruption::Wait,
            outlasts_failures: false,
        })
    }

    /// Whether the wait `outlasts` a party that says that it will not take part, where the config says to wait.
    pub fn outlasting_failures(mut self, outlasts: bool) -> Self {
        self.outlasts_failures = outlasts && self.waits;
        self
    }

    /// Waits for all parties and hands their streams over, in no particular order; `tell` hears who is there.
    ///
    /// # Errors
    /// If not all of them join in time, one says that it will not or leaves just before the start, this process is asked to
    /// end, or the run is cancelled.
    pub async fn gather(
        mut self,
        tell: &mut impl FnMut(&PartyName),
        stop: &mut Stop,
        cancellation: &mut Cancellation,
    ) -> anyhow::Result<Vec<Joined>> {
        let begun = tokio::select! {
            biased;
            () = stop.stopped() => Err(Stopped.into()),
            () = cancellation.asked() => Err(Cancelled.into()),
            begun = self.hand_over(tell) => begun,
        };
        match begun {
            Ok(()) => Ok(self.handed),
            Err(error) => {
                let parting = StartNotice::of(&error, self.waits);
                self.send_away(parting).await;
                Err(error)
            }
        }
    }

    /// Waits for all, and until each of their streams has been handed over.
    async fn hand_over(&mut self, tell: &mut impl FnMut(&PartyName)) -> anyhow::Result<()> {
        let limit = Duration::from_secs(self.join_s);
        let everybody = timeout(limit, self.everybody(tell)).await;
        let count = everybody.unwrap_or_else(|_| {
            let missing = self.awaited.describe(&self.context.admission().missing());
            Err(StartError::Missing { limit_s: self.join_s, missing }.into())
        })?;
        self.start.send_replace(Beginning::Begun);
        let limit_s = self.context.step_s;
        while self.handed.len() < count {
            let event = timeout(Duration::from_secs(limit_s), self.events.recv()).await;
            let event = event.map_err(|_| self.not_handed(limit_s))?;
            match event.context("admission has ended")? {
                Event::Handed(party) => {
                    self.ready.remove(&party.party);
                    self.handed.push(party);
                }
                Event::Left(party) if self.context.admission().missing().contains(&party) => {
                    self.ready.remove(&party);
                    let reason = "it left just before the run began".to_string();
                    return Err(NetworkError::Lost { step: 0, party, reason }.into());
                }
                // It had left, and is there again.
                Event::Left(_) | Event::Ready(_) => {}
            }
        }
        Ok(())
    }

    /// Why the run does not begin where a party that was there is not handed over.
    fn not_handed(&self, limit_s: u64) -> anyhow::Error {
        let missing = self.context.admission().missing();
        match self.ready.iter().chain(&missing).next().cloned() {
            None => anyhow!("waited {limit_s} s (timeouts.step_s) for the parties' streams"),
            Some(party) => {
                let reason =
                    format!("it left just before the run began, and was not back within {limit_s} s");
                NetworkError::Lost { step: 0, party, reason }.into()
            }
        }
    }

    /// Tells parties that wait, and those that were handed over, why the run does not begin.
    async fn send_away(self, parting: StartNotice) {
        let Self { mut events, start, mut ready, mut handed, .. } = self;
        start.send_replace(Beginning::CalledOff(parting.clone()));
        let going = async {
            while !ready.is_empty()
                && let Some(event) = events.recv().await
            {
                match event {
                    Event::Left(party) => {
                        ready.remove(&party);
                    }
                    Event::Handed(party) => {
                        ready.remove(&party.party);
                        handed.push(party);
                    }
                    Event::Ready(_) => {}
                }
            }
        };
        // Whoever takes longer than that is not waited for.
        let _ = timeout(GOING, going).await;
        let StartNotice { text, is_interruption } = &parting;
        join_all(handed.into_iter().map(|party| party.line.give_up(text, *is_interruption, GOING))).await;
    }

    async fn everybody(&mut self, tell: &mut impl FnMut(&PartyName)) -> anyhow::Result<usize> {
        let mut reminders = Reminders::start(Instant::now());
        loop {
            let missing = self.context.admission().missing();
            if missing.is_empty() && self.ready.len() == self.context.admission().expected() {
                return Ok(self.ready.len());
            }
            tokio::select! {
                event = self.events.recv() => match event.context("admission has ended")? {
                    Event::Ready(party) => {
                        tell(&party);
                        self.awaited.came(&party);
                        self.ready.insert(party);
                        reminders.renew(Instant::now());
                    }
                    Event::Left(party) => {
                        self.ready.remove(&party);
                        self.awaited.note(&party, "has left again");
                        reminders.renew(Instant::now());
                    }
                    Event::Handed(_) => {}
                },
                Absence { party, why, gave_up } = self.absences.next() => {
                    match gave_up {
                        _ if !missing.contains(&party) => {}
                        Some(text) if !self.outlasts_failures => {
                            return Err(StartError::GaveUp { party, text }.into());
                        }
                        _ if self.awaited.note(&party, &why) => reminders.hasten(Instant::now()),
                        _ => {}
                    }
                }
                () = reminders.due(), if !missing.is_empty() => {
                    let missing = self.awaited.describe(&missing);
                    info!("still waiting for {missing}");
                    self.context.notices.send_replace(format!("the run waits for {missing}"));
                }
            }
        }
    }
}

/// Bytes of a party's longest answer in the run: codes of a batch or of an evaluation chunk, p-values of calibrating
/// records, or a line of text.
pub(crate) fn answer_bytes(config: &CoordinatorConfig) -> usize {
    let rows = config.run.batch_rows.most().clamp(CHUNK_ROWS, MAX_BATCH_ROWS);
    let codes = (rows * config.run.most_bits()).div_ceil(8);
    let p_values = match config.run.calibration_fraction > 0.0 {
        true => MAX_BATCH_ROWS * MAX_P_VALUE_BITS as usize / 8,
        false => 0,
    };
    codes.max(p_values) + 2 * MAX_TEXT_BYTES
}

pub(super) fn names(parties: &[PartyName]) -> String {
    parties.iter().map(PartyName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
