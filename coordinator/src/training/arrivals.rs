//! Where the parties of a run come in: at a port of its own, or at one that several runs of this process share.

use std::future::pending;
use std::sync::Arc;

use anyhow::Context;
use hashvfl_audit::{AuditTrail, Service};
use hashvfl_core::protocol::message::FromParty;
use hashvfl_transport::handshake::{Handshake, HandshakeError};
use hashvfl_transport::listen::{self, Arrivals, Listener, ServeError, TrainingStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::HeldRun;
use super::admission::answer_bytes;
use crate::admission_log::AdmissionLog;
use crate::identity;

/// A stream that a party has opened.
pub struct Arrival {
    /// The stream.
    pub stream: TrainingStream,
    /// What came on it first, or why nothing did, where somebody has looked already.
    first: Option<Result<FromParty, HandshakeError>>,
}

impl Arrival {
    /// One on which nobody has looked for a message.
    pub fn new(stream: TrainingStream) -> Self {
        Self { stream, first: None }
    }

    /// The same where the first message has been waited for.
    pub async fn heard(mut stream: TrainingStream, limit_s: u64) -> Self {
        let first = Handshake::new(&mut stream, limit_s).first().await;
        Self { stream, first: Some(first) }
    }

    /// What has come already.
    pub fn heard_first(&self) -> Option<&FromParty> {
        self.first.as_ref()?.as_ref().ok()
    }

    /// The party's first message, to be taken once.
    ///
    /// # Errors
    /// As [`Handshake::first`].
    pub async fn first(&mut self, limit_s: u64) -> Result<FromParty, HandshakeError> {
        match self.first.take() {
            Some(first) => first,
            None => Handshake::new(&mut self.stream, limit_s).first().await,
        }
    }
}

/// Streams of parties, in the order in which they come to a run.
pub enum PartyStreams {
    /// At its own port.
    Own(Arrivals<TrainingStream>),
    /// At one that it shares, where the first message says to which run a stream goes.
    Shared(mpsc::Receiver<Arrival>),
}

impl PartyStreams {
    /// The next stream; `None` once the server has ended.
    pub async fn next(&mut self) -> Option<Arrival> {
        match self {
            Self::Own(arrivals) => Some(Arrival::new(arrivals.next().await?)),
            Self::Shared(arrivals) => arrivals.recv().await,
        }
    }
}

/// Where it is written down who joins a run, and who is refused.
pub fn admission_log(run: &HeldRun<'_>, audit: Arc<AuditTrail>) -> Arc<AdmissionLog> {
    let (parties, board) = (run.config.run.parties.clone(), Arc::clone(run.reporter.board()));
    Arc::new(AdmissionLog::new(audit, Service::Training, parties, board))
}

/// Lets the parties of a run come in, as whom its config names; with the server, which ends where it fails. `log` hears who is
/// turned away by a certificate.
///
/// # Errors
/// If nobody can listen.
pub async fn let_in(
    run: &HeldRun<'_>,
    log: Arc<AdmissionLog>,
) -> anyhow::Result<(PartyStreams, JoinHandle<Result<(), ServeError>>)> {
    let HeldRun { config, reporter, shared } = run;
    if let Some(port) = shared {
        let arrivals = port.enter(&config.run_id, log);
        reporter.listening(port.address());
        // It ends with the process.
        return Ok((PartyStreams::Shared(arrivals), tokio::spawn(pending())));
    }
    let listener = Listener::bind(config.listen, config.listening(answer_bytes(config)))
        .await
        .with_context(|| config.cannot_listen())?;
    let listener = identity::secure(listener, config, identity::parties(&config.run.parties), log)?;
    reporter.listening(listener.address()?);
    let (arrivals, serving) = listen::training(listener);
    Ok((PartyStreams::Own(arrivals), tokio::spawn(serving)))
}
