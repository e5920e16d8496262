//! Ids in columns of Parquet files, of texts or whole numbers.

use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use serde::{Deserialize, Serialize};

use crate::error::TableError;
use crate::ids::id_source::IdSource;
use crate::ids::key_columns::KeyColumns;
use crate::source::input::resolve;
use crate::source::parquet::file::{Batch, FlatColumn, ParquetFile, count_records};
use crate::source::selection::find_key;

/// Ids of Parquet files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParquetIds {
    /// The files, read one after the other.
    pub paths: Vec<PathBuf>,
    /// Name of the column with the record ids, or names of several.
    pub id: KeyColumns,
}

impl IdSource for ParquetIds {
    fn key_columns(&self) -> usize {
        self.id.names().len()
    }

    fn files(&self) -> &[PathBuf] {
        &self.paths
    }

    fn resolve(&mut self, folder: &Path) {
        resolve(&mut self.paths, folder);
    }

    fn count_at_most(&self) -> Result<u64, TableError> {
        count_records(&self.paths)
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        Ok(Vec::new())
    }

    fn read(
        &self,
        each: &mut dyn FnMut(Result<&str, TableError>) -> Result<(), TableError>,
    ) -> Result<Option<Digest>, TableError> {
        if self.paths.is_empty() {
            return Err(TableError::NoPaths);
        }
        for path in &self.paths {
            let file = ParquetFile::open(path)?;
            let mut key = ParquetKey::new(&self.id);
            file.visit(&key.find(&file)?, |batch| {
                (0..batch.records()).try_for_each(|at| each(key.read(batch, at)))
            })?;
        }
        Ok(None)
    }
}

/// Reads ids of a key's columns, which are the first ones of a batch.
pub(crate) struct ParquetKey<'a> {
    key: &'a KeyColumns,
    id: String,
    buffer: String,
}

impl<'a> ParquetKey<'a> {
    pub(crate) fn new(key: &'a KeyColumns) -> Self {
        Self { key, id: String::new(), buffer: String::new() }
    }

    /// The key's columns in `file`, of types that ids can have.
    pub(crate) fn find(&self, file: &ParquetFile<'_>) -> Result<Vec<FlatColumn>, TableError> {
        let mut columns = Vec::with_capacity(self.key.names().len());
        for at in find_key(file.path(), file.names(), self.key)? {
            columns.push(file.id_column(at)?);
        }
        Ok(columns)
    }

    /// The id of record `at`. Every column needs a text or a number: else, and for no other reason, it fails.
    pub(crate) fn read(&mut self, batch: &Batch<'_>, at: usize) -> Result<&str, TableError> {
        let mut parts = Vec::with_capacity(self.key.names().len());
        for (column, name) in self.key.names().iter().enumerate() {
            let value = batch.value(column, at);
            let part = value.id(&mut self.buffer).map_err(|fault| TableError::BadId {
                place: batch.spot(at).place(),
                column: name.clone(),
                fault,
            })?;
            parts.push(part.to_owned());
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.id.clear();
        self.id.push_str(&KeyColumns::join(&parts));
        Ok(&self.id)
    }
}
