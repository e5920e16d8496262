//! Ids in columns of CSV files.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use csv::ByteRecord;
use hashvfl_core::Digest;
use serde::{Deserialize, Serialize};

use crate::cell::parse_id;
use crate::error::{LocationRef, TableError};
use crate::ids::id_source::IdSource;
use crate::ids::key_columns::KeyColumns;
use crate::source::csv::file::CsvFiles;
use crate::source::input::{remark_on_ends, resolve};
use crate::source::selection::find_key;

/// Ids of CSV files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvIds {
    /// The files, read one after the other; all have the same header.
    pub paths: Vec<PathBuf>,
    /// Name of the column with the record ids, or names of several.
    pub id: KeyColumns,
}

impl IdSource for CsvIds {
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
        CsvFiles::open(&self.paths)?.records_at_most()
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        remark_on_ends(&self.paths)
    }

    fn read(
        &self,
        each: &mut dyn FnMut(Result<&str, TableError>) -> Result<(), TableError>,
    ) -> Result<Option<Digest>, TableError> {
        let files = CsvFiles::open(&self.paths)?;
        let key = CsvKey::find(&self.id, &files)?;
        files.visit(|spot, record| match key.read(spot, record) {
            Ok(id) => each(Ok(&id)),
            Err(error) => each(Err(error)),
        })?;
        Ok(None)
    }
}

/// The columns of ids in files with a header.
pub(crate) struct CsvKey<'a> {
    names: &'a [String],
    at: Vec<usize>,
}

impl<'a> CsvKey<'a> {
    /// Finds the columns of `id`.
    pub(crate) fn find(id: &'a KeyColumns, files: &CsvFiles<'_>) -> Result<Self, TableError> {
        Ok(Self { names: id.names(), at: find_key(files.first_path(), files.names(), id)? })
    }

    /// Whether the column at `at` is one of them.
    pub(crate) fn holds(&self, at: usize) -> bool {
        self.at.contains(&at)
    }

    /// A record's id. Every column needs a text: else, and for no other reason, it fails.
    pub(crate) fn read<'r>(
        &self,
        spot: LocationRef<'_>,
        record: &'r ByteRecord,
    ) -> Result<Cow<'r, str>, TableError> {
        if let [at] = self.at.as_slice() {
            return self.part(0, *at, spot, record).map(Cow::Borrowed); // without a list of parts
        }
        let mut parts = Vec::with_capacity(self.at.len());
        for (number, &at) in self.at.iter().enumerate() {
            parts.push(self.part(number, at, spot, record)?);
        }
        Ok(KeyColumns::join(&parts))
    }

    /// The text of the key's column of this `number`, which is the cell at `at`.
    fn part<'r>(
        &self,
        number: usize,
        at: usize,
        spot: LocationRef<'_>,
        record: &'r ByteRecord,
    ) -> Result<&'r str, TableError> {
        parse_id(&record[at]).map_err(|fault| TableError::BadId {
            place: spot.place(),
            column: self.names[number].clone(),
            fault,
        })
    }
}
