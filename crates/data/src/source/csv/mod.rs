//! Reads CSV files into a table: which columns to load, then every record's cells as numbers.

pub(crate) mod file;
pub(crate) mod foreign;
pub(crate) mod ids;
pub(crate) mod labels;
pub(crate) mod numbered;
pub(crate) mod text;

use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use serde::{Deserialize, Serialize};

use crate::encoding::content::{ColumnBuilder, FAULTY, finish_all};
use crate::encoding::treatment::Treatment;
use crate::error::TableError;
use crate::ids::IdColumn;
use crate::ids::id_source::IdSource;
use crate::ids::key_columns::KeyColumns;
use crate::ids::marked::{MarkedIds, Standing};
use crate::source::csv::file::CsvFiles;
use crate::source::csv::ids::{CsvIds, CsvKey};
use crate::source::input::{count_all_lines, remark_on_ends, resolve};
use crate::source::row_source::RowSource;
use crate::source::selection::Selection;
use crate::table::ImageShape;
use crate::table::sink::{Frame, RowSink};

/// Columns of CSV files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvColumns {
    /// The files, read one after the other; all have the same header.
    pub paths: Vec<PathBuf>,
    /// Name of the column with the record ids, or names of several.
    pub id: KeyColumns,
    /// Names of the columns to load, in this order; without it all but `id` and `ignore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Names of columns to leave out. A name that no column has is an error: with a misspelt
    /// one the column would be loaded.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// Says that the columns are pixels of an image, channel by channel and row by row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageShape>,
}

impl CsvColumns {
    fn selection(&self) -> Selection<'_> {
        let columns = self.columns.as_deref();
        Selection { id: &self.id, columns, ignore: &self.ignore, image: self.image }
    }
}

impl RowSource for CsvColumns {
    fn files(&self) -> &[PathBuf] {
        &self.paths
    }

    fn resolve(&mut self, folder: &Path) {
        resolve(&mut self.paths, folder);
    }

    fn schema(&self) -> Result<Option<Vec<String>>, TableError> {
        Ok(Some(CsvFiles::open(&self.paths)?.names().to_vec()))
    }

    fn lines(&self) -> Result<Option<u64>, TableError> {
        count_all_lines(&self.paths).map(Some)
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        remark_on_ends(&self.paths)
    }

    fn is_cacheable(&self) -> bool {
        true
    }

    fn ids(&self) -> Box<dyn IdSource> {
        Box::new(CsvIds { paths: self.paths.clone(), id: self.id.clone() })
    }

    fn read(
        &self,
        treatment: &Treatment,
        sink: &mut dyn RowSink,
    ) -> Result<(Frame, Option<Digest>), TableError> {
        let files = CsvFiles::open(&self.paths)?;
        let (path, names, selection) = (files.first_path(), files.names(), self.selection());
        let key = CsvKey::find(&self.id, &files)?;
        let columns_at = selection.find(path, names)?;
        sink.check(path, 0, columns_at.len())?;
        selection.check(path, names, &columns_at, treatment)?;

        let mut columns: Vec<ColumnBuilder> =
            columns_at.iter().map(|&at| ColumnBuilder::new(&names[at], treatment)).collect();
        sink.start(columns.len(), &mut || files.records_at_most())?;
        let mut ids = IdColumn::default();
        let mut marked = MarkedIds::of(&*self.ids(), treatment.faulty)?;
        let (mut rows, mut row) = (0, Vec::with_capacity(columns.len()));
        files.visit(|spot, record| {
            let id = key.read(spot, record);
            let standing = match &mut marked {
                Some(marked) => marked.standing(id.as_deref().ok()),
                None => Standing::Taken,
            };
            if standing == Standing::Skipped {
                return Ok(());
            }
            rows += 1;
            sink.check(spot.path, rows, columns_at.len())?;
            ids.push(spot, &id?);
            row.clear();
            if standing == Standing::Marked {
                row.resize(columns.len(), FAULTY);
                return sink.push(&row);
            }
            for (column, &at) in columns.iter_mut().zip(&columns_at) {
                let value = column
                    .push_cell(&record[at], treatment)
                    .map_err(|fault| column.fault_at(spot.place(), fault))?;
                row.push(value);
            }
            sink.push(&row)
        })?;
        if let Some(marked) = &marked {
            marked.tell(sink);
        }
        let frame = Frame {
            ids: ids.finish()?,
            names: columns.iter().map(|column| column.name().to_owned()).collect(),
            contents: finish_all(columns, sink)?,
            image: self.image,
            pixels: None,
        };
        Ok((frame, None))
    }
}

#[cfg(test)]
mod tests;
