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

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use futures_util::future::join_all;
use hashvfl_cli::OnInterruption;
use hashvfl_core::limits::{MAX_BATCH_ROWS, MAX_P_VALUE_BITS, MAX_TEXT_BYTES};
use hashvfl_core::protocol::admission::{Admission, check_excluded};
use hashvfl_core::protocol::message::{AuditHead, CheckpointId, FromCoordinator, FromParty, Return};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::{ExcludedRecords, PartyName, RunId};
use hashvfl_monitor::Board;
use hashvfl_transport::handshake::{self, Handshake, HandshakeError, TrainingOffer, Turns};
use hashvfl_transport::limits::FIRST_BYTES;
use hashvfl_transport::listen::TrainingStream;
use hashvfl_transport::stop::{Stop, Stopped};
use hashvfl_transport::{Received, StreamError};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::admission_log::{AdmissionLog, note_place};
use crate::config::CoordinatorConfig;
use crate::permissions::{self, Action, Joins};
use crate::training::arrivals::{Arrival, PartyStreams};
use crate::training::awaited::{Absence, Absences, Awaited, NotBegun, Reminders};
use crate::training::beginning::{Beginning, Parting, decided};
use crate::training::cancellation::{Cancellation, Cancelled};
use crate::training::line::{LineError, PartyLine};
use crate::training::network::NetworkError;
use crate::training::returns::{Returned, Seats};

/// Events and absences that may wait to be looked at.
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

/// What every handshake needs.
struct HandshakeContext {
    run: RunId,
    admission: Mutex<Admission>,
    seats: Seats,
    ids: Vec<String>,
    on_refusal: OnRefusal,
    handshake_s: u64,
    /// Longest wait until the network has taken what is repeated to a party that has come back.
    step_s: u64,
    events: mpsc::Sender<Event>,
    start: watch::Receiver<Beginning>,
    /// What those who wait are told.
    notices: watch::Sender<String>,
    absences: Absences,
    joins: Joins,
    turns: Turns,
    log: Arc<AdmissionLog>,
    board: Arc<Board>,
    /// Bytes of a party's longest answer.
    answer_bytes: usize,
}

