//! Reads CSV files that share one header, record by record, each with the line on which it begins.

use std::io::Read;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Position, Reader};

use crate::error::{Counted, LocationRef, TableError};
use crate::source::csv::text::{csv_error, open_csv};
use crate::source::input::{self, UTF_8_MARK};
use crate::source::selection::check_names_agree;
use crate::table::size::check_size;

/// One or more CSV files with the same header.
pub(crate) struct CsvFiles<'a> {
    paths: &'a [PathBuf],
    names: Vec<String>,
}

impl<'a> CsvFiles<'a> {
    /// Reads the first file's header.
    pub(crate) fn open(paths: &'a [PathBuf]) -> Result<Self, TableError> {
        let first = paths.first().ok_or(TableError::NoPaths)?;
        let names = read_header(first, &mut open_csv(first)?)?;
        Ok(Self { paths, names })
    }

    /// The first file, with which all others have to agree.
    pub(crate) fn first_path(&self) -> &'a Path {
        &self.paths[0] // `open` has refused an empty list
    }

    /// The names of all columns, without the spaces around them.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// An upper bound of the number of records, by counting lines.
    pub(crate) fn records_at_most(&self) -> Result<u64, TableError> {
        input::count_all_lines(self.paths)
    }

    /// Hands every record of every file to `visit`, in order; each has a cell for each name.
    pub(crate) fn visit<E: From<TableError>>(
        &self,
        mut visit: impl FnMut(LocationRef<'_>, &ByteRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut record = ByteRecord::new();
        let mut records: u64 = 0;
        for path in self.paths {
            let mut reader = open_csv(path)?;
            check_names_agree(path, &read_header(path, &mut reader)?, self.first_path(), &self.names)?;
            loop {
                let next_line = reader.position().line();
                if !read_record(path, &mut reader, &mut record)? {
                    break;
                }
                // The terminator has been consumed; line breaks inside quoted cells count too.
                let after = reader.position().line();
                let line = after.saturating_sub(1 + count_breaks(&record));
                let spot = LocationRef { path, counted: Counted::Line, number: line.max(next_line) };
                if self.repeats_header(&record) {
                    return Err(E::from(TableError::HeaderAgain { place: spot.place() }));
                }
                if record.get(0).is_some_and(|cell| cell.starts_with(&UTF_8_MARK)) {
                    return Err(E::from(TableError::MarkWithin { place: spot.place() }));
                }
                if record.len() != self.names.len() {
                    return Err(E::from(TableError::Ragged {
                        place: spot.place(),
                        expected: self.names.len(),
                        found: record.len(),
                    }));
                }
                records += 1;
                check_size(path, records, 1)?;
                visit(spot, &record)?;
            }
        }
        if records == 0 {
            return Err(E::from(TableError::Empty { path: self.first_path().to_owned() }));
        }
        Ok(())
    }

    /// Whether a record repeats the header, as happens when files are concatenated.
    fn repeats_header(&self, record: &ByteRecord) -> bool {
        // The file that was put behind another may begin with a mark.
        let cells = record.iter().map(|cell| cell.strip_prefix(&UTF_8_MARK).unwrap_or(cell).trim_ascii());
        record.len() == self.names.len() && cells.eq(self.names.iter().map(String::as_bytes))
    }
}

fn read_header(path: &Path, reader: &mut Reader<Box<dyn Read>>) -> Result<Vec<String>, TableError> {
    let mut record = ByteRecord::new();
    if !read_record(path, reader, &mut record)? {
        return Err(TableError::Empty { path: path.to_owned() });
    }
    let mut names = Vec::with_capacity(record.len());
    for (position, cell) in record.iter().enumerate() {
        let name = std::str::from_utf8(cell)
            .map_err(|_| TableError::HeaderText { path: path.to_owned(), number: position + 1 })?;
        names.push(name.trim_start_matches('\u{feff}').trim().to_owned());
    }
    Ok(names)
}

