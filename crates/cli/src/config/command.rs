//! The subcommand `config` of every role.

use std::path::PathBuf;

use clap::Subcommand;
use hashvfl_files::say;

use crate::config::migrate::{MigrateError, migrate_file};

/// What `party config`, `coordinator config` and `attack config` do.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Rewrite a config file of an earlier version with the current names of keys. Comments and layout are kept.
    Migrate {
        /// The config file of an earlier version. It is not changed.
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// The file to write; it must not exist.
        #[arg(value_name = "NEW")]
        new: PathBuf,
    },
}

impl ConfigCommand {
    /// Does it, and says on standard output what was done.
    ///
    /// # Errors
    /// If a file cannot be read, migrated or written.
    pub fn run(&self) -> Result<(), MigrateError> {
        let Self::Migrate { old, new } = self;
        let replaced = migrate_file(old, new)?;
        say!("wrote {} (updated keys or values: {replaced})", new.display());
        Ok(())
    }
}
