//! The report: what was attacked, what was reconstructed, and how far to believe it.
//!
//! [`write()`] makes `report.json` and `report.html`, one file that needs neither network nor scripts. All text
//! is generated from the figures: the strongest attack never stands without its baseline and interval. Attacks, victims,
//! defences, metrics and knowledge are ids; their names for people come only from their `Display`.

mod answers;
mod defence;
mod details;
mod exposed;
mod files;
mod json;
mod knowledge;
mod label_questions;
mod limits;
mod metric;
mod model;
mod page;
pub(crate) mod pictures;
mod questions;
mod records;
mod relate;
#[cfg(test)]
pub(crate) mod sample;
mod sheet;
mod summary;
mod table;
mod text;
mod victim;

pub use answers::{StrongestAttack, answers};
pub use defence::{Change, Defence, Hijack, Sent};
pub use exposed::ExposedNumber;
pub use files::{ReportError, write};
pub use knowledge::Knowledge;
pub use label_questions::label_questions;
pub use limits::PrivacyLimits;
pub use metric::{Metric, Quantity};
pub use model::*;
pub use page::html;
pub use pictures::chart::figure as chart;
pub use pictures::scatter::{Plot, on_frontier, plot};
pub use questions::{Question, questions};
pub use relate::{baseline_of, strongest};
pub use sheet::{escape, sheet};
pub use summary::{Statement, summary};
pub use text::text;
pub use victim::{Population, TargetRecords, Victim};
