//! The ledger's totals as last recorded in the audit trail, by which an older copy of either is noticed.

use std::path::Path;

use crate::error::AuditError;

/// Totals of a ledger. They never become less, however records are erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LedgerTotals {
    /// Releases, alignments, and how often runs went on and were refused.
    pub items: u64,
    /// Bits of all of them.
    pub bits: u64,
}

impl LedgerTotals {
    /// Whether the ledger at `path`, which counts this, can be the one that counted `before`.
    ///
    /// # Errors
    /// If it counts less.
    pub fn check(self, before: Self, path: &Path) -> Result<(), AuditError> {
        if self.items >= before.items && self.bits >= before.bits {
            return Ok(());
        }
        Err(AuditError::OlderLedger { path: path.to_path_buf(), found: self.items, counted: before.items })
    }
}
