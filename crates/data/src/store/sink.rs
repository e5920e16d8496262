//! Where a table's rows go while they are read: into memory, or into a cache on disk.

use std::path::Path;

use crate::encoding::content::Content;
use crate::error::TableError;
use crate::limits::{check_size, reserve_values};
use crate::source::{ImageShape, Table};
use crate::store::matrix::Matrix;

/// Takes rows.
pub(crate) trait Sink {
    /// Before the first row: how many columns there are, and about how many rows, if that is of use.
    fn start(
        &mut self,
        columns: usize,
        rows: &mut dyn FnMut() -> Result<u64, TableError>,
    ) -> Result<(), TableError>;

    /// Whether so many rows are within its limits; `path` is named where they are not.
    fn check(&self, path: &Path, rows: u64, columns: usize) -> Result<(), TableError>;

    /// Takes one row.
    fn push(&mut self, row: &[f32]) -> Result<(), TableError>;
}

/// In memory: row by row.
impl Sink for Vec<f32> {
    fn start(
        &mut self,
        columns: usize,
        rows: &mut dyn FnMut() -> Result<u64, TableError>,
    ) -> Result<(), TableError> {
        *self = reserve_values(rows()?, columns as u64)?;
        Ok(())
    }

    fn check(&self, path: &Path, rows: u64, columns: usize) -> Result<(), TableError> {
        check_size(path, rows, columns as u64)
    }

    fn push(&mut self, row: &[f32]) -> Result<(), TableError> {
        if self.capacity() - self.len() < row.len() {
            let values = (self.len() + row.len()) as u64;
            let no_room = |_| TableError::OutOfMemory { values };
            self.try_reserve(row.len()).map_err(no_room)?;
        }
        self.extend_from_slice(row);
        Ok(())
    }
}

/// All of a table but its values.
pub(crate) struct Frame {
    pub(crate) ids: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) contents: Vec<Content>,
    pub(crate) image: Option<ImageShape>,
}

impl Frame {
    /// With the values: [rows, columns].
    pub(crate) fn with(self, values: Vec<f32>) -> Table {
        let Self { ids, names, contents, image } = self;
        let matrix = Matrix::from_checked(names.len(), values);
        Table { ids, names, contents, matrix, image }
    }
}
