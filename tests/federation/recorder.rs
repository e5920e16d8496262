//! A relay between a party and its coordinator that keeps the bytes of each message.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread;

use hashvfl_core::Digest;
use hashvfl_proto::v1::federation_client::FederationClient;
use hashvfl_proto::v1::federation_server::{Federation, FederationServer};
use hashvfl_proto::v1::inference_client::InferenceClient;
use hashvfl_proto::v1::inference_server::{Inference, InferenceServer};
use hashvfl_proto::v1::{
    CoordinatorMessage, PartyMessage, PredictRequest, PredictResponse, ServingCoordinatorMessage,
    ServingPartyMessage, coordinator_message, party_message, serving_coordinator_message,
    serving_party_message,
};
use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

type Answers<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// Messages of one connection in one direction, each with its length in front.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn keep(&self, message: &impl Message) {
        self.0.lock().unwrap().extend(message.encode_length_delimited_to_vec());
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    fn digest(&self) -> Digest {
        Digest::of(&self.0.lock().unwrap())
    }
}

/// The relay of one party; it ends with the test's process.
#[derive(Clone)]
pub struct Recorder {
    /// Where the party dials.
    pub address: String,
    coordinator: String,
    to_coordinator: Kept,
    to_party: Kept,
}

impl Recorder {
    /// Listens in front of a coordinator that trains.
    pub fn training(coordinator: &str) -> Self {
        let (recorder, listener) = Self::listen(coordinator);
        let service = FederationServer::new(recorder.clone());
        run(async move {
            let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
            tonic::transport::Server::builder().serve_with_incoming(service, incoming).await.unwrap();
        });
        recorder
    }

    /// Listens in front of a coordinator that serves predictions.
    pub fn serving(coordinator: &str) -> Self {
        let (recorder, listener) = Self::listen(coordinator);
        let service = InferenceServer::new(recorder.clone());
        run(async move {
            let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
            tonic::transport::Server::builder().serve_with_incoming(service, incoming).await.unwrap();
        });
        recorder
    }

    fn listen(coordinator: &str) -> (Self, std::net::TcpListener) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let recorder = Self {
            address: listener.local_addr().unwrap().to_string(),
            coordinator: format!("http://{coordinator}"),
            to_coordinator: Kept::default(),
            to_party: Kept::default(),
        };
        (recorder, listener)
    }

    /// All that the party sent, and all that it was sent.
    pub fn bytes(&self) -> [Vec<u8>; 2] {
        [self.to_coordinator.bytes(), self.to_party.bytes()]
    }

    /// Digest of all that the party sent and of all that it was sent.
    pub fn digests(&self) -> [Digest; 2] {
        [self.to_coordinator.digest(), self.to_party.digest()]
    }
}

/// Runs a server on a thread of its own, to the end of the process.
fn run(server: impl Future<Output = ()> + Send + 'static) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(server);
    });
}

/// Passes a stream on, and keeps what `plain` leaves of each message.
fn kept<M: Message + Clone + 'static>(
    messages: Streaming<M>,
    kept: Kept,
    plain: fn(&mut M),
) -> impl Stream<Item = Result<M, Status>> + Send {
    messages.map(move |message| {
        if let Ok(message) = &message {
            let mut message = message.clone();
            plain(&mut message);
            kept.keep(&message);
        }
        message
    })
}

// The salt of a handshake is drawn anew for each connection, and the records' digest hangs on it.

fn of_party(message: &mut PartyMessage) {
    if let Some(party_message::Message::Records(records)) = &mut message.message {
        records.salted_sha256.clear();
    }
}

fn of_coordinator(message: &mut CoordinatorMessage) {
    if let Some(coordinator_message::Message::Welcome(welcome)) = &mut message.message {
        welcome.salt.clear();
    }
}

fn of_serving_party(message: &mut ServingPartyMessage) {
    if let Some(serving_party_message::Message::Serving(serving)) = &mut message.message {
        // A random number, drawn anew for each state of a table.
        serving.revision.clear();
        serving.records.iter_mut().for_each(|records| records.salted_sha256.clear());
    }
}

fn of_serving_coordinator(message: &mut ServingCoordinatorMessage) {
    if let Some(serving_coordinator_message::Message::Welcome(welcome)) = &mut message.message {
        welcome.salt.clear();
    }
}

#[tonic::async_trait]
impl Federation for Recorder {
    type JoinStream = Answers<CoordinatorMessage>;

    async fn join(
        &self,
        request: Request<Streaming<PartyMessage>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let mut client = FederationClient::connect(self.coordinator.clone()).await.unwrap();
        let sent = kept(request.into_inner(), self.to_coordinator.clone(), of_party);
        let answers = client.join(sent.map_while(Result::ok)).await?.into_inner();
        Ok(Response::new(Box::pin(kept(answers, self.to_party.clone(), of_coordinator))))
    }
}

#[tonic::async_trait]
impl Inference for Recorder {
    type PredictStream = Answers<PredictResponse>;
    type ServeStream = Answers<ServingCoordinatorMessage>;

    async fn predict(
        &self,
        _: Request<Streaming<PredictRequest>>,
    ) -> Result<Response<Self::PredictStream>, Status> {
        Err(Status::unimplemented("clients dial the coordinator"))
    }

    async fn serve(
        &self,
        request: Request<Streaming<ServingPartyMessage>>,
    ) -> Result<Response<Self::ServeStream>, Status> {
        let mut client = InferenceClient::connect(self.coordinator.clone()).await.unwrap();
        let sent = kept(request.into_inner(), self.to_coordinator.clone(), of_serving_party);
        let answers = client.serve(sent.map_while(Result::ok)).await?.into_inner();
        Ok(Response::new(Box::pin(kept(answers, self.to_party.clone(), of_serving_coordinator))))
    }
}
