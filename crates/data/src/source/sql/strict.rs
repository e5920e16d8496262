//! Checks the CSV tables of a query before the engine reads them, as our own reader does. The engine's reader accepts
//! anything. A quote that is never closed would swallow records. It finds columns by name when it merges files, and by
//! position when it reads them, without a look at any header: files of unlike headers would swap columns.

use csv::{ByteRecord, ReaderBuilder};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::DataFusionError;
use datafusion::object_store::{GetOptions, ObjectMeta, ObjectStore};
use futures_util::{StreamExt, TryStreamExt};

use super::zeros::LeadingZeros;
use super::{SqlError, failure};
use crate::source::csv::text::{Broken, Check};
use crate::source::input::UTF_8_MARK;

/// Bytes of a header, at most.
const MAX_HEADER_BYTES: usize = 1 << 24;

/// What was seen of a table's files.
#[derive(Default)]
pub(super) struct Seen {
    /// Whether a cell has several lines.
    pub(super) cells_of_lines: bool,
    /// Cells of digits that begin with 0, by column.
    pub(super) leading_zeros: Vec<u64>,
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
    let mut first: Option<Header<'_>> = None;
    for file in files {
        let checked = check_file(name, store, file, delimiter, compression).await?;
        seen.cells_of_lines |= checked.cells_of_lines;
        let columns = seen.leading_zeros.len().max(checked.leading_zeros.len());
        seen.leading_zeros.resize(columns, 0);
        seen.leading_zeros.iter_mut().zip(&checked.leading_zeros).for_each(|(sum, count)| *sum += count);
        // A file without a line has no columns: there is nothing to read in it.
        let Some(header) = checked.header else { continue };
        match &first {
            Some(first) => check_header(name, &Header { file, names: header }, first)?,
            None => first = Some(Header { file, names: header }),
        }
    }
    Ok(seen)
}

/// What was seen of a file.
struct Checked {
    /// Its first record; `None` where it has none.
    header: Option<ByteRecord>,
    /// Whether a cell has several lines.
    cells_of_lines: bool,
    /// Cells of digits that begin with 0, by column.
    leading_zeros: Vec<u64>,
}

async fn check_file(
    name: &str,
    store: &dyn ObjectStore,
    file: &ObjectMeta,
    delimiter: u8,
    compression: FileCompressionType,
) -> Result<Checked, SqlError> {
    let found = store.get_opts(&file.location, GetOptions::default()).await;
    let found = found.map_err(|error| failure::of_table(name, &error.into()))?;
    let bytes = found.into_stream().map_err(DataFusionError::from).boxed();
    let mut bytes = compression.convert_stream(bytes).map_err(|error| failure::of_table(name, &error))?;
    let (mut check, mut zeros) = (Check::new(delimiter), LeadingZeros::new(delimiter));
    let mut start = Vec::new();
    let mut is_first = true;
    while let Some(chunk) = bytes.try_next().await.map_err(|error| failure::of_table(name, &error))? {
        let marked = std::mem::take(&mut is_first) && chunk.starts_with(&UTF_8_MARK);
        let text = if marked { &chunk[UTF_8_MARK.len()..] } else { &chunk[..] };
        if !check.has_header() {
            start.extend_from_slice(text);
        }
        check.take(text).map_err(|error| broken(name, file, error))?;
        zeros.take(text);
        if !check.has_header() && start.len() > MAX_HEADER_BYTES {
            let reason = format!(
                "{}: no line ends within its first {MAX_HEADER_BYTES} bytes, expected a header; save it as CSV",
                file.location
            );
            return Err(SqlError::Table { table: name.to_owned(), reason });
        }
    }
    check.finish().map_err(|error| broken(name, file, error))?;
    let mut reader = ReaderBuilder::new();
    reader.has_headers(false).flexible(true).delimiter(delimiter);
    // The text has passed the check, so that what the parser takes for the first record is one.
    let header = reader.from_reader(&start[..]).byte_records().find_map(Result::ok);
    Ok(Checked { header, cells_of_lines: check.has_cells_of_lines(), leading_zeros: zeros.finish() })
}

/// A file, and what its first record names.
struct Header<'a> {
    file: &'a ObjectMeta,
    names: ByteRecord,
}

/// Fails where the header of a file is not that of the `first`. Names are not shown: without a header they are cells.
fn check_header(name: &str, found: &Header<'_>, first: &Header<'_>) -> Result<(), SqlError> {
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
