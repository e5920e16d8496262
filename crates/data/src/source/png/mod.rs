//! Reads folders of PNG images into a table: one column per pixel and channel, 0 to 1, cropped to a party's part of the image. A
//! record's id is its file's path below the folder, without `.png`.

pub(crate) mod folder;

use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use serde::{Deserialize, Serialize};

use crate::encoding::treatment::Treatment;
use crate::error::TableError;
use crate::ids::id_source::IdSource;
use crate::source::images::{Crop, Window};
use crate::source::input::resolve;
use crate::source::png::folder::{count_others, list};
use crate::source::row_source::RowSource;
use crate::table::PixelValues;
use crate::table::sink::{Frame, RowSink};
use crate::table::size::check_size;

/// Pixels of images in folders of PNG files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PngColumns {
    /// The folders, read one after the other, each in the order of its files' names; all hold images of the same size.
    pub paths: Vec<PathBuf>,
    /// The part of each image to load; without it the whole image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
}

impl RowSource for PngColumns {
    fn files(&self) -> &[PathBuf] {
        &self.paths
    }

    fn resolve(&mut self, folder: &Path) {
        resolve(&mut self.paths, folder);
    }

    fn schema(&self) -> Result<Option<Vec<String>>, TableError> {
        Ok(None)
    }

    fn lines(&self) -> Result<Option<u64>, TableError> {
        Ok(None)
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        Ok(match count_others(&self.paths)? {
            0 => Vec::new(),
            others => vec![format!(
                "{others} files whose names do not end in .png, and links to folders, passed over"
            )],
        })
    }

    fn is_cacheable(&self) -> bool {
        false
    }

    fn ids(&self) -> Box<dyn IdSource> {
        Box::new(PngIds { paths: self.paths.clone() })
    }

    fn read(&self, _: &Treatment, sink: &mut dyn RowSink) -> Result<(Frame, Option<Digest>), TableError> {
        let files = list(&self.paths)?;
        let first_path = &self.paths[0]; // `list` has refused an empty list
        let rows = files.len() as u64;
        let mut window: Option<Window> = None;
        let mut row = Vec::new();
        for file in &files {
            let (_, image) = file.decode(|shape| {
                if let Some(window) = &window {
                    return window.check(file.place(), shape);
                }
                let found = Window::new(first_path, shape, self.crop)?;
                check_size(first_path, rows, found.columns() as u64)?;
                sink.start(found.columns(), &mut || Ok(rows))?;
                window = Some(found);
                Ok(())
            })?;
            if let Some(window) = &window {
                row.clear();
                window.take(&image, &mut row, |value| value);
                sink.push(&row)?;
            }
        }
        let window = window.ok_or_else(|| TableError::Empty { path: first_path.clone() })?;
        let ids = files.into_iter().map(|file| file.id).collect();
        Ok((window.frame(ids, PixelValues::Bytes), None))
    }
}

/// Ids of folders of images.
#[derive(Debug)]
struct PngIds {
    paths: Vec<PathBuf>,
}

impl IdSource for PngIds {
    fn key_columns(&self) -> usize {
        1
    }

    fn files(&self) -> &[PathBuf] {
        &self.paths
    }

    fn resolve(&mut self, folder: &Path) {
        resolve(&mut self.paths, folder);
    }

    fn count_at_most(&self) -> Result<u64, TableError> {
        Ok(list(&self.paths)?.len() as u64)
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        Ok(Vec::new())
    }

    fn read(
        &self,
        each: &mut dyn FnMut(Result<&str, TableError>) -> Result<(), TableError>,
    ) -> Result<Option<Digest>, TableError> {
        for file in list(&self.paths)? {
            each(Ok(&file.id))?;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
