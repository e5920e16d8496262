//! Holds a party's records between its source and its batches, in memory or in a cache on disk.

pub(crate) mod cache;
mod contents;

use std::path::Path;

use hashvfl_core::{Digest, TableRow};
use tracing::warn;

use crate::encoding::Encoding;
use crate::encoding::error::PreprocessError;
use crate::encoding::row_encoder::EncodingNotes;
use crate::encoding::treatment::{Faulty, Treatment};
use crate::error::TableError;
use crate::ids::order::Order;
use crate::source::fingerprint::fingerprint;
use crate::source::row_source::{RowSource, load_as, load_fingerprinted};
use crate::store::cache::file::{Reader, Writer, cache_error, is_free};
use crate::store::cache::rows::RowFile;
use crate::table::matrix::{Matrix, check_rows};
use crate::table::sink::Frame;
use crate::table::size::reserve_values;
use crate::table::{ImageShape, Table};

/// Rows that are read at once.
const READ_ROWS: usize = 1 << 12;

/// Records as they were read, in their agreed order.
pub enum RecordStore {
    /// In memory.
    Held {
        /// The records.
        table: Table,
        /// How many there were before an order left some out.
        read: usize,
    },
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
    /// Loads the records of `source`, in the order of the file `order` if there is one. With `cache`, they are kept in this file,
    /// which is written unless it holds them already.
    ///
    /// # Errors
    /// As [`load_in_order`]; when the cache cannot be written.
    pub fn load(
        source: &dyn RowSource,
        order: Option<&Path>,
        treatment: &Treatment,
        cache: Option<&Path>,
    ) -> Result<Self, TableError> {
        let Some(cache) = cache else {
            let (table, read) = load_counted(source, order, treatment)?;
            return Ok(Self::Held { table, read });
        };
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

    /// How many records the source has, those that an order leaves out among them.
    pub fn read(&self) -> usize {
        match self {
            Self::Held { read, .. } => *read,
            Self::Cached(cached) => cached.reader.rows(),
        }
    }

    /// The records' agreed ids.
    pub fn ids(&self) -> &[String] {
        match self {
            Self::Held { table, .. } => &table.ids,
            Self::Cached(cached) => &cached.ids,
        }
    }

    /// Set when the columns are an image's pixels.
    pub fn image(&self) -> Option<ImageShape> {
        match self {
            Self::Held { table, .. } => table.image,
            Self::Cached(cached) => cached.reader.frame.image,
        }
    }

    /// Fits every column on the training `records`.
    ///
    /// # Errors
    /// As [`Encoding::fit`]; when the cache cannot be read.
    pub fn fit(&self, records: &[u32], treatment: &Treatment) -> Result<Encoding, PreprocessError> {
        let cached = match self {
            Self::Held { table, .. } => return Encoding::fit(table, records, treatment),
            Self::Cached(cached) => cached,
        };
        check_rows(records, cached.rows.len())?;
        let frame = &cached.reader.frame;
        let (names, contents, image) = (&frame.names, &frame.contents, frame.image);
        Encoding::fit_columns(names, contents, image, records.len(), treatment, &mut |at| {
            let values = cached.reader.column(at);
            let values = values.map_err(|reason| {
                PreprocessError::Cache(cache_error(&cached.reader.path, &reason).to_string())
            })?;
            Ok(records.iter().map(|&record| values[cached.rows[record as usize].number() as usize]).collect())
        })
    }

    /// Encodes all records.
    ///
    /// # Errors
    /// As [`Encoding::encode`]; when the cache cannot be read or written.
    pub fn encode(
        self,
        encoding: &Encoding,
        treatment: &Treatment,
    ) -> Result<EncodedColumns, PreprocessError> {
        Ok(self.encode_noting(encoding, treatment)?.0)
    }

    /// The same, with counts of values that no training row had.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_noting(
        self,
        encoding: &Encoding,
        treatment: &Treatment,
    ) -> Result<(EncodedColumns, EncodingNotes), PreprocessError> {
        let mut noted = EncodingNotes::default();
        let columns = match self {
            Self::Held { table, .. } => {
                EncodedColumns::Held(encoding.encode_noting(table, treatment, &mut noted)?)
            }
            Self::Cached(Cached { reader, rows, .. }) => {
                EncodedColumns::Cached(RowFile::encode(&reader, &rows, encoding, treatment, &mut noted)?)
            }
        };
        noted.faulty.sort_unstable();
        Ok((columns, noted))
    }
}

