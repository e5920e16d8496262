//! The table `[audit]` of a config file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::chain::Chain;
use crate::error::AuditError;
use crate::head::Side;

/// Where the audit trail is. It outlives every run, as the ledger does, and lies beside it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Whether there is one.
    pub enabled: bool,
    /// Its folder; absent: beside the ledger, under the ledger's name with the ending `audit`.
    folder: Option<PathBuf>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { enabled: true, folder: None }
    }
}

impl AuditConfig {
    /// Takes relative paths from `folder`, that of the config file; `ledger` and `state` are resolved already.
    ///
    /// # Errors
    /// If the trail would lie in the state folder.
    pub fn resolve(&mut self, folder: &Path, ledger: &Path, state: &Path) -> Result<(), AuditError> {
        let own = match &self.folder {
            Some(own) => folder.join(own),
            None => ledger.with_extension("audit"),
        };
        if own.starts_with(state) {
            return Err(AuditError::InState(own));
        }
        self.folder = Some(own);
        Ok(())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.as_deref().unwrap_or(Path::new("ledger.audit"))
    }

    /// Whether the trail of `side` can be opened, as far as it can be told without writing.
    ///
    /// # Errors
    /// If not: its folder cannot be written to, or the log was changed or is another side's.
    pub fn check(&self, side: &Side) -> Result<(), AuditError> {
        if !self.enabled {
            return Ok(());
        }
        hashvfl_files::check_folder(self.folder())?;
        let path = self.log();
        if !path.exists() {
            return Ok(());
        }
        match Chain::read(&path)?.side() {
            Some(found) if found != side.file_stem() => {
                Err(AuditError::OtherSide { path, found, expected: side.file_stem() })
            }
            _ => Ok(()),
        }
    }

    /// The log in it.
    pub fn log(&self) -> PathBuf {
        self.folder().join("log.jsonl")
    }
}
