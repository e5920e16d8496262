//! The record ids of a table: present, text, and each only once.

pub(crate) mod key_columns;
pub(crate) mod list;
pub(crate) mod order;
pub(crate) mod source;

use std::collections::HashMap;
use std::path::PathBuf;

use crate::error::{Place, TableError};
use crate::source::csv::file::Spot;

/// Collects ids in the order of the records, and where each was read.
#[derive(Default)]
pub(crate) struct IdColumn {
    ids: Vec<String>,
    lines: Vec<u64>,
    /// Each file with the number of its first record.
    files: Vec<(usize, PathBuf)>,
}

impl IdColumn {
    /// Adds one record's id.
    pub(crate) fn push(&mut self, spot: Spot<'_>, id: &str) {
        if self.files.last().is_none_or(|(_, path)| path != spot.path) {
            self.files.push((self.ids.len(), spot.path.to_owned()));
        }
        self.ids.push(id.to_owned());
        self.lines.push(spot.line);
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

    fn place(&self, row: usize) -> Place {
        let file = self.files.iter().rev().find(|(start, _)| *start <= row);
        Place { path: file.map(|(_, path)| path.clone()).unwrap_or_default(), line: self.lines[row] }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn repeated_ids_are_counted_and_placed_but_not_shown() {
        let mut ids = IdColumn::default();
        for (path, line, id) in [
            ("a.csv", 2, "secret-1"),
            ("a.csv", 3, "secret-2"),
            ("b.csv", 2, "secret-1"),
            ("b.csv", 3, "secret-1"),
        ] {
            let spot = Spot { path: Path::new(path), line };
            ids.push(spot, id);
        }
        let message = ids.finish().unwrap_err().to_string();
        assert!(message.starts_with("2 records"), "{message}");
        assert!(message.contains("a.csv, line 2 and b.csv, line 2"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}
