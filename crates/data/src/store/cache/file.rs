//! The columnar file. It begins with groups of rows, each of them column by column as little-endian f32. Then come the ids, a
//! header in JSON with the SHA-256 of the values, the header's length, the SHA-256 of ids and header, and a last line. A file
//! that lacks its end, or of which a bit has changed, counts as absent.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use hashvfl_files::{WholeFile, WriteError, sha256_of_next};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::{floats, read_at};
use crate::encoding::content::Content;
use crate::error::TableError;
use crate::table::ImageShape;
use crate::table::sink::{Frame, RowSink};
use crate::table::size::check_size_within;

const LAST_LINE: &[u8; 16] = b"hashvfl cache 2\n";
/// What every version's last line begins with, and how near the end it is looked for.
const MARK: &[u8] = b"hashvfl cache";
const NEAR_END: u64 = 64;
/// The most values of a group of rows: 16 MiB.
const GROUP_VALUES: usize = 1 << 22;
/// The most rows of a group.
const GROUP_ROWS: usize = 1 << 16;
/// The largest header that is read, in bytes.
const MAX_HEADER_BYTES: u64 = 1 << 30;

#[derive(Serialize, Deserialize)]
struct CacheHeader {
    key: String,
    rows: u64,
    group_rows: usize,
    values_sha256: String,
    ids_bytes: u64,
    names: Vec<String>,
    /// The dictionary of each column of categories.
    categories: Vec<Option<Vec<String>>>,
    image: Option<ImageShape>,
    /// What a person is to know of the records; absent where that is nothing, and from older programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    told: Vec<String>,
}

/// Writes a file, which gets its name when it is complete.
pub(crate) struct Writer {
    path: PathBuf,
    file: BufWriter<WholeFile>,
    columns: usize,
    group_rows: usize,
    /// Rows of the group that is not written yet.
    group: Vec<f32>,
    bytes: Vec<u8>,
    /// The hash of the values that are written.
    values: Sha256,
    rows: u64,
    told: Vec<String>,
}

impl Writer {
    /// Begins a file that will be at `path`.
    pub(crate) fn create(path: &Path) -> Result<Self, TableError> {
        let file = BufWriter::new(WholeFile::create(path).map_err(whole_error)?);
        let (group, bytes, values, told) = (Vec::new(), Vec::new(), Sha256::new(), Vec::new());
        let path = path.to_owned();
        Ok(Self { path, file, columns: 0, group_rows: 1, group, bytes, values, rows: 0, told })
    }

    fn failed(&self) -> impl Fn(io::Error) -> TableError + use<> {
        let path = self.path.clone();
        move |reason| cache_error(&path, &reason)
    }

    /// Writes the rows of the group, column by column.
    fn flush(&mut self) -> Result<(), TableError> {
        self.bytes.clear();
        for column in 0..self.columns {
            let values = self.group.iter().skip(column).step_by(self.columns);
            self.bytes.extend(values.flat_map(|value| value.to_le_bytes()));
        }
        self.group.clear();
        self.values.update(&self.bytes);
        self.file.write_all(&self.bytes).map_err(self.failed())
    }

    /// Writes the end and gives the file its name.
    pub(crate) fn finish(mut self, frame: Frame, key: Digest) -> Result<(), TableError> {
        self.flush()?;
        let mut ids = Vec::new();
        for id in &frame.ids {
            ids.extend((id.len() as u32).to_le_bytes());
            ids.extend(id.as_bytes());
        }
        let dictionary = |content: Content| match content {
            Content::Number => None,
            Content::Category(names) => Some(names),
        };
        let header = CacheHeader {
            key: key.to_string(),
            rows: self.rows,
            group_rows: self.group_rows,
            values_sha256: Digest(self.values.clone().finalize().into()).to_string(),
            ids_bytes: ids.len() as u64,
            names: frame.names,
            categories: frame.contents.into_iter().map(dictionary).collect(),
            image: frame.image,
            told: std::mem::take(&mut self.told),
        };
        // Unwrap safety: numbers and texts.
        let header = serde_json::to_vec(&header).expect("plain data");
        let length = (header.len() as u64).to_le_bytes();
        let digest = Digest::of_parts([ids.as_slice(), &header]);
        let end = [ids.as_slice(), &header, &length, &digest.0, LAST_LINE];
        let failed = self.failed();
        end.iter().try_for_each(|part| self.file.write_all(part)).map_err(&failed)?;
        let file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.finish().map_err(whole_error)
    }
}

impl RowSink for Writer {
    fn start(
        &mut self,
        columns: usize,
        _: &mut dyn FnMut() -> Result<u64, TableError>,
    ) -> Result<(), TableError> {
        self.columns = columns;
        self.group_rows = (GROUP_VALUES / columns.max(1)).clamp(1, GROUP_ROWS);
        Ok(())
    }

    fn check(&self, path: &Path, rows: u64, columns: usize) -> Result<(), TableError> {
        check_size_within(path, rows, columns as u64, u64::MAX)
    }

    fn push(&mut self, row: &[f32]) -> Result<(), TableError> {
        self.group.extend_from_slice(row);
        self.rows += 1;
        if self.group.len() == self.group_rows * self.columns { self.flush() } else { Ok(()) }
    }

    fn tell(&mut self, told: String) {
        warn!("{told}");
        self.told.push(told);
    }
}

/// A complete file, open for reading.
pub(crate) struct Reader {
    pub(crate) path: PathBuf,
    pub(crate) frame: Frame,
    /// A digest of the source and of all settings that decide what its cells become.
    pub(crate) key: String,
    /// What a person is to know of the records.
    pub(crate) told: Vec<String>,
    file: File,
    pub(super) rows: usize,
    group_rows: usize,
}

