//! The IDX format: a header with the sizes, then one byte per value, record after record.
//!
//! Two zero bytes, the type of the values (8 is an unsigned byte), the number of dimensions and
//! each dimension as four bytes, big-endian; the first dimension counts the records.

use std::path::{Path, PathBuf};

use hashvfl_core::text;

use crate::error::TableError;
use crate::source::counted::CountedRecords;

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
}

impl From<IdxError> for TableError {
    fn from(error: IdxError) -> Self {
        Self::Format(Box::new(error))
    }
}

/// An open IDX file of unsigned bytes, past its header.
pub(crate) struct IdxFile<'a> {
    file: CountedRecords<'a>,
    record_shape: Vec<usize>,
}

impl<'a> IdxFile<'a> {
    /// Opens a file that must have this number of dimensions (the records count as one).
    pub(crate) fn open(path: &'a Path, dimensions: usize) -> Result<Self, TableError> {
        let mut file = CountedRecords::open(path)?;
        let mut magic = [0; 4];
        file.fill(&mut magic)?;
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
            file.fill(&mut size)?;
            sizes.push(u32::from_be_bytes(size));
        }
        file.declare(sizes.first().copied().map_or(0, u64::from));
        let record_shape = sizes.iter().skip(1).map(|&size| size as usize).collect();
        Ok(Self { file, record_shape })
    }

    /// The number of records in the header.
    pub(crate) fn records(&self) -> u64 {
        self.file.declared()
    }

    /// The sizes of one record: height and width of an image, nothing for a label.
    pub(crate) fn record_shape(&self) -> &[usize] {
        &self.record_shape
    }

    /// Fills `record` with the next record; false after the last, when the file must end.
    pub(crate) fn next_record(&mut self, record: &mut [u8]) -> Result<bool, TableError> {
        self.file.next_record(record)
    }
}
