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

mod bench;
mod checks;
mod cli;
mod config;
mod evaluate;
mod evidence;
pub mod fsha;
mod inversion;
mod knowledge;
mod labels;
mod manifest;
pub mod metrics;
mod observed;
mod record;
mod regress;
pub mod report;
mod scene;
mod score;
mod simulate;
mod split;
mod sweeps;
mod telling;

pub use cli::{entry, run};
pub use config::AttackConfig;
pub use manifest::Manifest;
