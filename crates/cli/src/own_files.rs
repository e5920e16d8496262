//! Whether a side's run ends because of its own files: a full disk, for one. It goes on when that is mended and the side is
//! started again, as after its death, so the others may wait for it.

use std::error::Error;
use std::io;

use hashvfl_audit::AuditError;
use hashvfl_detectors::DetectorError;
use hashvfl_files::WriteError;
use hashvfl_learning::snapshot::SnapshotError;
use hashvfl_ledger::{AnswerLogError, LedgerError, StoreError};
use hashvfl_transcript::TranscriptError;

/// Whether `error` is that a file of this side cannot be read or written. One that is damaged is another matter: what it held is lost.
pub fn are_unusable(error: &anyhow::Error) -> bool {
    error.chain().any(is_unusable)
}

/// The same of one error, whatever its cause.
pub fn is_unusable(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // One that ends too early is damaged, too.
        return !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof);
    }
    error.is::<WriteError>()
        || matches!(error.downcast_ref(), Some(SnapshotError::Write(_)))
        || matches!(error.downcast_ref(), Some(DetectorError::Unwritten(_)))
        || matches!(error.downcast_ref(), Some(AnswerLogError::Io { .. }))
        || matches!(error.downcast_ref(), Some(AuditError::File { .. } | AuditError::Write(_)))
        || matches!(error.downcast_ref(), Some(StoreError::Io { .. }))
        || matches!(error.downcast_ref(), Some(LedgerError::Store(StoreError::Io { .. })))
        || matches!(
            error.downcast_ref(),
            Some(TranscriptError::Io { .. } | TranscriptError::Write { .. } | TranscriptError::File(_))
        )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use hashvfl_core::text::PublicReason;

    use super::*;

    #[test]
    fn a_full_disk_is_of_ones_own_files_and_neither_damage_nor_words_are() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let path = || PathBuf::from("/state/x");
        let unwritten = || WriteError { path: path(), reason: full() };
        let found: [anyhow::Error; 8] = [
            unwritten().into(),
            SnapshotError::Write(unwritten()).into(),
            TranscriptError::Io { what: "write", path: path(), source: full() }.into(),
            AnswerLogError::Io { what: "write", path: path(), source: full() }.into(),
            AuditError::File { action: "write", path: path(), reason: full() }.into(),
            LedgerError::Store(StoreError::Io { what: "write", path: path(), reason: "full".into() }).into(),
            DetectorError::Unwritten("full".into()).into(),
            anyhow::Error::from(full()).context("cannot read the table"),
        ];
        for error in found {
            assert!(are_unusable(&error), "{error:#}");
            assert!(are_unusable(&error.context("step 7")));
        }
        let others: [anyhow::Error; 5] = [
            AnswerLogError::Damaged { path: path(), step: 3 }.into(),
            LedgerError::Store(StoreError::Damaged { path: path(), reason: "cut off".into() }).into(),
            io::Error::from(io::ErrorKind::InvalidData).into(),
            io::Error::from(io::ErrorKind::UnexpectedEof).into(),
            PublicReason("no space left".into()).into(),
        ];
        for error in others {
            assert!(!are_unusable(&error), "{error:#}");
        }
    }
}
