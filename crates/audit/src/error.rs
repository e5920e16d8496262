//! What goes wrong with an audit trail.

use std::io;
use std::path::{Path, PathBuf};

use hashvfl_core::text;
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
        "{path}, line {line}: {reason}, so the audit trail was changed after it was written. Compare a backup with \
         the heads that peers keep (`audit verify --against`), or move the folder away to start a new trail, and \
         tell the peers"
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
        "the audit trail {path} is shorter than it was a moment ago: it was truncated while in use; restore it from \
         a backup"
    )]
    Shrunk {
        /// The log.
        path: PathBuf,
    },
    /// A log of another side.
    #[error(
        "the audit trail {path} belongs to {found}, not to {expected}: set audit.folder to another folder"
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
        "the ledger {path} counts {}, but its audit trail says that it had counted {counted}: it is an \
         older copy, and records whose budget is used up could be released again. Restore the ledger of the last \
         run (docs/how-to/back-up.md says what to do if there is none)", text::counted(.found, "item")
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
    #[error(
        "no head of the audit trail of {0} is stored here, so nothing keeps it out and there is nothing to accept"
    )]
    NoHeads(String),
    /// A folder that does not outlive a run.
    #[error(
        "audit.folder = {0:?} is inside the state folder, but must outlive every run: choose a path outside it"
    )]
    InState(PathBuf),
    /// A file of heads that is none.
    #[error(
        "{path}, line {line}, is not the head of an audit trail: expected a file from a peer's `heads` folder"
    )]
    NoHead {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
    },
    /// A head that is not what was written.
    #[error(
        "{path}, line {line}, is damaged: its SHA-256 does not match. Restore the file from a backup; if there is \
         none, move it away. Until that side's next head is stored, an older copy of its audit trail is then not \
         noticed"
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
