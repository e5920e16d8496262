//! The way to one party: its handshake, then requests for codes and their answers. The latest stream under a name
//! counts, so that a party that died and came back is not refused as a duplicate.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use hashvfl_core::ServedRow;
use hashvfl_core::protocol::admission::Admission;
use hashvfl_core::protocol::serving_coordinator::{ServingCoordinatorSession, ServingEvent};
use hashvfl_core::protocol::serving_party::Serving;
use hashvfl_core::records::RecordsDigest;
use hashvfl_transport::StreamError;
use hashvfl_transport::handshake::{Handshake, refuse};
use hashvfl_transport::listen::{Arrivals, ServingStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::engine::Engine;
use super::known_codes::ServedEncoder;

/// Requests that a party may have open: the next one is on its way while it works.
const OPEN_REQUESTS: usize = 4;

/// Numbers streams, so that a party's latest stream can be told from earlier ones.
static STREAMS: AtomicU64 = AtomicU64::new(1);

/// A request for codes of rows, and where the answer goes. Nobody answers if the party leaves.
pub struct CodeRequest {
    /// Ascending, each once.
    pub rows: Vec<ServedRow>,
    /// Told when all codes that were granted are known.
    pub reply: oneshot::Sender<CodeResponse>,
}

/// What became of a request: all its rows are known now, except these.
#[derive(Debug, Default)]
pub struct CodeResponse {
    /// Rows that the party's policy refuses, ascending.
    pub refused: Vec<ServedRow>,
    /// By which rule.
    pub reason: String,
}

/// A party that is there.
#[derive(Clone)]
pub struct OpenStream {
    /// Which of its streams this is.
    stream: u64,
    asks: mpsc::Sender<CodeRequest>,
}

/// Whether a party is there, and the way to it.
pub struct PartyConnection(watch::Sender<Option<OpenStream>>);

impl PartyConnection {
    /// Of a party that is away.
    pub fn closed() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Asks for codes of `rows`; `None` if the party is away or leaves, and does not come back within `patience`.
    pub async fn ask(&self, rows: &[ServedRow], patience: Duration) -> Option<CodeResponse> {
        let deadline = Instant::now() + patience;
        let mut watched = self.0.subscribe();
        let mut tried = 0;
        loop {
            // Looked at once even if there is no patience.
            let fresh = watched.wait_for(|present| present.as_ref().is_some_and(|one| one.stream != tried));
            let present = match timeout_at(deadline, fresh).await {
                Ok(Ok(present)) => present.clone()?,
                Ok(Err(_)) | Err(_) => return None,
            };
            tried = present.stream;
            let (reply, answered) = oneshot::channel();
            if present.asks.send(CodeRequest { rows: rows.to_vec(), reply }).await.is_ok()
                && let Ok(answered) = answered.await
            {
                return Some(answered);
            }
        }
    }

    fn open(&self) -> (u64, mpsc::Receiver<CodeRequest>) {
        let (asks, asked) = mpsc::channel(OPEN_REQUESTS);
        let stream = STREAMS.fetch_add(1, Ordering::Relaxed);
        self.0.send_replace(Some(OpenStream { stream, asks }));
        (stream, asked)
    }

    /// Closes it, if that stream is the latest.
    fn close(&self, stream: u64) -> bool {
        self.0.send_if_modified(|present| present.take_if(|one| one.stream == stream).is_some())
    }
}

/// Takes parties' streams as they come, until the server ends; must be spawned on its runtime.
pub async fn receive_all(engine: Arc<Engine>, mut arrivals: Arrivals<ServingStream>) {
    while let Some(stream) = arrivals.next().await {
        tokio::spawn(receive(Arc::clone(&engine), stream));
    }
}

/// One stream of a party, from its first message to its end.
async fn receive(engine: Arc<Engine>, mut stream: ServingStream) {
    let (party, served) = match greet(&engine, &mut stream).await {
        Ok(greeted) => greeted,
        Err(error) => {
            warn!("refused a party: {error:#}");
            refuse(&stream, format!("{error:#}")).await;
            return;
        }
    };
    engine.parties[party].known().serves(served);
    engine.check_p_values();
    let (number, asked) = engine.parties[party].connection.open();
    engine.reporter.joined(&engine.parties[party].name);
    let serving = PartyStream { engine: &engine, party, served, waiting: VecDeque::new() };
    let ended = serving.run(&mut stream, asked).await;
    let latest = engine.parties[party].connection.close(number);
    if let Err(error) = ended {
        refuse(&stream, format!("{error:#}")).await;
        if latest {
            engine.reporter.left(&engine.parties[party].name, &format!("{error:#}"));
        }
    }
}

/// The handshake; which party it is, and what it serves.
async fn greet(engine: &Arc<Engine>, stream: &mut ServingStream) -> anyhow::Result<(usize, ServedEncoder)> {
    let mut handshake = Handshake::new(stream, engine.config.timeouts.handshake_s);
    let hello = handshake.hello().await?;
    let run = &engine.config.run;
    Admission::new(engine.config.run_id.clone(), run.to_settings(), run.parties.iter().cloned())
        .greet(&hello)?;
    let party = run.parties.iter().position(|name| *name == hello.party);
    let party = party.context("the party is not among run.parties")?;
    let ours = Arc::clone(engine);
    let digest = move |salt: &_| RecordsDigest::of(salt, ours.index.ids());
    let Serving { encoder, revision, p_values: grid, .. } =
        handshake.compare_records(&hello.party, digest).await?;
    let expected = &engine.top.encoders[party];
    ensure!(
        encoder == *expected,
        "{} serves codes of another bottom model ({}) than the top model was trained with ({}): restore its state folder of that run",
        hello.party,
        encoder.short(),
        expected.short()
    );
    handshake.accept(&hello.party).await?;
    Ok((party, ServedEncoder { revision, grid }))
}

struct Waiting {
    reply: oneshot::Sender<CodeResponse>,
    answered: CodeResponse,
}

struct PartyStream<'a> {
    engine: &'a Engine,
    party: usize,
    served: ServedEncoder,
    waiting: VecDeque<Waiting>,
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
        let mut session =
            ServingCoordinatorSession::new(name.clone(), self.engine.config.run.bits, self.served.grid);
        let mut deadline = Instant::now();
        loop {
            tokio::select! {
                ask = asked.recv(), if self.waiting.len() < OPEN_REQUESTS => {
                    let Some(CodeRequest { rows, reply }) = ask else {
                        bail!("another stream of {name} has taken this one's place");
                    };
                    debug!(party = %name, records = rows.len(), "request");
                    if self.waiting.is_empty() {
                        deadline = Instant::now() + limit;
                    }
                    self.waiting.push_back(Waiting { reply, answered: CodeResponse::default() });
                    let sent = stream.send(session.request(&rows), limit).await;
                    ensure!(sent.is_ok(), "the connection was lost");
                }
                message = stream.next() => {
                    let (event, done) = session.receive(message.map_err(why_it_left)?.message)?;
                    deadline = Instant::now() + limit;
                    self.take(event, done);
                }
                () = tokio::time::sleep_until(deadline), if !self.waiting.is_empty() => {
                    bail!("no answer within {limit_s} s (timeouts.step_s)");
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
                let mut known = self.engine.parties[self.party].known();
                known.put(&self.served, &rows, &codes, p_values.as_ref());
            }
        }
        if done && let Some(Waiting { reply, answered }) = self.waiting.pop_front() {
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
