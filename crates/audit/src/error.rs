//! What goes wrong with an audit trail.

use std::io;
use std::path::{Path, PathBuf};

use hashvfl_files::WriteError;
use hashvfl_identity::SignatureError;

/// Why an audit trail cannot be read, written or trusted.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file or folder cannot be used.
    #[error("cannot {action} {path}: {reason}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A receipt that this side's key cannot sign.
    #[error("cannot sign {path}: {reason}")]
    Unsigned {
        /// The receipt.
        path: PathBuf,
        /// Why.
        reason: SignatureError,
    },
    /// A log whose entries do not follow from each other.
    #[error(
        "the audit log {path}, line {line}: {reason}: the file was changed after it was written. Compare a backup with heads \
         that peers kept (`audit verify --against`), or move the folder away to begin a new log, and tell the peers"
    )]
    Broken {
        /// The log.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What does not fit.
        reason: String,
    },
    /// A log that is shorter than it was.
    #[error(
        "the audit log {path} is shorter than it was a moment ago: somebody cut it while it was in use; restore it from a \
         backup"
    )]
    Shrunk {
        /// The log.
        path: PathBuf,
    },
    /// A log of another side.
    #[error(
        "the audit log {path} is that of {found}, not of {expected}: name another folder as audit.folder"
    )]
    OtherSide {
        /// The log.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// A ledger that counts less than it has counted before.
    #[error(
        "the ledger {path} counts {found} releases, and the audit trail beside it says that it has counted {counted}: it is an older \
         copy; records with a used-up budget could be released again. Restore the ledger of the last run (docs/how-to/back-up.md says \
         what to do if there is none)"
    )]
    OlderLedger {
        /// The ledger.
        path: PathBuf,
        /// What it counts.
        found: u64,
        /// What it has counted.
        counted: u64,
    },
    /// A peer of which no head was kept.
    #[error("no head of the log of {0} is kept here: there is nothing that keeps it out")]
    NoHeads(String),
    /// A folder that does not outlive a run.
    #[error(
        "audit.folder = {0:?} lies in the state folder: the audit trail outlives every run, so keep it elsewhere"
    )]
    InState(PathBuf),
    /// A file of heads that is none.
    #[error("{path}, line {line} is no head of an audit log: expected a file from a peer's `heads` folder")]
    NoHead {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
    },
    /// A head that is not what was written.
    #[error(
        "{path}, line {line} is damaged: its SHA-256 is not the one that was written with it. Restore the file from a backup; where there \
         is none, move it away, and an older log of that side is not noticed until its next head is kept"
    )]
    DamagedHead {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
    },
    /// A log that is not the one whose heads a peer kept.
    #[error("{0}")]
    Differs(String),
}

impl AuditError {
    pub(crate) fn file(action: &'static str, path: &Path, reason: io::Error) -> Self {
        Self::File { action, path: path.to_path_buf(), reason }
    }
}
