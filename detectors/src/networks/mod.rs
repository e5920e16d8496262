//! Detectors that are small networks and learn normal rows: those of a party, which sees its columns and its embedding,
//! one of the coordinator, on codes, and one on codes with labels, for training records.

mod adapter;
mod autoencoder;
mod by_bits;
mod doubt;
mod labelled;
mod mismatch;
mod student;
mod train;

use serde::{Deserialize, Serialize};

pub use adapter::Adapter;
pub use autoencoder::Autoencoder;
pub use doubt::Doubt;
pub use labelled::{Labelled, Told, label_p_values};
pub use mismatch::Mismatch;
pub use student::Student;

use crate::error::DetectorError;
use crate::rows::Local;
use crate::{Detector, Score};

/// Which detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartyKind {
    /// [`Autoencoder`].
    Autoencoder,
    /// [`Adapter`].
    Adapter,
    /// [`Student`].
    Student,
}

impl PartyKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Autoencoder, Self::Adapter, Self::Student];

    /// Those that are combined unless others are named: the two that look at columns, where nothing is lost yet.
    pub const DEFAULT: [Self; 2] = [Self::Autoencoder, Self::Student];

    /// Its name in settings and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Autoencoder => "autoencoder",
            Self::Adapter => "adapter",
            Self::Student => "student",
        }
    }

    /// Fits it on normal rows.
    ///
    /// # Errors
    /// If the rows are too few or too wide.
    pub fn fit(self, normal: &Local<'_>, seed: u64) -> Result<PartyDetector, DetectorError> {
        Ok(match self {
            Self::Autoencoder => PartyDetector::Autoencoder(Autoencoder::fit(normal, seed)?),
            Self::Adapter => PartyDetector::Adapter(Adapter::fit(normal, seed)?),
            Self::Student => PartyDetector::Student(Student::fit(normal, seed)?),
        })
    }
}

/// A fitted detector.
// Few of them exist, each for a whole run: their size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum PartyDetector {
    Autoencoder(Autoencoder),
    Adapter(Adapter),
    Student(Student),
}

impl PartyDetector {
    /// Which it is.
    pub fn kind(&self) -> PartyKind {
        match self {
            Self::Autoencoder(_) => PartyKind::Autoencoder,
            Self::Adapter(_) => PartyKind::Adapter,
            Self::Student(_) => PartyKind::Student,
        }
    }

    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        match self {
            Self::Autoencoder(detector) => detector.check(),
            Self::Adapter(detector) => detector.check(),
            Self::Student(detector) => detector.check(),
        }
    }
}

impl Score<Local<'_>> for PartyDetector {
    fn score(&self, rows: &Local<'_>) -> Result<Vec<f64>, DetectorError> {
        match self {
            Self::Autoencoder(detector) => detector.score(rows),
            Self::Adapter(detector) => detector.score(rows),
            Self::Student(detector) => detector.score(rows),
        }
    }
}
