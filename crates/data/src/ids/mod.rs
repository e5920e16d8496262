//! The record ids of a table: present, text, and each only once.

pub(crate) mod id_source;
pub(crate) mod key_columns;
pub(crate) mod list;
pub(crate) mod marked;
pub(crate) mod order;
pub(crate) mod remarks;

use std::collections::HashMap;
use std::path::PathBuf;

use crate::error::{Counted, Location, LocationRef, TableError};

/// Collects ids in the order of the records, and where each was read.
#[derive(Default)]
pub(crate) struct IdColumn {
    ids: Vec<String>,
    /// The line or number of each record in its file.
    numbers: Vec<u64>,
    files: Vec<FileOfIds>,
}

/// A file that ids were read from.
struct FileOfIds {
    path: PathBuf,
    counted: Counted,
    /// Which of all ids is the first one of this file, from 0.
    first: usize,
}

impl IdColumn {
    /// Adds one record's id.
    pub(crate) fn push(&mut self, spot: LocationRef<'_>, id: &str) {
        if self.files.last().is_none_or(|file| file.path != spot.path) {
            let (path, counted, first) = (spot.path.to_owned(), spot.counted, self.ids.len());
            self.files.push(FileOfIds { path, counted, first });
        }
        self.ids.push(id.to_owned());
        self.numbers.push(spot.number);
    }

    /// The ids, in the order of the records.
    pub(crate) fn finish(self) -> Result<Vec<String>, TableError> {
        let mut seen = HashMap::with_capacity(self.ids.len());
        let mut count = 0;
        let mut first_pair = None;
        for (row, id) in self.ids.iter().enumerate() {
            let earlier = *seen.entry(id.as_str()).or_insert(row);
            if earlier != row {
                count += 1;
                first_pair.get_or_insert((earlier, row));
            }
        }
        if let Some((earlier, later)) = first_pair {
            return Err(TableError::DuplicateIds {
                count,
                first: self.place(earlier),
                second: self.place(later),
            });
        }
        drop(seen);
        Ok(self.ids)
    }

    fn place(&self, row: usize) -> Location {
        let file = self.files.iter().rev().find(|file| file.first <= row);
        let (path, counted) =
            file.map_or((PathBuf::new(), Counted::Record), |file| (file.path.clone(), file.counted));
        Location { path, counted, number: self.numbers[row] }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn repeated_ids_are_counted_and_placed_but_not_shown() {
        let mut ids = IdColumn::default();
        for (path, number, id) in [
            ("a.csv", 2, "secret-1"),
            ("a.csv", 3, "secret-2"),
            ("b.csv", 2, "secret-1"),
            ("b.csv", 3, "secret-1"),
        ] {
            ids.push(LocationRef { path: Path::new(path), counted: Counted::Line, number }, id);
        }
        let message = ids.finish().unwrap_err().to_string();
        assert!(message.starts_with("2 records"), "{message}");
        assert!(message.contains("a.csv, line 2 and b.csv, line 2"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}