/// Admission to one run.
pub struct AdmissionService {
    events: mpsc::Receiver<Event>,
    start: watch::Sender<Beginning>,
    context: Arc<HandshakeContext>,
    absences: mpsc::Receiver<Absence>,
    awaited: Awaited,
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
        let (absent, absences) = mpsc::channel(WAITING);
        log.tell(absent.clone());
        let (start, started) = watch::channel(Beginning::Awaited);
        let context = Arc::new(HandshakeContext {
            run: config.run_id.clone(),
            admission: Mutex::new(admission),
            seats: Seats::default(),
            ids,
            on_refusal: run.on_refusal,
            handshake_s: config.timeouts.handshake_s,
            step_s: config.timeouts.step_s,
            events: event,
            start: started,
            notices: watch::Sender::new(String::new()),
            absences: absent,
            joins: permissions::joins(config, Action::Join)?,
            turns: Turns::default(),
            log,
            board: Arc::clone(board),
            answer_bytes: answer_bytes(config),
        });
        tokio::spawn(receive_all(Arc::clone(&context), arrivals));
        Ok(Self {
            events,
            start,
            context,
            absences,
            awaited: Awaited::default(),
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
                let parting = Parting::of(&error, self.waits);
                self.send_away(parting).await;
                Err(error)
            }
        }
    }

    /// Waits for all, and until each of their streams has been handed over.
    async fn hand_over(&mut self, tell: &mut impl FnMut(&PartyName)) -> anyhow::Result<()> {
        let limit = Duration::from_secs(self.join_s);
        let everybody = tokio::time::timeout(limit, self.everybody(tell)).await;
        let count = everybody.unwrap_or_else(|_| {
            let missing = self.awaited.describe(&self.context.admission().missing());
            Err(NotBegun::Missing { limit_s: self.join_s, missing }.into())
        })?;
        self.start.send_replace(Beginning::Begun);
        while self.handed.len() < count {
            match self.events.recv().await.context("admission has ended")? {
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

    /// Tells parties that wait, and those that were handed over, why the run does not begin.
    async fn send_away(self, parting: Parting) {
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
        let _ = tokio::time::timeout(GOING, going).await;
        let Parting { text, is_interruption } = &parting;
        join_all(handed.into_iter().map(|party| party.line.give_up(text, *is_interruption, GOING))).await;
    }

    async fn everybody(&mut self, tell: &mut impl FnMut(&PartyName)) -> anyhow::Result<usize> {
        let mut reminders = Reminders::start();
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
                        reminders.begin_anew();
                    }
                    Event::Left(party) => {
                        self.ready.remove(&party);
                        self.awaited.note(&party, "has left again");
                        reminders.begin_anew();
                    }
                    Event::Handed(_) => {}
                },
                // The sender lives as long as the context.
                Some(Absence { party, why, gave_up }) = self.absences.recv() => {
                    match gave_up {
                        _ if !missing.contains(&party) => {}
                        Some(text) if !self.outlasts_failures => {
                            return Err(NotBegun::GaveUp { party, text }.into());
                        }
                        _ if self.awaited.note(&party, &why) => reminders.hasten(),
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

impl HandshakeContext {
    fn admission(&self) -> std::sync::MutexGuard<'_, Admission> {
        // A panic while the lock was held cannot leave the sets half changed.
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
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

async fn receive_all(context: Arc<HandshakeContext>, mut arrivals: PartyStreams) {
    while let Some(arrival) = arrivals.next().await {
        tokio::spawn(receive(Arc::clone(&context), arrival));
    }
}

/// One party from its first message until it is handed to the run or has left.
async fn receive(context: Arc<HandshakeContext>, mut arrival: Arrival) {
    let mut named = None;
    let first = arrival.first(context.handshake_s).await;
    let mut stream = arrival.stream;
    let greeted = match first {
        Ok(FromParty::Return(back)) => return take_back(&context, back, stream).await,
        Ok(first) => greet(&context, &mut stream, first, &mut named).await,
        Err(error) => Err(error),
    };
    let (party, TrainingOffer { excluded, head, checkpoints }, returns) = match greeted {
        Ok(greeted) => greeted,
        Err(error) => return turn_away(&context, &stream, named.as_ref(), &error).await,
    };
    if let Some(more) = context.log.may_write(&party) {
        info!(%party, "joined{more}");
    }
    note_place(&context.board, &party, stream.peer());
    let repeating = Duration::from_secs(context.step_s);
    let mut line = PartyLine::new(party.clone(), stream, returns, Arc::clone(&context.board), repeating);
    let (mut start, mut notices) = (context.start.clone(), context.notices.subscribe());
    let _ = context.events.send(Event::Ready(party.clone())).await;
    loop {
        tokio::select! {
            biased;
            beginning = decided(&mut start) => {
                let Beginning::CalledOff(Parting { text, is_interruption }) = beginning else {
                    let _ = context.events.send(Event::Handed(Joined { party, excluded, head, checkpoints, line })).await;
                    return;
                };
                line.give_up(&text, is_interruption, GOING).await;
                break;
            }
            // Whoever tells it lives as long as the context.
            Ok(()) = notices.changed() => {
                let text = notices.borrow_and_update().clone();
                line.notice(text).await;
            }
            // A party that is gone before the run begins greets again.
            message = line.next_within(Duration::MAX, Duration::ZERO) => {
                if let Some(more) = context.log.may_write(&party) {
                    warn!(%party, "left before the run began: {}{more}", why_it_left(message));
                }
                break;
            }
        }
    }
    context.board.status().party(&party).connected = false;
    context.seats.close(&party);
    context.admission().release(&party);
    let _ = context.events.send(Event::Left(party)).await;
}

/// A party that is in comes back on `stream`.
async fn take_back(context: &HandshakeContext, back: Return, stream: TrainingStream) {
    let party = back.party.clone();
    let handed = match stream.check_name(&party) {
        Err(error) => Err(Box::new((stream, error.into()))),
        Ok(()) if back.run != context.run => Err(Box::new((stream, HandshakeError::NoReturn))),
        Ok(()) => {
            let allowance = stream.allowance().cloned();
            let handed = context.seats.hand_over(back, stream);
            if let (Ok(()), Some(allowance)) = (&handed, allowance) {
                allowance.accept(context.answer_bytes);
            }
            handed
        }
    };
    if let Err(refused) = handed {
        let (stream, error) = *refused;
        turn_away(context, &stream, Some(&party), &error).await;
    }
}

/// Tells whoever has opened `stream` why it may not stay.
async fn turn_away(
    context: &HandshakeContext,
    stream: &TrainingStream,
    named: Option<&PartyName>,
    error: &HandshakeError,
) {
    context.log.refused(named, error.reason(), &error.to_string());
    if let Some(absence) = Absence::of(stream.peer(), named, error) {
        // Where many wait to be told, enough is told.
        let _ = context.absences.try_send(absence);
    }
    handshake::turn_away(stream, error).await;
}

fn why_it_left(message: Result<Received<FromParty>, LineError>) -> String {
    match message {
        Ok(Received { message: FromParty::Failed { text }, .. }) => text,
        Ok(_) | Err(LineError::Stream(StreamError::Unusable(_))) => {
            "it sent a message before the run began".into()
        }
        Err(LineError::Lost { reason, .. }) => reason,
        Err(error) => error.to_string(),
    }
}

/// The handshake that begins with `first`; `named` is who the party says it is, also where it is refused.
async fn greet(
    context: &Arc<HandshakeContext>,
    stream: &mut TrainingStream,
    first: FromParty,
    named: &mut Option<PartyName>,
) -> Result<(PartyName, TrainingOffer, mpsc::Receiver<Returned>), HandshakeError> {
    let mut handshake = Handshake::new(stream, context.handshake_s);
    let hello = handshake.greeting(first)?;
    *named = Some(hello.party.clone());
    context.admission().check(&hello)?;
    handshake.allow(context.ids.len().div_ceil(8) + FIRST_BYTES);
    let offer = compare_records(context, &hello.party, &mut handshake).await?;
    // Whoever only greets holds no name: it is taken when all has been checked.
    context.admission().accept(&hello.party)?;
    match take_seat(context, &hello.party, &mut handshake).await {
        Ok(returns) => {
            if let Some(allowance) = stream.allowance() {
                allowance.accept(context.answer_bytes);
            }
            Ok((hello.party, offer, returns))
        }
        Err(error) => {
            context.seats.close(&hello.party);
            context.admission().release(&hello.party);
            Err(error)
        }
    }
}

/// Lets `party` in, and lets it come back.
async fn take_seat(
    context: &Arc<HandshakeContext>,
    party: &PartyName,
    handshake: &mut Handshake<'_, FromCoordinator, FromParty>,
) -> Result<mpsc::Receiver<Returned>, HandshakeError> {
    let (ours, name) = (Arc::clone(context), party.clone());
    // Off the network's thread: it writes files.
    let written = tokio::task::spawn_blocking(move || write_down(&ours, &name)).await;
    written.map_err(|error| HandshakeError::Failed(format!("writing down who joins: {error}")))??;
    let (session, returns) = context.seats.open(party)?;
    handshake.accept(party, FromCoordinator::Accepted { session: Some(session) }).await?;
    Ok(returns)
}

/// Counts and writes down that `party` joins, before it hears so. Whoever is refused for anything else has not joined.
fn write_down(context: &HandshakeContext, party: &PartyName) -> Result<(), HandshakeError> {
    let counted = context.joins.take(party, SystemTime::now());
    counted.map_err(|error| HandshakeError::TooOften(error.to_string()))?;
    context.log.joins(party)
}

async fn compare_records(
    context: &Arc<HandshakeContext>,
    party: &PartyName,
    handshake: &mut Handshake<'_, FromCoordinator, FromParty>,
) -> Result<TrainingOffer, HandshakeError> {
    let ours = Arc::clone(context);
    let digest = move |salt: &_| RecordsDigest::of(salt, ours.ids.iter().map(String::as_str));
    let offer = handshake.compare_records(party, &context.turns, digest).await?;
    check_excluded(party, &offer.excluded, context.ids.len(), context.on_refusal)?;
    if let Some(head) = &offer.head {
        context.log.check_head(party, head)?;
    }
    Ok(offer)
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
