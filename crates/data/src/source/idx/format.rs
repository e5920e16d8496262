//! The IDX format: a header with the sizes, then one byte a value, record after record.
//!
//! Two zero bytes, the type of the values (8 is an unsigned byte), the number of dimensions and
//! each dimension as four bytes, big-endian; the first dimension counts the records.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

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
    /// Images where labels belong, or the other way round.
    #[error(
        "{} has {found} dimensions, expected {expected} (images have 3, labels 1); check that \
         images and labels are not swapped", path.display()
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
        "{} ends after {found} of the {expected} records its header promises; the file is cut \
         off, get it again", path.display()
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
        "{} goes on after the {expected} records its header promises; header and content do not \
         belong together, get the file again", path.display()
    )]
    Trailing {
        /// The file.
        path: PathBuf,
        /// Records in the header.
        expected: u64,
    },
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
            return Err(TableError::Idx(IdxError::NotIdx { path: path.to_owned() }));
        };
        if usize::from(found) != dimensions {
            return Err(TableError::Idx(IdxError::Dimensions {
                path: path.to_owned(),
                expected: dimensions,
                found: usize::from(found),
            }));
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

    /// The records that the header promises.
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
            Ok(()) => Err(TableError::Idx(IdxError::Trailing {
                path: self.path.to_owned(),
                expected: self.records,
            })),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(input::read_error(self.path, error)),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), TableError> {
        match self.bytes.read_exact(into) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(TableError::Idx(IdxError::Truncated {
                    path: self.path.to_owned(),
                    expected: self.records,
                    found: self.records_read,
                }))
            }
            Err(error) => Err(input::read_error(self.path, error)),
        }
    }
}
