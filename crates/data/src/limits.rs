//! Sizes beyond which a file is refused: a wrong file must not fill a machine's memory.

use std::path::Path;

use crate::error::TableError;

/// Most values (rows x columns) in one table: 2^30 f32, that is 4 GiB.
pub const MAX_VALUES: u64 = 1 << 30;

/// Most rows in one table or label file, so that a row number always fits a `u32`.
pub const MAX_ROWS: u64 = u32::MAX as u64;

/// Most columns in one table (an image of 256 x 256 has as many).
pub const MAX_COLUMNS: u64 = 1 << 16;

/// Most classes that a label may have.
pub const MAX_CLASSES: usize = 10_000;

/// Fails when `rows` x `columns` is beyond what this crate loads into memory.
pub(crate) fn check_size(path: &Path, rows: u64, columns: u64) -> Result<(), TableError> {
    check_size_within(path, rows, columns, MAX_VALUES)
}

/// Fails when `rows` x `columns` is more than `most` values, or more rows or columns than any table may have.
pub(crate) fn check_size_within(path: &Path, rows: u64, columns: u64, most: u64) -> Result<(), TableError> {
    let values = rows.checked_mul(columns);
    let within = rows <= MAX_ROWS && columns <= MAX_COLUMNS && values.is_some_and(|values| values <= most);
    if within {
        return Ok(());
    }
    Err(TableError::TooLarge { path: path.to_owned(), rows, columns })
}

/// An empty vector with room for `rows` x `columns` values, so that filling it copies nothing.
///
/// `rows` may be an estimate that is too high: what lies beyond [`MAX_VALUES`] is not reserved.
pub(crate) fn reserve_values(rows: u64, columns: u64) -> Result<Vec<f32>, TableError> {
    let count = rows.saturating_mul(columns).min(MAX_VALUES);
    let no_room = || TableError::OutOfMemory { values: count };
    let mut values = Vec::new();
    let capacity = usize::try_from(count).map_err(|_| no_room())?;
    values.try_reserve_exact(capacity).map_err(|_| no_room())?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bounded() {
        let path = Path::new("a.csv");
        assert!(check_size(path, 60_000, 784).is_ok());
        assert!(check_size(path, MAX_VALUES, 1).is_ok());
        for (rows, columns) in [(MAX_VALUES + 1, 1), (1, MAX_COLUMNS + 1), (MAX_ROWS + 1, 0), (u64::MAX, 2)] {
            let message = check_size(path, rows, columns).unwrap_err().to_string();
            assert!(message.contains("a.csv"), "{message}");
            assert!(message.contains("at most"), "{message}");
        }
    }
}
