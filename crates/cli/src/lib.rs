//! What the command lines of all three roles share: how they start and end, and how they read config files.

pub mod config;
mod entry;

pub use entry::{entry, init_logging};
