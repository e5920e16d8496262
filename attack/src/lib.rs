//! Attacks on what a HashVFL run really sent: how much of the columns and labels they reconstruct.
//!
//! ```text
//! transcript -> evidence::observed --.                                   .-> score (holds the truth of targets)
//! manifest -> evidence --------------+-> attacks, one after the other ---+
//! evidence::simulation (floats, ...) '   (auxiliary records)             '-> report (HTML, JSON)
//! ```
//!
//! [`frontier`] trains and attacks many forms of codes, without a recording.
//!
//! `attacks` lists all attacks. Each is handed what it declares to know: facts of `evidence::knowledge` and auxiliary
//! records. Truth of target records reaches only `evaluation::score`.

mod attacks;
mod cli;
mod config;
mod evaluation;
mod evidence;
pub mod frontier;
mod inputs;
pub mod metrics;
pub mod report;

pub use attacks::reconstruction::inversion::Matching;
pub use attacks::reconstruction::white_box::Start;
pub use attacks::{AttackId, active};
pub use cli::{entry, run};
pub use config::AttackConfig;
pub use evidence::manifest::Manifest;
