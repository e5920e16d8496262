//! The way to one party: its handshake, then requests for codes and their answers. The latest stream under a name
//! counts, so that a party that died and came back is not taken for its own double.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use hashvfl_core::ServedRow;
use hashvfl_core::protocol::coordinator::{Admission, check_records};
use hashvfl_core::protocol::serving_coordinator::{ServingCoordinatorSession, ServingEvent};
use hashvfl_core::protocol::serving_party::{FromServingParty, Serving, ToServingParty};
use hashvfl_core::records::{RecordsDigest, SALT_BYTES};
use hashvfl_proto::status::describe;
use hashvfl_proto::v1::{ServerMessage, ServerRequest};
use rand::TryRng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{Status, Streaming};
use tracing::{debug, warn};

use super::engine::Engine;
use super::known_codes::ServedEncoder;

/// Requests that a party may have open: the next one is on its way while it works.
const OPEN_REQUESTS: usize = 4;

/// Numbers streams, so that a party's latest is told from those before.
static STREAMS: AtomicU64 = AtomicU64::new(1);

/// Where messages to a party go.
pub type Outbound = mpsc::Sender<Result<ServerRequest, Status>>;

/// A request for codes of rows, and where the answer goes. Nobody answers if the party leaves.
pub struct CodeRequest {
    /// Ascending, each once.
    pub rows: Vec<ServedRow>,
    /// Told when all codes that were granted are known.
    pub reply: oneshot::Sender<CodeResponse>,
}

/// What became of a request: all its rows are known now, but for these.
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
            let fresh =
                |present: &Option<OpenStream>| present.as_ref().is_some_and(|one| one.stream != tried);
            // Looked at once even if there is no patience.
            let present = match timeout_at(deadline, watched.wait_for(fresh)).await {
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

/// One stream of a party, from its first message to its end.
pub async fn receive(engine: Arc<Engine>, mut inbound: Streaming<ServerMessage>, outbound: Outbound) {
    let refuse = |error: &anyhow::Error| ToServingParty::Refused { text: format!("{error:#}") };
    let (party, served) = match greet(&engine, &mut inbound, &outbound).await {
        Ok(greeted) => greeted,
        Err(error) => {
            warn!("refused a party: {error:#}");
            let _ = outbound.send(Ok(refuse(&error).into())).await;
            return;
        }
    };
    engine.parties[party].known().serves(served);
    engine.check_p_values();
    let (stream, asked) = engine.parties[party].connection.open();
    engine.reporter.joined(&engine.parties[party].name);
    let stream_task = PartyStream { engine: &engine, party, served, waiting: VecDeque::new() };
    let ended = stream_task.run(&mut inbound, &outbound, asked).await;
    let latest = engine.parties[party].connection.close(stream);
    if let Err(error) = ended {
        let _ = timeout(Duration::from_secs(1), outbound.send(Ok(refuse(&error).into()))).await;
        if latest {
            engine.reporter.left(&engine.parties[party].name, &format!("{error:#}"));
        }
    }
}

/// The handshake; which party it is, and what it serves.
async fn greet(
    engine: &Arc<Engine>,
    inbound: &mut Streaming<ServerMessage>,
    outbound: &Outbound,
) -> anyhow::Result<(usize, ServedEncoder)> {
    let FromServingParty::Hello(hello) = next(engine, inbound).await? else {
        bail!("the first message of a party must be Hello");
    };
    let run = &engine.config.run;
    Admission::new(engine.config.run_id.clone(), run.to_settings(), run.parties.iter().cloned())
        .greet(&hello)?;
    let party = run.parties.iter().position(|name| *name == hello.party);
    let party = party.context("the party is not among run.parties")?;
    let mut salt = [0; SALT_BYTES];
    rand::rngs::SysRng.try_fill_bytes(&mut salt).context("cannot draw a salt from the operating system")?;
    let gone = |_| anyhow!("{} left during the handshake", hello.party);
    outbound.send(Ok(ToServingParty::Welcome { salt }.into())).await.map_err(gone)?;
    let digested = Arc::clone(engine);
    let digesting = tokio::task::spawn_blocking(move || RecordsDigest::of(&salt, digested.index.ids()));
    let FromServingParty::Serving(Serving { records, encoder, revision, p_values: grid }) =
        next(engine, inbound).await?
    else {
        bail!("{} must send Serving after Welcome", hello.party);
    };
    check_records(&hello.party, digesting.await.context("digesting the record ids")?, records)?;
    let expected = &engine.top.encoders[party];
    ensure!(
        encoder == *expected,
        "{} serves codes of another bottom model ({}) than the top model was trained with ({}): restore its state folder of that run",
        hello.party,
        encoder.short(),
        expected.short()
    );
    outbound.send(Ok(ToServingParty::Accepted.into())).await.map_err(gone)?;
    Ok((party, ServedEncoder { revision, grid }))
}

async fn next(engine: &Engine, inbound: &mut Streaming<ServerMessage>) -> anyhow::Result<FromServingParty> {
    let limit_s = engine.config.timeouts.handshake_s;
    let received = timeout(Duration::from_secs(limit_s), inbound.message()).await;
    let received = received.map_err(|_| anyhow!("no message within {limit_s} s (timeouts.handshake_s)"))?;
    let message = received.map_err(|status| anyhow!("{}", describe(&status)))?;
    Ok(FromServingParty::try_from(message.context("the party closed its stream during the handshake")?)?)
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
    async fn run(
        mut self,
        inbound: &mut Streaming<ServerMessage>,
        outbound: &Outbound,
        mut asked: mpsc::Receiver<CodeRequest>,
    ) -> anyhow::Result<()> {
        let limit_s = self.engine.config.timeouts.step_s;
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
                        deadline = Instant::now() + Duration::from_secs(limit_s);
                    }
                    self.waiting.push_back(Waiting { reply, answered: CodeResponse::default() });
                    let request = session.request(&rows).into();
                    let sent = timeout(Duration::from_secs(limit_s), outbound.send(Ok(request))).await;
                    ensure!(matches!(sent, Ok(Ok(()))), "the connection was lost");
                }
                message = inbound.message() => {
                    let message = message.map_err(|status| anyhow!("{}", describe(&status)))?;
                    let message = FromServingParty::try_from(message.context("it closed its stream")?)
                        .context("it sent an unusable message")?;
                    let (event, done) = session.receive(message)?;
                    deadline = Instant::now() + Duration::from_secs(limit_s);
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