/// The next record that is not a blank line; false at the end.
fn read_record(
    path: &Path,
    reader: &mut Reader<Box<dyn Read>>,
    record: &mut ByteRecord,
) -> Result<bool, TableError> {
    loop {
        let before = reader.position().clone();
        let more = reader.read_byte_record(record).map_err(|error| csv_error(path, error))?;
        let is_blank = record.len() == 1 && record[0].trim_ascii().is_empty();
        if !more || !is_blank || is_quoted(record, &before, reader.position()) {
            return Ok(more);
        }
    }
}

/// Whether a record without text, read between two positions, stood in quotes, as an empty cell of a file of one column does:
/// then the file holds more bytes than its text and line breaks.
fn is_quoted(record: &ByteRecord, before: &Position, after: &Position) -> bool {
    let breaks = after.line() - before.line() - count_breaks(record);
    after.byte() - before.byte() > record.as_slice().len() as u64 + breaks
}

fn count_breaks(record: &ByteRecord) -> u64 {
    let bytes = record.as_slice().iter();
    bytes.filter(|&&byte| byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines on which the records of a file with this text begin.
    fn lines_of(text: &str) -> Vec<u64> {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("a.csv")];
        std::fs::write(&paths[0], text).unwrap();
        let mut lines = Vec::new();
        let files = CsvFiles::open(&paths).unwrap();
        files
            .visit::<TableError>(|spot, _| {
                lines.push(spot.number);
                Ok(())
            })
            .unwrap();
        lines
    }

    #[test]
    fn lines_are_right_whatever_ends_them() {
        for (text, expected) in [
            ("id,a\n1,2\n3,4\n", vec![2, 3]),
            ("id,a\n1,2\n3,4", vec![2, 3]),
            ("id,a\r\n1,2\r\n3,4\r\n", vec![2, 3]),
            ("id,a\r\n1,2\r\n3,4", vec![2, 3]),
            ("id,a\n\n1,2\n\n\n3,4\n\n", vec![3, 6]),
            ("id,a\r\n\r\n1,2\r\n\r\n3,4", vec![3, 5]),
            ("id,a\n\"x\ny\",2\n3,4", vec![2, 4]),
            ("id,a\n1,\"x\ny\"\n3,4", vec![2, 4]),
            ("id,a\n1,\"2\"\r\n3,\"4\"", vec![2, 3]),
        ] {
            assert_eq!(lines_of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn lines_are_right_beyond_one_buffer() {
        let rows = 50_000;
        let text: String = (0..rows).map(|row| format!("{row},{row}\r\n")).collect();
        let expected: Vec<u64> = (2..rows + 2).collect();
        assert_eq!(lines_of(&format!("id,a\r\n{text}")), expected);
    }

    #[test]
    fn an_empty_cell_in_quotes_is_a_record_and_a_blank_line_is_none() {
        for (text, expected) in [
            ("id\n1\n\n  \n\r\n2\n", vec![2, 6]),
            ("id\n1\n\"\"\n2\n", vec![2, 3, 4]),
            ("id\r\n\r\n\"\"\r\n \r\n2", vec![3, 5]),
            ("id\n\n\n\" \"\n2\n", vec![4, 5]),
        ] {
            assert_eq!(lines_of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_header_among_records_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("a.csv")];
        for (text, expected) in [
            ("id,a\n1,2\nid, a\n3,4\n", "header is repeated"),
            ("id,a\n1,2\n\u{feff}id,a\n3,4\n", "header is repeated"),
            ("id,a\n1,2\n\u{feff}3,4\n", "a byte-order mark"),
        ] {
            std::fs::write(&paths[0], text).unwrap();
            let read = CsvFiles::open(&paths).unwrap().visit::<TableError>(|_, _| Ok(()));
            let message = read.unwrap_err().to_string();
            assert!(message.contains("line 3") && message.contains(expected), "{text:?}: {message}");
        }
    }

    #[test]
    fn names_lose_the_byte_order_mark_and_spaces() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("a.csv")];
        std::fs::write(&paths[0], "\u{feff}\"id\", a ,b\r\n1,2,3\r\n").unwrap();
        assert_eq!(CsvFiles::open(&paths).unwrap().names(), ["id", "a", "b"]);
    }
}