/// Loads the records of `source` into memory, in the order of the file `order` if there is one.
///
/// # Errors
/// As [`load_as`]; when the source has changed since the order was agreed on, or lacks records of it.
pub fn load_in_order(
    source: &dyn RowSource,
    order: Option<&Path>,
    treatment: &Treatment,
) -> Result<Table, TableError> {
    load_counted(source, order, treatment).map(|(table, _)| table)
}

/// The same, and how many records the source has.
fn load_counted(
    source: &dyn RowSource,
    order: Option<&Path>,
    treatment: &Treatment,
) -> Result<(Table, usize), TableError> {
    let Some(path) = order else {
        let table = load_as(source, treatment)?;
        let read = table.ids.len();
        return Ok((table, read));
    };
    let order = Order::read(path)?;
    let (table, found) = load_fingerprinted(source, treatment)?;
    order.check(Some(found), path)?;
    let read = table.ids.len();
    Ok((table.in_order(&order)?, read))
}

/// Opens the cache of `source`, which is filled unless it is already, and returns it with the source's fingerprint.
fn fill(source: &dyn RowSource, treatment: &Treatment, cache: &Path) -> Result<(Reader, Digest), TableError> {
    if !source.is_cacheable() {
        return Err(TableError::NotCached);
    }
    // What a query holds is known only from its result.
    let known = if source.files().is_empty() { None } else { Some(fingerprint(source.files())?) };
    if let Some(found) = known
        && let Some(reader) = open_filled(source, treatment, cache, found)?
    {
        // Who reads it again hears the same of it.
        reader.told.iter().for_each(|told| warn!("{told}"));
        return Ok((reader, found));
    }
    if !is_free(cache).map_err(|reason| TableError::Open { path: cache.to_owned(), reason })? {
        return Err(TableError::NoCache { path: cache.to_owned() });
    }
    let mut writer = Writer::create(cache)?;
    let (frame, of_records) = source.read(treatment, &mut writer)?;
    let found = source.fingerprint(of_records)?;
    if known.is_some_and(|known| known != found) {
        return Err(TableError::ChangedWhileRead { path: source.files()[0].clone() });
    }
    let Some(key) = key(source, treatment, &frame, found) else {
        return Err(unusable(cache, "its column types differ from the declared ones"));
    };
    writer.finish(frame, key)?;
    match open_filled(source, treatment, cache, found)? {
        Some(reader) => Ok((reader, found)),
        None => Err(unusable(cache, "it was written but is incomplete")),
    }
}

/// The cache, if it is complete and holds what `source` does, whose fingerprint is `found`.
fn open_filled(
    source: &dyn RowSource,
    treatment: &Treatment,
    cache: &Path,
    found: Digest,
) -> Result<Option<Reader>, TableError> {
    let reader = Reader::open(cache).map_err(|reason| cache_error(cache, &reason))?;
    Ok(reader.filter(|reader| {
        key(source, treatment, &reader.frame, found).is_some_and(|key| key.to_string() == reader.key)
    }))
}

fn unusable(cache: &Path, reason: &str) -> TableError {
    cache_error(cache, &std::io::Error::other(reason.to_owned()))
}

/// A digest of the source's content and of all settings that decide what its cells become. `None` if a column is declared to be
/// of another type than in `frame`.
fn key(source: &dyn RowSource, treatment: &Treatment, frame: &Frame, found: Digest) -> Option<Digest> {
    let settings = settings(source, treatment, frame)?;
    Some(Digest::of_parts([settings.as_bytes(), &found.0]))
}

/// All settings that decide what cells become, as text; `None` as for [`key`].
fn settings(source: &dyn RowSource, treatment: &Treatment, frame: &Frame) -> Option<String> {
    let mut settings = format!("{source:?} {:?}", treatment.null_values);
    // What is read is the same, whether such cells are filled in later or not.
    if treatment.faulty != Faulty::Refuse {
        settings += " marked";
    }
    for (name, content) in frame.names.iter().zip(&frame.contents) {
        treatment.kind(name).is_none_or(|kind| kind == content.kind()).then_some(())?;
        settings += &format!(" {:?}", treatment.missing(name));
    }
    Some(settings)
}

/// Encoded records: `[rows, cols]`.
pub enum EncodedColumns {
    /// In memory.
    Held(Matrix),
    /// On disk.
    Cached(RowFile),
}

impl EncodedColumns {
    /// The number of records.
    pub fn rows(&self) -> usize {
        match self {
            Self::Held(matrix) => matrix.rows(),
            Self::Cached(file) => file.rows(),
        }
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        match self {
            Self::Held(matrix) => matrix.cols(),
            Self::Cached(file) => file.cols(),
        }
    }

    /// All encoded records, in memory.
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

    /// The rows of these `records`, one after the other: `[records.len(), cols]`.
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
