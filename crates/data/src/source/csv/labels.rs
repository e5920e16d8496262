//! Labels in a column of CSV files.

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
use crate::source::csv::file::CsvFiles;
use crate::source::csv::ids::{CsvIds, CsvKey};
use crate::source::input::{count_all_lines, remark_on_ends, resolve};
use crate::source::selection::check_names_differ;

/// Labels in a column of CSV files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvLabels {
    /// The files, read one after the other; all have the same header.
    pub paths: Vec<PathBuf>,
    /// Name of the column with the record ids, or names of several.
    pub id: KeyColumns,
    /// Name of the column with the labels.
    pub column: String,
}

impl LabelSource for CsvLabels {
    fn files(&self) -> &[PathBuf] {
        &self.paths
    }

    fn resolve(&mut self, folder: &Path) {
        resolve(&mut self.paths, folder);
    }

    fn lines(&self) -> Result<Option<u64>, TableError> {
        count_all_lines(&self.paths).map(Some)
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        remark_on_ends(&self.paths)
    }

    fn ids(&self) -> Box<dyn IdSource> {
        Box::new(CsvIds { paths: self.paths.clone(), id: self.id.clone() })
    }

    fn read(&self, task: Task) -> Result<LabelTable, LabelError> {
        let files = CsvFiles::open(&self.paths)?;
        let key = CsvKey::find(&self.id, &files)?;
        let label_at = names::find(files.first_path(), files.names(), "column", &self.column)?;
        check_names_differ(files.first_path(), files.names())?;
        if key.holds(label_at) {
            return Err(LabelError::LabelIsId { name: self.column.clone() });
        }
        let mut labels = LabelColumn::new(&self.column, task);
        files.visit(|spot, record| labels.push(spot, &key.read(spot, record)?, &record[label_at]))?;
        labels.finish()
    }
}
