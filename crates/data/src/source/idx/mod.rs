//! IDX images to a table: one column a pixel, 0 to 1, cropped to a party's part of the image.

pub(crate) mod format;

use std::path::Path;

use crate::encoding::content::Content;
use crate::error::TableError;
use crate::limits::{check_size, reserve_values};
use crate::source::idx::format::IdxFile;
use crate::source::images::Window;
use crate::source::{ImageColumns, ImageShape, Table};
use crate::store::matrix::Matrix;

const IMAGE_DIMENSIONS: usize = 3;

pub(crate) fn load(source: &ImageColumns) -> Result<Table, TableError> {
    let first_path = source.paths.first().ok_or(TableError::NoPaths)?;
    let window = Window::new(first_path, open(first_path)?.1, source.crop)?;
    let columns = window.columns();
    let rows = count_records(source, &window)?;
    let mut values = reserve_values(rows, columns as u64)?;
    let mut image = vec![0; window.whole_values()];
    for path in &source.paths {
        let (mut file, _) = open(path)?;
        while file.next_record(&mut image)? {
            window.take(&image, &mut values, |byte: u8| f32::from(byte) / 255.0);
        }
    }
    Ok(Table {
        ids: (0..rows).map(|row| row.to_string()).collect(),
        names: window.names(),
        contents: vec![Content::Number; columns],
        matrix: Matrix::from_checked(columns, values),
        image: Some(window.shape()),
    })
}

/// A file of images with their shape.
fn open(path: &Path) -> Result<(IdxFile<'_>, ImageShape), TableError> {
    let file = IdxFile::open(path, IMAGE_DIMENSIONS)?;
    let (height, width) = match file.record_shape() {
        &[height, width] => (height, width),
        _ => (0, 0), // `IdxFile::open` has checked the dimensions
    };
    Ok((file, ImageShape { channels: 1, height, width }))
}

/// The records of all files, whose headers must agree on the size of an image.
fn count_records(source: &ImageColumns, window: &Window) -> Result<u64, TableError> {
    let mut rows: u64 = 0;
    for path in &source.paths {
        let (file, shape) = open(path)?;
        window.check(path.display(), shape)?;
        rows += file.records();
        check_size(path, rows, window.columns() as u64)?;
    }
    if rows == 0 {
        return Err(TableError::Empty { path: source.paths.first().cloned().unwrap_or_default() });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
