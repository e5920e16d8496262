//! A party's detectors, which look at its columns and at its embedding.
//!
//! A detector has its own file here, which a `mod` and a `pub use` name, and its line in the registry below.

mod adapter;
mod autoencoder;
mod histogram;
mod rows;
mod student;

pub use adapter::Adapter;
pub use autoencoder::Autoencoder;
pub use histogram::Histogram;
pub use rows::PartyRows;
pub use student::Student;

use crate::calibration::combine::Combination;
use crate::registry::registry;

registry! {
    /// A party's detectors.
    kinds PartyKind,
    /// One of a party's detectors, fitted.
    fitted PartyDetector,
    normal PartyRows,
    rows PartyRows,
    // Chosen on spoiled columns of normal validation records alone (`abnormal --choose`), as is the combination.
    default &[Self::Histogram, Self::Autoencoder],
    combination Combination::GeometricMean,
    detectors {
        Histogram stored as "histogram",
        Autoencoder stored as "autoencoder",
        Adapter stored as "adapter",
        Student stored as "student",
    }
}
