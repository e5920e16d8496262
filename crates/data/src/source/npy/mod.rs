//! Arrays of NumPy to a table: columns of `[records, columns]`, or pixels of images, cropped to a party's part.

pub(crate) mod format;

use std::path::Path;

use crate::encoding::content::{Column, Content};
use crate::encoding::treatment::Treatment;
use crate::error::TableError;
use crate::limits::{check_size, reserve_values};
use crate::names;
use crate::source::images::Window;
use crate::source::npy::format::{NpyError, NpyFile};
use crate::source::number::CellFault;
use crate::source::{ImageColumns, ImageShape, Table};
use crate::store::matrix::Matrix;

pub(crate) fn load(source: &ImageColumns, treatment: &Treatment) -> Result<Table, TableError> {
    let first_path = source.paths.first().ok_or(TableError::NoPaths)?;
    let first = NpyFile::open(first_path)?;
    match image(&first) {
        Some(shape) => load_images(source, Window::new(first_path, shape, source.crop)?),
        None if source.crop.is_some() => Err(NpyError::NoImage { path: first_path.clone() }.into()),
        None => load_columns(source, first.record_shape()[0], treatment),
    }
}

/// The shape of a record, where it is an image.
fn image(file: &NpyFile<'_>) -> Option<ImageShape> {
    // What does not fit into memory is beyond every limit.
    let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    match *file.record_shape() {
        [height, width] => Some(ImageShape { channels: 1, height: size(height), width: size(width) }),
        [channels, height, width] => {
            Some(ImageShape { channels: size(channels), height: size(height), width: size(width) })
        }
        _ => None,
    }
}

fn load_images(source: &ImageColumns, window: Window) -> Result<Table, TableError> {
    let columns = window.columns();
    let rows = count_records(source, columns, |path, file| match image(file) {
        Some(shape) => window.check(path.display(), shape),
        None => Err(NpyError::Dimensions { path: path.to_owned(), found: 2 }.into()),
    })?;
    let names = window.names();
    let mut values = reserve_values(rows, columns as u64)?;
    visit(source, window.whole_values(), |path, record, bytes, image| {
        let (scale, start) = (if bytes { 255.0 } else { 1.0 }, values.len());
        window.take(image, &mut values, |value| (value / scale) as f32);
        match values[start..].iter().position(|value| !value.is_finite()) {
            Some(at) => Err(fault(path, record, &names[at], CellFault::NotFinite)),
            None => Ok(()),
        }
    })?;
    Ok(Table {
        ids: (0..rows).map(|row| row.to_string()).collect(),
        names,
        contents: vec![Content::Number; columns],
        matrix: Matrix::from_checked(columns, values),
        image: Some(window.shape()),
    })
}

fn load_columns(source: &ImageColumns, columns: u64, treatment: &Treatment) -> Result<Table, TableError> {
    check_size(&source.paths[0], 0, columns)?;
    let width = columns as usize; // below MAX_COLUMNS
    if width == 0 {
        return Err(TableError::NoColumns { path: source.paths[0].clone() });
    }
    let rows = count_records(source, width, |path, file| match *file.record_shape() {
        [found] if found == columns => Ok(()),
        [found] => {
            let found = usize::try_from(found).unwrap_or(usize::MAX);
            Err(NpyError::Columns { path: path.to_owned(), expected: width, found }.into())
        }
        ref shape => Err(NpyError::Dimensions { path: path.to_owned(), found: shape.len() + 1 }.into()),
    })?;
    let names: Vec<String> = (0..width).map(|column| format!("column_{column}")).collect();
    for name in treatment.types.keys() {
        names::find(&source.paths[0], &names, "types", name)?;
    }
    let mut columns: Vec<Column> = names.iter().map(|name| Column::new(name, treatment)).collect();
    let mut values = reserve_values(rows, width as u64)?;
    visit(source, width, |path, record, _, cells| {
        for (column, &cell) in columns.iter_mut().zip(cells) {
            let value = if cell.is_nan() { column.push_missing() } else { column.push_number(cell) };
            values.push(value.map_err(|what| fault(path, record, column.name(), what))?);
        }
        Ok(())
    })?;
    Ok(Table {
        ids: (0..rows).map(|row| row.to_string()).collect(),
        names,
        contents: columns.into_iter().map(Column::finish).collect::<Result<_, _>>()?,
        matrix: Matrix::from_checked(width, values),
        image: None,
    })
}

/// The records of all files, each of which `check` has to accept.
fn count_records(
    source: &ImageColumns,
    columns: usize,
    check: impl Fn(&Path, &NpyFile<'_>) -> Result<(), TableError>,
) -> Result<u64, TableError> {
    let mut rows: u64 = 0;
    for path in &source.paths {
        let file = NpyFile::open(path)?;
        check(path, &file)?;
        rows = rows.saturating_add(file.records());
        check_size(path, rows, columns as u64)?;
    }
    if rows == 0 {
        return Err(TableError::Empty { path: source.paths[0].clone() });
    }
    Ok(rows)
}

/// Hands every record to `each`: its file, its number there, whether its values are bytes, and they.
fn visit(
    source: &ImageColumns,
    width: usize,
    mut each: impl FnMut(&Path, u64, bool, &[f64]) -> Result<(), TableError>,
) -> Result<(), TableError> {
    let (mut values, mut buffer) = (vec![0.0; width], Vec::new());
    for path in &source.paths {
        let mut file = NpyFile::open(path)?;
        let (mut record, bytes) = (0, file.is_bytes());
        while file.next_record(&mut values, &mut buffer)? {
            each(path, record, bytes, &values)?;
            record += 1;
        }
    }
    Ok(())
}

fn fault(path: &Path, record: u64, column: &str, what: CellFault) -> TableError {
    let fault = match what {
        CellFault::Empty => "a missing value (NaN); fill it, or set missing = \"fill\"".to_owned(),
        fault => format!("{fault}; clean the array"),
    };
    NpyError::Value { path: path.to_owned(), record, column: column.to_owned(), fault }.into()
}

#[cfg(test)]
mod tests;
