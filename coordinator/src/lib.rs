//! The coordinator: it holds labels, never columns; it trains the top model on hash codes.
//!
//! ```text
//! several: runs of one process, at ports that they share -> training
//! training: admission (who may join) -> network (parties, step by step) -> training loop -> outcome (detectors, summary)
//! serving: trained top model, connections to parties, known codes <- commands::predict (files of ids to predictions)
//! ```

mod admission_log;
mod cli;
mod commands;
mod config;
mod coverage;
mod detectors;
mod finished;
mod identity;
mod label_ledger;
pub mod labels;
mod outbox;
mod permissions;
pub mod progress;
mod relay;
mod serving;
mod several;
pub mod state;
pub mod summary;
pub mod top_file;
mod training;

pub use cli::entry;
pub use commands::train::train;
pub use config::CoordinatorConfig;
pub use training::again::train_again;
pub use training::simulated;
