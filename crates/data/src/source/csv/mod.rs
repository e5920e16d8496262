//! CSV files to a table: which columns to load, then every record's cells as numbers.

pub(crate) mod file;
pub(crate) mod foreign;
pub(crate) mod header;

use std::collections::HashSet;

use crate::encoding::content::Column;
use crate::encoding::treatment::Treatment;
use crate::error::TableError;
use crate::ids::IdColumn;
use crate::ids::key_columns::CsvKey;
use crate::names;
use crate::source::csv::file::CsvFiles;
use crate::source::{CsvColumns, ImageShape, Table};
use crate::store::sink::{Frame, Sink};

pub(crate) fn load(source: &CsvColumns, treatment: &Treatment) -> Result<Table, TableError> {
    let mut values = Vec::new();
    Ok(read(source, treatment, &mut values)?.with(values))
}

/// Reads all records in a stream; their values go into `sink`, row by row.
pub(crate) fn read(
    source: &CsvColumns,
    treatment: &Treatment,
    sink: &mut dyn Sink,
) -> Result<Frame, TableError> {
    let files = CsvFiles::open(&source.paths)?;
    let first_path = files.first_path();
    let key = source.id.find(&files)?;
    files.check_names_differ()?;
    let columns_at = select(&files, source, &key)?;
    let column_count = columns_at.len();
    sink.check(first_path, 0, column_count)?;
    check_image(source.image, columns_at.len())?;

    for name in treatment.types.keys() {
        if !columns_at.iter().any(|&at| files.names()[at] == *name) {
            names::find(first_path, files.names(), "types", name)?;
            return Err(named_twice(name, "is named by [types] and not loaded"));
        }
    }

    let mut ids = IdColumn::default();
    let mut columns: Vec<Column> =
        columns_at.iter().map(|&at| Column::new(&files.names()[at], treatment)).collect();
    sink.start(column_count, &mut || files.records_at_most())?;
    let (mut rows, mut row) = (0, Vec::with_capacity(column_count));
    files.visit(|spot, record| {
        rows += 1;
        sink.check(spot.path, rows, column_count)?;
        row.clear();
        ids.push(spot, &key.read(spot, record)?);
        for (column, &at) in columns.iter_mut().zip(&columns_at) {
            let value = column.push_cell(&record[at], treatment).map_err(|fault| TableError::Cell {
                place: spot.place(),
                column: column.name().to_owned(),
                expected: column.expected(),
                fault,
            })?;
            row.push(value);
        }
        sink.push(&row)
    })?;
    Ok(Frame {
        ids: ids.finish()?,
        names: columns.iter().map(|column| column.name().to_owned()).collect(),
        contents: columns.into_iter().map(Column::finish).collect::<Result<_, _>>()?,
        image: source.image,
    })
}

/// The positions of the columns to load, in the order in which they are to be loaded.
fn select(files: &CsvFiles<'_>, source: &CsvColumns, key: &CsvKey<'_>) -> Result<Vec<usize>, TableError> {
    let path = files.first_path();
    let all = files.names();
    let mut ignored = HashSet::new();
    for name in &source.ignore {
        let at = names::find(path, all, "ignore", name)?;
        if key.holds(at) {
            return Err(named_twice(name, "is named by `id` and by `ignore`"));
        }
        ignored.insert(at);
    }
    let selected = match &source.columns {
        Some(wanted) => select_named(files, wanted, key, &ignored)?,
        None => (0..all.len()).filter(|at| !key.holds(*at) && !ignored.contains(at)).collect(),
    };
    if selected.is_empty() {
        return Err(TableError::NoColumns { path: path.to_owned() });
    }
    match selected.iter().find(|&&at| all[at].is_empty()) {
        Some(at) => Err(TableError::UnnamedColumn { path: path.to_owned(), number: at + 1 }),
        None => Ok(selected),
    }
}

fn select_named(
    files: &CsvFiles<'_>,
    wanted: &[String],
    key: &CsvKey<'_>,
    ignored: &HashSet<usize>,
) -> Result<Vec<usize>, TableError> {
    let mut selected = Vec::with_capacity(wanted.len());
    let mut seen = HashSet::new();
    for name in wanted {
        let at = names::find(files.first_path(), files.names(), "columns", name)?;
        if key.holds(at) {
            return Err(named_twice(name, "is named by `id` and by `columns`"));
        }
        if ignored.contains(&at) {
            return Err(named_twice(name, "is named by `columns` and by `ignore`"));
        }
        if !seen.insert(at) {
            return Err(named_twice(name, "is named twice by `columns`"));
        }
        selected.push(at);
    }
    Ok(selected)
}

fn named_twice(name: &str, problem: &'static str) -> TableError {
    TableError::ColumnNamedTwice { name: name.to_owned(), problem }
}

pub(crate) fn check_image(image: Option<ImageShape>, columns: usize) -> Result<(), TableError> {
    let Some(image) = image else {
        return Ok(());
    };
    let pixels = image.channels.checked_mul(image.height).and_then(|pixels| pixels.checked_mul(image.width));
    if pixels == Some(columns) {
        return Ok(());
    }
    Err(TableError::ImageShape {
        channels: image.channels,
        height: image.height,
        width: image.width,
        columns,
    })
}

#[cfg(test)]
mod tests;
