//! Checks the CSV tables of a query before the engine reads them, as our own reader does. The engine's reader accepts
//! anything, and a quote that is never closed would swallow records.

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::DataFusionError;
use datafusion::object_store::{GetOptions, ObjectMeta, ObjectStore};
use futures_util::{StreamExt, TryStreamExt};

use super::{SqlError, failure};
use crate::source::csv::text::{Broken, Check};
use crate::source::input::UTF_8_MARK;

/// Reads the CSV file `file` of table `name` once, and fails where it violates RFC 4180. Returns whether a cell has several
/// lines.
pub(super) async fn check(
    name: &str,
    store: &dyn ObjectStore,
    file: &ObjectMeta,
    delimiter: u8,
    compression: FileCompressionType,
) -> Result<bool, SqlError> {
    let found = store.get_opts(&file.location, GetOptions::default()).await;
    let found = found.map_err(|error| failure::of_table(name, &error.into()))?;
    let bytes = found.into_stream().map_err(DataFusionError::from).boxed();
    let mut bytes = compression.convert_stream(bytes).map_err(|error| failure::of_table(name, &error))?;
    let mut check = Check::new(delimiter);
    let mut is_first = true;
    while let Some(chunk) = bytes.try_next().await.map_err(|error| failure::of_table(name, &error))? {
        let marked = std::mem::take(&mut is_first) && chunk.starts_with(&UTF_8_MARK);
        check
            .take(if marked { &chunk[UTF_8_MARK.len()..] } else { &chunk })
            .map_err(|error| broken(name, file, error))?;
    }
    check.finish().map_err(|error| broken(name, file, error))?;
    Ok(check.has_cells_of_lines())
}

fn broken(name: &str, file: &ObjectMeta, Broken { line, fault }: Broken) -> SqlError {
    SqlError::Table { table: name.to_owned(), reason: format!("{}, line {line}: {fault}", file.location) }
}
