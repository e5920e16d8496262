//! Encoded records, row by row, in a file without a name, which is gone when its process ends.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use hashvfl_core::TableRow;
use hashvfl_files::owner_only;

use super::file::{Reader, cache_error};
use super::{beside, floats, read_at};
use crate::encoding::Encoding;
use crate::encoding::error::PreprocessError;
use crate::encoding::row_encoder::{EncodingNotes, RowEncoder};
use crate::encoding::treatment::Treatment;
use crate::error::TableError;

/// Encoded columns on disk.
pub struct RowFile {
    path: PathBuf,
    file: File,
    columns: usize,
    /// The position of each record's row in the file, counted in rows.
    places: Vec<u32>,
}

impl RowFile {
    /// Encodes records of `cache`. `order` holds the row of the cache of each record. Values that no training row had are counted
    /// in `noted`.
    pub(crate) fn encode(
        cache: &Reader,
        order: &[TableRow],
        encoding: &Encoding,
        treatment: &Treatment,
        noted: &mut EncodingNotes,
    ) -> Result<Self, PreprocessError> {
        let path = beside(&cache.path, ".rows");
        let failed = |reason: io::Error| PreprocessError::Cache(cache_error(&path, &reason).to_string());
        let encoder =
            RowEncoder::new(&encoding.columns, &cache.frame.names, &cache.frame.contents, treatment)?;
        noted.unknown_columns = encoder.unknown_columns();
        let mut record_of = vec![u32::MAX; cache.rows];
        order.iter().zip(0..).for_each(|(row, record)| record_of[row.number() as usize] = record);
        let mut places = vec![0; order.len()];
        let file = owner_only().read(true).write(true).create(true).truncate(true).open(&path);
        let mut file = BufWriter::new(file.map_err(failed)?);
        unlink(&path).map_err(failed)?;
        let (mut row, mut encoded, mut written) = (vec![0.0; cache.frame.names.len()], Vec::new(), 0);
        for rows in cache.groups() {
            let values = cache.group(&rows).map_err(failed)?;
            for (place, number) in rows.clone().enumerate() {
                let record = record_of[number] as usize;
                let Some(at) = places.get_mut(record) else { continue };
                *at = written;
                written += 1;
                let cells = values.iter().skip(place).step_by(rows.len());
                row.iter_mut().zip(cells).for_each(|(cell, value)| *cell = *value);
                encoded.clear();
                encoder.row(record, &row, &mut encoded, noted)?;
                let mut bytes = encoded.iter().map(|value| value.to_le_bytes());
                bytes.try_for_each(|bytes| file.write_all(&bytes)).map_err(failed)?;
            }
        }
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        Ok(Self { file, columns: encoder.width(), places, path })
    }

    /// The number of records.
    pub(crate) fn rows(&self) -> usize {
        self.places.len()
    }

    /// The number of columns.
    pub(crate) fn cols(&self) -> usize {
        self.columns
    }

    /// The rows of these records, one after the other.
    pub(crate) fn gather(&self, records: &[u32]) -> Result<Vec<f32>, TableError> {
        let width = 4 * self.columns;
        let mut bytes = vec![0; records.len() * width];
        for (record, bytes) in records.iter().zip(bytes.chunks_exact_mut(width.max(1))) {
            let place = u64::from(self.places[*record as usize]);
            read_at(&self.file, bytes, place * width as u64)
                .map_err(|reason| cache_error(&self.path, &reason))?;
        }
        Ok(floats(&bytes).collect())
    }
}

/// Removes the file's name, on systems where an open file needs none.
fn unlink(path: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::remove_file(path) } else { Ok(()) }
}
