//! The side that dials: a party, or a client that asks for predictions.

mod error;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hashvfl_core::Address;
use hashvfl_core::limits::{MAX_MESSAGE_BYTES, MAX_SEALED_BYTES};
use hashvfl_core::protocol::message::{FromCoordinator, FromParty};
use hashvfl_core::protocol::serving_party::{FromServingParty, ToServingParty};
use hashvfl_identity::{ConnectError, Connector, PeerIdentity};
use hashvfl_proto::WireMessage;
use hashvfl_proto::alignment::{FromHolder, FromRelay};
use hashvfl_proto::v1::alignment_client::AlignmentClient;
use hashvfl_proto::v1::federation_client::FederationClient;
use hashvfl_proto::v1::inference_client::InferenceClient;
use hashvfl_proto::v1::{CoordinatorMessage, PartyMessage, PredictRequest, PredictResponse};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::{info, warn};

pub use error::DialError;

use crate::clock::clock_of;
use crate::duplex::{AT_ANY_TIME, Duplex, TAKES_NOTICES};
use crate::limits::quiet::QuietLog;
use crate::listen::{ENVELOPE_BYTES, WINDOW_BYTES};
use crate::socket::OpenConnection;
use crate::status::describe;

/// Pause between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest pause after a connection that was closed before a stream was open.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// What [`greeting_limit`] is at least.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Longest time of one of several attempts where there is more: what takes a connection and says nothing may be gone by then, and the
/// coordinator back.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(120);
/// What [`Dialer::keeping_alive`] is unless it is told.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Messages that may wait for the network, by service. In training a party never has more than two open.
const TRAINING_QUEUE: usize = 4;
const SERVING_QUEUE: usize = 8;
const ALIGNMENT_QUEUE: usize = 16;
const PREDICTION_QUEUE: usize = 1;

/// Longest time of one attempt to connect, where there are several: looking the name up, connecting, TLS. Where a peer may be
/// silent for long, `keep_alive`, the network is slow, and so may be an attempt.
pub fn greeting_limit(keep_alive: Duration) -> Duration {
    ATTEMPT.max(keep_alive / 2)
}

/// A party's stream in training.
pub type TrainingStream = Duplex<FromParty, FromCoordinator>;
/// A party's stream while predictions are served.
pub type ServingStream = Duplex<FromServingParty, ToServingParty>;
/// A holder's stream to the relay of an alignment.
pub type AlignmentStream = Duplex<FromHolder, FromRelay>;
/// A client's stream: requests for predictions, and the answers.
pub type PredictionStream = Duplex<PredictRequest, PredictResponse>;

/// Who dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// A party, whose connection stays for long.
    Party,
    /// A client, or somebody who looks who is there.
    Client,
}

/// Where the coordinator is, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct Dialer {
    address: Address,
    /// For a connection.
    limit_s: u64,
    /// For a stream on it.
    stream_s: u64,
    attempt: Duration,
    keep_alive: Duration,
    /// Whether the coordinator has let this side in before.
    was_in: bool,
    connector: Option<Connector>,
    /// Lines about who answers: whoever cuts connections on the way causes one for each.
    answers: Arc<QuietLog>,
}

/// A way to whoever answers, and who that is; `None` without TLS.
type Reached = (Channel, Option<PeerIdentity>);

/// Why one attempt has not reached anybody.
enum Missed {
    /// Another may.
    Absent(String),
    /// No other will.
    Identity(ConnectError),
}

impl From<ConnectError> for Missed {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Absent(_) | ConnectError::TimedOut(_) | ConnectError::Broken(_) => {
                Self::Absent(error.to_string())
            }
            ConnectError::Refused(_)
            | ConnectError::RefusedByPeer { .. }
            | ConnectError::EndedUnproven(_)
            | ConnectError::NoTls
            | ConnectError::Handshake(_) => Self::Identity(error),
        }
    }
}

impl Dialer {
    /// Dials `address`; waits for `limit_s` seconds for a connection, and as long again for the stream.
    pub fn new(address: Address, limit_s: u64) -> Self {
        let (attempt, keep_alive) = (greeting_limit(KEEP_ALIVE), KEEP_ALIVE);
        let (was_in, connector, answers) = (false, None, Arc::default());
        Self { address, limit_s, stream_s: limit_s, attempt, keep_alive, was_in, connector, answers }
    }

