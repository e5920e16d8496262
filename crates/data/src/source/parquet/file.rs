//! Reads the flat columns of a Parquet file batch by batch, by the column readers of the parquet crate, which need no query
//! engine.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};

use crate::error::{Counted, LocationRef, TableError};
use crate::source::parquet::error::ParquetFileError;
use crate::source::parquet::meaning::{Meaning, describe};
use crate::source::parquet::value::{Stored, Value};

/// The most records that are read at once.
const BATCH_RECORDS: usize = 1 << 14;
/// About how many values are read at once, over all columns.
const BATCH_VALUES: usize = 1 << 20;

/// An open Parquet file.
pub(crate) struct ParquetFile<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
    names: Vec<String>,
    /// The first leaf of each column. A nested column has several, or none.
    leaves: Vec<Option<usize>>,
}

/// A column that holds one value per record at most.
#[derive(Clone, Copy)]
pub(crate) struct FlatColumn {
    /// Which of the file's leaves it is.
    leaf: usize,
    pub(crate) meaning: Meaning,
}

impl<'a> ParquetFile<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self, TableError> {
        let file = File::open(path).map_err(|reason| TableError::Open { path: path.to_owned(), reason })?;
        let bytes =
            file.metadata().map_err(|reason| TableError::Open { path: path.to_owned(), reason })?.len();
        let reader = SerializedFileReader::new(file).map_err(|error| ParquetFileError::of(path, &error))?;
        if !reader.metadata().row_groups().iter().all(|group| lies_within(group, bytes)) {
            let reason = "its footer refers to positions outside the file".to_owned();
            return Err(ParquetFileError::Damaged { path: path.to_owned(), reason }.into());
        }
        let schema = reader.metadata().file_metadata().schema_descr();
        let fields = schema.root_schema().get_fields();
        let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
        let mut leaves = vec![None; names.len()];
        for leaf in 0..schema.num_columns() {
            leaves[schema.get_column_root_idx(leaf)].get_or_insert(leaf);
        }
        Ok(Self { path, reader, names, leaves })
    }

    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }

    /// The names of all columns; a nested one has one name.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn records(&self) -> u64 {
        u64::try_from(self.reader.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The column at `at`, whose values can be loaded.
    pub(crate) fn column(&self, at: usize) -> Result<FlatColumn, TableError> {
        self.flat(at).map_err(|found| {
            let (path, column) = (self.path.to_owned(), self.names[at].clone());
            ParquetFileError::Type { path, column, found }.into()
        })
    }

    /// The column at `at`, whose values can be ids.
    pub(crate) fn id_column(&self, at: usize) -> Result<FlatColumn, TableError> {
        self.flat(at)
            .and_then(|column| if column.meaning.is_id() { Ok(column) } else { Err(self.describe(column)) })
            .map_err(|found| {
                let (path, column) = (self.path.to_owned(), self.names[at].clone());
                ParquetFileError::IdType { path, column, found }.into()
            })
    }

    /// The column at `at`, or the name of its type if it cannot be loaded.
    fn flat(&self, at: usize) -> Result<FlatColumn, String> {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let leaf = self.leaves[at].filter(|leaf| {
            schema.root_schema().get_fields()[at].is_primitive() && schema.column(*leaf).max_rep_level() == 0
        });
        let Some(leaf) = leaf else { return Err("a list or another nested type".to_owned()) };
        let column = schema.column(leaf);
        let meaning = Meaning::of(&column).ok_or_else(|| describe(&column))?;
        Ok(FlatColumn { leaf, meaning })
    }

    fn describe(&self, column: FlatColumn) -> String {
        describe(&self.reader.metadata().file_metadata().schema_descr().column(column.leaf))
    }

    /// Hands all records to `each`, in order, in batches of these `columns`.
    pub(crate) fn visit<E: From<TableError>>(
        &self,
        columns: &[FlatColumn],
        mut each: impl FnMut(&Batch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let most = (BATCH_VALUES / columns.len().max(1)).clamp(1, BATCH_RECORDS);
        let mut before = 0;
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group).map_err(|error| self.failed(&error))?;
            let (began, said) = (before, group.metadata().num_rows());
            let mut readers = Vec::with_capacity(columns.len());
            for column in columns {
                readers.push(self.cells(group.as_ref(), *column)?);
            }
            while let Some(records) = self.fill(&mut readers, most)? {
                each(&Batch { path: self.path, before, records, columns: &readers })?;
                before += records as u64;
            }
            if i64::try_from(before - began) != Ok(said) {
                Err(self.damaged("a row group holds a different number of records than it declares"))?;
            }
        }
        Ok(())
    }

    /// A column of a row group.
    fn cells(
        &self,
        group: &dyn RowGroupReader,
        column: FlatColumn,
    ) -> Result<Box<dyn CellReader>, TableError> {
        let meaning = column.meaning;
        Ok(match group.get_column_reader(column.leaf).map_err(|error| self.failed(&error))? {
            ColumnReader::BoolColumnReader(reader) => Cells::boxed(reader, meaning),
            ColumnReader::Int32ColumnReader(reader) => Cells::boxed(reader, meaning),
            ColumnReader::Int64ColumnReader(reader) => Cells::boxed(reader, meaning),
            ColumnReader::FloatColumnReader(reader) => Cells::boxed(reader, meaning),
            ColumnReader::DoubleColumnReader(reader) => Cells::boxed(reader, meaning),
            ColumnReader::ByteArrayColumnReader(reader) => Cells::boxed(reader, meaning),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => Cells::boxed(reader, meaning),
            ColumnReader::Int96ColumnReader(_) => {
                return Err(self.damaged("a column is not of the type that the file's schema gives it"));
            }
        })
    }

    /// Reads the next records of every column, and returns their number, which is the same in each.
    fn fill(&self, readers: &mut [Box<dyn CellReader>], most: usize) -> Result<Option<usize>, TableError> {
        let mut records = None;
        for reader in readers {
            // The parquet crate panics at some pages that are damaged. What it has read of them is given up with it.
            let found = catch_unwind(AssertUnwindSafe(|| reader.fill(most)))
                .map_err(|_| self.damaged("a page is damaged"))?
                .map_err(|error| self.failed(&error))?;
            if records.is_some_and(|records| records != found) {
                return Err(self.damaged("columns of a row group have different numbers of records"));
            }
            records = Some(found);
        }
        Ok(records.filter(|records| *records > 0))
    }

    fn failed(&self, error: &ParquetError) -> TableError {
        ParquetFileError::of(self.path, error).into()
    }

    fn damaged(&self, reason: &str) -> TableError {
        ParquetFileError::Damaged { path: self.path.to_owned(), reason: reason.to_owned() }.into()
    }
}

