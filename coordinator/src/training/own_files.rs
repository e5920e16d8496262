//! Whether a run ends because of the coordinator's own files: a full disk, for one. It goes on when that is mended and the
//! coordinator is started again, as after its death, so parties may wait for it.

use hashvfl_cli::own_files;
use hashvfl_learning::training::TrainingError;

use crate::training::network::NetworkError;

/// Whether `error` is that a file of this side cannot be read or written.
pub fn are_unusable(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(NetworkError::Ledger(error)) => own_files::is_unusable(error),
        Some(NetworkError::Transcript(error)) => own_files::is_unusable(error),
        Some(NetworkError::Answers(error)) => own_files::is_unusable(error),
        Some(NetworkError::Checkpoint(error)) => own_files::is_unusable(error),
        // What another side has done, or a connection to it.
        Some(_) => false,
        None => match error.downcast_ref() {
            Some(TrainingError::<NetworkError>::Snapshot(error)) => own_files::is_unusable(error),
            Some(TrainingError::<NetworkError>::Screening(error)) => own_files::is_unusable(error.as_ref()),
            _ => own_files::are_unusable(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use hashvfl_core::PartyName;
    use hashvfl_files::WriteError;
    use hashvfl_learning::snapshot::SnapshotError;
    use hashvfl_ledger::{AnswerLogError, LedgerError, StoreError};
    use hashvfl_transcript::TranscriptError;

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
            TrainingError::<NetworkError>::Screening(Box::new(unwritten())).into(),
            TrainingError::<NetworkError>::Snapshot(SnapshotError::Write(unwritten())).into(),
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
