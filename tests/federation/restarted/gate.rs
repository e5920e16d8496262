//! A relay between a party and its coordinator that stops at a chosen message and lets nothing more through that way, so
//! that a process dies exactly there.

use std::sync::{Arc, Mutex};
use std::thread;

use hashvfl_proto::v1::federation_client::FederationClient;
use hashvfl_proto::v1::federation_server::{Federation, FederationServer};
use hashvfl_proto::v1::{CoordinatorMessage, PartyMessage, coordinator_message, party_message};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::restarted::supervisor::Relay;

/// A message on its way.
#[derive(Debug, Clone, Copy)]
pub enum Passing<'a> {
    /// From the party.
    Up(&'a party_message::Message),
    /// To the party.
    Down(&'a coordinator_message::Message),
}

/// What a gate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    Message,
    /// What it held is lost.
    Lost,
}

/// Whether this is the message to stop at.
type Wanted = Box<dyn FnMut(Passing<'_>) -> bool + Send>;

/// The relay of one party; it ends with the test's process.
#[derive(Clone)]
pub struct Gate {
    address: String,
    coordinator: Arc<Mutex<String>>,
    wanted: Arc<Mutex<Option<Wanted>>>,
    held: watch::Sender<Held>,
}

impl Gate {
    /// Listens; where the coordinator is, it is told by [`Relay::lead_to`].
    pub fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let gate = Self {
            address: listener.local_addr().unwrap().to_string(),
            coordinator: Arc::default(),
            wanted: Arc::default(),
            held: watch::Sender::new(Held::Nothing),
        };
        let service = FederationServer::new(gate.clone());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
                tonic::transport::Server::builder().serve_with_incoming(service, incoming).await.unwrap();
            });
        });
        gate
    }

    /// Holds the first message that is `wanted`, and what follows it in its direction.
    pub fn stop_at(&self, wanted: impl FnMut(Passing<'_>) -> bool + Send + 'static) {
        *self.wanted.lock().unwrap() = Some(Box::new(wanted));
    }

    /// Whether it holds a message.
    pub fn holds(&self) -> bool {
        *self.held.borrow() == Held::Message
    }

    /// Lets the held message through, and stops at the next that is wanted.
    pub fn pass_on(&self) {
        self.held.send_replace(Held::Nothing);
    }

    /// Loses the held message with its connection, and lets everything through on others.
    pub fn lose(&self) {
        *self.wanted.lock().unwrap() = None;
        self.held.send_replace(Held::Lost);
    }

    /// Lets everything through again.
    pub fn open(&self) {
        *self.wanted.lock().unwrap() = None;
        self.pass_on();
    }

    /// Whether this message is to be held.
    fn stops(&self, message: Passing<'_>) -> bool {
        let mut wanted = self.wanted.lock().unwrap();
        let stops = wanted.as_mut().is_some_and(|wanted| wanted(message));
        if stops {
            // Once: the next connection is not stopped by the same words.
            *wanted = None;
            self.held.send_replace(Held::Message);
        }
        stops
    }

    /// Waits while messages are held; whether the connection goes on.
    async fn wait(&self) -> bool {
        let mut held = self.held.subscribe();
        let let_go = held.wait_for(|held| *held != Held::Message).await;
        // The sender lives as long as the gate.
        let_go.is_ok_and(|held| *held == Held::Nothing)
    }
}

impl Relay for Gate {
    fn address(&self) -> &str {
        &self.address
    }

    fn lead_to(&self, coordinator: &str) {
        *self.coordinator.lock().unwrap() = format!("http://{coordinator}");
    }
}

#[tonic::async_trait]
impl Federation for Gate {
    type JoinStream = ReceiverStream<Result<CoordinatorMessage, Status>>;

    async fn join(
        &self,
        request: Request<Streaming<PartyMessage>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let coordinator = self.coordinator.lock().unwrap().clone();
        let absent = |_| Status::unavailable("nobody is behind the gate");
        let mut client = FederationClient::connect(coordinator).await.map_err(absent)?;
        let (up, mut asked) = (self.clone(), request.into_inner());
        let (send, sent) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(Ok(message)) = asked.next().await {
                let body = message.message.as_ref();
                if body.is_some_and(|body| up.stops(Passing::Up(body))) && !up.wait().await {
                    return;
                }
                if send.send(message).await.is_err() {
                    return;
                }
            }
        });
        let (down, mut answered) = (self.clone(), client.join(ReceiverStream::new(sent)).await?.into_inner());
        let (send, answers) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(message) = answered.next().await {
                let body = message.as_ref().ok().and_then(|message| message.message.as_ref());
                if body.is_some_and(|body| down.stops(Passing::Down(body))) && !down.wait().await {
                    // As a connection that breaks.
                    let _ = send.send(Err(Status::unavailable("lost at the gate"))).await;
                    return;
                }
                if send.send(message).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}
