//! Reads Parquet files into a table, without a query engine: which columns to load, then every record's values as numbers.

pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod ids;
pub(crate) mod labels;
pub(crate) mod meaning;
pub(crate) mod value;

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
use crate::source::input::resolve;
use crate::source::parquet::file::{Batch, ParquetFile, count_records};
use crate::source::parquet::ids::{ParquetIds, ParquetKey};
use crate::source::row_source::RowSource;
use crate::source::selection::{Selection, check_names_agree};
use crate::table::ImageShape;
use crate::table::sink::{Frame, RowSink};

/// Columns of Parquet files.
///
/// ```
/// use hashvfl_data::ColumnsSource;
///
/// let source: ColumnsSource = toml::from_str(r#"
///     format = "parquet"
///     paths = ["2024.parquet", "2025.parquet"]   # one below the other; the same columns in each
///     id = "customer_id"
///     ignore = ["name", "y"]                     # every other column is loaded
/// "#).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParquetColumns {
    /// The files, read one after the other; all have columns of the same names in the same order.
    pub paths: Vec<PathBuf>,
    /// Name of the column with the record ids, or names of several, of texts or whole numbers.
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

impl ParquetColumns {
    fn selection(&self) -> Selection<'_> {
        let columns = self.columns.as_deref();
        Selection { id: &self.id, columns, ignore: &self.ignore, image: self.image }
    }

    fn first(&self) -> Result<ParquetFile<'_>, TableError> {
        ParquetFile::open(self.paths.first().ok_or(TableError::NoPaths)?)
    }
}

impl RowSource for ParquetColumns {
    fn files(&self) -> &[PathBuf] {
        &self.paths
    }

    fn resolve(&mut self, folder: &Path) {
        resolve(&mut self.paths, folder);
    }

    fn schema(&self) -> Result<Option<Vec<String>>, TableError> {
        Ok(Some(self.first()?.names().to_vec()))
    }

    fn lines(&self) -> Result<Option<u64>, TableError> {
        Ok(None)
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        Ok(Vec::new())
    }

    fn is_cacheable(&self) -> bool {
        true
    }

    fn ids(&self) -> Box<dyn IdSource> {
        Box::new(ParquetIds { paths: self.paths.clone(), id: self.id.clone() })
    }

    fn read(
        &self,
        treatment: &Treatment,
        sink: &mut dyn RowSink,
    ) -> Result<(Frame, Option<Digest>), TableError> {
        let first = self.first()?;
        let (selection, path, names) = (self.selection(), first.path(), first.names());
        let columns_at = selection.find(path, names)?;
        let width = columns_at.len();
        sink.check(path, 0, width)?;
        selection.check(path, names, &columns_at, treatment)?;

        let mut key = ParquetKey::new(&self.id);
        key.find(&first)?;
        let mut columns = Vec::with_capacity(width);
        for &at in &columns_at {
            columns.push(ColumnBuilder::of_kind(&names[at], first.column(at)?.meaning.kind(), treatment));
        }
        sink.start(width, &mut || count_records(&self.paths))?;
        let (mut ids, mut block, mut rows) = (IdColumn::default(), Block::default(), 0);
        let mut marked = MarkedIds::of(&*self.ids(), treatment.faulty)?;
        let unusable = vec![FAULTY; width];
        for path in &self.paths {
            let file = ParquetFile::open(path)?;
            check_names_agree(path, file.names(), first.path(), names)?;
            let mut wanted = key.find(&file)?;
            for &at in &columns_at {
                wanted.push(file.column(at)?);
            }
            file.visit(&wanted, |batch| {
                rows += batch.records() as u64;
                sink.check(path, rows, width)?;
                block.read(batch, wanted.len() - width, &mut columns, treatment)?;
                for (at, row) in block.values.chunks_exact(width).enumerate() {
                    let id = key.read(batch, at);
                    let standing = match &mut marked {
                        Some(marked) => marked.standing(id.as_deref().ok()),
                        None => Standing::Taken,
                    };
                    if standing == Standing::Skipped {
                        continue;
                    }
                    ids.push(batch.spot(at), id?);
                    sink.push(if standing == Standing::Marked { &unusable[..] } else { row })?;
                }
                Ok::<(), TableError>(())
            })?;
        }
        if rows == 0 {
            return Err(TableError::Empty { path: path.to_owned() });
        }
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

/// The values of a batch in the matrix.
#[derive(Default)]
struct Block {
    /// `[records, columns]`, row by row.
    values: Vec<f32>,
    buffer: String,
}

impl Block {
    /// Reads the columns of a batch, which begin at its column `first`.
    fn read(
        &mut self,
        batch: &Batch<'_>,
        first: usize,
        columns: &mut [ColumnBuilder],
        treatment: &Treatment,
    ) -> Result<(), TableError> {
        let width = columns.len();
        self.values.clear();
        self.values.resize(batch.records() * width, 0.0);
        for (place, column) in columns.iter_mut().enumerate() {
            for at in 0..batch.records() {
                let value = batch.value(first + place, at).push(column, treatment, &mut self.buffer);
                self.values[at * width + place] =
                    value.map_err(|fault| column.fault_at(batch.spot(at).place(), fault))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod id_tests;
#[cfg(test)]
mod tests;
