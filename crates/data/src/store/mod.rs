//! A party's records on their way from the source to batches: in memory, or in a cache on disk.

pub(crate) mod cache;
pub(crate) mod matrix;
pub(crate) mod sink;

use std::path::Path;

use hashvfl_core::{Digest, TableRow};

use crate::encoding::preprocess::PreprocessError;
use crate::encoding::treatment::{Faulty, Treatment};
use crate::encoding::{Encoding, Noted};
use crate::error::TableError;
use crate::ids::order::{Order, fingerprint};
use crate::limits::reserve_values;
use crate::source::{ColumnsSource, ImageShape, Table, load_as, load_fingerprinted, read_into};
use crate::store::cache::file::{Reader, Writer, cache_error};
use crate::store::cache::rows::RowFile;
use crate::store::matrix::{Matrix, check_rows};
use crate::store::sink::Frame;

/// Rows that are read at once.
const READ_ROWS: usize = 1 << 12;

/// Records as they were read, in their agreed order.
pub enum RecordStore {
    /// In memory.
    Held(Table),
    /// On disk.
    Cached(Cached),
}

/// Records on disk.
pub struct Cached {
    reader: Reader,
    ids: Vec<String>,
    /// The row of each record.
    rows: Vec<TableRow>,
}

impl Cached {
    /// The file.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The row of each record in the file.
    pub(crate) fn rows(&self) -> &[TableRow] {
        &self.rows
    }
}

impl RecordStore {
    /// Loads the records of `source` in the order of the file `order`, where there is one; into the file `cache`, where it
    /// is to hold them and does not yet.
    ///
    /// # Errors
    /// As [`load_in_order`]; when the cache cannot be written.
    pub fn load(
        source: &ColumnsSource,
        order: Option<&Path>,
        treatment: &Treatment,
        cache: Option<&Path>,
    ) -> Result<Self, TableError> {
        let Some(cache) = cache else { return Ok(Self::Held(load_in_order(source, order, treatment)?)) };
        let order = order.map(|path| Order::read(path).map(|order| (order, path))).transpose()?;
        let (mut reader, found) = fill(source, treatment, cache)?;
        let own = std::mem::take(&mut reader.frame.ids);
        let (ids, rows) = match order {
            Some((order, path)) => {
                order.check(Some(found), path)?;
                let rows = order.places(&own)?;
                (order.ids, rows)
            }
            None => {
                let rows = (0..own.len() as u32).map(TableRow::new).collect();
                (own, rows)
            }
        };
        Ok(Self::Cached(Cached { reader, ids, rows }))
    }

    /// Their ids, as agreed.
    pub fn ids(&self) -> &[String] {
        match self {
            Self::Held(table) => &table.ids,
            Self::Cached(cached) => &cached.ids,
        }
    }

    /// Set when the columns are an image's pixels.
    pub fn image(&self) -> Option<ImageShape> {
        match self {
            Self::Held(table) => table.image,
            Self::Cached(cached) => cached.reader.frame.image,
        }
    }

    /// Fits every column on the training `records`.
    ///
    /// # Errors
    /// As [`Encoding::fit`]; when the cache cannot be read.
    pub fn fit(&self, records: &[u32], treatment: &Treatment) -> Result<Encoding, PreprocessError> {
        let cached = match self {
            Self::Held(table) => return Encoding::fit(table, records, treatment),
            Self::Cached(cached) => cached,
        };
        check_rows(records, cached.rows.len())?;
        let frame = &cached.reader.frame;
        Encoding::fit_columns(&frame.names, &frame.contents, records.len(), treatment, &mut |at| {
            let values = cached.reader.column(at);
            let values = values.map_err(|reason| {
                PreprocessError::Cache(cache_error(&cached.reader.path, &reason).to_string())
            })?;
            Ok(records.iter().map(|&record| values[cached.rows[record as usize].number() as usize]).collect())
        })
    }

    /// Encodes all of them.
    ///
    /// # Errors
    /// As [`Encoding::encode`]; when the cache cannot be read or written.
    pub fn encode(self, encoding: &Encoding, treatment: &Treatment) -> Result<Columns, PreprocessError> {
        Ok(self.encode_noting(encoding, treatment)?.0)
    }

    /// The same, with what was taken for something else.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_noting(
        self,
        encoding: &Encoding,
        treatment: &Treatment,
    ) -> Result<(Columns, Noted), PreprocessError> {
        let mut noted = Noted::default();
        let columns = match self {
            Self::Held(table) => Columns::Held(encoding.encode_noting(table, treatment, &mut noted)?),
            Self::Cached(Cached { reader, rows, .. }) => {
                Columns::Cached(RowFile::encode(&reader, &rows, encoding, treatment, &mut noted)?)
            }
        };
        noted.faulty.sort_unstable();
        Ok((columns, noted))
    }
}

