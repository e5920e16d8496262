//! The side that listens: the coordinator. A service hands over each stream that a peer opens; nothing is decided here.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt, stream};
use hashvfl_core::PartyName;
use hashvfl_core::limits::{MAX_MESSAGE_BYTES, MAX_PARTIES, MAX_REQUEST_BYTES, MAX_SEALED_BYTES};
use hashvfl_core::protocol::message::{FromCoordinator, FromParty};
use hashvfl_core::protocol::serving_party::{FromServingParty, ToServingParty};
use hashvfl_identity::{Acceptor, Role};
use hashvfl_proto::WireMessage;
use hashvfl_proto::alignment::{FromHolder, FromRelay};
use hashvfl_proto::v1;
use hashvfl_proto::v1::alignment_server::{Alignment, AlignmentServer};
use hashvfl_proto::v1::federation_server::{Federation, FederationServer};
use hashvfl_proto::v1::inference_server::{Inference, InferenceServer};
use hashvfl_proto::v1::predict_response::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::{Extensions, Request, Response, Status, Streaming};

use crate::duplex::{Duplex, TAKES_NOTICES, TakesNotices, Visitor};
use crate::limits::ListenLimits;
use crate::limits::clients::{AnswerSize, Answers, ClientBudgets, HeldAnswer};
use crate::limits::connections::{ConnectionInfo, Connections};
use crate::limits::gate::{Gate, PortAccount};
use crate::limits::messages::{Allowance, Guarded};

/// Messages to one peer that may wait for the network. In training and serving, the protocol never has more than a few
/// open; the relay has a queue of its own before this one.
const QUEUE: usize = 4;
/// Requests of one stream of a client that are worked on at the same time; answers keep their order.
const OPEN_REQUESTS: usize = 2;
/// Streams of one connection: a party and a client each need one.
const STREAMS: u32 = 4;
/// Bytes of an HTTP/2 frame, and of a request's headers.
const FRAME_BYTES: u32 = 16 << 10;
const HEADER_LIST_BYTES: u32 = 16 << 10;
/// Streams that a peer may open and reset before they are looked at.
const RESETS: usize = 16;
/// HTTP/2 windows of a client that hold a whole message of usual size, so that no step waits for a window update.
pub(crate) const WINDOW_BYTES: u32 = 4 << 20;
/// Bytes that a sealed frame's envelope takes beside it, at most.
pub(crate) const ENVELOPE_BYTES: usize = 1024;
/// A party's stream in training, as the coordinator sees it.
pub type TrainingStream = Duplex<FromCoordinator, FromParty>;
/// A serving party's stream, as the coordinator sees it.
pub type ServingStream = Duplex<ToServingParty, FromServingParty>;
/// A holder's stream, as the relay of an alignment sees it.
pub type AlignmentStream = Duplex<FromRelay, FromHolder>;

/// How a server ends that nobody stopped.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ServeError(#[from] tonic::transport::Error);

/// Where peers dial in, within limits.
pub struct Listener {
    tcp: TcpListener,
    limits: ListenLimits,
    acceptor: Option<Acceptor>,
    gate: Arc<Gate>,
}

impl Listener {
    /// Listens on `address`; must be called within a runtime.
    ///
    /// # Errors
    /// If the address is taken or none of this machine's.
    pub async fn bind(address: SocketAddr, limits: ListenLimits) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        Ok(Self { tcp, limits, acceptor: None, gate: Arc::default() })
    }

    /// Takes only those whom `acceptor` lets in, over TLS.
    #[must_use]
    pub fn secured(self, acceptor: Acceptor) -> Self {
        Self { acceptor: Some(acceptor), ..self }
    }

    /// Tells `account` of those who are turned away by their certificates.
    #[must_use]
    pub fn accounted(self, account: Arc<dyn PortAccount>) -> Self {
        Self { gate: Arc::new(Gate::accounted(account)), ..self }
    }

    /// The address, with its port also where the config left it open.
    ///
    /// # Errors
    /// If the operating system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves `service` to whoever comes, until the future is dropped.
    async fn serve<S>(self, service: S) -> Result<(), ServeError>
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
    {
        let Self { tcp, limits, acceptor, gate } = self;
        let incoming = Connections::new(tcp, limits, acceptor, gate).incoming();
        let server = Server::builder()
            .max_concurrent_streams(STREAMS)
            .max_frame_size(FRAME_BYTES)
            .http2_max_header_list_size(HEADER_LIST_BYTES)
            .http2_max_pending_accept_reset_streams(Some(RESETS))
            .http2_keepalive_interval(Some(limits.keep_alive))
            .http2_keepalive_timeout(Some(limits.keep_alive))
            .initial_stream_window_size(limits.window)
            .initial_connection_window_size(limits.window);
        Ok(server.serve_with_incoming(Guarded::new(service, limits), incoming).await?)
    }
}

