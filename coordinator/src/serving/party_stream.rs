//! One stream of a party: its handshake, then requests for codes and their answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, ensure};
use hashvfl_core::PartyName;
use hashvfl_core::limits::{CODES_ROWS, MAX_P_VALUE_BITS, MAX_TEXT_BYTES};
use hashvfl_core::protocol::admission::Admission;
use hashvfl_core::protocol::message::AuditHead;
use hashvfl_core::protocol::serving_coordinator::{ServingCoordinatorSession, ServingEvent};
use hashvfl_core::protocol::serving_party::{Serving, ToServingParty};
use hashvfl_core::records::RecordsDigest;
use hashvfl_traces::spans;
use hashvfl_transport::StreamError;
use hashvfl_transport::handshake::{Handshake, HandshakeError, refuse, refuse_for_now};
use hashvfl_transport::listen::{Arrivals, ServingStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::{debug, info};

use super::engine::Engine;
use super::known_codes::ServedEncoder;
use super::party_connection::{CodeRequest, CodeResponse, OPEN_REQUESTS, StreamEnd};
use crate::admission_log::note_place;

/// Takes parties' streams as they come, until the server ends; must be spawned on its runtime.
pub async fn receive_all(engine: Arc<Engine>, mut arrivals: Arrivals<ServingStream>) {
    while let Some(stream) = arrivals.next().await {
        tokio::spawn(receive(Arc::clone(&engine), stream));
    }
}

/// One stream of a party, from its first message to its end.
async fn receive(engine: Arc<Engine>, mut stream: ServingStream) {
    let mut named = None;
    let (party, served) = match greet(&engine, &mut stream, &mut named).await {
        Ok(greeted) => greeted,
        Err(error) => {
            engine.admissions.refused(named.as_ref(), why_it_was_refused(&error), &format!("{error:#}"));
            turn_away(&stream, &error).await;
            return;
        }
    };
    note_place(engine.reporter.board(), &engine.parties[party].name, stream.peer());
    engine.unacknowledged.acknowledged(&engine.parties[party].name);
    let are_outdated = engine.parties[party].known().serves(served);
    if are_outdated && let Some(more) = engine.admissions.may_write(&engine.parties[party].name) {
        let party = &engine.parties[party].name;
        info!(%party, "columns or detectors have changed: codes known so far are out of date{more}");
    }
    engine.check_p_values(party);
    let StreamEnd { stream: number, asked, owing } = engine.parties[party].connection.open();
    engine.reporter.joined(&engine.parties[party].name);
    let serving = PartyStream { engine: &engine, party, served, waiting: VecDeque::new(), owing };
    let ended = serving.run(&mut stream, asked).await;
    let latest = engine.parties[party].connection.close(number);
    if let Err(error) = ended {
        match error.is::<PlaceTaken>() || error.is::<Silent>() {
            true => refuse_for_now(&stream, format!("{error:#}")).await,
            false => refuse(&stream, format!("{error:#}")).await,
        }
        if latest {
            engine.reporter.left(&engine.parties[party].name, &format!("{error:#}"));
        }
    }
}

/// Tells whoever has opened `stream` why it may not serve, or not yet.
async fn turn_away(stream: &ServingStream, error: &anyhow::Error) {
    let Some(refused) = error.downcast_ref::<HandshakeError>() else {
        return refuse(stream, format!("{error:#}")).await;
    };
    let text = refused.for_peer(stream.peer());
    // A party that serves stays for as long as it is wanted: one that comes too often tries again later.
    match refused.is_for_now() || matches!(refused, HandshakeError::TooOften(_)) {
        true => refuse_for_now(stream, text).await,
        false => refuse(stream, text).await,
    }
}

/// Why a party was refused, as a word.
fn why_it_was_refused(error: &anyhow::Error) -> &'static str {
    error.downcast_ref::<HandshakeError>().map_or("other-bottom-model", HandshakeError::reason)
}

/// The handshake; which party it is, and what it serves. `named` is who it says it is, also where it is refused.
async fn greet(
    engine: &Arc<Engine>,
    stream: &mut ServingStream,
    named: &mut Option<PartyName>,
) -> anyhow::Result<(usize, ServedEncoder)> {
    let mut handshake = Handshake::new(stream, engine.config.timeouts.handshake_s);
    let hello = handshake.hello().await?;
    *named = Some(hello.party.clone());
    let run = &engine.config.run;
    Admission::new(engine.config.run_id.clone(), run.to_settings(), run.parties.iter().cloned())
        .check(&hello)
        .map_err(HandshakeError::from)?;
    let party = run.parties.iter().position(|name| *name == hello.party);
    let party = party.context("the party is not among run.parties")?;
    let ours = Arc::clone(engine);
    let digest = move |salt: &_| RecordsDigest::of(salt, ours.index.ids());
    let Serving { encoder, revision, p_values: grid, head, .. } =
        handshake.compare_records(&hello.party, &engine.turns, digest).await?;
    let expected = &engine.top.encoders[party];
    ensure!(
        encoder == *expected,
        "{} serves codes of another bottom model ({}) than the top model was trained with ({}): restore its state folder of that run",
        hello.party,
        encoder.short(),
        expected.short()
    );
    let (ours, name) = (Arc::clone(engine), hello.party.clone());
    // Off the network's threads: it reads and writes files.
    let written = tokio::task::spawn_blocking(move || write_down(&ours, &name, head.as_ref())).await;
    // What its thread died of is said where it did.
    written.map_err(|_| HandshakeError::Failed(NOT_WRITTEN.into()))??;
    handshake.accept(&hello.party, ToServingParty::Accepted).await?;
    if let Some(allowance) = stream.allowance() {
        allowance.accept(codes_bytes(run.code_of(&hello.party).bits()));
    }
    Ok((party, ServedEncoder { revision, grid }))
}

