//! Where a table's rows go while a source is read: into memory, or into a cache on disk.

use std::path::Path;

use tracing::warn;

use crate::encoding::content::Content;
use crate::error::TableError;
use crate::table::matrix::Matrix;
use crate::table::size::{check_size, reserve_values};
use crate::table::{ImageShape, PixelValues, Table};

/// Takes rows of values.
pub trait RowSink {
    /// Is called once before the first row. `rows` counts the rows, or slightly more; it is called only if that is of use.
    ///
    /// # Errors
    /// When there is no room for the rows, or they cannot be counted.
    fn start(
        &mut self,
        columns: usize,
        rows: &mut dyn FnMut() -> Result<u64, TableError>,
    ) -> Result<(), TableError>;

    /// Checks that so many rows and columns are within the limits.
    ///
    /// # Errors
    /// When they are not; the error names `path`.
    fn check(&self, path: &Path, rows: u64, columns: usize) -> Result<(), TableError>;

    /// Takes one row, a value per column. NaN stands for a missing value.
    ///
    /// # Errors
    /// When there is no room for it.
    fn push(&mut self, row: &[f32]) -> Result<(), TableError>;

    /// Takes a line about what was read that a person is to know, without a cell, for the log.
    fn tell(&mut self, told: String);
}

/// In memory, row by row.
impl RowSink for Vec<f32> {
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
            self.try_reserve(row.len()).map_err(|_| TableError::OutOfMemory { values })?;
        }
        self.extend_from_slice(row);
        Ok(())
    }

    fn tell(&mut self, told: String) {
        warn!("{told}");
    }
}

/// All of a table but its values.
pub struct Frame {
    /// The record ids, one per row, each once.
    pub ids: Vec<String>,
    /// The columns' names.
    pub names: Vec<String>,
    /// What each column holds.
    pub contents: Vec<Content>,
    /// Set when the columns are an image's pixels.
    pub image: Option<ImageShape>,
    /// What the pixels were, where the source knows.
    pub pixels: Option<PixelValues>,
}

impl Frame {
    /// The table with these values: `[rows, columns]`. There is a row for each id.
    pub(crate) fn with(self, values: Vec<f32>) -> Result<Table, TableError> {
        let Self { ids, names, contents, image, pixels } = self;
        if ids.len().checked_mul(names.len()) != Some(values.len()) || contents.len() != names.len() {
            let (values, columns) = (values.len(), names.len());
            return Err(TableError::Shape { ids: ids.len(), columns, values });
        }
        let matrix = Matrix::from_checked(names.len(), values);
        Ok(Table { ids, names, contents, matrix, image, pixels })
    }
}
