//! How a networked step fails.

use hashvfl_core::PartyName;
use hashvfl_core::protocol::coordinator::PeerError;
use hashvfl_core::protocol::exchange::ResumeError;
use hashvfl_core::protocol::timeout_counter::MOST_VAIN_WAITS;
use hashvfl_learning::snapshot::SnapshotError;
use hashvfl_ledger::{AnswerLogError, LedgerError};
use hashvfl_proto::WireError;
use hashvfl_transcript::TranscriptError;
use hashvfl_transport::StreamError;
use hashvfl_transport::stop::Stopped;

use crate::training::cancellation::Cancelled;
use crate::training::line::LineError;

/// How a networked step fails. Each names the step and the party.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A party's message is not the answer.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A party's message is not valid.
    #[error("step {step}: {party} sent an unusable message: {source}")]
    Wire {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// What is wrong with it.
        source: WireError,
    },
    /// A party came back on another connection and could not go on.
    #[error("step {step}: {party} reconnected, but cannot continue the run: {source}")]
    OtherPast {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// Why not.
        source: ResumeError,
    },
    /// A party's stream ended.
    #[error("step {step}: lost {party}: {reason}: check its log, then start again every side that has ended")]
    Lost {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// How.
        reason: String,
    },
    /// A party has left: its process was asked to end, it has waited in vain, or its disk is full.
    #[error(
        "step {step}: {party} left, because its process was asked to end, one of its timeouts passed, or it cannot \
         write its files: the run continues when all sides are connected again"
    )]
    Left {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
    },
    /// A party is no longer accepted, for example because it was revoked, so nobody waits for it.
    #[error("step {step}: the run ends without {party}: {reason}")]
    Refused {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// Why.
        reason: String,
    },
    /// A party did not answer in time.
    #[error("step {step}: waited {limit_s} s (timeouts.step_s) for {party}: is it still at work?")]
    Wait {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// The limit.
        limit_s: u64,
    },
    /// The same again and again: it would take as long once more.
    #[error(
        "step {step}: waited {limit_s} s for {party}, and {MOST_VAIN_WAITS} such waits in a row were in vain: raise timeouts.step_s, or see what keeps it"
    )]
    InVain {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// The limit.
        limit_s: u64,
    },
    /// What is about to leave cannot be counted.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The transcript cannot be written.
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
    /// A gradient is not the one that was sent before the run went back to a checkpoint, or cannot be written down.
    #[error(transparent)]
    Answers(#[from] AnswerLogError),
    /// A checkpoint cannot be written.
    #[error(transparent)]
    Checkpoint(#[from] SnapshotError),
    /// The operating system gives no random numbers.
    #[error("cannot draw the name of a checkpoint from the operating system")]
    Random,
    /// This process was asked to end.
    #[error("step {step}: the coordinator was asked to end")]
    Stopped {
        /// The step.
        step: u64,
        /// Why.
        source: Stopped,
    },
    /// The operator has cancelled the run.
    #[error("step {step}: {why}")]
    Cancelled {
        /// The step.
        step: u64,
        /// What parties are told.
        why: Cancelled,
    },
}

impl NetworkError {
    pub(super) fn of_stream(step: u64, party: &PartyName, error: StreamError) -> Self {
        let party = party.clone();
        match error {
            StreamError::TimedOut(limit) => Self::Wait { step, party, limit_s: limit.as_secs() },
            StreamError::Closed => Self::Lost { step, party, reason: "it closed its stream".into() },
            StreamError::Broken(reason) => Self::Lost { step, party, reason },
            StreamError::Refused(reason) => Self::Refused { step, party, reason },
            StreamError::Unusable(source) => Self::Wire { step, party, source },
        }
    }

    pub(super) fn of_line(step: u64, party: &PartyName, error: LineError) -> Self {
        let party = party.clone();
        match error {
            LineError::Stream(error) => Self::of_stream(step, &party, error),
            LineError::Left => Self::Left { step, party },
            LineError::Lost { .. } | LineError::Anew => Self::Lost { step, party, reason: error.to_string() },
            LineError::OtherPast(source) => Self::OtherPast { step, party, source },
        }
    }
}
