//! Checks the CSV and JSON tables of a query before the engine reads them, as our own reader does. The engine's reader accepts
//! anything. A quote that is never closed would swallow records. It finds columns by name when it merges files, and by
//! position when it reads them, without a look at any header: files of unlike headers would swap columns.

use std::collections::BTreeSet;

use csv::{ByteRecord, ReaderBuilder};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::DataFusionError;
use datafusion::object_store::{GetOptions, ObjectMeta, ObjectStore};
use futures_util::{StreamExt, TryStreamExt};

use super::again::HeaderAgain;
use super::cells::{CellCounts, Counts};
use super::objects::{ObjectFindings, Objects};
use super::{SqlError, failure};
use crate::source::csv::text::{Broken, Check};
use crate::source::input::{UTF_8_MARK, told_of_open_ends};

/// Bytes of a header, at most.
const MAX_HEADER_BYTES: usize = 1 << 24;

/// What was seen of a table's files.
#[derive(Default)]
pub(super) struct Seen {
    /// Whether a cell has several lines.
    pub(super) cells_of_lines: bool,
    /// Cells that may not be read as they are written, by column.
    pub(super) cells: Vec<Counts>,
    /// Files whose last line has no line break.
    pub(super) open_ended: usize,
}

impl Seen {
    /// What to know of the ends of so many `files` of table `name`.
    pub(super) fn told_of_ends(&self, name: &str, files: usize) -> Option<String> {
        told_of_open_ends(self.open_ended, files).map(|told| format!("tables.{name}: {told}"))
    }
}

/// Reads each of the CSV `files` of table `name` once, and fails where one violates RFC 4180 or has another header than the
/// first.
pub(super) async fn check(
    name: &str,
    store: &dyn ObjectStore,
    files: &[ObjectMeta],
    delimiter: u8,
    compression: FileCompressionType,
) -> Result<Seen, SqlError> {
    let mut seen = Seen::default();
    let mut first: Option<FileHeader<'_>> = None;
    for file in files {
        let checked = check_file(name, store, file, delimiter, compression).await?;
        seen.cells_of_lines |= checked.cells_of_lines;
        seen.open_ended += usize::from(checked.open_ended);
        Counts::add_all(&mut seen.cells, &checked.cells);
        // A file without a line has no columns: there is nothing to read in it.
        let Some(header) = checked.header else { continue };
        match &first {
            Some(first) => check_header(name, &FileHeader { file, names: header }, first)?,
            None => first = Some(FileHeader { file, names: header }),
        }
    }
    Ok(seen)
}

/// What was seen of a file.
struct CheckedFile {
    /// Its first record; `None` where it has none.
    header: Option<ByteRecord>,
    /// Whether a cell has several lines.
    cells_of_lines: bool,
    /// Cells that may not be read as they are written, by column.
    cells: Vec<Counts>,
    /// Whether its last line has no line break.
    open_ended: bool,
}

/// Reads each of the JSON `files` of table `name` once: the keys with numbers that the engine would round. Fails where an object
/// has a key twice.
pub(super) async fn check_objects(
    name: &str,
    store: &dyn ObjectStore,
    files: &[ObjectMeta],
    compression: FileCompressionType,
) -> Result<BTreeSet<String>, SqlError> {
    let failed = |error: DataFusionError| failure::of_table(name, &error);
    let mut all = BTreeSet::new();
    for file in files {
        let found = store.get_opts(&file.location, GetOptions::default()).await;
        let bytes = found.map_err(|error| failed(error.into()))?.into_stream();
        let bytes = bytes.map_err(DataFusionError::from).boxed();
        let mut bytes = compression.convert_stream(bytes).map_err(failed)?;
        let mut objects = Objects::default();
        while let Some(chunk) = bytes.try_next().await.map_err(failed)? {
            objects.take(&chunk);
        }
        let ObjectFindings { long, repeats } = objects.finish();
        if let Some(line) = repeats {
            let reason =
                format!("{}, line {line}: an object has a key twice; leave one of them", file.location);
            return Err(SqlError::Table { table: name.to_owned(), reason });
        }
        all.extend(long);
    }
    Ok(all)
}

async fn check_file(
    name: &str,
    store: &dyn ObjectStore,
    file: &ObjectMeta,
    delimiter: u8,
    compression: FileCompressionType,
) -> Result<CheckedFile, SqlError> {
    let found = store.get_opts(&file.location, GetOptions::default()).await;
    let found = found.map_err(|error| failure::of_table(name, &error.into()))?;
    let bytes = found.into_stream().map_err(DataFusionError::from).boxed();
    let mut bytes = compression.convert_stream(bytes).map_err(|error| failure::of_table(name, &error))?;
    let (mut check, mut cells) = (Check::new(delimiter), CellCounts::new(delimiter));
    let mut again = HeaderAgain::default();
    let mut start = Vec::new();
    let (mut is_first, mut last) = (true, b'\n');
    while let Some(chunk) = bytes.try_next().await.map_err(|error| failure::of_table(name, &error))? {
        let marked = std::mem::take(&mut is_first) && chunk.starts_with(&UTF_8_MARK);
        let text = if marked { &chunk[UTF_8_MARK.len()..] } else { &chunk[..] };
        if !check.has_header() {
            start.extend_from_slice(text);
        }
        check.take(text).map_err(|error| broken(name, file, error))?;
        cells.take(text);
        again.take(text);
        last = text.last().copied().unwrap_or(last);
        if !check.has_header() && start.len() > MAX_HEADER_BYTES {
            let reason = format!(
                "{}: no line ends within its first {MAX_HEADER_BYTES} bytes, expected a header; save it as CSV",
                file.location
            );
            return Err(SqlError::Table { table: name.to_owned(), reason });
        }
    }
    check.finish().map_err(|error| broken(name, file, error))?;
    if let Some(line) = again.finish() {
        let reason = format!(
            "{}, line {line}: the header is repeated, as happens when files are concatenated; remove this line",
            file.location
        );
        return Err(SqlError::Table { table: name.to_owned(), reason });
    }
    let mut reader = ReaderBuilder::new();
    reader.has_headers(false).flexible(true).delimiter(delimiter);
    // The text has passed the check, so that what the parser takes for the first record is one.
    let header = reader.from_reader(&start[..]).byte_records().find_map(Result::ok);
    let (cells_of_lines, open_ended) = (check.has_cells_of_lines(), last != b'\n');
    Ok(CheckedFile { header, cells_of_lines, cells: cells.finish(), open_ended })
}

/// A file, and what its first record names.
struct FileHeader<'a> {
    file: &'a ObjectMeta,
    names: ByteRecord,
}

/// Fails where the header of a file is not that of the `first`. Names are not shown: without a header they are cells.
fn check_header(name: &str, found: &FileHeader<'_>, first: &FileHeader<'_>) -> Result<(), SqlError> {
    if found.names == first.names {
        return Ok(());
    }
    let same = found.names.iter().zip(&first.names).take_while(|(one, other)| one == other).count();
    let reason = format!(
        "the header of {} is not that of {}: column {} differs ({} columns, expected {}); write one header into all files of \
         the table, in one order, or make them two tables",
        found.file.location,
        first.file.location,
        same + 1,
        found.names.len(),
        first.names.len()
    );
    Err(SqlError::Table { table: name.to_owned(), reason })
}

fn broken(name: &str, file: &ObjectMeta, Broken { line, fault }: Broken) -> SqlError {
    SqlError::Table { table: name.to_owned(), reason: format!("{}, line {line}: {fault}", file.location) }
}
