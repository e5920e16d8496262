//! The coordinator: it holds labels, never columns; it trains the top model on hash codes.
//!
//! ```text
//! service (streams) -> lobby (who may join) -> network (parties, step by step) -> run (the course) -> summary
//! serve (trained top model, parties' links, known codes) <- predict (files of ids to files of predictions)
//! ```

mod align;
mod check;
mod cli;
mod config;
mod detect;
mod erase;
mod evaluate;
mod init;
mod label_ledger;
pub mod labels;
mod lobby;
mod network;
mod predict;
pub mod progress;
mod relay;
mod run;
mod screen;
mod serve;
mod service;
pub mod state;
pub mod summary;
pub mod top;
mod traffic;

pub use cli::entry;
pub use config::CoordinatorConfig;
