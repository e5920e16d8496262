//! What every format of columns can do: [`RowSource`]. A format's own module holds its configuration and implements it.

use std::fmt::Debug;
use std::ops::DerefMut;
use std::path::{Path, PathBuf};

use hashvfl_core::Digest;

use crate::encoding::treatment::Treatment;
use crate::error::TableError;
use crate::ids::id_source::IdSource;
use crate::source::fingerprint::fingerprint;
use crate::table::Table;
use crate::table::sink::{Frame, RowSink};

/// A source of rows: where a party's columns come from. Its `Debug` output names all of its settings, since a cache is used
/// again only while they are the same.
pub trait RowSource: Debug {
    /// The files or folders that hold the records. A source of none, such as a query, has a digest of its records taken while
    /// they are read.
    fn files(&self) -> &[PathBuf];

    /// Makes relative paths relative to `folder`, usually that of the configuration file.
    fn resolve(&mut self, folder: &Path);

    /// The names of all columns in the files, including ids and columns that are not loaded. `None` if the source loads all
    /// that it has.
    ///
    /// # Errors
    /// When a file cannot be read.
    fn schema(&self) -> Result<Option<Vec<String>>, TableError>;

    /// The number of lines of text files, including headers and empty lines; `None` for other sources.
    ///
    /// # Errors
    /// When a file cannot be read.
    fn lines(&self) -> Result<Option<u64>, TableError>;

    /// What a person is to know of the files beside their records: what was passed over, or looks cut off. Words and numbers,
    /// no name of a file in a folder and no cell.
    ///
    /// # Errors
    /// When a file cannot be read.
    fn remarks(&self) -> Result<Vec<String>, TableError>;

    /// Whether records are read one after the other, so that a cache on disk can take a table that memory does not hold.
    fn is_cacheable(&self) -> bool;

    /// Where the ids of the records are.
    fn ids(&self) -> Box<dyn IdSource>;

    /// Reads all records, whose values go into `sink`, row by row.
    ///
    /// Returns the rest of the table, and a digest of all records if the source has no files.
    ///
    /// # Errors
    /// When a file is missing, damaged or beyond the limits, a setting names a column that is not there, a cell is missing
    /// or no value of its column's type, or an id is missing or repeated. No error shows a cell.
    fn read(
        &self,
        treatment: &Treatment,
        sink: &mut dyn RowSink,
    ) -> Result<(Frame, Option<Digest>), TableError>;
}

/// A configuration or a box of a source is itself a source.
impl<S: DerefMut<Target = dyn RowSource> + Debug> RowSource for S {
    fn files(&self) -> &[PathBuf] {
        self.deref().files()
    }

    fn resolve(&mut self, folder: &Path) {
        self.deref_mut().resolve(folder);
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        self.deref().remarks()
    }

    fn schema(&self) -> Result<Option<Vec<String>>, TableError> {
        self.deref().schema()
    }

    fn lines(&self) -> Result<Option<u64>, TableError> {
        self.deref().lines()
    }

    fn is_cacheable(&self) -> bool {
        self.deref().is_cacheable()
    }

    fn ids(&self) -> Box<dyn IdSource> {
        self.deref().ids()
    }

    fn read(
        &self,
        treatment: &Treatment,
        sink: &mut dyn RowSink,
    ) -> Result<(Frame, Option<Digest>), TableError> {
        self.deref().read(treatment, sink)
    }
}

impl dyn RowSource + '_ {
    /// The number of columns that are neither ids nor among the `loaded` ones; `None` if the source loads all that it has.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn excluded(&self, loaded: usize) -> Result<Option<usize>, TableError> {
        let taken = self.ids().key_columns() + loaded;
        Ok(self.schema()?.map(|all| all.len().saturating_sub(taken)))
    }

    /// Hands every id to `each`, in the table's order, and returns the source's fingerprint: SHA-256 of the files, or of
    /// all that a query returned. [`crate::load_in_order`] finds the same one while nothing has changed.
    ///
    /// # Errors
    /// As [`IdSource::read`], and the first error of `each`.
    pub fn visit_ids<E: From<TableError>>(
        &self,
        each: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<Digest, E> {
        let of_records = self.ids().visit_all(each)?;
        Ok(self.fingerprint(of_records)?)
    }

    /// The fingerprint of what was read: `of_records` if reading gave it, otherwise that of the files.
    pub(crate) fn fingerprint(&self, of_records: Option<Digest>) -> Result<Digest, TableError> {
        match of_records {
            Some(digest) => Ok(digest),
            None => fingerprint(self.files()),
        }
    }
}

/// Loads the columns that `source` names, in one pass that holds the matrix once.
///
/// CSV files are read a first time to count their lines, so that the matrix is allocated once.
/// The ids of IDX and NumPy records are their numbers, from "0", counted on from file to file; those of PNG images
/// are the files' names. Records of a query are sorted by the bytes of their ids' text.
///
/// # Errors
/// As [`RowSource::read`].
pub fn load(source: &dyn RowSource) -> Result<Table, TableError> {
    load_as(source, &Treatment::default())
}

/// The same with types of columns and what a missing value is, as `treatment` says.
///
/// # Errors
/// As [`RowSource::read`].
pub fn load_as(source: &dyn RowSource, treatment: &Treatment) -> Result<Table, TableError> {
    let mut values = Vec::new();
    let (frame, _) = source.read(treatment, &mut values)?;
    frame.with(values)
}

/// The same with the source's fingerprint, see `visit_ids`.
///
/// # Errors
/// As [`RowSource::read`].
pub(crate) fn load_fingerprinted(
    source: &dyn RowSource,
    treatment: &Treatment,
) -> Result<(Table, Digest), TableError> {
    let mut values = Vec::new();
    let (frame, of_records) = source.read(treatment, &mut values)?;
    Ok((frame.with(values)?, source.fingerprint(of_records)?))
}
