//! A CSV file as a table of records that are known by their numbers: to look at a table needs no ids.

use std::path::Path;

use crate::encoding::content::{ColumnBuilder, finish_all};
use crate::encoding::treatment::Treatment;
use crate::error::TableError;
use crate::names;
use crate::source::csv::file::CsvFiles;
use crate::source::selection::check_names_differ;
use crate::table::Table;
use crate::table::sink::{Frame, RowSink};

/// Loads these `columns` of all records of a CSV file. A record's id is its number, from 1.
///
/// # Errors
/// When the file is missing, damaged or of another kind, lacks a column, or holds what `treatment` does not accept.
pub fn load_numbered(path: &Path, columns: &[String], treatment: &Treatment) -> Result<Table, TableError> {
    let paths = [path.to_owned()];
    let files = CsvFiles::open(&paths)?;
    check_names_differ(path, files.names())?;
    if columns.is_empty() {
        return Err(TableError::NoColumns { path: path.to_owned() });
    }
    let mut building = Vec::with_capacity(columns.len());
    for name in columns {
        building
            .push((names::find(path, files.names(), "columns", name)?, ColumnBuilder::new(name, treatment)));
    }
    let mut values: Vec<f32> = Vec::new();
    values.start(columns.len(), &mut || files.records_at_most())?;
    let (mut rows, mut row) = (0_u64, Vec::with_capacity(columns.len()));
    files.visit(|spot, record| {
        rows += 1;
        RowSink::check(&values, spot.path, rows, columns.len())?;
        row.clear();
        for (at, column) in &mut building {
            let value = column.push_cell(&record[*at], treatment);
            row.push(value.map_err(|fault| column.fault_at(spot.place(), fault))?);
        }
        RowSink::push(&mut values, &row)
    })?;
    let contents = finish_all(building.into_iter().map(|(_, column)| column), &mut values)?;
    let ids = (1..=rows).map(|row| row.to_string()).collect();
    Frame { ids, names: columns.to_vec(), contents, image: None, pixels: None }.with(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, Faulty};

    #[test]
    fn every_record_counts_whatever_repeats() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "age,,job\n31,1,clerk\n31,2,cook\n31,x,clerk\n").unwrap();
        let columns = ["job", "age", ""].map(str::to_owned);
        let treatment = Treatment { faulty: Faulty::Mark, ..Treatment::default() };
        let table = load_numbered(&path, &columns, &treatment).unwrap();
        assert_eq!((table.ids.join(" "), table.names), ("1 2 3".to_owned(), columns.to_vec()));
        assert_eq!(table.contents[0], Content::Category(vec!["clerk".into(), "cook".into()]));
        assert_eq!(
            (table.matrix.row(0), table.matrix.row(1)),
            (&[0.0, 31.0, 1.0][..], &[1.0, 31.0, 2.0][..])
        );
        let message = load_numbered(&path, &columns, &Treatment::default()).unwrap_err().to_string();
        assert!(message.contains("line 4, column \"\""), "{message}");
        assert!(load_numbered(&path, &[], &treatment).is_err());
    }
}
