//! One stream in both directions, of typed messages. Each side of each service has one.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use hashvfl_core::PartyName;
use hashvfl_identity::Identity;
use hashvfl_proto::{WireError, WireMessage};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Streaming;

use crate::limits::connections::ConnectedPeer;
use crate::limits::messages::Allowance;
use crate::status::{describe, refusal};

const LOST: &str = "the connection was lost";

/// The header with which a party that dials says that it takes [`FromCoordinator::Notice`], and when ([`TakesNotices`]): one of an
/// earlier version says nothing, or `1`, and would take others for damage.
///
/// [`FromCoordinator::Notice`]: hashvfl_core::protocol::message::FromCoordinator::Notice
pub(crate) const TAKES_NOTICES: &str = "hashvfl-takes-notices";
/// What it says there where it takes them at any time.
pub(crate) const AT_ANY_TIME: &str = "2";

/// When whoever has opened a stream takes notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TakesNotices {
    Never,
    /// Until the run begins.
    BeforeTheRun,
    AtAnyTime,
}

impl TakesNotices {
    /// What the header says; `None` where there is none.
    pub(crate) fn of(header: Option<&[u8]>) -> Self {
        match header {
            None => Self::Never,
            Some(said) if said == AT_ANY_TIME.as_bytes() => Self::AtAnyTime,
            Some(_) => Self::BeforeTheRun,
        }
    }
}

/// How a stream fails. The text says what happened; whoever waits adds for what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Nothing came, or nothing could be sent, within the limit.
    #[error("waited {0:?}")]
    TimedOut(Duration),
    /// The other side has ended its direction of the stream.
    #[error("the other side closed the stream")]
    Closed,
    /// The connection broke: one line for a person.
    #[error("{0}")]
    Broken(String),
    /// One side does not want the other, or its message, and another connection would change nothing: one line for a person.
    #[error("{0}")]
    Refused(String),
    /// What came is no message.
    #[error(transparent)]
    Unusable(#[from] WireError),
}

/// A peer that calls itself otherwise than its certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the certificate names {certificate}, but the config says name = \"{said}\": use a config and an [identity] of \
     the same name"
)]
pub struct OtherName {
    /// By its certificate.
    pub certificate: Identity,
    /// By its word.
    pub said: PartyName,
}

/// A stream on which this side sends `Out` and receives `In`.
pub struct Duplex<Out: WireMessage, In: WireMessage> {
    outgoing: Outgoing<Out>,
    incoming: Incoming<In>,
    /// Who has opened the stream, where this side listens.
    visitor: Option<Visitor>,
}

/// Whoever has opened a stream to the side that listens.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) peer: ConnectedPeer,
    pub(crate) allowance: Allowance,
    /// What it has said in [`TAKES_NOTICES`].
    pub(crate) takes_notices: TakesNotices,
}

/// The direction from this side.
pub struct Outgoing<Out: WireMessage> {
    /// The queue to the network; none once this side has ended its direction.
    queue: Option<mpsc::Sender<Out::Wire>>,
}

/// A way beside a stream's own sender, for a word that may be lost. It does not keep the stream open.
pub struct Aside<Out: WireMessage>(mpsc::WeakSender<Out::Wire>);

impl<Out: WireMessage> Aside<Out> {
    /// Hands `message` to the network, if that takes it now; whether it does.
    pub fn say(&self, message: Out) -> bool {
        self.0.upgrade().is_some_and(|queue| queue.try_send(message.into_wire()).is_ok())
    }
}

/// The direction to this side.
pub struct Incoming<In: WireMessage> {
    messages: Messages<In::Wire>,
}

/// Where messages come from.
enum Messages<W> {
    Network(Box<Streaming<W>>),
    Simulated(Polled<W>),
}

/// Messages of a peer that is simulated; `None` once it has ended its direction.
pub type Polled<W> = Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<W>> + Send + Sync>;

/// A message that came.
#[derive(Debug)]
pub struct Received<In> {
    /// The message.
    pub message: In,
    /// Its length on the wire in bytes, without gRPC's frame.
    pub bytes: usize,
}

