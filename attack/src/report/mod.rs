//! The report: what was attacked, what was got back, and how far to believe it.
//!
//! [`write()`] makes `report.json` and `report.html`, one file that needs neither network nor scripts. All text
//! is generated from the figures: the strongest attack never stands without its baseline and interval.

mod escape;
mod figure;
mod files;
mod model;
pub mod names;
mod page;
pub(crate) mod pictures;
mod relate;
#[cfg(test)]
mod sample;
mod summary;
mod table;
mod text;

pub use escape::escape;
pub use files::{ReportError, write};
pub use model::*;
pub use page::{html, sheet};
pub use pictures::chart::figure as chart;
pub use relate::{baseline_of, strongest};
pub use summary::{Statement, summary};
pub use text::text;
