//! The messages of a run, checked and typed, and the table of requests: what answers each, and when a party allows it.
//! `proto` turns messages into bytes and back.
//!
//! What the coordinator asks of parties is a [`Request`]. One that says nothing about records, and whose answer says
//! nothing but that it was carried out, is a [`Command`]: it needs a line in [`Request::rule`] and no code of its own in
//! the state machines.

use std::fmt;

use crate::digest::Digest;
use crate::gradient::Gradient;
use crate::hex::{bytes_of_hex, hex};
use crate::name::{PartyName, RunId};
use crate::p_value::Grid;
use crate::protocol::exchange::Mark;
use crate::records::excluded::ExcludedRecords;
use crate::records::plan::RowSelection;
use crate::records::{RecordsDigest, SALT_BYTES};
use crate::settings::Settings;

/// The version of the protocol that this crate speaks.
pub const PROTOCOL_VERSION: u32 = 6;

/// The oldest version of a party that a coordinator of [`PROTOCOL_VERSION`] takes: it lacks only [`FromParty::Leaving`].
pub const OLDEST_PROTOCOL_VERSION: u32 = 5;

/// Whether `own`, which is of this version, takes a `peer` that speaks `version`.
///
/// # Errors
/// If not: one line with both versions, and what to do at which side.
pub fn check_version(version: u32, peer: &str, own: &str) -> Result<(), String> {
    if (OLDEST_PROTOCOL_VERSION..=PROTOCOL_VERSION).contains(&version) {
        return Ok(());
    }
    let what = format!(
        "{peer} speaks protocol version {version}, but {own} accepts only {OLDEST_PROTOCOL_VERSION} to \
         {PROTOCOL_VERSION}"
    );
    Err(match version > PROTOCOL_VERSION {
        true => format!("{what}: install {peer}'s release at {own}, or {own}'s at {peer}"),
        false => format!("{what}: install {own}'s release at {peer}"),
    })
}

/// The first message of a party.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    /// The protocol version that the party speaks.
    pub protocol: u32,
    /// The run that it wants to join.
    pub run: RunId,
    /// Its name.
    pub party: PartyName,
    /// The settings that it agrees to.
    pub settings: Settings,
    /// SHA-256 of them, as the party computed it.
    pub settings_digest: Digest,
}

/// What a party shows when it returns to its run on another connection. The coordinator draws one for each party that it
/// accepts, and both keep it only in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(pub [u8; 32]);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// Names a checkpoint from which a run can go on. The coordinator draws it, and every side keeps its own state under it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId(pub [u8; CheckpointId::BYTES]);

impl CheckpointId {
    /// Its length in bytes.
    pub const BYTES: usize = 16;

    /// Reads the 32 hex digits that [`fmt::Display`] writes.
    pub fn from_hex(text: &str) -> Option<Self> {
        bytes_of_hex(text)?.try_into().ok().map(Self)
    }
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointId({self})")
    }
}

/// The first message of a party on another connection than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// The run that it is in.
    pub run: RunId,
    /// Its name.
    pub party: PartyName,
    /// What it got when it was accepted.
    pub session: SessionKey,
    /// What has come to it since then.
    pub mark: Mark,
}

/// The head of a side's audit log: what says of the log all that is in it (`hashvfl-audit`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    /// Whose log it is: a party's, or the coordinator's.
    pub party: Option<PartyName>,
    /// Entries of the log.
    pub sequence: u64,
    /// SHA-256 of the last one.
    pub entry: Digest,
    /// The side's signature; empty where it does not sign.
    pub signature: Vec<u8>,
}

