//! The side that dials: a party, or a client that asks for predictions.

use std::error::Error;
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
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status, Streaming};
use tracing::{info, warn};

use crate::clock::clock_of;
use crate::duplex::Duplex;
use crate::listen::{ENVELOPE_BYTES, WINDOW_BYTES};
use crate::socket::OpenConnection;
use crate::status::describe;

/// Pause between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest pause after a connection that was closed before a stream was open.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Longest wait of one attempt.
const ATTEMPT: Duration = Duration::from_secs(10);
/// What [`Dialer::keeping_alive`] is unless it is told.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Messages that may wait for the network, by service. In training a party never has more than two open.
const TRAINING_QUEUE: usize = 4;
const SERVING_QUEUE: usize = 8;
const ALIGNMENT_QUEUE: usize = 16;
const PREDICTION_QUEUE: usize = 1;

/// A party's stream in training.
pub type TrainingStream = Duplex<FromParty, FromCoordinator>;
/// A party's stream while predictions are served.
pub type ServingStream = Duplex<FromServingParty, ToServingParty>;
/// A holder's stream to the relay of an alignment.
pub type AlignmentStream = Duplex<FromHolder, FromRelay>;
/// A client's stream: requests for predictions, and the answers.
pub type PredictionStream = Duplex<PredictRequest, PredictResponse>;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address cannot be dialled.
    #[error("{0} is no address that can be dialled: expected http://HOST:PORT")]
    Address(Address),
    /// Nobody answered there for the whole time.
    #[error("no coordinator at {address} within {limit_s} s ({cause}): is it up, and the address right?")]
    Absent {
        /// The address.
        address: Address,
        /// The limit in seconds.
        limit_s: u64,
        /// What the last attempt failed with.
        cause: String,
    },
    /// A proxy or a web server answered, in place of the coordinator, for the whole time.
    #[error(
        "what answers at {address} is no coordinator but a proxy or web server, for {limit_s} s: is the coordinator behind it up, and \
         does it pass gRPC on, as HTTP/2 (docs/how-to/run-between-organisations.md)?"
    )]
    Between {
        /// The address.
        address: Address,
        /// The limit in seconds.
        limit_s: u64,
    },
    /// The other side took the connection and did not open the stream in time.
    #[error("waited {limit_s} s for the coordinator to answer (limits are in the config's [timeouts] table)")]
    Silent {
        /// The limit in seconds.
        limit_s: u64,
    },
    /// The other side is there and does not have this service.
    #[error("{address}: {reason}")]
    NoSuchService {
        /// The address.
        address: Address,
        /// One line for a person.
        reason: String,
    },
    /// The other side is there, and this service is not for whoever this side is.
    #[error("{address}: {reason}")]
    NotPermitted {
        /// The address.
        address: Address,
        /// One line for a person.
        reason: String,
    },
    /// One side does not take the other's certificate, or does not speak TLS: trying again changes nothing.
    #[error("{address}: {reason}")]
    Identity {
        /// The address.
        address: Address,
        /// One line for a person.
        reason: ConnectError,
    },
    /// The connection broke, or the other side did not want it.
    #[error("{address}: {reason}")]
    Broken {
        /// The address.
        address: Address,
        /// One line for a person.
        reason: String,
    },
}

/// Whether to try again where nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    UntilLimit,
    Never,
}

/// Where the coordinator is, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct Dialer {
    address: Address,
    limit_s: u64,
    keep_alive: Duration,
    connector: Option<Connector>,
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
            | ConnectError::NoTls
            | ConnectError::Handshake(_) => Self::Identity(error),
        }
    }
}

impl Dialer {
    /// Dials `address`; waits for `limit_s` seconds for a connection, and as long again for the stream.
    pub fn new(address: Address, limit_s: u64) -> Self {
        Self { address, limit_s, keep_alive: KEEP_ALIVE, connector: None }
    }

    /// Waits for `limit_s` seconds for a connection, in place of what [`Self::new`] was told.
    #[must_use]
    pub fn waiting(self, limit_s: u64) -> Self {
        Self { limit_s, ..self }
    }

    /// Asks a party's connection for a sign of life after so long a `silence`, and gives it up after as long again.
    #[must_use]
    pub fn keeping_alive(self, silence: Duration) -> Self {
        Self { keep_alive: silence, ..self }
    }

