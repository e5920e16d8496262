//! A relay between a party and its coordinator that stops at a chosen message and lets nothing more through that way, so
//! that a process dies exactly there.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread;

use hashvfl_proto::v1::federation_client::FederationClient;
use hashvfl_proto::v1::federation_server::{Federation, FederationServer};
use hashvfl_proto::v1::{CoordinatorMessage, PartyMessage, coordinator_message, party_message};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt};
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

/// Whether this is the message to stop at.
type Wanted = Box<dyn FnMut(Passing<'_>) -> bool + Send>;

/// The relay of one party; it ends with the test's process.
#[derive(Clone)]
pub struct Gate {
    address: String,
    coordinator: Arc<Mutex<String>>,
    wanted: Arc<Mutex<Option<Wanted>>>,
    /// Whether a message is held.
    held: watch::Sender<bool>,
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
            held: watch::Sender::new(false),
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
        *self.held.borrow()
    }

    /// Lets the held message through, and stops at the next that is wanted.
    pub fn pass_on(&self) {
        self.held.send_replace(false);
    }

    /// Lets everything through again.
    pub fn open(&self) {
        *self.wanted.lock().unwrap() = None;
        self.pass_on();
    }

    /// Waits while this message is held.
    async fn pass(&self, message: Passing<'_>) {
        let stops = {
            let mut wanted = self.wanted.lock().unwrap();
            let stops = wanted.as_mut().is_some_and(|wanted| wanted(message));
            if stops {
                // Once: the next connection is not stopped by the same words.
                *wanted = None;
            }
            stops
        };
        if stops {
            self.held.send_replace(true);
            // The sender lives as long as the gate.
            let _ = self.held.subscribe().wait_for(|held| !held).await;
        }
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
    type JoinStream = Pin<Box<dyn Stream<Item = Result<CoordinatorMessage, Status>> + Send>>;

    async fn join(
        &self,
        request: Request<Streaming<PartyMessage>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let coordinator = self.coordinator.lock().unwrap().clone();
        let absent = |_| Status::unavailable("nobody is behind the gate");
        let mut client = FederationClient::connect(coordinator).await.map_err(absent)?;
        let up = self.clone();
        let sent = request.into_inner().map_while(Result::ok).then(move |message| {
            let up = up.clone();
            async move {
                if let Some(body) = &message.message {
                    up.pass(Passing::Up(body)).await;
                }
                message
            }
        });
        let down = self.clone();
        let answers = client.join(sent).await?.into_inner().then(move |message| {
            let down = down.clone();
            async move {
                if let Ok(CoordinatorMessage { message: Some(body) }) = &message {
                    down.pass(Passing::Down(body)).await;
                }
                message
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
