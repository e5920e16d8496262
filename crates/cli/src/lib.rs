//! What the command lines of all three roles share: how they start and end, how they read config files,
//! and the subcommand `audit`.

pub mod audit;
pub mod config;
mod entry;
mod interruption;

pub use entry::{Unfinished, entry, init_logging};
pub use interruption::OnInterruption;