/// Streams that peers have opened, in the order in which they came.
pub struct Arrivals<S>(mpsc::Receiver<S>);

impl<S> Arrivals<S> {
    /// The next stream; `None` once the server has ended.
    pub async fn next(&mut self) -> Option<S> {
        self.0.recv().await
    }
}

/// Serves parties of a run until the future is dropped.
pub fn training(
    listener: Listener,
) -> (Arrivals<TrainingStream>, impl Future<Output = Result<(), ServeError>>) {
    let (arrivals, arrived) = mpsc::channel(MAX_PARTIES);
    let service = FederationServer::new(Entrance::new(arrivals, &listener))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    (Arrivals(arrived), listener.serve(service))
}

/// Serves holders of an alignment until the future is dropped.
pub fn alignment(
    listener: Listener,
) -> (Arrivals<AlignmentStream>, impl Future<Output = Result<(), ServeError>>) {
    let (arrivals, arrived) = mpsc::channel(MAX_PARTIES);
    let limit = MAX_SEALED_BYTES + ENVELOPE_BYTES;
    let service = AlignmentServer::new(Entrance::new(arrivals, &listener))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    (Arrivals(arrived), listener.serve(service))
}

/// Streams of parties that dial in while predictions are served.
pub struct Joining {
    /// Of those that serve.
    pub serving: Arrivals<ServingStream>,
    /// Of those that were trained, and want to know whether their run has finished.
    pub training: Arrivals<TrainingStream>,
}

/// Serves clients and parties of a trained federation until the future is dropped; `predictions` answers clients.
pub fn serving<P: Predictions>(
    listener: Listener,
    predictions: Arc<P>,
) -> (Joining, impl Future<Output = Result<(), ServeError>>) {
    let (arrivals, serving) = mpsc::channel(MAX_PARTIES);
    let clients = ClientBudgets::new(listener.limits.client_bytes);
    let entrance = Entrance::new(arrivals, &listener);
    let inference = InferenceServer::new(PredictionService { predictions, clients, entrance })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let (arrivals, training) = mpsc::channel(MAX_PARTIES);
    let federation = FederationServer::new(Entrance::new(arrivals, &listener))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let joining = Joining { serving: Arrivals(serving), training: Arrivals(training) };
    (joining, listener.serve(TwoServices { inference, federation }))
}

/// Both services of a trained federation behind one port, each by its name in a request's path.
#[derive(Clone)]
struct TwoServices<I, F> {
    inference: I,
    federation: F,
}

impl<I, F, Answering> Service<http::Request<Body>> for TwoServices<I, F>
where
    I: Service<http::Request<Body>, Future = Answering>,
    F: Service<http::Request<Body>, Response = I::Response, Error = I::Error, Future = Answering>
        + NamedService,
    Answering: Future<Output = Result<I::Response, I::Error>>,
{
    type Response = I::Response;
    type Error = I::Error;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        match self.inference.poll_ready(context) {
            Poll::Ready(Ok(())) => self.federation.poll_ready(context),
            other => other,
        }
    }

    fn call(&mut self, request: http::Request<Body>) -> Answering {
        let mut parts = request.uri().path().split('/');
        match parts.nth(1) == Some(F::NAME) {
            true => self.federation.call(request),
            false => self.inference.call(request),
        }
    }
}

/// What the network takes from a queue to a peer.
type Queue<Wire> = Pin<Box<dyn Stream<Item = Result<Wire, Status>> + Send>>;

/// Where streams are handed over.
struct Entrance<S> {
    arrivals: mpsc::Sender<S>,
    gate: Arc<Gate>,
}

impl<S> Entrance<S> {
    /// To `arrivals`, of those whom the gate of `listener` lets through.
    fn new(arrivals: mpsc::Sender<S>, listener: &Listener) -> Self {
        Self { arrivals, gate: Arc::clone(&listener.gate) }
    }
}

impl<Out: WireMessage, In: WireMessage> Entrance<Duplex<Out, In>> {
    /// Hands a stream over that a peer has opened; what the network is to send to the peer.
    fn enter(&self, request: Request<Streaming<In::Wire>>) -> Result<Response<Queue<Out::Wire>>, Status> {
        check_role(&self.gate, request.extensions(), Role::Party)?;
        let (queue, messages) = mpsc::channel(QUEUE);
        let header = request.metadata().get(TAKES_NOTICES);
        let takes_notices = TakesNotices::of(header.map(|said| said.as_bytes()));
        let visitor = visitor(request.extensions()).map(|visitor| Visitor { takes_notices, ..visitor });
        self.arrivals
            .try_send(Duplex::new(queue, request.into_inner()).of_visitor(visitor))
            .map_err(|_| Status::resource_exhausted("too many parties are joining at once: try again"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(messages).map(Ok))))
    }
}

