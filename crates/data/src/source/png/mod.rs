//! Folders of PNG images to a table: one column a pixel and channel, 0 to 1, cropped to a party's part of the image.

pub(crate) mod folder;

use crate::encoding::content::Content;
use crate::error::TableError;
use crate::limits::{check_size, reserve_values};
use crate::source::images::Window;
use crate::source::png::folder::list;
use crate::source::{ImageColumns, Table};
use crate::store::matrix::Matrix;

pub(crate) fn load(source: &ImageColumns) -> Result<Table, TableError> {
    let files = list(&source.paths)?;
    let first_path = &source.paths[0]; // `list` has refused an empty list
    let mut window: Option<Window> = None;
    let mut values = Vec::new();
    for file in &files {
        let (_, image) = file.decode(|shape| {
            if let Some(window) = &window {
                return window.check(file.place(), shape);
            }
            let found = Window::new(first_path, shape, source.crop)?;
            check_size(first_path, files.len() as u64, found.columns() as u64)?;
            values = reserve_values(files.len() as u64, found.columns() as u64)?;
            window = Some(found);
            Ok(())
        })?;
        if let Some(window) = &window {
            window.take(&image, &mut values, |value| value);
        }
    }
    let window = window.ok_or_else(|| TableError::Empty { path: first_path.clone() })?;
    Ok(Table {
        ids: files.into_iter().map(|file| file.id).collect(),
        names: window.names(),
        contents: vec![Content::Number; window.columns()],
        matrix: Matrix::from_checked(window.columns(), values),
        image: Some(window.shape()),
    })
}

#[cfg(test)]
mod tests;
