//! Whether a run ends because of the coordinator's own files: a full disk, for one. It goes on when that is mended and the
//! coordinator is started again, as after its death, so parties may wait for it.

use std::io;

use hashvfl_audit::AuditError;
use hashvfl_detectors::DetectorError;
use hashvfl_files::WriteError;
use hashvfl_learning::snapshot::SnapshotError;
use hashvfl_learning::training::TrainingError;
use hashvfl_ledger::{AnswerLogError, LedgerError, StoreError};
use hashvfl_transcript::TranscriptError;

use crate::training::network::NetworkError;

/// Whether `error` is that a file of this side cannot be read or written. One that is damaged is another matter: what it held is lost.
pub fn are_unusable(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(
            NetworkError::Ledger(LedgerError::Store(StoreError::Io { .. }))
            | NetworkError::Answers(AnswerLogError::Io { .. })
            | NetworkError::Checkpoint(SnapshotError::Write(_)),
        ) => true,
        Some(NetworkError::Transcript(error)) => is_of_transcript(error),
        Some(_) => false,
        None => error.chain().any(is_of_files),
    }
}

fn is_of_transcript(error: &TranscriptError) -> bool {
    matches!(error, TranscriptError::Io { .. } | TranscriptError::Write { .. } | TranscriptError::File(_))
}

fn is_of_files(cause: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        // One that ends too early is damaged, too.
        return !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof);
    }
    if let Some(TrainingError::Screening(error)) = cause.downcast_ref::<TrainingError<NetworkError>>() {
        return error.is::<WriteError>();
    }
    cause.is::<WriteError>()
        || matches!(cause.downcast_ref(), Some(SnapshotError::Write(_)))
        || matches!(cause.downcast_ref(), Some(DetectorError::Unwritten(_)))
        || matches!(cause.downcast_ref(), Some(AuditError::File { .. } | AuditError::Write(_)))
        || matches!(cause.downcast_ref(), Some(StoreError::Io { .. }))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use hashvfl_core::PartyName;

    use super::*;

    #[test]
    fn a_full_disk_is_of_ones_own_files_and_neither_damage_nor_a_party_is() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let path = || PathBuf::from("/state/x");
        let unwritten = || WriteError { path: path(), reason: full() };
        let of_store = |error: StoreError| NetworkError::Ledger(LedgerError::Store(error));
        let growing = |source| TranscriptError::Io { what: "write", path: path(), source };
        let found: [anyhow::Error; 8] = [
            unwritten().into(),
            NetworkError::Checkpoint(SnapshotError::Write(unwritten())).into(),
            NetworkError::Transcript(growing(full())).into(),
            NetworkError::Answers(AnswerLogError::Io { what: "write", path: path(), source: full() }).into(),
            of_store(StoreError::Io { what: "write", path: path(), reason: "full".into() }).into(),
            AuditError::File { action: "write", path: path(), reason: full() }.into(),
            TrainingError::<NetworkError>::Screening(Box::new(unwritten())).into(),
            anyhow::Error::from(full()).context("cannot rename"),
        ];
        for error in found {
            assert!(are_unusable(&error), "{error:#}");
        }
        let damaged = TranscriptError::Growing { path: path(), reason: "it is truncated".into() };
        let party = PartyName::new("bank").unwrap();
        let others: [anyhow::Error; 5] = [
            NetworkError::Transcript(damaged).into(),
            of_store(StoreError::Damaged { path: path(), reason: "cut off".into() }).into(),
            NetworkError::Wait { step: 7, party, limit_s: 3 }.into(),
            io::Error::from(io::ErrorKind::UnexpectedEof).into(),
            anyhow::anyhow!("no space left"),
        ];
        for error in others {
            assert!(!are_unusable(&error), "{error:#}");
        }
    }
}
