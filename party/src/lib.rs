//! A party: it holds columns, dials out to the coordinator, and sends hash codes of its records.
//!
//! ```text
//! cli -> config -> prepare (table, preprocessing, encoder) -> client (stream) -> worker (work -> codes)
//!                                                                                 `-- releases (ledger, policy)
//! cli -> config -> prepare (table, trained encoder) -> serve (stream; codes of rows asked for) -- releases
//!                                                        `-- detect (p-values beside codes, where sent)
//! ```
//!
//! The worker answers what [`hashvfl_core::protocol::party::PartySession`] and the party's own policy let through; all that
//! it learns is in its state folder (`state`), all that it released in its ledger.

mod cli;
mod commands;
mod config;
mod detectors;
pub mod prepare;
mod releases;
mod response_key;
mod serving;
mod state;
mod training;

pub use cli::entry;
pub use config::PartyConfig;
