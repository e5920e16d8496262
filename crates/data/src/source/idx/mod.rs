//! Reads IDX files: images into a table with one column per pixel, 0 to 1, cropped to a party's part of the image; labels of one
//! byte; and ids, which are the records' numbers.

pub(crate) mod format;

use std::path::{Path, PathBuf};

use hashvfl_core::{Digest, Task};
use serde::{Deserialize, Serialize};

use crate::encoding::treatment::Treatment;
use crate::error::TableError;
use crate::ids::id_source::{IdSource, read_numbers};
use crate::labels::error::LabelError;
use crate::labels::target::TargetColumn;
use crate::labels::{LabelSource, LabelTable};
use crate::source::idx::format::IdxFile;
use crate::source::images::{Crop, Window};
use crate::source::input::resolve;
use crate::source::row_source::RowSource;
use crate::table::ImageShape;
use crate::table::PixelValues;
use crate::table::sink::{Frame, RowSink};
use crate::table::size::check_size;

const IMAGE_DIMENSIONS: usize = 3;
const LABEL_DIMENSIONS: usize = 1;

/// Pixels of images in IDX files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdxColumns {
    /// The files, read one after the other; all hold images of the same size.
    pub paths: Vec<PathBuf>,
    /// The part of each image to load; without it the whole image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
}

/// Labels in IDX files; the record ids are the records' numbers, from "0".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdxLabels {
    /// The files, read one after the other.
    pub paths: Vec<PathBuf>,
}

/// Ids of IDX files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdxIds {
    /// The files.
    pub paths: Vec<PathBuf>,
    /// Their number of dimensions, of which the records are one: 1 for labels, 3 for images.
    #[serde(skip, default = "label_dimensions")]
    pub(crate) dimensions: usize,
}

fn label_dimensions() -> usize {
    LABEL_DIMENSIONS
}

impl RowSource for IdxColumns {
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
        Ok(Vec::new())
    }

    fn is_cacheable(&self) -> bool {
        false
    }

    fn ids(&self) -> Box<dyn IdSource> {
        Box::new(IdxIds { paths: self.paths.clone(), dimensions: IMAGE_DIMENSIONS })
    }

    fn read(&self, _: &Treatment, sink: &mut dyn RowSink) -> Result<(Frame, Option<Digest>), TableError> {
        let first_path = self.paths.first().ok_or(TableError::NoPaths)?;
        let window = Window::new(first_path, open(first_path)?.1, self.crop)?;
        let rows = count_records(self, &window)?;
        sink.start(window.columns(), &mut || Ok(rows))?;
        let (mut image, mut row) = (vec![0; window.whole_values()], Vec::with_capacity(window.columns()));
        for path in &self.paths {
            let (mut file, _) = open(path)?;
            while file.next_record(&mut image)? {
                row.clear();
                window.take(&image, &mut row, |byte: u8| f32::from(byte) / 255.0);
                sink.push(&row)?;
            }
        }
        let ids = (0..rows).map(|row| row.to_string()).collect();
        Ok((window.frame(ids, PixelValues::Bytes), None))
    }
}

impl LabelSource for IdxLabels {
    fn files(&self) -> &[PathBuf] {
        &self.paths
    }

    fn resolve(&mut self, folder: &Path) {
        resolve(&mut self.paths, folder);
    }

    fn lines(&self) -> Result<Option<u64>, TableError> {
        Ok(None)
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        Ok(Vec::new())
    }

    fn ids(&self) -> Box<dyn IdSource> {
        Box::new(IdxIds { paths: self.paths.clone(), dimensions: LABEL_DIMENSIONS })
    }

    fn read(&self, task: Task) -> Result<LabelTable, LabelError> {
        let first_path = self.paths.first().ok_or(TableError::NoPaths)?;
        let mut target = TargetColumn::new(task);
        let mut rows: u64 = 0;
        for path in &self.paths {
            let mut file = IdxFile::open(path, LABEL_DIMENSIONS)?;
            rows += file.records();
            check_size(path, rows, 1)?;
            let mut label = [0];
            while file.next_record(&mut label)? {
                target.push_byte(label[0]);
            }
        }
        if rows == 0 {
            return Err(LabelError::Table(TableError::Empty { path: first_path.clone() }));
        }
        let ids = (0..rows).map(|row| row.to_string()).collect();
        Ok(LabelTable { ids, note: target.note(), target: target.finish(task)? })
    }
}

impl IdSource for IdxIds {
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
        let mut records = 0;
        for path in &self.paths {
            records += IdxFile::open(path, self.dimensions)?.records();
        }
        Ok(records)
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        Ok(Vec::new())
    }

    fn read(
        &self,
        each: &mut dyn FnMut(Result<&str, TableError>) -> Result<(), TableError>,
    ) -> Result<Option<Digest>, TableError> {
        read_numbers(self.count_at_most()?, each)
    }
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
fn count_records(source: &IdxColumns, window: &Window) -> Result<u64, TableError> {
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