    /// Dials over TLS, and takes the coordinator alone that `connector` expects.
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
        self.connect(Retry::Never).await.map(|(_, peer)| peer)
    }

    /// Connects once and asks what time it is there, in whole seconds; `None` where whoever answers does not say.
    ///
    /// # Errors
    /// As [`Self::who_answers`].
    pub async fn clock(&self) -> Result<Option<SystemTime>, DialError> {
        let (channel, _) = self.connect(Retry::Never).await?;
        Ok(clock_of(channel, Duration::from_secs(self.limit_s)).await)
    }

    /// Joins a run: connects, trying again until the limit, and opens a stream that begins with `first`.
    ///
    /// # Errors
    /// If no stream comes about in time.
    pub async fn training(&self, first: FromParty) -> Result<TrainingStream, DialError> {
        self.open_patiently(TRAINING_QUEUE, first, join).await
    }

    /// As [`Self::training`], in one attempt that takes no longer than `limit`, or 10 s, for each of connection and stream.
    ///
    /// # Errors
    /// If no stream comes about.
    pub async fn training_once(
        &self,
        first: FromParty,
        limit: Duration,
    ) -> Result<TrainingStream, DialError> {
        let limit = limit.min(ATTEMPT);
        let once = Self { limit_s: limit.as_secs().max(1), ..self.clone() };
        let (channel, _) = once.attempt(&once.endpoint(Retry::UntilLimit)?, limit).await?;
        let (queue, messages) = queue(TRAINING_QUEUE, Some(first.into_wire()));
        once.open(queue, join(channel, messages)).await
    }

    /// Offers to serve: as [`Self::training`].
    ///
    /// # Errors
    /// As there.
    pub async fn serving(&self, first: FromServingParty) -> Result<ServingStream, DialError> {
        self.open_patiently(SERVING_QUEUE, first, |channel, messages| async move {
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
        self.open_patiently(ALIGNMENT_QUEUE, first, |channel, messages| async move {
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
        let (channel, _) = self.connect(Retry::Never).await?;
        let mut client = InferenceClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let (queue, messages) = queue(PREDICTION_QUEUE, None);
        self.open(queue, client.predict(messages)).await
    }

    /// The stream that `open` gives on a connection, with `first` on its way. A coordinator that has no seat free takes a
    /// connection and closes it, and a proxy with nobody behind it answers with a page: so another is tried until the limit.
    async fn open_patiently<Out, In, Opening>(
        &self,
        length: usize,
        first: Out,
        open: impl Fn(Channel, ReceiverStream<Out::Wire>) -> Opening,
    ) -> Result<Duplex<Out, In>, DialError>
    where
        Out: WireMessage,
        In: WireMessage,
        Opening: Future<Output = Result<Response<Streaming<In::Wire>>, Status>>,
    {
        let (began, limit) = (Instant::now(), Duration::from_secs(self.limit_s));
        let (first, mut pause, mut warned) = (first.into_wire(), PAUSE, false);
        loop {
            let (channel, _) = self.connect(Retry::UntilLimit).await?;
            let (queue, messages) = queue(length, Some(first.clone()));
            match self.open(queue, open(channel, messages)).await {
                Err(DialError::Broken { .. }) if began.elapsed() + pause < limit => {}
                Err(DialError::Between { .. }) if began.elapsed() + pause < limit => {
                    if !warned {
                        warn!(
                            "a proxy answers at {}, no coordinator yet; trying for {} s",
                            self.address, self.limit_s
                        );
                        warned = true;
                    }
                }
                opened => return opened,
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
        let opened = timeout(Duration::from_secs(self.limit_s), opening).await;
        match opened.map_err(|_| DialError::Silent { limit_s: self.limit_s })? {
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
                    _ => DialError::Broken { address, reason },
                })
            }
        }
    }

    async fn connect(&self, retry: Retry) -> Result<Reached, DialError> {
        let endpoint = self.endpoint(retry)?;
        let (began, limit) = (Instant::now(), Duration::from_secs(self.limit_s));
        let mut warned = false;
        loop {
            // The connector's own limit ends before TLS and HTTP/2 have greeted.
            let attempt = if retry == Retry::Never { limit } else { limit.max(ATTEMPT) };
            match self.attempt(&endpoint, attempt).await {
                Err(DialError::Absent { .. }) if retry == Retry::UntilLimit && began.elapsed() < limit => {}
                reached => return reached,
            }
            if !warned {
                warn!("no coordinator at {} yet; trying for {} s", self.address, self.limit_s);
                warned = true;
            }
            tokio::time::sleep(PAUSE).await;
        }
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
        info!("{} answers at {}, with the key {}", peer.identity, self.address, peer.fingerprint);
        let channel = endpoint.connect_with_connector(OpenConnection::new(connection)).await;
        Ok((channel.map_err(|error| Missed::Absent(cause(&error)))?, Some(peer)))
    }

    fn endpoint(&self, retry: Retry) -> Result<Endpoint, DialError> {
        let endpoint = Endpoint::from_shared(self.address.to_string())
            .map_err(|_| DialError::Address(self.address.clone()))?
            .tcp_nodelay(true);
        Ok(match retry {
            Retry::UntilLimit => endpoint
                .connect_timeout(ATTEMPT)
                .http2_keep_alive_interval(self.keep_alive)
                .keep_alive_timeout(self.keep_alive)
                .keep_alive_while_idle(true),
            Retry::Never => endpoint
                .connect_timeout(Duration::from_secs(self.limit_s))
                .initial_stream_window_size(WINDOW_BYTES)
                .initial_connection_window_size(WINDOW_BYTES),
        })
    }
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
    client.max_encoding_message_size(MAX_MESSAGE_BYTES).join(messages).await
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
