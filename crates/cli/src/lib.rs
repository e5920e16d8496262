//! What the command lines of all three roles share: how they start and end, how they read config files,
//! and the subcommands `audit` and `encryption`.

pub mod audit;
pub mod config;
pub mod encryption;
mod entry;
mod interruption;

pub use entry::{InDoubt, entry, init_logging};
pub use interruption::OnInterruption;