/// Who has sent a request, and what its messages may be.
fn visitor(extensions: &Extensions) -> Option<Visitor> {
    let ConnectionInfo { peer, .. } = extensions.get::<ConnectionInfo>()?;
    let allowance = extensions.get::<Allowance>()?.clone();
    Some(Visitor { peer: peer.clone(), allowance, takes_notices: TakesNotices::Never })
}

/// The name of whoever has sent a request; `None` without TLS.
fn client(extensions: &Extensions) -> Option<PartyName> {
    let ConnectionInfo { peer, .. } = extensions.get::<ConnectionInfo>()?;
    peer.identity.as_ref().map(|peer| peer.identity.name.clone())
}

/// Whether whoever has sent a request is of `role`, as it must be; without TLS everybody is.
fn check_role(gate: &Gate, extensions: &Extensions, role: Role) -> Result<(), Status> {
    gate.check_role(extensions.get(), role).map_err(Status::permission_denied)
}

#[tonic::async_trait]
impl Federation for Entrance<TrainingStream> {
    type JoinStream = Queue<v1::CoordinatorMessage>;

    async fn join(
        &self,
        request: Request<Streaming<v1::PartyMessage>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        self.enter(request)
    }
}

#[tonic::async_trait]
impl Alignment for Entrance<AlignmentStream> {
    type ExchangeStream = Queue<v1::RelayMessage>;

    async fn exchange(
        &self,
        request: Request<Streaming<v1::HolderMessage>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        self.enter(request)
    }
}

/// Who answers clients' requests for predictions.
pub trait Predictions: Send + Sync + 'static {
    /// What `client` (`None` without TLS) is told first.
    fn model(&self, client: Option<&PartyName>) -> v1::Model;

    /// How long an answer may become.
    fn answer_size(&self) -> AnswerSize;

    /// Predicts the records `ids`, which `client` (`None` without TLS) asks for in its request of this number, from 1.
    fn predict(
        self: Arc<Self>,
        client: Option<PartyName>,
        number: usize,
        ids: Vec<String>,
    ) -> impl Future<Output = Result<v1::Predictions, Rejection>> + Send;
}

/// Why a client's request has no answer; the client's stream ends with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The request cannot be answered: one line for the client.
    Invalid(String),
    /// The client may not: one line for it.
    Denied(String),
    /// The coordinator failed: one line for the client, that tells nothing of what happened inside.
    Internal(&'static str),
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Invalid(text) => Self::invalid_argument(text),
            Rejection::Denied(text) => Self::permission_denied(text),
            Rejection::Internal(text) => Self::internal(text),
        }
    }
}

struct PredictionService<P> {
    predictions: Arc<P>,
    clients: ClientBudgets,
    entrance: Entrance<ServingStream>,
}

#[tonic::async_trait]
impl<P: Predictions> Inference for PredictionService<P> {
    type PredictStream = Queue<v1::PredictResponse>;
    type ServeStream = Queue<v1::ServingCoordinatorMessage>;

    async fn predict(
        &self,
        request: Request<Streaming<v1::PredictRequest>>,
    ) -> Result<Response<Self::PredictStream>, Status> {
        check_role(&self.entrance.gate, request.extensions(), Role::Client)?;
        let predictions = Arc::clone(&self.predictions);
        let client = client(request.extensions());
        let requests = self.clients.stream(client.clone(), predictions.answer_size());
        if let Some(visitor) = visitor(request.extensions()) {
            visitor.allowance.allow_requests(MAX_REQUEST_BYTES, requests.clone());
        }
        let first = response(Message::Model(predictions.model(client.as_ref())));
        let answers = request.into_inner().enumerate().map(move |(index, request)| {
            let (predictions, client) = (Arc::clone(&predictions), client.clone());
            let held = requests.take();
            async move { HeldAnswer { answer: answer(predictions, client, index + 1, request).await, held } }
        });
        let responses =
            stream::once(async { Ok(first) }).chain(Answers::new(answers.buffered(OPEN_REQUESTS)));
        Ok(Response::new(Box::pin(responses)))
    }

    async fn serve(
        &self,
        request: Request<Streaming<v1::ServingPartyMessage>>,
    ) -> Result<Response<Self::ServeStream>, Status> {
        self.entrance.enter(request)
    }
}

/// The answer to a client's request of this number.
async fn answer<P: Predictions>(
    predictions: Arc<P>,
    client: Option<PartyName>,
    number: usize,
    request: Result<v1::PredictRequest, Status>,
) -> Result<v1::PredictResponse, Status> {
    let answer = predictions.predict(client, number, request?.ids).await?;
    Ok(response(Message::Predictions(answer)))
}

fn response(message: Message) -> v1::PredictResponse {
    v1::PredictResponse { message: Some(message) }
}
