//! Words of config files that had another name before: a file that uses one is refused with the new name, and
//! `config migrate` rewrites it.
//!
//! One table, [`words::KEYS`] and [`words::VALUES`], serves the party's, the coordinator's and the attack's files.

mod command;
mod migrate;
mod old;
pub mod words;

pub use command::ConfigCommand;
pub use migrate::{MigrateError, migrate, migrate_file};
pub use old::{OldWord, check_words};
