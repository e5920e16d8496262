//! Attacks on what a HashVFL run really sent: how much of the columns and labels can be had back.
//!
//! ```text
//! transcript -> observed --.                         .-> score (holds the truth of targets)
//! manifest -> evidence -----+-> scene -> attacks ----+
//! simulate (floats, other d) '   (auxiliary records) '-> report (HTML, JSON)
//! ```
//!
//! An attack is handed what it declares to know: facts of `knowledge` and auxiliary records. Truth of target
//! records reaches `score` alone.

pub mod active;
mod cli;
mod config;
mod evaluation;
mod evidence;
mod inference;
pub mod metrics;
mod reconstruction;
pub mod report;

pub use cli::{entry, run};
pub use config::AttackConfig;
pub use evidence::manifest::Manifest;
