//! Where the parties of a run come in.

use anyhow::Context;
use hashvfl_core::protocol::message::FromParty;
use hashvfl_transport::handshake::{Handshake, HandshakeError};
use hashvfl_transport::listen::{self, Arrivals, Listener, ServeError, TrainingStream};
use tokio::task::JoinHandle;

use super::HeldRun;
use super::admission::answer_bytes;
use crate::identity;
use crate::permissions::{self, Action};

/// A stream that a party has opened.
pub struct Arrival {
    /// The stream.
    pub stream: TrainingStream,
}

impl Arrival {
    /// One on which nobody has looked for a message.
    pub fn new(stream: TrainingStream) -> Self {
        Self { stream }
    }

    /// The party's first message, to be taken once.
    ///
    /// # Errors
    /// As [`Handshake::first`].
    pub async fn first(&mut self, limit_s: u64) -> Result<FromParty, HandshakeError> {
        Handshake::new(&mut self.stream, limit_s).first().await
    }
}

/// Streams of parties, in the order in which they come to a run.
pub struct PartyStreams(Arrivals<TrainingStream>);

impl PartyStreams {
    /// The next stream; `None` once the server has ended.
    pub async fn next(&mut self) -> Option<Arrival> {
        Some(Arrival::new(self.0.next().await?))
    }
}

/// Lets the parties of a run come in, as whom its config names and who may join; with the server, which ends where it fails.
///
/// # Errors
/// If nobody can listen, or a party of the run may not join.
pub async fn let_in(run: &HeldRun<'_>) -> anyhow::Result<(PartyStreams, JoinHandle<Result<(), ServeError>>)> {
    let HeldRun { config, reporter } = run;
    let listener = Listener::bind(config.listen, config.listening(answer_bytes(config)))
        .await
        .with_context(|| config.cannot_listen())?;
    let listener = identity::secure(listener, config, identity::parties(&config.run.parties))?;
    permissions::check_parties(config, &config.run.parties, Action::Join)?;
    reporter.listening(listener.address()?);
    let (arrivals, serving) = listen::training(listener);
    Ok((PartyStreams(arrivals), tokio::spawn(serving)))
}