messages! {
    /// What the coordinator says.
    #[derive(Debug, Clone, PartialEq)]
    pub enum FromCoordinator {
        /// Continues the handshake: send the digest of your records under this salt.
        Welcome {
            /// Drawn anew for every handshake.
            salt: [u8; SALT_BYTES],
        },
        /// The party may not join, or the run is over for it; the last message of a stream.
        Refused {
            /// One line for a person.
            text: String,
            /// Whether the same may be right a little later.
            try_again: bool,
        },
        /// The party is in, and waits until all are. The exchange between both is counted from here on.
        Accepted {
            /// What the party shows when it returns on another connection; `None` from a coordinator to which it cannot.
            session: Option<SessionKey>,
        },
        /// Why a party waits: for the run to begin, or, in a run, for the next request. It goes to one that has said on dialling that
        /// it takes this. It is counted in no exchange, repeated nowhere, and has no answer.
        Notice {
            /// One line for a person.
            text: String,
        },
        /// In answer to [`FromParty::Return`]: what has come to the coordinator. What was missing follows.
        Returned(Mark),
        /// All parties are in: requests follow.
        Begin {
            /// Records that any of them leaves out: no step is about them.
            excluded: ExcludedRecords,
            /// The heads of the sides that have an audit log.
            heads: Vec<AuditHead>,
            /// The checkpoint from which the run goes on; one of those that every party has named.
            resume: Option<CheckpointId>,
        },
        /// A request, with its step: one more than the last.
        Request(u64, Request) of request,
        /// The gradient of the codes of a batch; it has no answer.
        Gradient {
            /// The step of the encode request.
            step: u64,
            /// The gradient.
            gradient: Gradient,
        },
        /// Write down all that you need to go on from here when your process has died. It is no step of the run: when it comes
        /// depends on clocks, and a run that goes on from a checkpoint has the steps of one that was never disturbed.
        Save(CheckpointId),
        /// Every party has written its model, and so has the coordinator: give it its name. It comes behind the last answer,
        /// or in place of [`FromCoordinator::Accepted`] to a party that did not hear it.
        Commit,
        /// The heads of audit logs after the run, once every party has kept its model; the last message of a stream.
        Heads {
            /// Those of the sides that told one.
            heads: Vec<AuditHead>,
        },
    }
}

messages! {
    /// What a party says. About records it says codes, and p-values of a few bits where it is set to; there is no field for a
    /// float.
    #[derive(Debug, Clone, PartialEq)]
    pub enum FromParty {
        /// It wants to join.
        Hello(Hello),
        /// Its connection broke, and this is another: it wants to go on.
        Return(Return),
        /// Its records, in answer to [`FromCoordinator::Welcome`].
        Records {
            /// Count and digest of them.
            digest: RecordsDigest,
            /// Those that its policy does not allow the whole run for; empty unless the run goes on without them.
            excluded: ExcludedRecords,
            /// The head of its audit log, where it has one.
            head: Option<AuditHead>,
            /// The checkpoints from which it can go on; none where the run is new to it.
            checkpoints: Vec<CheckpointId>,
        },
        /// The answer to the request of this step.
        Answer(u64, Answer) of answer,
        /// All that it needs to go on is on disk, under this name.
        Saved(CheckpointId),
        /// Its model counts and has its name, in answer to [`FromCoordinator::Commit`].
        Committed,
        /// Its process was asked to end, a timeout passed, or it cannot write its files, and it will disconnect within seconds;
        /// the run may continue when it is back. Sent at any time after the party was accepted, even before an answer; it has no answer itself.
        Leaving,
        /// The head of its audit log after the run, behind the last answer.
        Head(AuditHead),
        /// The party cannot go on.
        Failed {
            /// One line for a person: what, where, what to do. Never a raw value.
            text: String,
        },
    }
}

messages! {
    /// What the coordinator asks every party for.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Request {
        /// Encode these records; for a [`RowSelection::Batch`], a gradient follows.
        Encode(RowSelection),
        /// Encode inputs that the party draws itself, evenly over the ranges of its columns: they are no records.
        EncodeSynthetic {
            /// The chunk of them, from 0; each is of [`crate::records::plan::CHUNK_ROWS`].
            chunk: u32,
        },
        /// Send what your own detectors say of the records that calibrate, where you will send it of predicted records.
        Calibrate,
        /// Carry this out.
        Command(Command) of command,
        /// Learn no more: fix weights, statistics and thresholds.
        Freeze,
        /// Write the model; it gets its name by [`FromCoordinator::Commit`].
        Finish,
    }
}

messages! {
    /// A request that holds nothing about records and is answered only by a confirmation.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Command {
        /// Write a checkpoint under this label, replacing one of that label.
        Checkpoint(CheckpointLabel),
        /// Go back to the checkpoint of that label.
        Restore(CheckpointLabel),
    }
}

messages! {
    /// What a party answers to a [`Request`].
    #[derive(Debug, Clone, PartialEq)]
    pub enum Answer {
        /// The packed bits of the codes; their number is known from the plan, so it does not travel.
        Codes(Vec<u8>),
        /// The bottom model is frozen: digest of everything that turns columns into codes.
        Frozen(Digest),
        /// p-values of the records that calibrate; `None` from a party that sends none.
        CalibrationPValues(Option<EncodedPValues>),
        /// It was carried out.
        Confirmed(Confirmation) of confirmation,
    }
}

messages! {
    /// What was carried out.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Confirmation {
        /// A checkpoint was written.
        Checkpointed,
        /// A checkpoint was loaded.
        Restored,
        /// The party has written its model.
        Finished,
    }
}

/// p-values of some records, packed; their number is known from the plan, so it does not travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedPValues {
    /// What their values stand for.
    pub grid: Grid,
    /// The packed values, one per record.
    pub bytes: Vec<u8>,
}

