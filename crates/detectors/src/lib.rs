//! Detectors of abnormal (out-of-distribution) inputs: a row joined wrongly, a broken sensor, an attack.
//!
//! ```text
//! at the coordinator, on codes                       at a party, before hashing
//!  codes, class, features -> CoordinatorRows          columns, embedding -> PartyRows
//!        `----- Detector: fit on normal rows, then score rows; higher is stranger -----'
//!                Panel: several scores -> one score -> p-value (conformal) -> flag
//! ```
//!
//! A [`Detector`] gives scores without a scale. [`calibration`] turns scores into p-values by comparison with normal rows on
//! which nothing was fitted, for one detector or for a [`Panel`] of several, and watches them over time.
//! [`coordinator`] and [`party`] register the detectors of the two sides. [`batch`] compares a batch of rows with itself, and
//! [`screening`] judges training records.
//!
//! Networks go through `hashvfl-learning`; all else computes here.

pub mod batch;
pub mod calibration;
pub mod codes;
pub mod coordinator;
pub mod detector;
pub mod error;
pub mod file;
pub mod limits;
mod networks;
mod numerics;
pub mod party;
mod registry;
pub mod screening;
pub mod values;

pub use batch::{BatchKind, References};
pub use calibration::combine::Combination;
pub use calibration::evidence::CalibrationEvidence;
pub use calibration::panel::{Calibrated, Panel};
pub use calibration::settings::DetectorSettings;
pub use calibration::split::CalibrationSplit;
pub use codes::Codes;
pub use coordinator::{CoordinatorDetector, CoordinatorKind, CoordinatorNormal, CoordinatorRows};
pub use detector::{Detector, DetectorKind, Input, Needs, Score};
pub use error::DetectorError;
pub use party::{PartyDetector, PartyKind, PartyRows};
pub use values::MatrixView;
