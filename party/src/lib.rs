//! A party: it holds columns, dials out to the coordinator, and sends hash codes of its records.
//!
//! ```text
//! cli -> config -> prepare (table, preprocessing, encoder) -> client (stream) -> worker (work -> codes)
//! ```
//!
//! The worker answers what [`hashvfl_core::party::PartySession`] lets through; all that it learns is in its
//! state folder (`state`).

mod cli;
mod client;
mod config;
mod encode;
mod init;
pub mod prepare;
mod secret;
mod state;
mod worker;

pub use cli::entry;
pub use config::PartyConfig;
