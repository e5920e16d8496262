//! Reads arrays of NumPy into a table: columns of `[records, columns]`, or pixels of images, cropped to a party's part. A
//! record's id is its number.

pub(crate) mod format;

use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use serde::{Deserialize, Serialize};

use crate::cell::CellFault;
use crate::encoding::content::{ColumnBuilder, FAULTY, finish_all};
use crate::encoding::treatment::{Faulty, Treatment};
use crate::error::TableError;
use crate::ids::id_source::{IdSource, read_numbers};
use crate::names;
use crate::resolution::Resolution;
use crate::source::images::{Crop, Window, tell_unusable};
use crate::source::input::resolve;
use crate::source::npy::format::{NpyError, NpyFile};
use crate::source::row_source::RowSource;
use crate::table::sink::{Frame, RowSink};
use crate::table::size::check_size;
use crate::table::{ImageShape, PixelValues};

/// Arrays in NumPy files: `[records, columns]`, `[records, height, width]` or `[records, channels, height, width]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NpyColumns {
    /// The files, read one after the other; all hold records of the same shape.
    pub paths: Vec<PathBuf>,
    /// The part of each image to load; without it the whole image. Only where records are images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
}

impl RowSource for NpyColumns {
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
        Box::new(NpyIds { paths: self.paths.clone() })
    }

    fn read(
        &self,
        treatment: &Treatment,
        sink: &mut dyn RowSink,
    ) -> Result<(Frame, Option<Digest>), TableError> {
        let first_path = self.paths.first().ok_or(TableError::NoPaths)?;
        let first = NpyFile::open(first_path)?;
        let frame = match image(&first) {
            Some(shape) => {
                let window = Window::new(first_path, shape, self.crop)?;
                self.read_images(&window, pixels(&first), treatment, sink)?
            }
            None if self.crop.is_some() => {
                return Err(NpyError::NoImage { path: first_path.clone() }.into());
            }
            None => self.read_columns(first_path, first.record_shape()[0], treatment, sink)?,
        };
        Ok((frame, None))
    }
}

impl NpyColumns {
    /// Reads images whose pixels are of the first file's type.
    fn read_images(
        &self,
        window: &Window,
        expected: PixelValues,
        treatment: &Treatment,
        sink: &mut dyn RowSink,
    ) -> Result<Frame, TableError> {
        let rows = self.count_records(window.columns(), |path, file| match image(file) {
            Some(_) if pixels(file) != expected => Err(NpyError::Pixels { path: path.to_owned() }.into()),
            Some(shape) => window.check(path.display(), shape),
            None => Err(NpyError::Dimensions { path: path.to_owned(), found: 2 }.into()),
        })?;
        let names = window.names();
        sink.start(window.columns(), &mut || Ok(rows))?;
        let mut row = Vec::with_capacity(window.columns());
        let mut resolution = Resolution::default();
        let scale = if expected == PixelValues::Bytes { 255.0 } else { 1.0 };
        let mut unusable = 0;
        self.visit(window.whole_values(), |path, record, image| {
            row.clear();
            let taken = image.and_then(|image| {
                window.take(image, &mut row, |value| (value / scale) as f32);
                match row.iter().position(|value| !value.is_finite()) {
                    Some(at) => Err(fault(path, record, &names[at], CellFault::NotFinite)),
                    None => Ok(image),
                }
            });
            match taken {
                Ok(image) if expected == PixelValues::Numbers => {
                    image.iter().for_each(|value| resolution.see(*value));
                }
                Ok(_) => {}
                Err(error) if treatment.faulty == Faulty::Refuse => return Err(error),
                Err(_) => {
                    unusable += 1;
                    row.clear();
                    row.resize(window.columns(), FAULTY);
                }
            }
            sink.push(&row)
        })?;
        tell_unusable(unusable, rows, sink);
        if let Some((distinct, left)) = resolution.lost().filter(|_| treatment.faulty == Faulty::Refuse) {
            return Err(TableError::Collapsed { column: "pixels".to_owned(), distinct, left });
        }
        if let Some(rounding) = resolution.rounding() {
            sink.tell(format!("pixels: {rounding}"));
        }
        Ok(window.frame((0..rows).map(|row| row.to_string()).collect(), expected))
    }

