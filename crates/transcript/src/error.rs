//! How transcripts fail.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

/// Why a transcript cannot be written or is refused.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// The file system said no.
    #[error("cannot {what} the transcript {path}: {source}")]
    Io {
        /// "read", "remove" or the like.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The Parquet writer said no.
    #[error("cannot write the transcript {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// The file cannot be begun or finished.
    #[error(transparent)]
    File(#[from] hashvfl_files::WriteError),
    /// The file is cut off, or no Parquet file.
    #[error("{path} is truncated or not a transcript ({reason}): use the complete file that the run wrote")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What becomes a transcript when its run ends is damaged.
    #[error("{path} is damaged ({reason}): start with --fresh to discard the unfinished run")]
    Growing {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another version.
    #[error("{path} is a transcript of version {found}; this program reads version {expected}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The one that is read.
        expected: u32,
    },
    /// A step is not what was recorded.
    #[error(
        "{path}: the hash chain breaks at step {step}: this step was changed, or an earlier one was removed or added"
    )]
    Chain {
        /// The file.
        path: PathBuf,
        /// The step.
        step: u64,
    },
    /// Its rows are those of other records.
    #[error(
        "{path} belongs to other records than this run's, or an earlier version wrote it without saying whose rows \
         they are, so nothing in it can be found by id: remove the file to erase it"
    )]
    OtherRecords {
        /// The file.
        path: PathBuf,
    },
    /// Steps are missing at the end.
    #[error("{path} ends at step {step}, but its head names a later step: steps were removed from the end")]
    Head {
        /// The file.
        path: PathBuf,
        /// The last step that is there.
        step: u64,
    },
    /// It is another transcript.
    #[error("{path} is not the expected transcript: its head is {found}, not {expected}")]
    Other {
        /// The file.
        path: PathBuf,
        /// Its head.
        found: String,
        /// The head asked for.
        expected: String,
    },
}

impl TranscriptError {
    /// [`Self::Format`] of the file at `path`.
    pub(crate) fn format(path: &Path, reason: impl Display) -> Self {
        Self::Format { path: path.to_path_buf(), reason: reason.to_string() }
    }
}
