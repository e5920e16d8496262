//! IDX images to a table: one column a pixel, 0 to 1, cropped to a party's part of the image.

use std::path::Path;

use crate::content::Content;
use crate::error::TableError;
use crate::idx::{IdxError, IdxFile};
use crate::limits::{check_size, reserve_values};
use crate::matrix::Matrix;
use crate::source::{Crop, IdxColumns, ImageShape, Table};

const IMAGE_DIMENSIONS: usize = 3;

pub(crate) fn load(source: &IdxColumns) -> Result<Table, TableError> {
    let first_path = source.paths.first().ok_or(TableError::NoPaths)?;
    let (_, height, width) = open(first_path)?;
    let crop = source.crop.unwrap_or(Crop { top: 0, left: 0, height, width });
    check_crop(crop, height, width)?;
    // Bounds what one image can take; the crop's own bound follows from it.
    let pixels = (height as u64).saturating_mul(width as u64);
    check_size(first_path, 0, pixels)?;

    let columns = crop.height * crop.width;
    let rows = count_records(source, columns as u64, (height, width))?;
    let mut values = reserve_values(rows, columns as u64)?;
    let mut image = vec![0; height * width];
    for path in &source.paths {
        let (mut file, _, _) = open(path)?;
        while file.next_record(&mut image)? {
            for line in image.chunks_exact(width).skip(crop.top).take(crop.height) {
                let part = &line[crop.left..crop.left + crop.width];
                values.extend(part.iter().map(|&byte| f32::from(byte) / 255.0));
            }
        }
    }
    Ok(Table {
        ids: (0..rows).map(|row| row.to_string()).collect(),
        names: names(crop),
        contents: vec![Content::Number; columns],
        matrix: Matrix::from_checked(columns, values),
        image: Some(ImageShape { channels: 1, height: crop.height, width: crop.width }),
    })
}

/// A file of images with their height and width.
fn open(path: &Path) -> Result<(IdxFile<'_>, usize, usize), TableError> {
    let file = IdxFile::open(path, IMAGE_DIMENSIONS)?;
    let (height, width) = match file.record_shape() {
        &[height, width] => (height, width),
        _ => (0, 0), // `IdxFile::open` has checked the dimensions
    };
    Ok((file, height, width))
}

/// The records of all files, whose headers must agree on the size of an image.
fn count_records(
    source: &IdxColumns,
    columns: u64,
    (height, width): (usize, usize),
) -> Result<u64, TableError> {
    let mut rows: u64 = 0;
    for path in &source.paths {
        let (file, found_height, found_width) = open(path)?;
        if (found_height, found_width) != (height, width) {
            return Err(TableError::Idx(IdxError::ImageSize {
                path: path.to_owned(),
                height,
                width,
                found_height,
                found_width,
            }));
        }
        rows += file.records();
        check_size(path, rows, columns)?;
    }
    if rows == 0 {
        return Err(TableError::Empty { path: source.paths.first().cloned().unwrap_or_default() });
    }
    Ok(rows)
}

fn check_crop(crop: Crop, height: usize, width: usize) -> Result<(), TableError> {
    let fits = |start: usize, length: usize, size: usize| {
        length > 0 && start.checked_add(length).is_some_and(|end| end <= size)
    };
    if fits(crop.top, crop.height, height) && fits(crop.left, crop.width, width) {
        return Ok(());
    }
    Err(TableError::Idx(IdxError::Crop { crop, height, width }))
}

/// `pixel_ROW_COLUMN`, counted from 0 in the whole image.
fn names(crop: Crop) -> Vec<String> {
    let rows = crop.top..crop.top + crop.height;
    rows.flat_map(|row| {
        let columns = crop.left..crop.left + crop.width;
        columns.map(move |column| format!("pixel_{row}_{column}"))
    })
    .collect()
}

#[cfg(test)]
#[path = "idx_table_tests.rs"]
mod tests;
