//! What the command lines of all three roles share: how they start and end, how they read config files,
//! how long transcripts stay, whether a run ends because of a side's own files, and the subcommands `audit`, `doctor` and `encryption`.

pub mod audit;
pub mod config;
pub mod doctor;
pub mod encryption;
mod entry;
mod interruption;
mod log;
pub mod own_files;
pub mod transcripts;

pub use entry::{RunExits, SomeUnfinished, Unfinished, entry};
pub use interruption::OnInterruption;
pub use log::{LogFormat, at_run, at_step, init_logging};