/// What a party hears where it cannot be written down that it joins.
const NOT_WRITTEN: &str = "the coordinator cannot write down who joins: see the coordinator's log";

/// Counts and writes down that `party` joins with the `head` of its audit log, before it hears so. Of one that may not, nothing is
/// kept.
fn write_down(engine: &Engine, party: &PartyName, head: Option<&AuditHead>) -> Result<(), HandshakeError> {
    if let Some(head) = head {
        engine.admissions.check_head(party, head)?;
    }
    // It tells the audit trail of permissions that were changed.
    engine.permissions.look();
    engine.serves.take(party, SystemTime::now())?;
    if let Some(head) = head {
        engine.admissions.keep_head(party, head);
    }
    engine.admissions.joins(party)
}

/// Another stream under the same name is here now.
#[derive(Debug, thiserror::Error)]
#[error("another stream of {0} has taken this one's place")]
struct PlaceTaken(PartyName);

/// The party has been asked and says nothing: it may come back.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0} s (timeouts.step_s)")]
struct Silent(u64);

/// Bytes that a refused record's position takes in `Granted`, at most.
const REFUSED_BYTES: usize = 4;

/// Bytes of a message of codes, or of text, at most.
pub fn codes_bytes(bits: usize) -> usize {
    CODES_ROWS * (bits + MAX_P_VALUE_BITS as usize) / 8 + 2 * MAX_TEXT_BYTES
}

struct PendingRequest {
    reply: oneshot::Sender<CodeResponse>,
    /// Records asked for.
    records: usize,
    answered: CodeResponse,
}

struct PartyStream<'a> {
    engine: &'a Engine,
    party: usize,
    served: ServedEncoder,
    waiting: VecDeque<PendingRequest>,
    /// Since when it has owed an answer and said nothing.
    owing: watch::Sender<Option<Instant>>,
}

impl PartyStream<'_> {
    /// Sends requests as they are asked for, and takes the answers, until the stream ends or another takes its place.
    async fn run(
        mut self,
        stream: &mut ServingStream,
        mut asked: mpsc::Receiver<CodeRequest>,
    ) -> anyhow::Result<()> {
        let limit_s = self.engine.config.timeouts.step_s;
        let limit = Duration::from_secs(limit_s);
        let name = &self.engine.parties[self.party].name;
        let bits = self.engine.config.run.code_of(name).bits();
        let mut session = ServingCoordinatorSession::new(name.clone(), bits, self.served.grid);
        let mut deadline = Instant::now();
        loop {
            tokio::select! {
                ask = asked.recv(), if self.waiting.len() < OPEN_REQUESTS => {
                    let Some(CodeRequest { rows, reply, waiting }) = ask else {
                        return Err(PlaceTaken(name.clone()).into());
                    };
                    debug!(party = %name, records = rows.len(), "request");
                    if self.waiting.is_empty() {
                        deadline = Instant::now() + limit;
                        self.owing.send_replace(Some(Instant::now()));
                    }
                    self.waiting.push_back(PendingRequest { reply, records: rows.len(), answered: CodeResponse::default() });
                    if let Some(allowance) = stream.allowance() {
                        let most = self.waiting.iter().map(|one| one.records).max().unwrap_or(0);
                        allowance.allow(codes_bytes(bits).max(most * REFUSED_BYTES));
                    }
                    let request = session.request(&rows);
                    if let ToServingParty::Encode { request, .. } = &request {
                        spans::numbered(&waiting, *request);
                    }
                    drop(waiting);
                    let sent = stream.send(request, limit).await;
                    ensure!(sent.is_ok(), "the connection was lost");
                }
                message = stream.next() => {
                    let (event, done) = session.receive(message.map_err(why_it_left)?.message)?;
                    deadline = Instant::now() + limit;
                    self.take(event, done);
                    self.owing.send_replace((!self.waiting.is_empty()).then(Instant::now));
                }
                () = tokio::time::sleep_until(deadline), if !self.waiting.is_empty() => {
                    return Err(Silent(limit_s).into());
                }
            }
        }
    }

    fn take(&mut self, event: ServingEvent, done: bool) {
        match event {
            ServingEvent::Granted { refused, reason } => {
                if let Some(waiting) = self.waiting.front_mut() {
                    waiting.answered = CodeResponse { refused, reason };
                }
            }
            ServingEvent::Codes { rows, codes, p_values } => {
                self.engine.note_codes(&self.engine.parties[self.party].name, &codes);
                let mut known = self.engine.parties[self.party].known();
                known.put(&self.served, &rows, &codes, p_values.as_ref());
            }
        }
        if done && let Some(PendingRequest { reply, answered, .. }) = self.waiting.pop_front() {
            // A client that has gone needs no answer.
            let _ = reply.send(answered);
        }
    }
}

fn why_it_left(error: StreamError) -> anyhow::Error {
    match error {
        StreamError::Closed => anyhow!("it closed its stream"),
        StreamError::Unusable(error) => anyhow::Error::from(error).context("it sent an unusable message"),
        error => error.into(),
    }
}
