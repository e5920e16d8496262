//! A list of records: a text file of one id a line.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::error::{Place, TableError};

/// The row numbers of the records that the file at `path` lists, one id a line; empty lines are passed over.
///
/// # Errors
/// If the file cannot be read, or lists an id that is none of `ids`: by its line, never by the id.
pub fn read_rows(path: &Path, ids: &[String]) -> Result<Vec<u32>, TableError> {
    let rows: HashMap<&str, u32> = ids.iter().map(String::as_str).zip(0..).collect();
    read_found(path, |id| rows.get(id).copied())
}

/// What `find` finds for each id of the file at `path`, in the file's order.
///
/// # Errors
/// When the file cannot be read, or nothing is found for an id: how many, and on which line the first is.
pub fn read_found<T>(path: &Path, find: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, TableError> {
    let text =
        fs::read_to_string(path).map_err(|reason| TableError::Open { path: path.to_path_buf(), reason })?;
    let (mut found, mut unknown, mut first) = (Vec::new(), 0, None);
    for (line, id) in text.lines().enumerate() {
        if id.trim().is_empty() {
            continue;
        }
        match find(id.trim()) {
            Some(one) => found.push(one),
            None => {
                unknown += 1;
                first.get_or_insert(Place { path: path.to_path_buf(), line: line as u64 + 1 });
            }
        }
    }
    match first {
        Some(first) => Err(TableError::UnknownIds { count: unknown, first }),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_the_order_of_the_list_and_unknown_ids_are_placed_but_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.txt");
        let ids = ["a", "b", "c"].map(String::from);
        fs::write(&path, "c\n\n a \r\n").unwrap();
        assert_eq!(read_rows(&path, &ids).unwrap(), [2, 0]);
        fs::write(&path, "c\nsecret\nhidden\n").unwrap();
        let error = read_rows(&path, &ids).unwrap_err().to_string();
        assert!(error.contains("2 ids") && error.contains("line 2"), "{error}");
        assert!(!error.contains("secret"), "{error}");
        assert!(read_rows(Path::new("nowhere.txt"), &ids).is_err());
    }
}
