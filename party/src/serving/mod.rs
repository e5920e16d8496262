//! `party serve`: codes of the records that the coordinator asks for, as far as policy and ledger allow, until it is
//! told to stop. A coordinator that goes away is dialled again.

pub(crate) mod revision;

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hashvfl_core::codes::randomised_response::Place;
use hashvfl_core::limits::{CODES_ROWS, MAX_MESSAGE_BYTES};
use hashvfl_core::protocol::serving_party::{
    FromServingParty, Serving, ServingPartyError, ServingPartySession, ServingWork, ToServingParty, granted,
};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::{Digest, PackedCodes};
use hashvfl_ledger::Refused;
use hashvfl_proto::status::describe;
use hashvfl_proto::stop::Stop;
use hashvfl_proto::v1::inference_client::InferenceClient;
use hashvfl_proto::v1::{ServerMessage, ServerRequest};
use rand::TryRng;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tracing::{debug, info, info_span, warn};

use crate::answer::Answer;
use crate::config::PartyConfig;
use crate::detectors::AnomalyScorer;
use crate::noise::Asked;
use crate::prepare::Prepared;
use crate::progress::Progress;
use crate::releases::Releases;
use crate::training::{connect, hello, limited};

/// Messages that may wait for the network.
const OUTBOUND_MESSAGES: usize = 8;

/// How a stream ended.
enum Ended {
    /// The coordinator is gone; it may come back.
    Lost(String),
    /// Somebody asked this process to stop.
    Stopped,
}

/// Serves until it is stopped.
pub fn serve(config: &PartyConfig) -> anyhow::Result<()> {
    let span = info_span!("party", run = %config.run_id, party = %config.name);
    let _entered = span.enter();
    let prepared = Prepared::load_served(config, &config.read_model()?)?;
    let scorer = AnomalyScorer::load(config, &prepared)?;
    let releases = Releases::open_to_serve(config, &prepared, scorer.as_ref())?;
    let (encoder, revision) = (prepared.digest(), revision::current(config, &prepared, scorer.as_ref())?);
    info!(encoder = encoder.short(), "serving {}", prepared.describe());
    info!("read: {}", prepared.reading(&config.served())?);
    ensure!(
        prepared.noted.faulty.is_empty() || config.run.randomised_response.is_none(),
        "{} of {} records have a cell that is missing, new or no value of its column: with randomised response, which records \
         these are must not be told by refusing them; correct them, or set missing = \"fill\" and unseen = \"accept\"",
        prepared.noted.faulty.len(),
        prepared.ids.len()
    );
    if !prepared.noted.faulty.is_empty() {
        warn!(
            "{} of {} records have a cell that is missing, new or no value of its column, and get no prediction: correct \
             them, or set missing = \"fill\" and unseen = \"accept\"",
            prepared.noted.faulty.len(),
            prepared.ids.len()
        );
    }
    if let Some(scorer) = &scorer {
        info!("with each code leave {} bits of this party's detectors", scorer.grid().bits());
    }
    // One thread for the network; this one computes.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let stop = runtime.block_on(async { Stop::listen() });
    let mut process = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut process).context("cannot draw from the operating system")?;
    let served = Served::default();
    let mut server =
        Server { config, prepared, scorer, releases, encoder, revision, stop, process, answered: 0, served };
    let ended = loop {
        match server.stream(&runtime) {
            Ok(Ended::Stopped) => break Ok(()),
            Ok(Ended::Lost(reason)) => {
                warn!("{reason}: dialling {} again", config.coordinator);
                // Digests of what was sent outlast this process, should it die while it waits.
                server.releases.settle()?;
                std::thread::sleep(Duration::from_millis(200));
            }
            Err(error) => break Err(error),
        }
    };
    server.releases.settle()?;
    ended
}

struct Server<'a> {
    config: &'a PartyConfig,
    prepared: Prepared,
    scorer: Option<AnomalyScorer>,
    releases: Releases,
    encoder: Digest,
    revision: Digest,
    stop: Stop,
    /// Drawn anew by each process: its draws of flips are none of another's.
    process: [u8; 32],
    /// Answers so far, over all streams.
    answered: u64,
    served: Served,
}

