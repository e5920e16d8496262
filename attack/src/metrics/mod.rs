//! How an attack is scored: pure functions over what was true and what was guessed.
//!
//! Tables are row-major, [rows, columns], in the units in which the report says that columns are scored. A
//! reference prediction is fitted elsewhere, on auxiliary rows: fitted on the targets it would look too good,
//! and the attack too bad. Most functions give one figure per record, so that `bootstrap` can resample records.
//!
//! Tables of unequal length are a mistake of the caller and panic.

pub mod area;
pub mod attribute;
pub mod best;
#[cfg(test)]
mod coverage;
pub mod dcs;
pub mod image;
pub mod label;
pub mod worst;
