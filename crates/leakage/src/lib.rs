//! What codes tell of the columns that they were made of: regressions that guess columns, how well they do, with intervals,
//! and the check of a party's own codes by them ([`check`]).
//!
//! The attacks of a privacy report and a party's own check use the same regressions and the same figures.

pub mod categories;
pub mod check;
pub mod copied;
pub mod cores;
pub mod metrics;
pub mod regression;
