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

mod attributes;
mod bench;
mod checks;
mod cli;
mod config;
mod critic;
mod evaluate;
mod evidence;
pub mod fsha;
mod further;
mod inversion;
mod knowledge;
mod label_defences;
mod labels;
mod manifest;
mod membership;
pub mod metrics;
mod observed;
mod open_door;
mod predictions;
mod record;
mod regress;
mod repeats;
pub mod report;
mod scene;
mod score;
mod shifted;
mod simulate;
mod split;
mod steer;
mod steering;
mod substitute;
mod sweeps;
mod telling;
mod unsplit;

pub use cli::{entry, run};
pub use config::AttackConfig;
pub use manifest::Manifest;
