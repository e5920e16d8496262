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
//! refused and does not wait in vain.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use hashvfl_core::limits::{MAX_BATCH_ROWS, MAX_P_VALUE_BITS, MAX_TEXT_BYTES};
use hashvfl_core::protocol::admission::{Admission, check_excluded};
use hashvfl_core::protocol::message::{AuditHead, CheckpointId, FromCoordinator, FromParty, Return};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::{ExcludedRecords, PartyName, RunId};
use hashvfl_monitor::Board;
use hashvfl_transport::handshake::{self, Handshake, HandshakeError, TrainingOffer};
use hashvfl_transport::limits::FIRST_BYTES;
use hashvfl_transport::listen::TrainingStream;
use hashvfl_transport::stop::{Stop, Stopped};
use hashvfl_transport::{Received, StreamError};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::admission_log::AdmissionLog;
use crate::config::CoordinatorConfig;
use crate::permissions::{self, Joins};
use crate::training::arrivals::{Arrival, PartyStreams};
use crate::training::cancellation::{Cancellation, Cancelled};
use crate::training::line::{LineError, PartyLine};
use crate::training::returns::{Returned, Seats};

/// How often it is said who is missing.
const REMINDER: Duration = Duration::from_secs(30);
/// Longest wait until parties that are in have heard that the run does not begin.
const GOING: Duration = Duration::from_secs(2);
/// What they hear.
const NO_BEGIN: &str = "the run does not begin: the coordinator's log says why";
const ASKED_TO_END: &str = "the coordinator was asked to end: the run goes on when it is started again";

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

/// Whether the run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// Not all are there.
    Awaited,
    Begun,
    /// It does not.
    CalledOff(Parting),
}

/// Why a run does not begin, for parties that wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parting {
    Failed,
    /// It may begin when the coordinator is back.
    Interrupted,
    Cancelled,
}

impl Parting {
    fn of(error: &anyhow::Error) -> Self {
        match error {
            error if error.is::<Stopped>() => Self::Interrupted,
            error if error.is::<Cancelled>() => Self::Cancelled,
            _ => Self::Failed,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Failed => NO_BEGIN.to_string(),
            Self::Interrupted => ASKED_TO_END.to_string(),
            Self::Cancelled => Cancelled.to_string(),
        }
    }
}

