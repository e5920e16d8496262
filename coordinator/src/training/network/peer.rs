//! One party of a run: its place in the protocol, and the way to it.

use std::time::{Duration, Instant};

use hashvfl_core::protocol::coordinator::{PeerAnswer, PeerSession};
use hashvfl_core::protocol::message::{AuditHead, CheckpointId, FromCoordinator, FromParty};
use hashvfl_transport::Received;
use tracing::warn;

use super::NetworkError;
use crate::training::commit::PARTING;
use crate::training::line::{LineError, PartyLine};

/// Longest waits for a party.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineLimits {
    /// For an answer, and until the network takes a message.
    pub answer: Duration,
    /// Until a party is back whose connection broke.
    pub reconnect: Duration,
}

/// A party of the run, and the way to it.
pub(super) struct Peer {
    pub session: PeerSession,
    pub line: PartyLine,
}

/// An answer to a request, with its length on the wire in bytes.
pub(super) struct Answered {
    pub answer: PeerAnswer,
    pub bytes: usize,
    /// How long this side waited for it.
    pub took: Duration,
}

/// What a party has said to the decision that the run has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commitment {
    /// Its model counts.
    Committed,
    /// Nothing: its process has ended, and a new one asks.
    Asks,
    /// Nothing.
    Silent,
}

impl Peer {
    /// Sends a message; returns its length in bytes.
    pub async fn send(
        &mut self,
        step: u64,
        message: FromCoordinator,
        limits: LineLimits,
    ) -> Result<usize, NetworkError> {
        let sent = self.line.send(message, limits.answer).await;
        sent.map_err(|error| NetworkError::of_stream(step, self.session.party(), error))
    }

    pub async fn receive(&mut self, step: u64, limits: LineLimits) -> Result<Answered, NetworkError> {
        let began = Instant::now();
        let received = self.line.next_within(limits.answer, limits.reconnect).await;
        let Received { message, bytes } =
            received.map_err(|error| NetworkError::of_line(step, self.session.party(), error))?;
        Ok(Answered { answer: self.session.receive(message)?, bytes, took: began.elapsed() })
    }

    /// Waits until the party has said that all it needs to go on from `id` is on disk.
    pub async fn saved(
        &mut self,
        step: u64,
        id: CheckpointId,
        limits: LineLimits,
    ) -> Result<(), NetworkError> {
        let received = self.line.next_within(limits.answer, limits.reconnect).await;
        let received = received.map_err(|error| NetworkError::of_line(step, self.session.party(), error))?;
        Ok(self.session.receive_saved(id, received.message)?)
    }

    /// Waits until the party says that its model counts now.
    pub async fn committed(&mut self, limits: LineLimits) -> Commitment {
        match self.line.next_within(limits.reconnect, limits.reconnect).await {
            Ok(Received { message: FromParty::Committed, .. }) => Commitment::Committed,
            Err(LineError::Anew) => Commitment::Asks,
            _ => {
                warn!(
                    "{} saved its model but did not confirm the commit: restart both sides with the same command",
                    self.session.party()
                );
                Commitment::Silent
            }
        }
    }

    /// The head of the party's audit log after the run; a party that tells none any more ends nothing, and is warned of.
    pub async fn last_head(&mut self, limits: LineLimits) -> Option<AuditHead> {
        let party = self.session.party().clone();
        match self.line.next_within(limits.reconnect, limits.reconnect).await {
            Ok(Received { message: FromParty::Head(head), .. }) => {
                Some(AuditHead { party: Some(party), ..head })
            }
            _ => {
                warn!("{party} did not send the head of its audit trail after the run");
                None
            }
        }
    }

    /// Says `last`, where there is something to say, and waits until the party has heard all.
    pub async fn part(mut self, last: Option<FromCoordinator>, limits: LineLimits) {
        let sent = match last {
            Some(last) => self.line.send(last, limits.answer).await.map(drop),
            None => Ok(()),
        };
        let parted = match sent {
            Ok(()) => self.line.close(PARTING, PARTING.min(limits.reconnect)).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = parted {
            warn!(
                "{} may not have received the heads of audit trails after the run: {error}",
                self.session.party()
            );
        }
    }
}
