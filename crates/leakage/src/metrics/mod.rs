//! How a guess is scored: pure functions over what was true and what was guessed.
//!
//! Tables are row-major, [rows, columns]. A reference prediction is fitted elsewhere, on other rows: fitted on the rows that
//! are scored it would look too good, and the guess too bad. Most functions give one figure per record, so that `bootstrap` can
//! resample records.
//!
//! Tables of unequal length are a mistake of the caller and panic.

pub mod bootstrap;
pub mod error;
pub mod proportion;
pub mod ratio;
pub mod reidentify;

pub use bootstrap::Bootstrap;
use serde::Serialize;

/// A figure with its interval over records.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
}

impl Estimate {
    /// Whether the figure and both ends are numbers: a figure of no records is none.
    pub fn is_finite(&self) -> bool {
        [self.value, self.low, self.high].iter().all(|figure| figure.is_finite())
    }
}
