//! Which answers rest on an input that should not be trusted: a row joined wrongly, a broken sensor, an attack.
//!
//! ```text
//! at the coordinator, on codes          at a party, before hashing
//!  codes, class, features -> Seen        columns, embedding -> Local
//!        `----------- Detector: fit on normal rows, score; higher is stranger ----------'
//!                 Panel: several scores -> one score -> p-value (conformal) -> flag
//! ```
//!
//! A [`Detector`] gives scores without a scale. [`conformal`] turns a score into a p-value by comparing it with those
//! of normal rows that fitted nothing, and [`Panel`] does both for a chosen set of detectors, [`evidence`] for those of
//! several sides. [`drift`] watches
//! p-values over time, [`screen`] judges training records, [`batch`] compares a batch of rows with itself.
//!
//! [`networks`] go through `hashvfl-learning`; all else computes here.

pub mod batch;
pub mod centres;
pub mod codes;
pub mod combine;
pub mod components;
pub mod conformal;
pub mod coordinator;
pub mod dependence;
pub mod disagreement;
pub mod distance;
pub mod drift;
pub mod error;
pub mod evidence;
pub mod file;
pub mod gaussians;
pub mod histogram;
pub mod limits;
pub mod linear;
pub mod mutual;
pub mod neighbours;
pub mod networks;
pub mod panel;
pub mod party;
pub mod rarity;
pub mod rows;
pub mod screen;
pub mod split;
pub mod tail;

pub use batch::{BatchKind, References};
pub use codes::Codes;
pub use combine::Combination;
pub use coordinator::{Beside, CoordinatorDetector, CoordinatorKind};
pub use error::DetectorError;
pub use evidence::Evidence;
pub use networks::{Labelled, Told, label_p_values};
pub use panel::{Calibrated, Panel, Scaled};
pub use party::{PartyDetector, PartyKind};
pub use rows::{Local, Seen, Values};

/// Says how strange rows are. Scores have no scale: only their order means something.
pub trait Score<Rows: ?Sized> {
    /// A score for each row; higher is stranger. Finite.
    ///
    /// # Errors
    /// If the rows are of other lengths than those fitted on.
    fn score(&self, rows: &Rows) -> Result<Vec<f64>, DetectorError>;
}

/// A way to tell strange rows from normal ones, learned from normal rows alone.
pub trait Detector<Rows: ?Sized>: Score<Rows> + Sized {
    /// Learns what is normal. The result depends on the arguments alone.
    ///
    /// # Errors
    /// If the rows are too few or do not fit together.
    fn fit(normal: &Rows, seed: u64) -> Result<Self, DetectorError>;
}