impl<Out: WireMessage, In: WireMessage> Duplex<Out, In> {
    /// A stream between a queue that the network empties and what the network brings.
    pub(crate) fn new(queue: mpsc::Sender<Out::Wire>, messages: Streaming<In::Wire>) -> Self {
        let incoming = Incoming { messages: Messages::Network(Box::new(messages)) };
        Self { outgoing: Outgoing { queue: Some(queue) }, incoming, visitor: None }
    }

    /// A stream to a peer that is simulated in this process: without a network, between a queue that the simulation empties and what
    /// it gives when it is polled.
    pub fn simulated(queue: mpsc::Sender<Out::Wire>, messages: Polled<In::Wire>) -> Self {
        let incoming = Incoming { messages: Messages::Simulated(messages) };
        Self { outgoing: Outgoing { queue: Some(queue) }, incoming, visitor: None }
    }

    /// The same, with whoever has opened it.
    pub(crate) fn of_visitor(self, visitor: Option<Visitor>) -> Self {
        Self { visitor, ..self }
    }

    /// Who has opened the stream; none where this side has, or nothing is known of the connection.
    pub fn peer(&self) -> Option<&ConnectedPeer> {
        self.visitor.as_ref().map(|visitor| &visitor.peer)
    }

    /// Whether whoever has opened the stream takes notices while it waits for a run to begin.
    pub fn takes_notices(&self) -> bool {
        self.visitor.as_ref().is_some_and(|visitor| visitor.takes_notices >= TakesNotices::BeforeTheRun)
    }

    /// The way for notices beside the stream; `None` where whoever has opened it does not take them at any time, or this side has
    /// ended its direction.
    pub fn aside(&self) -> Option<Aside<Out>> {
        let takes = self.visitor.as_ref().map(|visitor| visitor.takes_notices);
        let queue = self.outgoing.queue.as_ref().filter(|_| takes == Some(TakesNotices::AtAnyTime));
        queue.map(|queue| Aside(queue.downgrade()))
    }

    /// How long the messages of whoever has opened the stream may be from now on; none where this side has.
    pub fn allowance(&self) -> Option<&Allowance> {
        self.visitor.as_ref().map(|visitor| &visitor.allowance)
    }

