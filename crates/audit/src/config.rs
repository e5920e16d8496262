//! The table `[audit]` of a config file.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use crate::chain::LogChain;
use crate::error::AuditError;
use crate::event::AuditEvent;
use crate::head::Side;
use crate::head_book::HeadBook;
use crate::ledger_totals::LedgerTotals;
use crate::log::AuditLog;

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
        match LogChain::read(&path)?.side() {
            Some(found) if found != side.file_stem() => {
                Err(AuditError::OtherSide { path, found, expected: side.file_stem() })
            }
            _ => Ok(()),
        }
    }

    /// What the ledger beside it counted at the last entry about that.
    ///
    /// # Errors
    /// If the log cannot be read, or was changed.
    pub fn counted(&self) -> Result<LedgerTotals, AuditError> {
        let mut last = LedgerTotals::default();
        let path = self.log();
        if self.enabled && path.exists() {
            for entry in LogChain::read(&path)?.entries {
                if let Some(AuditEvent::Counted { items, bits }) = entry.event() {
                    last = LedgerTotals { items, bits };
                }
            }
        }
        Ok(last)
    }

    /// Takes the log of the peer `side` as it is now: heads that were kept of it are put aside, and this side's own log says so.
    /// Entries of the last of these heads.
    ///
    /// # Errors
    /// If no head of it was kept, or the files cannot be read or written.
    pub fn accept(&self, side: &Side) -> Result<u64, AuditError> {
        let path = self.log();
        let own = LogChain::read(&path)?.side().and_then(|own| Side::of_file_stem(&own));
        let own = own.ok_or_else(|| AuditError::NoHeads(side.to_string()))?;
        let mut log = AuditLog::open(&path, &own)?;
        let sequence = self.heads().put_aside(side)?;
        log.append(None, &AuditEvent::Accepted { side: side.file_stem(), sequence }, SystemTime::now())?;
        Ok(sequence)
    }

    /// The heads that peers told.
    pub fn heads(&self) -> HeadBook {
        HeadBook::new(self.folder().join("heads"))
    }

    /// The log in it.
    pub fn log(&self) -> PathBuf {
        self.folder().join("log.jsonl")
    }
}
