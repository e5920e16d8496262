//! The IDX format: a header with the sizes, then one byte per value, record after record.
//!
//! Two zero bytes, the type of the values (8 is an unsigned byte), the number of dimensions and
//! each dimension as four bytes, big-endian; the first dimension counts the records.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use hashvfl_core::text;

use crate::error::TableError;
use crate::source::input;

const UNSIGNED_BYTE: u8 = 8;

/// Why an IDX file could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    /// The file does not begin like an IDX file.
    #[error(
        "{} is not an IDX file: it does not begin with two zero bytes and the type 8 (unsigned \
         byte); check `paths` and `format`", path.display()
    )]
    NotIdx {
        /// The file.
        path: PathBuf,
    },
    /// Images in place of labels, or the other way round.
    #[error(
        "{} has {} instead of {expected} (images have 3, labels 1); check whether images and labels are swapped",
        path.display(), text::counted(.found, "dimension")
    )]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// Dimensions that it should have.
        expected: usize,
        /// Dimensions that it has.
        found: usize,
    },
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

impl From<IdxError> for TableError {
    fn from(error: IdxError) -> Self {
        Self::Format(Box::new(error))
    }
}

/// An open IDX file of unsigned bytes, past its header.
pub(crate) struct IdxFile<'a> {
    path: &'a Path,
    bytes: Box<dyn Read>,
    records: u64,
    record_shape: Vec<usize>,
    records_read: u64,
}

impl<'a> IdxFile<'a> {
    /// Opens a file that must have this number of dimensions (the records count as one).
    pub(crate) fn open(path: &'a Path, dimensions: usize) -> Result<Self, TableError> {
        let mut file =
            Self { path, bytes: input::open(path)?, records: 0, record_shape: Vec::new(), records_read: 0 };
        let mut magic = [0; 4];
        file.read(&mut magic)?;
        let [0, 0, UNSIGNED_BYTE, found] = magic else {
            return Err(IdxError::NotIdx { path: path.to_owned() }.into());
        };
        if usize::from(found) != dimensions {
            let (path, found) = (path.to_owned(), usize::from(found));
            return Err(IdxError::Dimensions { path, expected: dimensions, found }.into());
        }
        let mut sizes = Vec::with_capacity(dimensions);
        for _ in 0..dimensions {
            let mut size = [0; 4];
            file.read(&mut size)?;
            sizes.push(u32::from_be_bytes(size));
        }
        file.records = sizes.first().copied().map_or(0, u64::from);
        file.record_shape = sizes.iter().skip(1).map(|&size| size as usize).collect();
        Ok(file)
    }

    /// The number of records in the header.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// The sizes of one record: height and width of an image, nothing for a label.
    pub(crate) fn record_shape(&self) -> &[usize] {
        &self.record_shape
    }

    /// Fills `record` with the next record; false after the last, when the file must end.
    pub(crate) fn next_record(&mut self, record: &mut [u8]) -> Result<bool, TableError> {
        if self.records_read < self.records {
            self.read(record)?;
            self.records_read += 1;
            return Ok(true);
        }
        match self.bytes.read_exact(&mut [0]) {
            Ok(()) => Err(IdxError::Trailing { path: self.path.to_owned(), expected: self.records }.into()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(input::read_error(self.path, error)),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), TableError> {
        match self.bytes.read_exact(into) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                let (path, expected) = (self.path.to_owned(), self.records);
                Err(IdxError::Truncated { path, expected, found: self.records_read }.into())
            }
            Err(error) => Err(input::read_error(self.path, error)),
        }
    }
}
