//! Sources of record ids without values: of records that are served, and of those that a client asks about.

use std::fmt::Debug;
use std::ops::DerefMut;
use std::path::{Path, PathBuf};

use hashvfl_core::Digest;

use crate::error::TableError;

/// A source of record ids. They are handed on one by one, so that a file of any length needs little memory.
pub trait IdSource: Debug {
    /// How many columns are an id together.
    fn key_columns(&self) -> usize;

    /// The files or folders that hold the ids; none for a source that has no files, such as a query.
    fn files(&self) -> &[PathBuf];

    /// Makes relative paths relative to `folder`, usually that of the configuration file.
    fn resolve(&mut self, folder: &Path);

    /// At least the number of ids; exact but for text files, whose lines are counted.
    ///
    /// # Errors
    /// When a file cannot be read.
    fn count_at_most(&self) -> Result<u64, TableError>;

    /// What a person is to know of the files beside their ids, in words without a cell: what looks cut off.
    ///
    /// # Errors
    /// When a file cannot be read.
    fn remarks(&self) -> Result<Vec<String>, TableError>;

    /// Hands every id to `each`, in order, and for a record without one the error that says so. An id may come more than once:
    /// only its reader knows whether that is wrong. An error of `each` ends the reading and is returned.
    ///
    /// Returns a digest of all records if the source has no files, as a query has none; otherwise `None`.
    ///
    /// # Errors
    /// When a file cannot be read, a column is not there, or what `each` returns. No error shows an id.
    fn read(
        &self,
        each: &mut dyn FnMut(Result<&str, TableError>) -> Result<(), TableError>,
    ) -> Result<Option<Digest>, TableError>;
}

/// A configuration or a box of a source is itself a source.
impl<S: DerefMut<Target = dyn IdSource> + Debug> IdSource for S {
    fn key_columns(&self) -> usize {
        self.deref().key_columns()
    }

    fn files(&self) -> &[PathBuf] {
        self.deref().files()
    }

    fn resolve(&mut self, folder: &Path) {
        self.deref_mut().resolve(folder);
    }

    fn count_at_most(&self) -> Result<u64, TableError> {
        self.deref().count_at_most()
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        self.deref().remarks()
    }

    fn read(
        &self,
        each: &mut dyn FnMut(Result<&str, TableError>) -> Result<(), TableError>,
    ) -> Result<Option<Digest>, TableError> {
        self.deref().read(each)
    }
}

impl dyn IdSource + '_ {
    /// Hands every id to `each`, in order. The errors of `each` may be of any type.
    ///
    /// # Errors
    /// As [`IdSource::read`], when a record has no id, and the first error of `each`.
    pub fn visit<E: From<TableError>>(&self, each: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        self.visit_all(each).map(drop)
    }

    /// The same, with `None` for each record without an id, which ends nothing.
    ///
    /// # Errors
    /// As [`IdSource::read`], and the first error of `each`.
    pub fn visit_each<E: From<TableError>>(
        &self,
        mut each: impl FnMut(Option<&str>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut stopped_by = None;
        let outcome = self.read(&mut |id| stopping(each(id.ok()), &mut stopped_by));
        match stopped_by {
            Some(error) => Err(error),
            None => Ok(outcome.map(drop)?),
        }
    }

    /// As [`Self::visit`]; returns what [`IdSource::read`] returns.
    pub(crate) fn visit_all<E: From<TableError>>(
        &self,
        mut each: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<Option<Digest>, E> {
        let mut stopped_by = None;
        let outcome = self.read(&mut |id| stopping(each(id?), &mut stopped_by));
        match stopped_by {
            Some(error) => Err(error),
            None => Ok(outcome?),
        }
    }
}

/// The outcome for a source: an error of a receiver is kept in `stopped_by`, and the reading ends.
fn stopping<E>(outcome: Result<(), E>, stopped_by: &mut Option<E>) -> Result<(), TableError> {
    outcome.map_err(|error| {
        *stopped_by = Some(error);
        TableError::Stopped
    })
}

/// Hands on the ids of records that are known by their numbers, from "0".
pub(crate) fn read_numbers(
    records: u64,
    each: &mut dyn FnMut(Result<&str, TableError>) -> Result<(), TableError>,
) -> Result<Option<Digest>, TableError> {
    for number in 0..records {
        each(Ok(&number.to_string()))?;
    }
    Ok(None)
}
