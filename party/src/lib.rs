//! A party: it holds columns, dials out to the coordinator, and sends hash codes of its records.
//!
//! ```text
//! cli -> config -> prepare (table, preprocessing, encoder) -> training (stream) -> worker (work -> codes)
//!                                                                releases (ledger, policy), noise (flips) --'
//! cli -> config -> prepare (table, trained encoder) -> serving (stream; rows asked for) -- answer (kept, or drawn anew) -- releases, noise
//!                                                        `-- detectors (p-values beside codes, where sent)
//! ```
//!
//! The worker answers what [`hashvfl_core::protocol::party::PartySession`] and the party's own policy let through; all that
//! it learns is in its state folder (`state`), all that it released in its ledger.

mod alarm;
mod answer;
mod cli;
mod commands;
mod config;
mod connection;
mod detectors;
mod farewell;
mod finished;
mod leakage;
mod noise;
pub mod prepare;
mod progress;
mod releases;
mod response_key;
mod serving;
mod state;
mod training;

pub use cli::entry;
pub use commands::train::{take_part, train};
pub use config::PartyConfig;
pub use training::CoordinatorLine;
