//! `party serve`: codes of the records that the coordinator asks for, as far as policy and ledger allow, until it is
//! told to stop. A coordinator that goes away is dialled again.

pub(crate) mod revision;

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hashvfl_core::limits::{CODES_ROWS, MAX_MESSAGE_BYTES};
use hashvfl_core::protocol::serving_party::{
    FromServingParty, Serving, ServingPartyError, ServingPartySession, ServingWork, ToServingParty, granted,
};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::{Digest, PackedCodes};
use hashvfl_proto::status::describe;
use hashvfl_proto::stop::Stop;
use hashvfl_proto::v1::inference_client::InferenceClient;
use hashvfl_proto::v1::{ServerMessage, ServerRequest};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tracing::{debug, info, info_span, warn};

use crate::config::PartyConfig;
use crate::detectors::AnomalyScorer;
use crate::prepare::Prepared;
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
    if let Some(scorer) = &scorer {
        info!("with each code leave {} bits of this party's detectors", scorer.grid().bits());
    }
    // One thread for the network; this one computes.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let stop = runtime.block_on(async { Stop::listen() });
    let mut server = Server { config, prepared, scorer, releases, encoder, revision, stop };
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
        let refused = self.releases.refused(&rows);
        let reason = refused.refusal.map(|refusal| refusal.to_string()).unwrap_or_default();
        if !refused.positions.is_empty() {
            warn!(request, "{reason}");
            rows.retain(granted(&refused.positions));
        }
        if !rows.is_empty() {
            self.releases.reserve(&rows, (&rows, 1))?;
        }
        if !connection.send(FromServingParty::Granted { request, refused: refused.positions, reason })? {
            return Ok(false);
        }
        for rows in rows.chunks(CODES_ROWS) {
            let (codes, p_values) = self.codes(rows)?;
            self.releases.release_with(rows, &codes, p_values.as_ref())?;
            let p_values = p_values.map(PackedCodes::into_bytes).unwrap_or_default();
            if !connection.send(FromServingParty::Codes { request, bytes: codes.into_bytes(), p_values })? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Codes of `rows`, and their p-values where they are sent.
    fn codes(&self, rows: &[u32]) -> anyhow::Result<(PackedCodes, Option<PackedCodes>)> {
        let Prepared { columns, encoder, .. } = &self.prepared;
        let columns = columns.gather(rows)?;
        let (values, p_values) = match &self.scorer {
            None => (encoder.encode(columns, rows.len()), None),
            Some(scorer) => {
                let embedding = encoder.embedding(columns.clone(), rows.len());
                let p_values = scorer.judge(&columns, &embedding)?;
                (encoder.respond_to(embedding, columns, rows.len()), Some(p_values))
            }
        };
        // A NaN would travel as an innocent bit.
        ensure!(
            values.iter().all(|value| value.is_finite()),
            "the bottom model gives values that are not finite: look for extreme values in the columns"
        );
        Ok((PackedCodes::pack(&values, self.config.run.bits)?, p_values))
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