/// What was served since the start.
#[derive(Default)]
struct Served {
    requests: u64,
    records: u64,
    progress: Progress,
}

impl Served {
    /// Counts a request, and says now and then how many there were.
    fn count(&mut self, records: usize) {
        self.requests += 1;
        self.records += records as u64;
        if self.progress.is_due(Instant::now()) {
            info!("{} requests so far, codes of {} records sent", self.requests, self.records);
        }
    }
}

/// Rows of a request that get no code.
struct Refusal {
    /// Their positions in the request, ascending.
    positions: Vec<u32>,
    /// Why, for a person.
    reason: String,
}

impl Server<'_> {
    /// One stream from its handshake to its end.
    fn stream(&mut self, runtime: &Runtime) -> anyhow::Result<Ended> {
        let mut stop = self.stop.clone();
        let dialled = runtime.block_on(async {
            tokio::select! {
                channel = connect(self.config) => channel.map(Some),
                () = stop.stopped() => Ok(None),
            }
        });
        let Some(channel) = dialled? else { return Ok(Ended::Stopped) };
        let (outbound, messages) = mpsc::channel::<ServerMessage>(OUTBOUND_MESSAGES);
        let mut connection =
            ServingConnection { runtime, outbound, limit_s: self.config.timeouts.step_s, stop };
        connection.send(FromServingParty::Hello(hello(self.config)))?;
        let mut client = InferenceClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let opening = client.serve(ReceiverStream::new(messages));
        let limit_s = self.config.timeouts.connect_s;
        let opened = runtime.block_on(limited(limit_s, "the coordinator to answer", opening))?;
        let mut inbound = match opened {
            Ok(response) => response.into_inner(),
            Err(status) if status.code() == Code::Unimplemented => {
                bail!("{} does not serve predictions: is it `coordinator serve`?", self.config.coordinator)
            }
            Err(status) => return Ok(Ended::Lost(describe(&status))),
        };
        let mut session = ServingPartySession::new(self.prepared.ids.len());
        let ended = self.answer(&mut session, &mut inbound, &mut connection);
        let refused =
            |error: &anyhow::Error| matches!(error.downcast_ref(), Some(ServingPartyError::Refused(_)));
        if let Err(error) = ended.as_ref()
            && !refused(error)
        {
            // The coordinator is told why; it may be gone, though.
            let _ = connection.send(FromServingParty::Failed { text: format!("{error:#}") });
            drop(connection);
            let ending = async { while let Ok(Some(_)) = inbound.message().await {} };
            let _ = runtime.block_on(limited(2, "the coordinator to close the stream", ending));
        }
        ended
    }

    fn answer(
        &mut self,
        session: &mut ServingPartySession,
        inbound: &mut Streaming<ServerRequest>,
        connection: &mut ServingConnection,
    ) -> anyhow::Result<Ended> {
        loop {
            let message = match connection.receive(inbound, session.joined())? {
                Received::Message(message) => {
                    ToServingParty::try_from(message).context("the coordinator sent an unusable message")?
                }
                Received::Ended(ended) => return Ok(ended),
            };
            match session.receive(message)? {
                ServingWork::SayServing(salt) => {
                    let ids = self.prepared.ids.iter().map(String::as_str);
                    let records = RecordsDigest::of(&salt, ids);
                    let (encoder, revision) = (self.encoder, self.revision);
                    let p_values = self.scorer.as_ref().map(AnomalyScorer::grid);
                    let serving = Serving { records, encoder, revision, p_values };
                    connection.send(FromServingParty::Serving(serving))?;
                }
                ServingWork::Joined => info!("accepted; waiting for requests"),
                ServingWork::Encode { request, rows } => {
                    debug!(request, records = rows.len(), "request");
                    if !self
                        .encode(request, rows, connection)
                        .with_context(|| format!("request {request}"))?
                    {
                        return Ok(Ended::Lost("the coordinator has left".into()));
                    }
                }
            }
        }
    }

    /// Answers a request; false if the coordinator has gone.
    fn encode(
        &mut self,
        request: u64,
        mut rows: Vec<u32>,
        connection: &mut ServingConnection,
    ) -> anyhow::Result<bool> {
        let Refusal { positions, reason } = self.refuse(request, &rows)?;
        rows.retain(granted(&positions));
        if !rows.is_empty() {
            self.releases.reserve(&rows, (&rows, 1))?;
        }
        if !connection.send(FromServingParty::Granted { request, refused: positions, reason })? {
            return Ok(false);
        }
        for rows in rows.chunks(CODES_ROWS) {
            self.answered += 1;
            let place = Place::Serving { process: &self.process, draw: self.answered };
            let asked = Asked { place, rows };
            let Answer { codes, p_values } =
                self.releases.answer(&self.prepared, &asked, self.scorer.as_ref())?;
            let p_values = p_values.map(PackedCodes::into_bytes).unwrap_or_default();
            if !connection.send(FromServingParty::Codes { request, bytes: codes.into_bytes(), p_values })? {
                return Ok(false);
            }
        }
        self.served.count(rows.len());
        Ok(true)
    }

    /// Those of `rows` that get no code: by the policy, or for what their columns hold, which was told at the start.
    fn refuse(&self, request: u64, rows: &[u32]) -> anyhow::Result<Refusal> {
        let is_faulty = |row: &u32| self.prepared.noted.faulty.binary_search(row).is_ok();
        let (faulty, usable): (Vec<u32>, Vec<u32>) =
            (0..rows.len() as u32).partition(|position| is_faulty(&rows[*position as usize]));
        let asked: Vec<u32> = usable.iter().map(|position| rows[*position as usize]).collect();
        // Nothing asked for is no batch that could be too small.
        let refused = match asked.as_slice() {
            [] => Refused::default(),
            asked => self.releases.refused(&self.prepared, asked)?,
        };
        let unusable = (!faulty.is_empty()).then(|| {
            format!("{} records have a cell that is missing, new or no value of its column", faulty.len())
        });
        let by_policy = refused.refusal.map(|refusal| refusal.to_string());
        if let Some(reason) = &by_policy {
            warn!(request, "{reason}");
        }
        let reasons: Vec<String> = by_policy.into_iter().chain(unusable).collect();
        let refused = refused.positions.iter().map(|at| usable[*at as usize]);
        let mut positions: Vec<u32> = refused.chain(faulty).collect();
        positions.sort_unstable();
        Ok(Refusal { positions, reason: reasons.join("; ") })
    }
}

