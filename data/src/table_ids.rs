//! The record ids of a table, one by one: what a private alignment reads. Nothing else of the table is kept.

use std::path::PathBuf;

use crate::csv_file::CsvFiles;
use crate::error::TableError;
use crate::idx::IdxFile;
use crate::labels::LabelsSource;
use crate::names;
use crate::number::parse_text;
use crate::source::ColumnsSource;

/// Hands the id of every record to `each`, in the table's order; the files are read once, and not kept.
///
/// # Errors
/// When a file is missing or damaged, a record has no id, or `each` fails. Repeated ids are `each`'s to find.
pub fn ids_of_columns<E: From<TableError>>(
    source: &ColumnsSource,
    each: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    match source {
        ColumnsSource::Csv(csv) => of_csv(&csv.paths, &csv.id, each),
        ColumnsSource::Idx(idx) => of_idx(&idx.paths, 3, each),
    }
}

/// The same for a table of labels.
///
/// # Errors
/// As [`ids_of_columns`].
pub fn ids_of_labels<E: From<TableError>>(
    source: &LabelsSource,
    each: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    match source {
        LabelsSource::Csv(csv) => of_csv(&csv.paths, &csv.id, each),
        LabelsSource::Idx(idx) => of_idx(&idx.paths, 1, each),
    }
}

fn of_csv<E: From<TableError>>(
    paths: &[PathBuf],
    id: &str,
    mut each: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let files = CsvFiles::open(paths)?;
    let at = names::find(files.first_path(), files.names(), "id", id)?;
    files.visit(|spot, record| {
        let id = parse_text(&record[at]).map_err(|fault| TableError::BadId {
            place: spot.place(),
            column: id.to_owned(),
            fault,
        })?;
        each(id)
    })
}

/// Ids of IDX records are their numbers, counted on from file to file.
fn of_idx<E: From<TableError>>(
    paths: &[PathBuf],
    dimensions: usize,
    mut each: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let mut records = 0;
    for path in paths {
        records += IdxFile::open(path, dimensions)?.records();
    }
    (0..records).try_for_each(|record| each(&record.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_in_the_order_of_the_table_and_a_missing_one_is_placed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let source: ColumnsSource =
            toml::from_str(&format!("format = \"csv\"\nid = \"id\"\npaths = [{path:?}]")).unwrap();
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let mut ids = Vec::new();
            ids_of_columns(&source, |id| {
                ids.push(id.to_string());
                Ok::<(), TableError>(())
            })
            .map(|()| ids)
        };
        assert_eq!(read("a,id\n1,x\n2, y \nz,x\n").unwrap(), ["x", "y", "x"]);
        let error = read("a,id\n1,x\n2,\n").unwrap_err().to_string();
        assert!(error.contains("a.csv, line 3") && error.contains("record id"), "{error}");
    }
}
