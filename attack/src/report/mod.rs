//! The report: what was attacked, what was got back, and how far to believe it.
//!
//! [`write()`] makes `report.json` and `report.html`, one file that needs neither network nor scripts. All text
//! is generated from the figures: the strongest attack never stands without its baseline and interval.

mod axis;
mod chart;
mod escape;
mod figure;
mod files;
mod grid;
mod label;
mod model;
pub mod names;
mod page;
mod png;
mod relate;
#[cfg(test)]
mod sample;
mod scatter;
mod summary;
mod table;
mod text;

pub use chart::figure as chart;
pub use escape::escape;
pub use files::{ReportError, write};
pub use model::*;
pub use page::{html, sheet};
pub use relate::{baseline_of, strongest};
pub use summary::{Statement, summary};
pub use text::text;