    /// Waits for `limit_s` seconds for a connection, and for the stream, in place of what [`Self::new`] was told.
    #[must_use]
    pub fn waiting(self, limit_s: u64) -> Self {
        Self { limit_s, stream_s: limit_s, ..self }
    }

    /// Waits for `stream_s` seconds for the stream alone.
    #[must_use]
    pub fn opening_within(self, stream_s: u64) -> Self {
        Self { stream_s, ..self }
    }

    /// Asks a party's connection for a sign of life after so long a `silence`, and gives it up after as long again.
    #[must_use]
    pub fn keeping_alive(self, silence: Duration) -> Self {
        Self { attempt: greeting_limit(silence), keep_alive: silence, ..self }
    }

    /// With `was_in` the coordinator has let this side in before: what answers in its place is waited out until the limit.
    #[must_use]
    pub fn returning(self, was_in: bool) -> Self {
        Self { was_in, ..self }
    }

    /// Dials over TLS, and takes only the coordinator that `connector` expects.
    #[must_use]
    pub fn secured(self, connector: Connector) -> Self {
        Self { connector: Some(connector), ..self }
    }

    /// Where it dials.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Connects once and says who answers; `None` without TLS. Nothing is sent over the connection.
    ///
    /// # Errors
    /// If nobody answers in time, or one side does not take the other's certificate.
    pub async fn who_answers(&self) -> Result<Option<PeerIdentity>, DialError> {
        self.connect_once().await.map(|(_, peer)| peer)
    }

    /// Connects once and asks what time it is there, in whole seconds; `None` where whoever answers does not say.
    ///
    /// # Errors
    /// As [`Self::who_answers`].
    pub async fn clock(&self) -> Result<Option<SystemTime>, DialError> {
        let (channel, _) = self.connect_once().await?;
        Ok(clock_of(channel, Duration::from_secs(self.limit_s)).await)
    }

    /// Joins a run: connects, trying again until the limit, and opens a stream that begins with `first`.
    ///
    /// # Errors
    /// If no stream comes about in time.
    pub async fn training(&self, first: FromParty) -> Result<TrainingStream, DialError> {
        self.open_patiently(Caller::Party, TRAINING_QUEUE, Some(first), join).await
    }

    /// As [`Self::training`], in one attempt that takes no longer than `limit`, or than one of several attempts may, for each of
    /// connection and stream.
    ///
    /// # Errors
    /// If no stream comes about.
    pub async fn training_once(
        &self,
        first: FromParty,
        limit: Duration,
    ) -> Result<TrainingStream, DialError> {
        let limit = limit.min(self.attempt);
        let once = self.clone().waiting(limit.as_secs().max(1));
        let (channel, _) = once.attempt(&once.endpoint(Caller::Party)?, limit).await?;
        let (queue, messages) = queue(TRAINING_QUEUE, Some(first.into_wire()));
        once.open(queue, join(channel, messages)).await
    }

    /// Offers to serve: as [`Self::training`].
    ///
    /// # Errors
    /// As there.
    pub async fn serving(&self, first: FromServingParty) -> Result<ServingStream, DialError> {
        self.open_patiently(Caller::Party, SERVING_QUEUE, Some(first), |channel, messages| async move {
            let client = InferenceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
            client.max_encoding_message_size(MAX_MESSAGE_BYTES).serve(messages).await
        })
        .await
    }

    /// Takes part in an alignment: as [`Self::training`].
    ///
    /// # Errors
    /// As there.
    pub async fn alignment(&self, first: FromHolder) -> Result<AlignmentStream, DialError> {
        self.open_patiently(Caller::Party, ALIGNMENT_QUEUE, Some(first), |channel, messages| async move {
            let limit = MAX_SEALED_BYTES + ENVELOPE_BYTES;
            let client = AlignmentClient::new(channel).max_decoding_message_size(limit);
            client.max_encoding_message_size(limit).exchange(messages).await
        })
        .await
    }

    /// Asks for predictions: connects once, and opens a stream. The coordinator speaks first.
    ///
    /// # Errors
    /// If no stream comes about in time.
    pub async fn predictions(&self) -> Result<PredictionStream, DialError> {
        let (channel, _) = self.connect_once().await?;
        let (queue, messages) = queue(PREDICTION_QUEUE, None);
        self.open(queue, predict(channel, messages)).await
    }

    /// The same, trying again until the limit.
    ///
    /// # Errors
    /// As there.
    pub async fn predictions_patiently(&self) -> Result<PredictionStream, DialError> {
        self.open_patiently(Caller::Client, PREDICTION_QUEUE, None, predict).await
    }