    /// Whether whoever has opened the stream may call itself `name`: by its certificate, or, without TLS, by its word.
    ///
    /// # Errors
    /// If its certificate names another.
    pub fn check_name(&self, name: &PartyName) -> Result<(), OtherName> {
        match self.peer().and_then(|peer| peer.identity.as_ref()) {
            Some(peer) if peer.identity.name != *name => {
                Err(OtherName { certificate: peer.identity.clone(), said: name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// As [`Outgoing::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&self, message: Out, limit: Duration) -> Result<usize, StreamError> {
        self.outgoing.send(message, limit).await
    }

    /// As [`Self::send`], of a message that has its form on the wire.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn send_wire(&self, message: Out::Wire, limit: Duration) -> Result<(), StreamError> {
        timeout(limit, self.outgoing.queue_wire(message)).await.unwrap_or(Err(StreamError::TimedOut(limit)))
    }

    /// As [`Self::next`], in its form on the wire.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn next_wire(&mut self) -> Result<In::Wire, StreamError> {
        self.incoming.next_wire().await
    }

    /// As [`Outgoing::send_patiently`].
    ///
    /// # Errors
    /// As there.
    pub async fn send_patiently(&self, message: Out) -> Result<usize, StreamError> {
        self.outgoing.send_patiently(message).await
    }

    /// As [`Incoming::next`].
    ///
    /// # Errors
    /// As there.
    pub async fn next(&mut self) -> Result<Received<In>, StreamError> {
        self.incoming.next().await
    }

    /// As [`Incoming::next_within`].
    ///
    /// # Errors
    /// As there.
    pub async fn next_within(&mut self, limit: Duration) -> Result<Received<In>, StreamError> {
        self.incoming.next_within(limit).await
    }

    /// Ends this side's direction and waits until the other side has ended its own, or until `limit`: so what was sent
    /// last is delivered before the process ends. What still comes is passed over. Whoever takes longer is not waited for.
    pub async fn close(&mut self, limit: Duration) {
        // Whether it was heard is for those who ask.
        let _ = self.end(limit).await;
    }

    /// As [`Self::close`], where it matters that the other side has heard all.
    ///
    /// # Errors
    /// If the connection broke before the other side had ended its direction, or it did not in time.
    pub async fn end(&mut self, limit: Duration) -> Result<(), StreamError> {
        self.outgoing.queue = None;
        let ending = async {
            loop {
                match self.incoming.next_wire().await {
                    Ok(_) => {}
                    Err(StreamError::Closed) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        };
        timeout(limit, ending).await.unwrap_or(Err(StreamError::TimedOut(limit)))
    }

    /// Both directions, for a task each.
    pub fn split(self) -> (Outgoing<Out>, Incoming<In>) {
        (self.outgoing, self.incoming)
    }
}

impl<Out: WireMessage> Outgoing<Out> {
    /// Hands a message to the network; returns its length on the wire in bytes, without gRPC's frame. It waits only
    /// while the queue is full, which means that the network takes nothing.
    ///
    /// # Errors
    /// If the stream has ended, or the queue stays full for longer than `limit`.
    pub async fn send(&self, message: Out, limit: Duration) -> Result<usize, StreamError> {
        match timeout(limit, self.send_patiently(message)).await {
            Ok(sent) => sent,
            Err(_) => Err(StreamError::TimedOut(limit)),
        }
    }

    /// As [`Self::send`], but waits for as long as the connection lives; the keep-alive ends one that is dead.
    ///
    /// # Errors
    /// If the stream has ended.
    pub async fn send_patiently(&self, message: Out) -> Result<usize, StreamError> {
        let message = message.into_wire();
        let bytes = message.encoded_len();
        self.queue_wire(message).await?;
        Ok(bytes)
    }

    async fn queue_wire(&self, message: Out::Wire) -> Result<(), StreamError> {
        let queue = self.queue.as_ref().ok_or(StreamError::Closed)?;
        queue.send(message).await.map_err(|_| StreamError::Broken(LOST.into()))
    }

    /// As [`Self::send`], for a thread that is none of the network's; it waits as long as it takes.
    ///
    /// # Errors
    /// If the stream has ended.
    pub fn blocking_send(&self, message: Out) -> Result<usize, StreamError> {
        let queue = self.queue.as_ref().ok_or(StreamError::Closed)?;
        let message = message.into_wire();
        let bytes = message.encoded_len();
        queue.blocking_send(message).map_err(|_| StreamError::Broken(LOST.into()))?;
        Ok(bytes)
    }
}

impl<In: WireMessage> Incoming<In> {
    /// The next message, however long it takes. No message is lost where this future is dropped before it is ready.
    ///
    /// # Errors
    /// If the stream has ended or broken, or what came is no message.
    pub async fn next(&mut self) -> Result<Received<In>, StreamError> {
        let message = self.next_wire().await?;
        let bytes = message.encoded_len();
        Ok(Received { message: In::from_wire(message)?, bytes })
    }

    async fn next_wire(&mut self) -> Result<In::Wire, StreamError> {
        let messages = match &mut self.messages {
            Messages::Network(messages) => messages,
            Messages::Simulated(polled) => return poll_fn(polled).await.ok_or(StreamError::Closed),
        };
        let message = messages.message().await.map_err(|status| match refusal(&status) {
            Some(reason) => StreamError::Refused(reason),
            None => StreamError::Broken(describe(&status)),
        })?;
        message.ok_or(StreamError::Closed)
    }

    /// The next message, if it comes within `limit`.
    ///
    /// # Errors
    /// As [`Self::next`]; and if nothing comes in time.
    pub async fn next_within(&mut self, limit: Duration) -> Result<Received<In>, StreamError> {
        timeout(limit, self.next()).await.unwrap_or(Err(StreamError::TimedOut(limit)))
    }
}
