//! The coordinator: it holds labels, never columns; it trains the top model on hash codes.
//!
//! ```text
//! service (streams) -> lobby (who may join) -> network (parties, step by step) -> run (the training loop) -> summary
//! serve (trained top model, parties' links, known codes) <- predict (files of ids to files of predictions)
//! ```

mod cli;
mod commands;
mod config;
mod detectors;
mod label_ledger;
pub mod labels;
pub mod progress;
mod relay;
mod serving;
pub mod state;
pub mod summary;
pub mod top_file;
mod training;

pub use cli::entry;
pub use config::CoordinatorConfig;
