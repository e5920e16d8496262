//! Labels in a column of Parquet files.

use std::path::{Path, PathBuf};

use hashvfl_core::Task;
use serde::{Deserialize, Serialize};

use crate::error::TableError;
use crate::ids::id_source::IdSource;
use crate::ids::key_columns::KeyColumns;
use crate::labels::column::LabelColumn;
use crate::labels::error::LabelError;
use crate::labels::{LabelSource, LabelTable};
use crate::names;
use crate::source::input::resolve;
use crate::source::parquet::file::ParquetFile;
use crate::source::parquet::ids::{ParquetIds, ParquetKey};
use crate::source::selection::{check_names_differ, find_key};
use crate::table::size::check_size;

/// Labels in a column of Parquet files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParquetLabels {
    /// The files, read one after the other.
    pub paths: Vec<PathBuf>,
    /// Name of the column with the record ids, or names of several.
    pub id: KeyColumns,
    /// Name of the column with the labels.
    pub column: String,
}

impl LabelSource for ParquetLabels {
    fn files(&self) -> &[PathBuf] {
        &self.paths
    }

    fn resolve(&mut self, folder: &Path) {
        resolve(&mut self.paths, folder);
    }

    fn lines(&self) -> Result<Option<u64>, TableError> {
        Ok(None)
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        Ok(Vec::new())
    }

    fn ids(&self) -> Box<dyn IdSource> {
        Box::new(ParquetIds { paths: self.paths.clone(), id: self.id.clone() })
    }

    fn read(&self, task: Task) -> Result<LabelTable, LabelError> {
        let first_path = self.paths.first().ok_or(TableError::NoPaths)?;
        let mut labels = LabelColumn::new(&self.column, task);
        let (mut key, mut buffer, mut records) = (ParquetKey::new(&self.id), String::new(), 0);
        for path in &self.paths {
            let file = ParquetFile::open(path)?;
            let mut columns = key.find(&file)?;
            let label_at = names::find(path, file.names(), "column", &self.column)?;
            check_names_differ(path, file.names())?;
            if find_key(path, file.names(), &self.id)?.contains(&label_at) {
                return Err(LabelError::LabelIsId { name: self.column.clone() });
            }
            columns.push(file.column(label_at)?);
            file.visit::<LabelError>(&columns, |batch| {
                records += batch.records() as u64;
                check_size(path, records, 1)?;
                for at in 0..batch.records() {
                    let label = batch.value(columns.len() - 1, at);
                    labels.push(batch.spot(at), key.read(batch, at)?, label.text(&mut buffer))?;
                }
                Ok(())
            })?;
        }
        if records == 0 {
            return Err(LabelError::Table(TableError::Empty { path: first_path.clone() }));
        }
        labels.finish()
    }
}