/// Whether all columns of a row group lie within a file of so many `bytes`. The parquet crate panics where one begins before it.
fn lies_within(group: &RowGroupMetaData, bytes: u64) -> bool {
    group.columns().iter().all(|column| {
        let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
        let (start, length) = (u64::try_from(start), u64::try_from(column.compressed_size()));
        start.ok().zip(length.ok()).is_some_and(|(start, length)| start.saturating_add(length) <= bytes)
    })
}

/// The number of records in all files.
pub(crate) fn count_records(paths: &[PathBuf]) -> Result<u64, TableError> {
    let mut records: u64 = 0;
    for path in paths {
        records = records.saturating_add(ParquetFile::open(path)?.records());
    }
    Ok(records)
}

/// Some records of a file, one after the other.
pub(crate) struct Batch<'b> {
    path: &'b Path,
    /// Records of the file before these.
    before: u64,
    records: usize,
    columns: &'b [Box<dyn CellReader>],
}

impl<'b> Batch<'b> {
    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// Where record `at` of the batch is in the file.
    pub(crate) fn spot(&self, at: usize) -> LocationRef<'b> {
        LocationRef { path: self.path, counted: Counted::Record, number: self.before + at as u64 + 1 }
    }

    /// The value of record `at` in the batch's `column`.
    pub(crate) fn value(&self, column: usize, at: usize) -> Value<'_> {
        self.columns[column].value(at)
    }
}

/// A column of a row group, some records at a time.
trait CellReader {
    /// Reads the next records, `most` at most, and returns their number.
    fn fill(&mut self, most: usize) -> Result<usize, ParquetError>;

    /// The value of record `at` among them.
    fn value(&self, at: usize) -> Value<'_>;
}

struct Cells<T: DataType> {
    reader: ColumnReaderImpl<T>,
    meaning: Meaning,
    /// The values that are not null.
    values: Vec<T::T>,
    /// One per record: above 0 if its value is there. Empty for a column without nulls.
    levels: Vec<i16>,
    /// One per record: where its value is among `values`.
    places: Vec<Option<u32>>,
}

impl<T: DataType> Cells<T>
where
    T::T: Stored,
{
    fn boxed(reader: ColumnReaderImpl<T>, meaning: Meaning) -> Box<dyn CellReader> {
        let (values, levels, places) = (Vec::new(), Vec::new(), Vec::new());
        Box::new(Self { reader, meaning, values, levels, places })
    }
}

impl<T: DataType> CellReader for Cells<T>
where
    T::T: Stored,
{
    fn fill(&mut self, most: usize) -> Result<usize, ParquetError> {
        self.values.clear();
        self.levels.clear();
        self.places.clear();
        let (records, values, _) =
            self.reader.read_records(most, Some(&mut self.levels), None, &mut self.values)?;
        if self.levels.is_empty() {
            self.places.extend((0..values as u32).map(Some));
        }
        let mut place = 0;
        for level in &self.levels {
            let is_there = *level > 0;
            self.places.push(is_there.then_some(place));
            place += u32::from(is_there);
        }
        let is_whole = self.levels.is_empty() || place as usize == values;
        if self.places.len() != records || self.values.len() != values || !is_whole {
            return Err(ParquetError::General("a column ends before its last record".to_owned()));
        }
        if self.meaning == Meaning::Nothing && values > 0 {
            return Err(ParquetError::General("a column declared to be all null holds values".to_owned()));
        }
        Ok(records)
    }

    fn value(&self, at: usize) -> Value<'_> {
        match self.places[at] {
            Some(place) => self.values[place as usize].value(self.meaning),
            None => Value::Missing,
        }
    }
}