    /// The stream that `open` gives on a connection, with `first` on its way. A coordinator that has no seat free takes a
    /// connection and closes it, one that does something else does not have the service, and a proxy with nobody behind it
    /// answers with a page: so another is tried until the limit.
    async fn open_patiently<Out, In, Opening>(
        &self,
        caller: Caller,
        length: usize,
        first: Option<Out>,
        open: impl Fn(Channel, ReceiverStream<Out::Wire>) -> Opening,
    ) -> Result<Duplex<Out, In>, DialError>
    where
        Out: WireMessage,
        In: WireMessage,
        Opening: Future<Output = Result<Response<Streaming<In::Wire>>, Status>>,
    {
        let (began, limit) = (Instant::now(), Duration::from_secs(self.limit_s));
        let (first, mut pause, mut warned) = (first.map(Out::into_wire), PAUSE, false);
        loop {
            let (channel, _) = self.connect(caller, began).await?;
            let (queue, messages) = queue(length, first.clone());
            let may_try = || began.elapsed() + pause < limit;
            let instead = match self.open(queue, open(channel, messages)).await {
                Err(DialError::Broken { .. }) if may_try() => None,
                Err(DialError::Between { .. }) if may_try() => {
                    Some("a proxy answers, and no coordinator yet")
                }
                Err(DialError::NoSuchService { .. }) if may_try() => Some(
                    "what answers there is not a coordinator, or is doing something else, such as aligning",
                ),
                opened => return opened,
            };
            if let Some(instead) = instead.filter(|_| !warned) {
                warn!("at {}, {instead}; trying for {} s", self.address, self.limit_s);
                warned = true;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The stream that `opening` gives, if it does in time.
    async fn open<Out: WireMessage, In: WireMessage>(
        &self,
        queue: mpsc::Sender<Out::Wire>,
        opening: impl Future<Output = Result<Response<Streaming<In::Wire>>, Status>>,
    ) -> Result<Duplex<Out, In>, DialError> {
        let opened = timeout(Duration::from_secs(self.stream_s), opening).await;
        match opened.map_err(|_| DialError::Silent { limit_s: self.stream_s })? {
            // A proxy's page would be taken for a damaged message.
            Ok(response) if !is_grpc(&response) => {
                Err(DialError::Between { address: self.address.clone(), limit_s: self.limit_s })
            }
            Ok(response) => Ok(Duplex::new(queue, response.into_inner())),
            Err(status) => {
                let (address, reason) = (self.address.clone(), describe(&status));
                Err(match status.code() {
                    Code::Unimplemented => DialError::NoSuchService { address, reason },
                    Code::PermissionDenied => DialError::NotPermitted { address, reason },
                    _ => DialError::Broken { address, reason: self.with_hint(reason) },
                })
            }
        }
    }

    /// Why a connection broke, with what may explain it: a side that speaks TLS cuts connections in plain text.
    fn with_hint(&self, reason: String) -> String {
        match self.connector {
            Some(_) => reason,
            None => format!(
                "{reason}; this connection was in plain text, which a coordinator with an identity refuses \
                 (docs/how-to/identities.md)"
            ),
        }
    }

    /// A way to whoever answers, in one attempt.
    async fn connect_once(&self) -> Result<Reached, DialError> {
        let limit = Duration::from_secs(self.limit_s);
        self.attempt(&self.endpoint(Caller::Client)?.connect_timeout(limit), limit).await
    }

    /// The same in as many attempts as there can be until the limit, which counts from when dialling `began`.
    async fn connect(&self, caller: Caller, began: Instant) -> Result<Reached, DialError> {
        let endpoint = self.endpoint(caller)?;
        let limit = Duration::from_secs(self.limit_s);
        let mut warned = false;
        loop {
            // The connector's own limit ends before TLS and HTTP/2 have greeted.
            let longest = attempt_within(limit.saturating_sub(began.elapsed()), self.attempt);
            let missed = match self.attempt(&endpoint, longest).await {
                Err(missed) if self.tries_after(&missed) && began.elapsed() < limit => missed,
                reached => return reached,
            };
            if !warned {
                let why = match missed {
                    DialError::Absent { cause, .. } => cause,
                    other => other.to_string(),
                };
                warn!("no coordinator at {} yet; trying for {} s ({why})", self.address, self.limit_s);
                warned = true;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn tries_after(&self, missed: &DialError) -> bool {
        if self.was_in { missed.may_pass() } else { missed.is_for_now() }
    }

    /// One attempt, within `limit`.
    async fn attempt(&self, endpoint: &Endpoint, limit: Duration) -> Result<Reached, DialError> {
        let (address, limit_s) = (self.address.clone(), self.limit_s);
        let cause = match timeout(limit, self.reach(endpoint, limit)).await {
            Ok(Ok(reached)) => return Ok(reached),
            Ok(Err(Missed::Identity(reason))) => return Err(DialError::Identity { address, reason }),
            Ok(Err(Missed::Absent(cause))) => cause,
            Err(_) => "nothing answered".to_string(),
        };
        Err(DialError::Absent { address, limit_s, cause })
    }

    /// A way to whoever answers, which greets within `limit`.
    async fn reach(&self, endpoint: &Endpoint, limit: Duration) -> Result<Reached, Missed> {
        let Some(connector) = &self.connector else {
            let channel = endpoint.connect().await;
            return Ok((channel.map_err(|error| Missed::Absent(cause(&error)))?, None));
        };
        let mut connection = connector.connect(self.address.host(), self.address.port(), limit).await?;
        connector.heard(&mut connection, limit).await?;
        let peer = connection.peer().clone();
        if let Some(more) = self.answers.next_line(Instant::now()) {
            info!("{} answers at {}, with the key {}{more}", peer.identity, self.address, peer.fingerprint);
        }
        let channel = endpoint.connect_with_connector(OpenConnection::new(connection)).await;
        Ok((channel.map_err(|error| Missed::Absent(cause(&error)))?, Some(peer)))
    }

    fn endpoint(&self, caller: Caller) -> Result<Endpoint, DialError> {
        let endpoint = Endpoint::from_shared(self.address.to_string())
            .map_err(|_| DialError::Address(self.address.clone()))?
            .tcp_nodelay(true)
            .connect_timeout(self.attempt);
        Ok(match caller {
            Caller::Party => endpoint
                .http2_keep_alive_interval(self.keep_alive)
                .keep_alive_timeout(self.keep_alive)
                .keep_alive_while_idle(true),
            Caller::Client => {
                endpoint.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES)
            }
        })
    }
}

/// How long one of several attempts may take of what is `left` for all: as long as an `attempt` takes at least.
fn attempt_within(left: Duration, attempt: Duration) -> Duration {
    left.min(LONGEST_ATTEMPT).max(attempt)
}

/// What an attempt failed with.
fn cause(error: &tonic::transport::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Opens a party's stream in training.
async fn join(
    channel: Channel,
    messages: ReceiverStream<PartyMessage>,
) -> Result<Response<Streaming<CoordinatorMessage>>, Status> {
    let client = FederationClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let mut request = Request::new(messages);
    request.metadata_mut().insert(TAKES_NOTICES, MetadataValue::from_static(AT_ANY_TIME));
    client.max_encoding_message_size(MAX_MESSAGE_BYTES).join(request).await
}

/// Opens a client's stream.
async fn predict(
    channel: Channel,
    messages: ReceiverStream<PredictRequest>,
) -> Result<Response<Streaming<PredictResponse>>, Status> {
    let client = InferenceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    client.max_encoding_message_size(MAX_MESSAGE_BYTES).predict(messages).await
}

/// Whether the other side speaks gRPC, by the type of what it sends.
fn is_grpc<T>(response: &Response<T>) -> bool {
    let kind = response.metadata().get("content-type").and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/grpc"))
}

/// A queue to the network that holds `first` already, and what the network takes from it.
fn queue<Wire>(length: usize, first: Option<Wire>) -> (mpsc::Sender<Wire>, ReceiverStream<Wire>) {
    let (queue, messages) = mpsc::channel(length);
    if let Some(first) = first {
        // An empty queue takes a message.
        let _ = queue.try_send(first);
    }
    (queue, ReceiverStream::new(messages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_attempt_takes_all_of_a_long_wait_and_the_last_takes_what_is_left() {
        let seconds = Duration::from_secs;
        for (left_s, longest_s) in [(3600, 120), (120, 120), (40, 40), (3, 10), (0, 10)] {
            assert_eq!(attempt_within(seconds(left_s), ATTEMPT), seconds(longest_s), "{left_s} s left");
        }
        assert_eq!(attempt_within(seconds(3600), seconds(300)), seconds(300), "of a slow network");
    }
}