/// A line of the protocol's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestRule {
    /// What answers the request.
    pub answer: ExpectedAnswer,
    /// When a party allows it.
    pub phase: RequestPhase,
    /// What it asks for, to follow "to" in an error.
    pub what: &'static str,
}

/// What answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedAnswer {
    /// [`Answer::Codes`].
    Codes,
    /// [`Answer::Frozen`].
    Frozen,
    /// [`Answer::CalibrationPValues`].
    CalibrationPValues,
    /// [`Answer::Confirmed`], with this confirmation.
    Confirmed(Confirmation),
}

/// When a party allows a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestPhase {
    /// While the bottom model learns.
    BeforeFreeze,
    /// Once nothing changes the bottom model any more.
    AfterFreeze,
    /// At any time, as far as the rows allow it.
    Any,
}

impl Request {
    /// The protocol's table.
    pub fn rule(&self) -> RequestRule {
        use Confirmation::{Checkpointed, Finished, Restored};
        use ExpectedAnswer::{Codes, Confirmed, Frozen};
        let (answer, phase, what) = match self {
            Self::Encode(_) => (Codes, RequestPhase::Any, "encode records"),
            Self::EncodeSynthetic { .. } => (Codes, RequestPhase::AfterFreeze, "encode synthetic inputs"),
            Self::Calibrate => (
                ExpectedAnswer::CalibrationPValues,
                RequestPhase::AfterFreeze,
                "send p-values of calibration records",
            ),
            Self::Command(command) => match command {
                Command::Checkpoint(_) => {
                    (Confirmed(Checkpointed), RequestPhase::BeforeFreeze, "write a checkpoint")
                }
                Command::Restore(_) => {
                    (Confirmed(Restored), RequestPhase::BeforeFreeze, "go back to a checkpoint")
                }
            },
            Self::Freeze => (Frozen, RequestPhase::BeforeFreeze, "freeze"),
            Self::Finish => (Confirmed(Finished), RequestPhase::AfterFreeze, "finish"),
        };
        RequestRule { answer, phase, what }
    }
}

impl ExpectedAnswer {
    /// The kind of message that is expected.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Codes => "Codes",
            Self::Frozen => "Frozen",
            Self::CalibrationPValues => "CalibrationPValues",
            Self::Confirmed(confirmation) => confirmation.kind(),
        }
    }
}

impl From<Command> for Request {
    fn from(command: Command) -> Self {
        Self::Command(command)
    }
}

impl From<Confirmation> for Answer {
    fn from(confirmation: Confirmation) -> Self {
        Self::Confirmed(confirmation)
    }
}

/// Which checkpoint is meant. A closed set, so that a peer never chooses a file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointLabel {
    /// The best epoch on validation records so far.
    Best,
}

impl CheckpointLabel {
    /// The label as part of a file name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Best => "best",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_the_names_of_the_wire() {
        let batch = RowSelection::Batch { epoch: 0, batch: 0 };
        let label = CheckpointLabel::Best;
        for (request, kind, answer) in [
            (Request::Encode(batch), "Encode", "Codes"),
            (Request::EncodeSynthetic { chunk: 0 }, "EncodeSynthetic", "Codes"),
            (Request::Calibrate, "Calibrate", "CalibrationPValues"),
            (Command::Checkpoint(label).into(), "Checkpoint", "Checkpointed"),
            (Command::Restore(label).into(), "Restore", "Restored"),
            (Request::Freeze, "Freeze", "Frozen"),
            (Request::Finish, "Finish", "Finished"),
        ] {
            assert_eq!(FromCoordinator::Request(1, request).kind(), kind);
            assert_eq!(request.rule().answer.kind(), answer);
        }
        assert_eq!(FromCoordinator::Accepted { session: None }.kind(), "Accepted");
        assert_eq!(FromParty::Answer(1, Answer::Frozen(Digest([0; 32]))).kind(), "Frozen");
        assert_eq!(FromParty::Answer(1, Confirmation::Finished.into()).kind(), "Finished");
        assert_eq!(FromParty::Failed { text: String::new() }.kind(), "Failed");
    }

    #[test]
    fn names_of_checkpoints_are_hex_digits_alone() {
        let id = CheckpointId(std::array::from_fn(|at| 16 * at as u8));
        assert_eq!(id.to_string(), "00102030405060708090a0b0c0d0e0f0");
        assert_eq!(CheckpointId::from_hex(&id.to_string()), Some(id));
        for text in ["", "00", "+0102030405060708090a0b0c0d0e0f0", "x0102030405060708090a0b0c0d0e0f0"] {
            assert_eq!(CheckpointId::from_hex(text), None, "{text}");
        }
    }
}