/// Whether a cache may be written at `path`: nothing is there, or a cache, which it takes the place of.
pub(crate) fn is_free(path: &Path) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        file => file?,
    };
    // Also where its end is damaged.
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(NEAR_END)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(bytes == 0 || end.windows(MARK.len()).any(|part| part == MARK))
}

impl Reader {
    /// Opens the file at `path`; `None` if it is absent, incomplete or damaged.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let bytes = file.metadata()?.len();
        let mut end = [0; 56];
        if bytes < end.len() as u64 {
            return Ok(None);
        }
        let end_at = bytes - end.len() as u64;
        read_at(&file, &mut end, end_at)?;
        let header_bytes = u64::from_le_bytes(end[..8].try_into().unwrap_or_default());
        if end[40..] != *LAST_LINE || header_bytes > end_at.min(MAX_HEADER_BYTES) {
            return Ok(None);
        }
        let mut header = vec![0; header_bytes as usize];
        read_at(&file, &mut header, end_at - header_bytes)?;
        let Ok(found) = serde_json::from_slice::<CacheHeader>(&header) else { return Ok(None) };
        let columns = found.names.len();
        let values = found.rows.saturating_mul(columns as u64).saturating_mul(4);
        let whole = values.saturating_add(found.ids_bytes).saturating_add(header_bytes) == end_at;
        let sound = (1..=GROUP_ROWS).contains(&found.group_rows) && found.categories.len() == columns;
        if !whole || !sound {
            return Ok(None);
        }
        let mut ids = vec![0; found.ids_bytes as usize];
        read_at(&file, &mut ids, values)?;
        let mut first = &file;
        first.seek(SeekFrom::Start(0))?;
        if Digest::of_parts([ids.as_slice(), &header]).0 != end[8..40]
            || Digest(sha256_of_next(&mut first, values)?).to_string() != found.values_sha256
        {
            return Ok(None);
        }
        let Some(ids) = split(&ids).filter(|ids| ids.len() as u64 == found.rows) else { return Ok(None) };
        let content = |names: Option<Vec<String>>| names.map_or(Content::Number, Content::Category);
        let contents = found.categories.into_iter().map(content).collect();
        let frame = Frame { ids, names: found.names, contents, image: found.image, pixels: None };
        let (path, rows, group_rows) = (path.to_owned(), found.rows as usize, found.group_rows);
        Ok(Some(Self { path, frame, key: found.key, told: found.told, file, rows, group_rows }))
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows of each group.
    pub(crate) fn groups(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let (rows, step) = (self.rows, self.group_rows);
        (0..rows).step_by(step).map(move |start| start..(start + step).min(rows))
    }

    /// The values of column `at`, over all rows.
    pub(crate) fn column(&self, at: usize) -> io::Result<Vec<f32>> {
        let mut values = Vec::with_capacity(self.rows);
        let mut bytes = Vec::new();
        for rows in self.groups() {
            bytes.resize(4 * rows.len(), 0);
            let before = rows.start * self.frame.names.len() + at * rows.len();
            read_at(&self.file, &mut bytes, 4 * before as u64)?;
            values.extend(floats(&bytes));
        }
        Ok(values)
    }

    /// The values of the group `rows`, column by column.
    pub(crate) fn group(&self, rows: &std::ops::Range<usize>) -> io::Result<Vec<f32>> {
        let columns = self.frame.names.len();
        let mut bytes = vec![0; 4 * rows.len() * columns];
        read_at(&self.file, &mut bytes, 4 * (rows.start * columns) as u64)?;
        Ok(floats(&bytes).collect())
    }
}

/// Splits the ids, each of which follows its length.
fn split(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut ids = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (id, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        ids.push(std::str::from_utf8(id).ok()?.to_owned());
        bytes = rest;
    }
    bytes.is_empty().then_some(ids)
}

fn whole_error(error: WriteError) -> TableError {
    cache_error(&error.path, &error.reason)
}

/// The error for a cache that cannot be used.
pub(crate) fn cache_error(path: &Path, reason: &io::Error) -> TableError {
    TableError::Cache { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that a file holds.
    fn content(reader: &Reader) -> (Vec<Vec<u32>>, String) {
        let columns = 0..reader.frame.names.len();
        let bits = |at| reader.column(at).unwrap().into_iter().map(f32::to_bits).collect();
        let Frame { ids, names, contents, image, .. } = &reader.frame;
        let rest = format!("{ids:?} {names:?} {contents:?} {image:?} {} {}", reader.key, reader.group_rows);
        (columns.map(bits).collect(), rest)
    }

    #[test]
    fn each_bit_flipped_in_turn_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.cache");
        let mut writer = Writer::create(&path).unwrap();
        writer.start(2, &mut || Ok(3)).unwrap();
        for row in [[1.5, 0.0], [-2.0, 1.0], [f32::NAN, 0.0]] {
            writer.push(&row).unwrap();
        }
        let frame = Frame {
            ids: ["k1", "k2", "k3"].map(String::from).into(),
            names: ["age", "job"].map(String::from).into(),
            contents: vec![Content::Number, Content::Category(vec!["clerk".into(), "cook".into()])],
            image: None,
            pixels: None,
        };
        writer.finish(frame, Digest([7; 32])).unwrap();
        let written = content(&Reader::open(&path).unwrap().unwrap());
        assert_eq!(written.0[1], [0.0_f32, 1.0, 0.0].map(f32::to_bits));
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..8 * whole.len() {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, damaged).unwrap();
            if let Ok(Some(reader)) = Reader::open(&path) {
                assert_eq!(content(&reader), written, "bit {bit}");
            }
        }
    }
}