enum Received {
    Message(ServerRequest),
    Ended(Ended),
}

/// The way to the coordinator.
struct ServingConnection<'a> {
    runtime: &'a Runtime,
    outbound: mpsc::Sender<ServerMessage>,
    limit_s: u64,
    stop: Stop,
}

impl ServingConnection<'_> {
    /// Sends a message; false if the coordinator has gone.
    fn send(&mut self, message: FromServingParty) -> anyhow::Result<bool> {
        let sending = self.outbound.send(message.into());
        Ok(self.runtime.block_on(limited(self.limit_s, "the network to take a message", sending))?.is_ok())
    }

    /// The next message. Before the party is in there is a limit; afterwards nobody need ask for anything.
    fn receive(&mut self, inbound: &mut Streaming<ServerRequest>, joined: bool) -> anyhow::Result<Received> {
        let receive = async {
            let next = async {
                match joined {
                    true => Ok(inbound.message().await),
                    false => limited(self.limit_s, "the coordinator's handshake", inbound.message()).await,
                }
            };
            tokio::select! {
                message = next => message.map(Some),
                () = self.stop.stopped() => Ok(None),
            }
        };
        let lost = |status: &Status| Received::Ended(Ended::Lost(describe(status)));
        Ok(match self.runtime.block_on(receive)? {
            None => Received::Ended(Ended::Stopped),
            Some(Ok(Some(message))) => Received::Message(message),
            Some(Ok(None)) => Received::Ended(Ended::Lost("the coordinator closed the stream".into())),
            Some(Err(status)) => lost(&status),
        })
    }
}