    fn read_columns(
        &self,
        first_path: &Path,
        columns: u64,
        treatment: &Treatment,
        sink: &mut dyn RowSink,
    ) -> Result<Frame, TableError> {
        check_size(first_path, 0, columns)?;
        let width = columns as usize; // below MAX_COLUMNS
        if width == 0 {
            return Err(TableError::NoColumns { path: first_path.to_owned() });
        }
        let rows = self.count_records(width, |path, file| check_columns(path, file, columns))?;
        let names: Vec<String> = (0..width).map(|column| format!("column_{column}")).collect();
        for name in treatment.types.keys() {
            names::find(first_path, &names, "types", name)?;
        }
        let mut columns: Vec<ColumnBuilder> =
            names.iter().map(|name| ColumnBuilder::new(name, treatment)).collect();
        sink.start(width, &mut || Ok(rows))?;
        let mut row = Vec::with_capacity(width);
        self.visit(width, |path, record, cells| {
            row.clear();
            let cells = match cells {
                Ok(cells) => cells,
                Err(error) if treatment.faulty == Faulty::Refuse => return Err(error),
                Err(_) => {
                    row.resize(width, FAULTY);
                    return sink.push(&row);
                }
            };
            for (column, &cell) in columns.iter_mut().zip(cells) {
                let value = column.push_option(Some(cell).filter(|cell| !cell.is_nan()), treatment);
                row.push(value.map_err(|what| fault(path, record, column.name(), what))?);
            }
            sink.push(&row)
        })?;
        Ok(Frame {
            ids: (0..rows).map(|row| row.to_string()).collect(),
            names,
            contents: finish_all(columns, sink)?,
            image: None,
            pixels: None,
        })
    }

    /// Counts the records of all files, each of which `check` has to accept.
    fn count_records(
        &self,
        columns: usize,
        check: impl Fn(&Path, &NpyFile<'_>) -> Result<(), TableError>,
    ) -> Result<u64, TableError> {
        let mut rows: u64 = 0;
        for path in &self.paths {
            let file = NpyFile::open(path)?;
            check(path, &file)?;
            rows = rows.saturating_add(file.records());
            check_size(path, rows, columns as u64)?;
        }
        if rows == 0 {
            return Err(TableError::Empty { path: self.paths[0].clone() });
        }
        Ok(rows)
    }

    /// Hands every record to `each`: its file, its number there, and its values, or why they cannot be used.
    fn visit(
        &self,
        width: usize,
        mut each: impl FnMut(&Path, u64, Result<&[f64], TableError>) -> Result<(), TableError>,
    ) -> Result<(), TableError> {
        let (mut values, mut buffer) = (vec![0.0; width], Vec::new());
        for path in &self.paths {
            let mut file = NpyFile::open(path)?;
            let mut record = 0;
            while let Some(read) = file.next_record(&mut values, &mut buffer)? {
                each(path, record, read.map(|()| values.as_slice()))?;
                record += 1;
            }
        }
        Ok(())
    }
}

/// Ids of NumPy files.
#[derive(Debug)]
struct NpyIds {
    paths: Vec<PathBuf>,
}

impl IdSource for NpyIds {
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
            records += NpyFile::open(path)?.records();
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

/// The shape of a record, where it is an image.
fn image(file: &NpyFile<'_>) -> Option<ImageShape> {
    match *file.record_shape() {
        [height, width] => Some(ImageShape { channels: 1, height: size(height), width: size(width) }),
        [channels, height, width] => {
            Some(ImageShape { channels: size(channels), height: size(height), width: size(width) })
        }
        _ => None,
    }
}

/// What a file's values are where they are pixels.
fn pixels(file: &NpyFile<'_>) -> PixelValues {
    if file.is_bytes() { PixelValues::Bytes } else { PixelValues::Numbers }
}

/// A size; one that does not fit into memory becomes the largest, which is beyond every limit.
fn size(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// Fails unless the file's records are of so many `columns`.
fn check_columns(path: &Path, file: &NpyFile<'_>, columns: u64) -> Result<(), TableError> {
    match *file.record_shape() {
        [found] if found == columns => Ok(()),
        [found] => {
            let (expected, found) = (size(columns), size(found));
            Err(NpyError::Columns { path: path.to_owned(), expected, found }.into())
        }
        ref shape => Err(NpyError::Dimensions { path: path.to_owned(), found: shape.len() + 1 }.into()),
    }
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
