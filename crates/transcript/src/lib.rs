//! Transcripts: what one side of a run saw of each record, step by step, for attacks and audits.
//!
//! A Parquet file of one row per record, party and step: `step`, `kind` (`batch`, `gradient`, or the part that was
//! encoded), `epoch` (from 0; -1 outside training), `record` (the row number), `party`, `encoding` (`bits`: a code,
//! least significant bit first; `f32`: little-endian floats), `value`, and `chain`. The chain of a step is the
//! SHA-256 over the chain of the step before and everything that the step holds; the first goes over the header,
//! which stands in the file's metadata as `hashvfl.header`, and the last stands there as `hashvfl.head`. Who keeps
//! the head elsewhere (a run's summary has it) can tell whether any step was changed, removed or added since.
//!
//! Codes are as private as columns until an attack on them has shown otherwise: the file's mode is 0600.

mod batches;
mod chain;
mod erase;
mod error;
mod expiry;
mod header;
mod read;
mod rows;
mod spool;
mod write;

pub use batches::RecordedBatches;
pub use erase::{Erased, erase};
pub use error::TranscriptError;
pub use expiry::{Expiry, expire, expire_unfinished};
pub use header::{Erasure, SentValues, TranscriptHeader, VERSION};
pub use read::{Recording, Step};
pub use spool::{TranscriptMark, TranscriptSpool};
pub use write::Transcript;

use hashvfl_core::{Part, RowSelection};

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueEncoding {
    /// A code: bits from the least significant of the first byte on; unused bits are zero.
    Bits,
    /// Little-endian floats.
    F32,
}

impl ValueEncoding {
    fn name(self) -> &'static str {
        match self {
            Self::Bits => "bits",
            Self::F32 => "f32",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Bits, Self::F32].into_iter().find(|encoding| encoding.name() == name)
    }
}

/// What a step was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordedKind {
    /// Codes of a training batch of this epoch, from 0.
    Batch {
        /// The epoch.
        epoch: u32,
    },
    /// Gradients of a training batch of this epoch, from 0.
    Gradient {
        /// The epoch.
        epoch: u32,
    },
    /// Codes of a part outside training.
    Part(Part),
}

/// Which step is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedStep {
    /// Its number in the run, from 1.
    pub number: u64,
    /// What it was about.
    pub kind: RecordedKind,
}

const PARTS: [(Part, &str); 6] = [
    (Part::Train, "train"),
    (Part::Validation, "validation"),
    (Part::Test, "test"),
    (Part::CohortTrain, "cohort-train"),
    (Part::CohortValidation, "cohort-validation"),
    (Part::Calibration, "calibration"),
];

impl RecordedKind {
    /// The kind of the codes of `rows`.
    pub fn of(rows: RowSelection) -> Self {
        match rows {
            RowSelection::Batch { epoch, .. } => Self::Batch { epoch },
            RowSelection::Chunk { part, .. } => Self::Part(part),
        }
    }

    fn columns(self) -> (&'static str, i32) {
        match self {
            Self::Batch { epoch } => ("batch", epoch as i32),
            Self::Gradient { epoch } => ("gradient", epoch as i32),
            Self::Part(part) => {
                (PARTS.iter().find(|(other, _)| *other == part).map_or("", |(_, name)| name), -1)
            }
        }
    }

    fn parse(name: &str, epoch: i32) -> Option<Self> {
        match (name, u32::try_from(epoch)) {
            ("batch", Ok(epoch)) => Some(Self::Batch { epoch }),
            ("gradient", Ok(epoch)) => Some(Self::Gradient { epoch }),
            (_, Err(_)) => PARTS.iter().find(|(_, other)| *other == name).map(|(part, _)| Self::Part(*part)),
            _ => None,
        }
    }
}
