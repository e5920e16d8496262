//! Checks of a table's size, and memory for it.

use std::path::Path;

use crate::error::TableError;
use crate::limits::{MAX_COLUMNS, MAX_ROWS, MAX_VALUES};

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
/// `rows` may be an estimate that is too high; no more than [`MAX_VALUES`] are reserved.
pub(crate) fn reserve_values(rows: u64, columns: u64) -> Result<Vec<f32>, TableError> {
    let count = rows.saturating_mul(columns).min(MAX_VALUES);
    let mut values = Vec::new();
    match usize::try_from(count).map(|capacity| values.try_reserve_exact(capacity)) {
        Ok(Ok(())) => Ok(values),
        _ => Err(TableError::OutOfMemory { values: count }),
    }
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
