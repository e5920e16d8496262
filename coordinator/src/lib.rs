//! The coordinator: it holds labels, never columns; it trains the top model on hash codes.
//!
//! ```text
//! service (streams) -> lobby (who may join) -> network (parties, step by step) -> run (the course) -> summary
//! ```

mod align;
mod cli;
mod config;
mod evaluate;
mod init;
mod label_ledger;
pub mod labels;
mod lobby;
mod network;
pub mod progress;
mod relay;
mod run;
mod service;
mod state;
pub mod summary;
pub mod top;
mod traffic;

pub use cli::entry;
pub use config::CoordinatorConfig;