/// What every handshake needs.
struct HandshakeContext {
    run: RunId,
    admission: Mutex<Admission>,
    seats: Seats,
    ids: Vec<String>,
    on_refusal: OnRefusal,
    handshake_s: u64,
    events: mpsc::Sender<Event>,
    start: watch::Receiver<Beginning>,
    joins: Joins,
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
    /// Parties that wait for the run to begin.
    ready: BTreeSet<PartyName>,
    join_s: u64,
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
        let (event, events) = mpsc::channel(16);
        let (start, started) = watch::channel(Beginning::Awaited);
        let context = Arc::new(HandshakeContext {
            run: config.run_id.clone(),
            admission: Mutex::new(admission),
            seats: Seats::default(),
            ids,
            on_refusal: run.on_refusal,
            handshake_s: config.timeouts.handshake_s,
            events: event,
            start: started,
            joins: permissions::joins(config)?,
            log,
            board: Arc::clone(board),
            answer_bytes: answer_bytes(config),
        });
        tokio::spawn(receive_all(Arc::clone(&context), arrivals));
        Ok(Self { events, start, context, ready: BTreeSet::new(), join_s: config.timeouts.join_s })
    }

    /// Waits for all parties and hands their streams over, in no particular order; `tell` hears who is there.
    ///
    /// # Errors
    /// If not all of them join in time, one leaves just before the start, this process is asked to end, or the run is cancelled.
    pub async fn gather(
        mut self,
        tell: &mut impl FnMut(&PartyName),
        stop: &mut Stop,
        cancellation: &mut Cancellation,
    ) -> anyhow::Result<Vec<Joined>> {
        let joined = tokio::select! {
            biased;
            () = stop.stopped() => Err(Stopped.into()),
            () = cancellation.asked() => Err(Cancelled.into()),
            joined = self.hand_over(tell) => joined,
        };
        if let Err(error) = &joined {
            self.send_away(Parting::of(error)).await;
        }
        joined
    }

    async fn hand_over(&mut self, tell: &mut impl FnMut(&PartyName)) -> anyhow::Result<Vec<Joined>> {
        let limit = Duration::from_secs(self.join_s);
        let everybody = tokio::time::timeout(limit, self.everybody(tell)).await;
        let count = everybody.map_err(|_| {
            let missing = names(&self.context.admission().missing());
            anyhow!(
                "waited {} s (timeouts.join_s) for {missing} to join: is it up, and its config right?",
                self.join_s
            )
        })??;
        self.start.send_replace(Beginning::Begun);
        let mut joined = Vec::with_capacity(count);
        while joined.len() < count {
            match self.events.recv().await.context("admission has ended")? {
                Event::Handed(party) => joined.push(party),
                Event::Left(party) => {
                    for Joined { line, .. } in joined {
                        line.give_up(NO_BEGIN, false, GOING).await;
                    }
                    bail!("{party} left just before the run began: start it again");
                }
                Event::Ready(_) => {}
            }
        }
        Ok(joined)
    }

    /// Tells parties that wait why the run does not begin.
    async fn send_away(self, parting: Parting) {
        let Self { mut events, start, mut ready, .. } = self;
        start.send_replace(Beginning::CalledOff(parting));
        let going = async {
            while !ready.is_empty()
                && let Some(event) = events.recv().await
            {
                if let Event::Left(party) = event {
                    ready.remove(&party);
                }
            }
        };
        // Whoever takes longer than that is not waited for.
        let _ = tokio::time::timeout(GOING, going).await;
    }

    async fn everybody(&mut self, tell: &mut impl FnMut(&PartyName)) -> anyhow::Result<usize> {
        let mut remind = tokio::time::interval(REMINDER);
        remind.tick().await;
        loop {
            let missing = self.context.admission().missing();
            if missing.is_empty() && self.ready.len() == self.context.admission().expected() {
                return Ok(self.ready.len());
            }
            let event = tokio::select! {
                event = self.events.recv() => event.context("admission has ended")?,
                _ = remind.tick() => {
                    info!("still waiting for {}", names(&missing));
                    continue;
                }
            };
            match event {
                Event::Ready(party) => {
                    tell(&party);
                    self.ready.insert(party);
                }
                Event::Left(party) => {
                    self.ready.remove(&party);
                }
                Event::Handed(_) => {}
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
    info!(%party, "joined");
    context.log.joined(&party, stream.peer());
    let mut line = PartyLine::new(party.clone(), stream, returns, Arc::clone(&context.board));
    let mut start = context.start.clone();
    let _ = context.events.send(Event::Ready(party.clone())).await;
    tokio::select! {
        biased;
        beginning = decided(&mut start) => {
            let Beginning::CalledOff(parting) = beginning else {
                let _ = context.events.send(Event::Handed(Joined { party, excluded, head, checkpoints, line })).await;
                return;
            };
            line.give_up(&parting.text(), parting == Parting::Interrupted, GOING).await;
        }
        // A party that is gone before the run begins greets again.
        message = line.next_within(Duration::MAX, Duration::ZERO) => {
            warn!(%party, "left before the run began: {}", why_it_left(message));
        }
    }
    context.board.status().party(&party).connected = false;
    context.seats.close(&party);
    context.admission().release(&party);
    let _ = context.events.send(Event::Left(party)).await;
}

/// Waits until it is decided whether the run begins.
async fn decided(start: &mut watch::Receiver<Beginning>) -> Beginning {
    let decided = start.wait_for(|beginning| *beginning != Beginning::Awaited).await;
    // Whoever gathers parties has gone without a word.
    decided.map_or(Beginning::CalledOff(Parting::Failed), |decided| *decided)
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
    let counted = context.joins.take(&hello.party, SystemTime::now());
    counted.map_err(|error| HandshakeError::TooOften(error.to_string()))?;
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
    context: &HandshakeContext,
    party: &PartyName,
    handshake: &mut Handshake<'_, FromCoordinator, FromParty>,
) -> Result<mpsc::Receiver<Returned>, HandshakeError> {
    let (session, returns) = context.seats.open(party)?;
    handshake.accept(party, FromCoordinator::Accepted { session: Some(session) }).await?;
    Ok(returns)
}

async fn compare_records(
    context: &Arc<HandshakeContext>,
    party: &PartyName,
    handshake: &mut Handshake<'_, FromCoordinator, FromParty>,
) -> Result<TrainingOffer, HandshakeError> {
    let ours = Arc::clone(context);
    let digest = move |salt: &_| RecordsDigest::of(salt, ours.ids.iter().map(String::as_str));
    let offer = handshake.compare_records(party, digest).await?;
    check_excluded(party, &offer.excluded, context.ids.len(), context.on_refusal)?;
    if let Some(head) = &offer.head {
        context.log.check_head(party, head)?;
    }
    Ok(offer)
}