/// Loads the records of `source` into memory, in the order of the file `order`, where there is one.
///
/// # Errors
/// As [`load_as`]; when the source has changed since the order was agreed on, or lacks records of it.
pub fn load_in_order(
    source: &ColumnsSource,
    order: Option<&Path>,
    treatment: &Treatment,
) -> Result<Table, TableError> {
    let Some(path) = order else { return load_as(source, treatment) };
    let order = Order::read(path)?;
    let (table, found) = load_fingerprinted(source, treatment)?;
    order.check(Some(found), path)?;
    table.in_order(&order)
}

/// The file of what `source` holds, filled if it is not yet, and the source's fingerprint.
fn fill(source: &ColumnsSource, treatment: &Treatment, cache: &Path) -> Result<(Reader, Digest), TableError> {
    let open = |found: Digest| -> Result<Option<Reader>, TableError> {
        let reader = Reader::open(cache).map_err(|reason| cache_error(cache, &reason))?;
        let same = |reader: &Reader| {
            key(source, treatment, &reader.frame, found).is_some_and(|key| key.to_string() == reader.key)
        };
        Ok(reader.filter(same))
    };
    // Of a query only its result tells what it holds.
    let known = if source.files().is_empty() { None } else { Some(fingerprint(source.files())?) };
    if let Some(found) = known
        && let Some(reader) = open(found)?
    {
        return Ok((reader, found));
    }
    let mut writer = Writer::create(cache)?;
    let (frame, of_result) = read_into(source, treatment, &mut writer)?;
    let found = match of_result {
        Some(found) => found,
        None => fingerprint(source.files())?,
    };
    if known.is_some_and(|known| known != found) {
        return Err(TableError::ChangedWhileRead { path: source.files()[0].clone() });
    }
    let unlike = |reason: &str| cache_error(cache, &std::io::Error::other(reason.to_owned()));
    let key = key(source, treatment, &frame, found);
    writer.finish(frame, key.ok_or_else(|| unlike("types differ from those declared"))?)?;
    let reader = open(found)?.ok_or_else(|| unlike("it was written and is not whole"))?;
    Ok((reader, found))
}

/// Names the source's content and all settings that decide what its cells become; `None` where a column is declared to
/// hold something else than it does in `frame`.
fn key(source: &ColumnsSource, treatment: &Treatment, frame: &Frame, found: Digest) -> Option<Digest> {
    let mut settings = format!("{source:?} {:?}", treatment.null_values);
    if treatment.faulty == Faulty::Mark {
        settings += " marked";
    }
    for (name, content) in frame.names.iter().zip(&frame.contents) {
        treatment.kind(name).is_none_or(|kind| kind == content.kind()).then_some(())?;
        settings += &format!(" {:?}", treatment.missing(name));
    }
    Some(Digest::of_parts([settings.as_bytes(), &found.0]))
}

/// Encoded records: [rows, cols].
pub enum Columns {
    /// In memory.
    Held(Matrix),
    /// On disk.
    Cached(RowFile),
}

impl Columns {
    /// Records.
    pub fn rows(&self) -> usize {
        match self {
            Self::Held(matrix) => matrix.rows(),
            Self::Cached(file) => file.rows(),
        }
    }

    /// Columns of numbers.
    pub fn cols(&self) -> usize {
        match self {
            Self::Held(matrix) => matrix.cols(),
            Self::Cached(file) => file.cols(),
        }
    }

    /// All of them in memory.
    ///
    /// # Errors
    /// When the cache cannot be read, or memory does not hold them.
    pub fn into_matrix(self) -> Result<Matrix, TableError> {
        match self {
            Self::Held(matrix) => Ok(matrix),
            Self::Cached(file) => {
                let all: Vec<u32> = (0..file.rows() as u32).collect();
                let mut values = reserve_values(all.len() as u64, file.cols() as u64)?;
                for records in all.chunks(READ_ROWS) {
                    values.extend(file.gather(records)?);
                }
                Ok(Matrix::from_checked(file.cols(), values))
            }
        }
    }

    /// Rows of these `records`, one after the other: [records.len(), cols].
    ///
    /// # Errors
    /// When the cache cannot be read.
    ///
    /// # Panics
    /// When a record does not exist.
    pub fn gather(&self, records: &[u32]) -> Result<Vec<f32>, TableError> {
        match self {
            Self::Held(matrix) => Ok(matrix.gather(records)),
            Self::Cached(file) => file.gather(records),
        }
    }
}

#[cfg(test)]
mod tests;
