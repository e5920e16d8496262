//! The way to the coordinator while predictions are served: messages of one stream, until it ends or this process is asked to.

use std::time::Duration;

use anyhow::Context;
use hashvfl_core::protocol::serving_party::{FromServingParty, ToServingParty};
use hashvfl_transport::StreamError;
use hashvfl_transport::dial::ServingStream;
use hashvfl_transport::stop::Stop;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::Ended;
use crate::training::waited;

/// What came from the coordinator.
pub(super) enum Received {
    /// A message.
    Message(ToServingParty),
    /// Nothing, for as long as this side had time to wait.
    Nothing,
    /// The stream's end.
    Ended(Ended),
}

/// The way to the coordinator.
pub(super) struct ServingConnection<'a> {
    /// Drives the network.
    pub runtime: &'a Runtime,
    /// The stream.
    pub stream: ServingStream,
    /// Seconds until the network takes a message, and until the coordinator speaks in the handshake.
    pub limit_s: u64,
    /// Says when this process is asked to end.
    pub stop: Stop,
}

impl ServingConnection<'_> {
    /// Sends a message; false if the coordinator has gone.
    ///
    /// # Errors
    /// If the network takes nothing for too long.
    pub fn send(&self, message: FromServingParty) -> anyhow::Result<bool> {
        match self.runtime.block_on(self.stream.send(message, Duration::from_secs(self.limit_s))) {
            Ok(_) => Ok(true),
            Err(StreamError::TimedOut(_)) => Err(waited(self.limit_s, "a message to be sent")),
            Err(_) => Ok(false),
        }
    }

    /// The next message, or nothing where none comes within `idle`. Before the party is in there is a limit; afterwards nobody need
    /// ask for anything.
    ///
    /// # Errors
    /// If what came is no message.
    pub fn receive(&mut self, joined: bool, idle: Option<Duration>) -> anyhow::Result<Received> {
        let (stream, stop) = (&mut self.stream, &mut self.stop);
        let limit = Duration::from_secs(self.limit_s);
        let received = self.runtime.block_on(async {
            let next = async {
                match joined {
                    true => stream.next().await,
                    false => stream.next_within(limit).await,
                }
            };
            tokio::select! {
                received = timeout(idle.unwrap_or(Duration::MAX), next) => Some(received),
                () = stop.stopped() => None,
            }
        });
        Ok(match received {
            None => Received::Ended(Ended::Stopped),
            Some(Err(_)) => Received::Nothing,
            Some(Ok(Ok(received))) => Received::Message(received.message),
            Some(Ok(Err(StreamError::Closed))) => {
                Received::Ended(Ended::Lost("the coordinator closed the stream".into()))
            }
            Some(Ok(Err(StreamError::Broken(reason) | StreamError::Refused(reason)))) => {
                Received::Ended(Ended::Lost(reason))
            }
            Some(Ok(Err(StreamError::TimedOut(_)))) => {
                let silent = waited(self.limit_s, "the coordinator's handshake").to_string();
                Received::Ended(Ended::Lost(silent))
            }
            Some(Ok(Err(StreamError::Unusable(error)))) => {
                return Err(error).context("the coordinator sent an unusable message");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use hashvfl_transport::runtime::NetworkRuntime;

    use super::*;

    #[test]
    fn a_coordinator_that_says_nothing_in_the_handshake_is_dialled_again() {
        let runtime = NetworkRuntime::on_a_thread().unwrap();
        let (queue, _handed) = tokio::sync::mpsc::channel(1);
        let stream = ServingStream::simulated(queue, Box::new(|_: &mut Context<'_>| Poll::Pending));
        let mut connection =
            ServingConnection { runtime: &runtime, stream, limit_s: 1, stop: Stop::listen() };
        let idle = connection.receive(true, Some(Duration::from_millis(1)));
        assert!(matches!(idle, Ok(Received::Nothing)), "who is in may be silent");
        let Ok(Received::Ended(Ended::Lost(reason))) = connection.receive(false, None) else {
            panic!("it is a coordinator that is lost");
        };
        assert!(reason.contains("waited 1 s for the coordinator's handshake"), "{reason}");
    }
}
