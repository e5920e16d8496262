//! One party from its first message until it is handed to the run, has left or was refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hashvfl_core::protocol::admission::{Admission, check_excluded};
use hashvfl_core::protocol::message::{FromCoordinator, FromParty, Return};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::{PartyName, RunId};
use hashvfl_monitor::Board;
use hashvfl_transport::handshake::{self, Handshake, HandshakeError, TrainingOffer, Turns};
use hashvfl_transport::limits::FIRST_BYTES;
use hashvfl_transport::listen::TrainingStream;
use hashvfl_transport::{Received, StreamError};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::{Event, GOING, Joined};
use crate::admission_log::{AdmissionLog, note_place};
use crate::permissions::Joins;
use crate::training::arrivals::{Arrival, PartyStreams};
use crate::training::asides::Asides;
use crate::training::awaited::{Absence, Absences};
use crate::training::beginning::{Beginning, StartNotice, decided};
use crate::training::line::{LineError, PartyLine};
use crate::training::returns::{AdmittedParties, Returns};

/// What every handshake needs.
pub(super) struct HandshakeContext {
    pub(super) run: RunId,
    pub(super) admission: Mutex<Admission>,
    pub(super) seats: AdmittedParties,
    pub(super) ids: Vec<String>,
    pub(super) on_refusal: OnRefusal,
    pub(super) handshake_s: u64,
    /// Longest wait until the network has taken what is repeated to a party that has come back.
    pub(super) step_s: u64,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) start: watch::Receiver<Beginning>,
    /// What those who wait are told.
    pub(super) notices: watch::Sender<String>,
    pub(super) absences: Arc<Absences>,
    pub(super) joins: Joins,
    pub(super) turns: Turns,
    pub(super) log: Arc<AdmissionLog>,
    pub(super) board: Arc<Board>,
    pub(super) asides: Arc<Asides>,
    /// Bytes of a party's longest answer.
    pub(super) answer_bytes: usize,
}

impl HandshakeContext {
    pub(super) fn admission(&self) -> MutexGuard<'_, Admission> {
        // A panic while the lock was held cannot leave the sets half changed.
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Greets whoever comes out of `arrivals`, until the server ends.
pub(super) async fn receive_all(context: Arc<HandshakeContext>, mut arrivals: PartyStreams) {
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
    let (board, asides) = (Arc::clone(&context.board), Arc::clone(&context.asides));
    let mut line = PartyLine::new(party.clone(), stream, returns, board, asides, repeating);
    let (mut start, mut notices) = (context.start.clone(), context.notices.subscribe());
    let _ = context.events.send(Event::Ready(party.clone())).await;
    loop {
        tokio::select! {
            biased;
            beginning = decided(&mut start) => {
                let Beginning::CalledOff(StartNotice { text, is_interruption }) = beginning else {
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
        context.absences.tell(absence);
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
) -> Result<(PartyName, TrainingOffer, Returns), HandshakeError> {
    let mut handshake = Handshake::new(stream, context.handshake_s);
    let hello = handshake.greeting(first)?;
    *named = Some(hello.party.clone());
    context.admission().check(&hello)?;
    handshake.allow(context.ids.len().div_ceil(8) + FIRST_BYTES);
    let offer = compare_records(context, &hello.party, &mut handshake).await?;
    // Whoever only greets holds no name: it is taken when all has been checked.
    let accepted = context.admission().accept(&hello.party);
    if let Err(taken) = accepted {
        context.seats.greeted_anew(&hello.party);
        return Err(taken.into());
    }
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
) -> Result<Returns, HandshakeError> {
    let (ours, name) = (Arc::clone(context), party.clone());
    // Off the network's thread: it writes files.
    let written = tokio::task::spawn_blocking(move || write_down(&ours, &name)).await;
    // What its thread died of is said where it did.
    let failed =
        |_| HandshakeError::Failed("the coordinator cannot write down who joins: see its log".into());
    written.map_err(failed)??;
    let (session, returns) = context.seats.open(party)?;
    handshake.accept(party, FromCoordinator::Accepted { session: Some(session) }).await?;
    Ok(returns)
}

/// Counts and writes down that `party` joins, before it hears so. Whoever is refused for anything else has not joined.
fn write_down(context: &HandshakeContext, party: &PartyName) -> Result<(), HandshakeError> {
    context.joins.take(party, SystemTime::now())?;
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
