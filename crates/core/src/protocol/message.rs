//! The messages of a run, checked and typed. `proto` turns them into bytes and back.

use crate::digest::Digest;
use crate::gradient::Gradient;
use crate::name::{PartyName, RunId};
use crate::records::excluded::ExcludedRecords;
use crate::records::plan::RowSelection;
use crate::records::{RecordsDigest, SALT_BYTES};
use crate::settings::Settings;

/// The version of the protocol that this crate speaks. Both sides must speak the same.
pub const PROTOCOL_VERSION: u32 = 3;

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

/// What a party says. About records it says codes and nothing else; there is no field for a float.
#[derive(Debug, Clone, PartialEq)]
pub enum FromParty {
    /// It wants to join.
    Hello(Hello),
    /// Its records, in answer to [`FromCoordinator::Welcome`].
    Records {
        /// Count and digest of them.
        digest: RecordsDigest,
        /// Those that its policy does not allow the whole run for; empty unless the run goes on without them.
        excluded: ExcludedRecords,
    },
    /// Codes of the records of an encode request.
    Codes {
        /// The request's step.
        step: u64,
        /// The packed bits; their number is known from the plan, so it does not travel.
        bytes: Vec<u8>,
    },
    /// A checkpoint was written.
    Checkpointed {
        /// The request's step.
        step: u64,
    },
    /// A checkpoint was loaded.
    Restored {
        /// The request's step.
        step: u64,
    },
    /// The bottom model is frozen.
    Frozen {
        /// The request's step.
        step: u64,
        /// Digest of everything that turns columns into codes.
        encoder: Digest,
    },
    /// The party has kept its model and leaves.
    Finished {
        /// The request's step.
        step: u64,
    },
    /// The party cannot go on.
    Failed {
        /// One line for a person: what, where, what to do. Never a raw value.
        text: String,
    },
}

/// What the coordinator says.
#[derive(Debug, Clone, PartialEq)]
pub enum FromCoordinator {
    /// The handshake goes on: say your records under this salt.
    Welcome {
        /// Drawn anew for every handshake.
        salt: [u8; SALT_BYTES],
    },
    /// The party may not join, or the run is over for it; the last message of a stream.
    Refused {
        /// One line for a person.
        text: String,
    },
    /// The party is in, and waits until all are.
    Accepted,
    /// All parties are in: steps follow.
    Begin {
        /// Records that any of them leaves out: no step is about them.
        excluded: ExcludedRecords,
    },
    /// Encode these records; for a [`RowSelection::Batch`], a gradient follows.
    Encode {
        /// Number of this request, one more than the last.
        step: u64,
        /// The records.
        rows: RowSelection,
    },
    /// Encode inputs that the party draws itself, evenly over the ranges of its columns: they are no records.
    EncodeSynthetic {
        /// Number of this request.
        step: u64,
        /// The chunk of them, from 0; each is of [`crate::records::plan::CHUNK_ROWS`].
        chunk: u32,
    },
    /// The gradient of the codes of `step`.
    Gradient {
        /// The step of the encode request.
        step: u64,
        /// The gradient.
        gradient: Gradient,
    },
    /// Write a checkpoint under `label`, replacing one of that label.
    Checkpoint {
        /// Number of this request.
        step: u64,
        /// The label.
        label: CheckpointLabel,
    },
    /// Go back to the checkpoint of that label.
    Restore {
        /// Number of this request.
        step: u64,
        /// The label.
        label: CheckpointLabel,
    },
    /// Learn no more: fix weights, statistics and thresholds.
    Freeze {
        /// Number of this request.
        step: u64,
    },
    /// Keep the model and leave.
    Finish {
        /// Number of this request.
        step: u64,
    },
}

/// Which checkpoint is meant. A closed set, so that a peer never chooses a file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointLabel {
    /// The best epoch on validation records so far.
    Best,
    /// The latest state, from which a run goes on.
    Latest,
}

impl CheckpointLabel {
    /// The label as part of a file name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Latest => "latest",
        }
    }
}

impl FromParty {
    /// The kind of message, for errors and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::Records { .. } => "Records",
            Self::Codes { .. } => "Codes",
            Self::Checkpointed { .. } => "Checkpointed",
            Self::Restored { .. } => "Restored",
            Self::Frozen { .. } => "Frozen",
            Self::Finished { .. } => "Finished",
            Self::Failed { .. } => "Failed",
        }
    }
}

impl FromCoordinator {
    /// The kind of message, for errors and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "Welcome",
            Self::Refused { .. } => "Refused",
            Self::Accepted => "Accepted",
            Self::Begin { .. } => "Begin",
            Self::Encode { .. } => "Encode",
            Self::Gradient { .. } => "Gradient",
            Self::Checkpoint { .. } => "Checkpoint",
            Self::Restore { .. } => "Restore",
            Self::EncodeSynthetic { .. } => "Draw",
            Self::Freeze { .. } => "Freeze",
            Self::Finish { .. } => "Finish",
        }
    }
}
