//! How transcripts fail.

use std::path::PathBuf;

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
    #[error("{path} is cut off or no transcript ({reason}): take the whole file that the run wrote")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What becomes a transcript when its run ends is damaged.
    #[error("{path} is damaged: {reason}: start with --fresh to throw the unfinished run away")]
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
        "{path}: the chain breaks at step {step}: this step was changed, or one before it removed or added"
    )]
    Chain {
        /// The file.
        path: PathBuf,
        /// The step.
        step: u64,
    },
    /// Its rows are those of other records.
    #[error(
        "{path} is about the records of another run, or of a version that did not keep whose rows they are: \
         nothing in it can be told by id; remove the file to be rid of it"
    )]
    OtherRecords {
        /// The file.
        path: PathBuf,
    },
    /// Steps are missing at the end.
    #[error("{path} ends at step {step}, before the step that its head names: steps were removed there")]
    Head {
        /// The file.
        path: PathBuf,
        /// The last step that is there.
        step: u64,
    },
    /// It is another transcript.
    #[error("{path} is another transcript than the one named: its head is {found}, not {expected}")]
    Other {
        /// The file.
        path: PathBuf,
        /// Its head.
        found: String,
        /// The head asked for.
        expected: String,
    },
}
