//! Which answers rest on an input that should not be trusted: a row joined wrongly, a broken sensor, an attack.
//!
//! ```text
//! at the coordinator, on codes          at a party, before hashing
//!  codes, class, features -> Seen        columns, embedding -> Local
//!        `----------- Detector: fit on normal rows, score; higher is stranger ----------'
//!                 Panel: several scores -> one score -> p-value (conformal) -> flag
//! ```
//!
//! A [`Detector`] gives scores without a scale. [`calibration::conformal`] turns a score into a p-value by comparing it with those
//! of normal rows that fitted nothing, and [`Panel`] does both for a chosen set of detectors. [`drift`] watches
//! p-values over time, [`screen`] judges training records, [`codes::batch`] compares a batch of rows with itself.
//!
//! [`networks`] go through `hashvfl-learning`; all else computes here.

pub mod calibration;
pub mod codes;
pub mod coordinator;
pub mod drift;
pub mod error;
pub mod features;
pub mod file;
pub mod histogram;
pub mod limits;
pub mod networks;
pub mod party;
pub mod rows;
pub mod screen;
pub mod split;

pub use calibration::combine::Combination;
pub use calibration::panel::{Calibrated, Panel};
pub use codes::Codes;
pub use codes::batch::{BatchKind, References};
pub use coordinator::{CoordinatorDetector, CoordinatorKind, FitExtras};
pub use error::DetectorError;
pub use networks::{GivenLabels, Labelled, label_p_values};
pub use party::{PartyDetector, PartyKind};
pub use rows::{CoordinatorRows, PartyRows, Values};

/// Says how strange rows are. Scores have no scale: only their order means something.
pub trait Score<Input: ?Sized> {
    /// A score for each row; higher is stranger. Finite.
    ///
    /// # Errors
    /// If the rows are of other lengths than those fitted on.
    fn score(&self, rows: &Input) -> Result<Vec<f64>, DetectorError>;
}

/// A way to tell strange rows from normal ones, learned from normal rows alone.
pub trait Detector<Input: ?Sized>: Score<Input> + Sized {
    /// Learns what is normal. The result depends on the arguments alone.
    ///
    /// # Errors
    /// If the rows are too few or do not fit together.
    fn fit(normal: &Input, seed: u64) -> Result<Self, DetectorError>;
}
