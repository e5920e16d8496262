//! CSV tables of a query, checked as our own files are before the engine reads them: its reader takes whatever comes, and a
//! quote that is never closed would swallow records.

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::DataFusionError;
use datafusion::object_store::{GetOptions, ObjectMeta, ObjectStore};
use futures_util::{StreamExt, TryStreamExt};

use super::{SqlError, failure};
use crate::csv_text::{Broken, Check};
use crate::source::input::UTF_8_MARK;

/// Reads the CSV file `file` of table `name` once, and fails where it is not as RFC 4180 has it. True where a cell has
/// several lines.
pub(super) async fn check(
    name: &str,
    store: &dyn ObjectStore,
    file: &ObjectMeta,
    (delimiter, compression): (u8, FileCompressionType),
) -> Result<bool, SqlError> {
    let failed = |error: DataFusionError| SqlError::Table {
        table: name.to_owned(),
        reason: failure::without_values(error.find_root(), ""),
    };
    let broken = |Broken { line, fault }: Broken| SqlError::Table {
        table: name.to_owned(),
        reason: format!("{}, line {line}: {fault}", file.location),
    };
    let found = store.get_opts(&file.location, GetOptions::default()).await;
    let found = found.map_err(|error| failed(error.into()))?;
    let bytes = found.into_stream().map_err(DataFusionError::from).boxed();
    let mut bytes = compression.convert_stream(bytes).map_err(failed)?;
    let mut check = Check::new(delimiter);
    let mut is_first = true;
    while let Some(chunk) = bytes.try_next().await.map_err(failed)? {
        let marked = std::mem::take(&mut is_first) && chunk.starts_with(&UTF_8_MARK);
        check.take(if marked { &chunk[UTF_8_MARK.len()..] } else { &chunk }).map_err(broken)?;
    }
    check.finish().map_err(broken)?;
    Ok(check.has_cells_of_lines())
}
