//! Files of records of one length behind a header that counts them, as IDX and NumPy files are.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::TableError;
use crate::source::input;

/// Why such a file does not hold what its header declares.
#[derive(Debug, thiserror::Error)]
pub enum RecordCountError {
    /// The file ends early.
    #[error(
        "{} ends after {found} of the {expected} records that its header declares: the file is truncated; get it again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Records in the header; 0 when the header itself is cut off.
        expected: u64,
        /// Whole records read.
        found: u64,
    },
    /// The file goes on after its last record.
    #[error(
        "{} continues after the {expected} records that its header declares: header and content do not match; get the \
         file again", path.display()
    )]
    Trailing {
        /// The file.
        path: PathBuf,
        /// Records in the header.
        expected: u64,
    },
}

impl From<RecordCountError> for TableError {
    fn from(error: RecordCountError) -> Self {
        Self::Format(Box::new(error))
    }
}

/// An open file.
pub(crate) struct CountedRecords<'a> {
    path: &'a Path,
    bytes: Box<dyn Read>,
    /// As the header says; 0 until it is read.
    declared: u64,
    read: u64,
}

impl<'a> CountedRecords<'a> {
    /// Opens the file, whose header comes next.
    pub(crate) fn open(path: &'a Path) -> Result<Self, TableError> {
        Ok(Self { path, bytes: input::open(path)?, declared: 0, read: 0 })
    }

    /// The file's path.
    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }

    /// The header is read, and declares so many records.
    pub(crate) fn declare(&mut self, records: u64) {
        self.declared = records;
    }

    /// The number of records in the header.
    pub(crate) fn declared(&self) -> u64 {
        self.declared
    }

    /// How many records have been read.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// Fills `record` with the next record; false after the last, when the file must end.
    pub(crate) fn next_record(&mut self, record: &mut [u8]) -> Result<bool, TableError> {
        if self.read < self.declared {
            self.fill(record)?;
            self.read += 1;
            return Ok(true);
        }
        match self.bytes.read_exact(&mut [0]) {
            Ok(()) => {
                let (path, expected) = (self.path.to_owned(), self.declared);
                Err(RecordCountError::Trailing { path, expected }.into())
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(input::read_error(self.path, error)),
        }
    }

    /// Fills `into` with the bytes that come next, of the header or of a record.
    pub(crate) fn fill(&mut self, into: &mut [u8]) -> Result<(), TableError> {
        match self.bytes.read_exact(into) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                let (path, expected) = (self.path.to_owned(), self.declared);
                Err(RecordCountError::Truncated { path, expected, found: self.read }.into())
            }
            Err(error) => Err(input::read_error(self.path, error)),
        }
    }
}
