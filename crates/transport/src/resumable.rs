//! A stream that outlives its connections: what was said on one that broke is repeated on the next.
//!
//! What is repeated is for `core::protocol::exchange`. Where the next connection comes from is for whoever holds the stream:
//! a party dials ([`crate::dial::Dialer::training_once`]), the coordinator waits for it.

use std::time::Duration;

use hashvfl_core::protocol::exchange::{Exchange, Mark, ResumeError};
use hashvfl_proto::WireMessage;
use prost::Message as _;
use tokio::time::timeout;

use crate::duplex::{Duplex, Received, StreamError};

/// A stream on which this side sends `Out` and receives `In`, over one connection after another.
pub struct ResumableStream<Out: WireMessage, In: WireMessage> {
    stream: Duplex<Out, In>,
    exchange: Exchange<Out::Wire>,
}

impl<Out: WireMessage, In: WireMessage> ResumableStream<Out, In> {
    /// Counts what is said on `stream` from now on.
    pub fn new(stream: Duplex<Out, In>) -> Self {
        Self { stream, exchange: Exchange::new() }
    }

    /// Counts anew, from the next message on.
    pub fn count_from_here(&mut self) {
        self.exchange = Exchange::new();
    }

    /// What has come so far.
    pub fn mark(&self) -> Mark {
        self.exchange.mark()
    }

    /// Hands a message to the network; returns its length on the wire in bytes, without gRPC's frame. Where the connection
    /// has broken, the message is sent when there is another.
    ///
    /// # Errors
    /// If the network takes nothing for longer than `limit`, or this side has ended its direction.
    pub async fn send(&mut self, message: Out, limit: Duration) -> Result<usize, StreamError> {
        let message = message.into_wire();
        let bytes = message.encode_to_vec();
        self.exchange.sent(message.clone(), &bytes);
        match self.stream.send_wire(message, limit).await {
            Ok(()) | Err(StreamError::Broken(_)) => Ok(bytes.len()),
            Err(error) => Err(error),
        }
    }

    /// Sends a message that counts in no exchange, if this connection takes it within `limit`; on another it is not repeated.
    ///
    /// # Errors
    /// If it does not.
    pub async fn send_uncounted(&self, message: Out, limit: Duration) -> Result<(), StreamError> {
        self.stream.send(message, limit).await.map(drop)
    }

    /// The next message, if it comes within `limit`. No message is lost where this future is dropped before it is ready.
    ///
    /// # Errors
    /// If nothing comes in time, the connection has broken, or what came is no message.
    pub async fn next_within(&mut self, limit: Duration) -> Result<Received<In>, StreamError> {
        let next = timeout(limit, self.stream.next_wire()).await;
        let message = next.unwrap_or(Err(StreamError::TimedOut(limit)))?;
        let bytes = message.encode_to_vec();
        let message = In::from_wire(message)?;
        if message.is_counted() {
            self.exchange.received(&bytes);
        }
        Ok(Received { message, bytes: bytes.len() })
    }

    /// What the other side lacks, which says where it is; to be handed to [`Self::go_on`].
    ///
    /// # Errors
    /// If the exchange cannot go on from there.
    pub fn missing(&mut self, mark: &Mark) -> Result<Vec<Out::Wire>, ResumeError> {
        self.exchange.resume(mark)
    }

    /// Goes on over `stream`: says `first`, which is not counted, and repeats what was missing.
    ///
    /// # Errors
    /// If that cannot be sent: the new stream is given up then, and the old one, broken as it is, is kept.
    pub async fn go_on(
        &mut self,
        stream: Duplex<Out, In>,
        first: Option<Out>,
        missing: Vec<Out::Wire>,
        limit: Duration,
    ) -> Result<(), StreamError> {
        let messages = first.map(Out::into_wire).into_iter().chain(missing);
        for message in messages {
            stream.send_wire(message, limit).await?;
        }
        self.stream = stream;
        Ok(())
    }

    /// Ends this side's direction and waits until the other side has ended its own, which has all that was sent then. What
    /// still comes is passed over.
    ///
    /// # Errors
    /// If the connection broke before that, or it did not happen within `limit`.
    pub async fn end(&mut self, limit: Duration) -> Result<(), StreamError> {
        self.stream.end(limit).await
    }

    /// The stream of the present connection.
    pub fn present(&self) -> &Duplex<Out, In> {
        &self.stream
    }
}
