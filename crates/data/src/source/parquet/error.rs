//! Why a Parquet file could not be loaded. Messages name columns and types, never values.

use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

use crate::error::TableError;

/// Why a Parquet file could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ParquetFileError {
    /// The file is not Parquet, or damaged.
    #[error("{}: {reason}; check `paths`, or write the file again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file's compression is one that this program cannot undo.
    #[error(
        "{}: its compression needs a feature that this program was built without ({reason}); write the file with Snappy \
         compression or none (a `party` with its feature `sql` reads others, too)", path.display()
    )]
    Compression {
        /// The file.
        path: PathBuf,
        /// The feature.
        reason: String,
    },
    /// A column's values are of a type that is not loaded.
    #[error(
        "{}: column {column:?} is of type {found}, expected numbers, truth values or texts; write it as one of these, or \
         list it in `ignore`", path.display()
    )]
    Type {
        /// The file.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// Its type.
        found: String,
    },
    /// A column of ids holds neither texts nor whole numbers.
    #[error(
        "{}: column {column:?} is of type {found}, expected record ids as texts or whole numbers; write them so, or \
         select them by a query with format = \"sql\"",
        path.display()
    )]
    IdType {
        /// The file.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// Its type.
        found: String,
    },
}

impl ParquetFileError {
    /// The parquet crate's error about the file at `path`.
    pub(crate) fn of(path: &Path, error: &ParquetError) -> Self {
        let (path, reason) = (path.to_owned(), error.to_string());
        if reason.contains("Disabled feature") {
            return Self::Compression { path, reason };
        }
        Self::Damaged { path, reason }
    }
}

impl From<ParquetFileError> for TableError {
    fn from(error: ParquetFileError) -> Self {
        Self::Format(Box::new(error))
    }
}
