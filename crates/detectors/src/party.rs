//! The detectors of a party, which sees its columns and its embedding.

use serde::{Deserialize, Serialize};

use crate::calibration::combine::Combination;
use crate::error::DetectorError;
use crate::histogram::Histogram;
use crate::networks::{Adapter, Autoencoder, Student};
use crate::rows::PartyRows;
use crate::{Detector, Score};

/// Which detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartyKind {
    /// [`Histogram`].
    Histogram,
    /// [`Autoencoder`].
    Autoencoder,
    /// [`Adapter`].
    Adapter,
    /// [`Student`].
    Student,
}

impl PartyKind {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Histogram, Self::Autoencoder, Self::Adapter, Self::Student];

    /// Those that are combined unless others are named. Chosen on spoiled columns of normal validation records alone
    /// (`abnormal --choose`), as is how.
    pub const DEFAULT: &[Self] = &[Self::Histogram, Self::Autoencoder];

    /// How their p-values become one, unless another rule is named.
    pub const COMBINATION: Combination = Combination::GeometricMean;

    /// Its name in settings and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Histogram => "histogram",
            Self::Autoencoder => "autoencoder",
            Self::Adapter => "adapter",
            Self::Student => "student",
        }
    }

    /// Fits it on normal rows.
    ///
    /// # Errors
    /// If the rows are too few or too wide.
    pub fn fit(self, normal: &PartyRows<'_>, seed: u64) -> Result<PartyDetector, DetectorError> {
        Ok(match self {
            Self::Histogram => PartyDetector::Histogram(Histogram::fit(normal, seed)?),
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
    Histogram(Histogram),
    Autoencoder(Autoencoder),
    Adapter(Adapter),
    Student(Student),
}

impl PartyDetector {
    /// Which it is.
    pub fn kind(&self) -> PartyKind {
        match self {
            Self::Histogram(_) => PartyKind::Histogram,
            Self::Autoencoder(_) => PartyKind::Autoencoder,
            Self::Adapter(_) => PartyKind::Adapter,
            Self::Student(_) => PartyKind::Student,
        }
    }

    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        match self {
            Self::Histogram(detector) => detector.check(),
            Self::Autoencoder(detector) => detector.check(),
            Self::Adapter(detector) => detector.check(),
            Self::Student(detector) => detector.check(),
        }
    }
}

impl Score<PartyRows<'_>> for PartyDetector {
    fn score(&self, rows: &PartyRows<'_>) -> Result<Vec<f64>, DetectorError> {
        match self {
            Self::Histogram(detector) => detector.score(rows),
            Self::Autoencoder(detector) => detector.score(rows),
            Self::Adapter(detector) => detector.score(rows),
            Self::Student(detector) => detector.score(rows),
        }
    }
}
