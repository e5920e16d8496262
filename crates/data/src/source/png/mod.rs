//! Reads folders of PNG images into a table: one column per pixel and channel, 0 to 1, cropped to a party's part of the image. A
//! record's id is its file's path below the folder, without `.png`.

pub(crate) mod exif;
pub(crate) mod folder;

use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use hashvfl_core::text::counted;
use serde::{Deserialize, Serialize};

use crate::encoding::content::FAULTY;
use crate::encoding::treatment::{Faulty, Treatment};
use crate::error::TableError;
use crate::ids::id_source::IdSource;
use crate::source::images::{Crop, Window, tell_unusable};
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
                "ignored {}: names that do not end in .png, and links to folders",
                counted(others, "file")
            )],
        })
    }

    fn is_cacheable(&self) -> bool {
        false
    }

    fn ids(&self) -> Box<dyn IdSource> {
        Box::new(PngIds { paths: self.paths.clone() })
    }

    fn read(
        &self,
        treatment: &Treatment,
        sink: &mut dyn RowSink,
    ) -> Result<(Frame, Option<Digest>), TableError> {
        let files = list(&self.paths)?;
        let first_path = &self.paths[0]; // `list` has refused an empty list
        let rows = files.len() as u64;
        let mut window: Option<Window> = None;
        let (mut row, mut unusable, mut first_fault, mut turned) = (Vec::new(), 0, None, 0_u64);
        for file in &files {
            let mut found = window;
            let decoded = file.decode(|shape| {
                if let Some(window) = &window {
                    return window.check(file.place(), shape);
                }
                let of_first = Window::new(first_path, shape, self.crop)?;
                check_size(first_path, rows, of_first.columns() as u64)?;
                found = Some(of_first);
                Ok(())
            });
            row.clear();
            match decoded {
                Ok((image, is_turned)) => {
                    turned += u64::from(is_turned);
                    if let (None, Some(found)) = (&window, &found) {
                        sink.start(found.columns(), &mut || Ok(rows))?;
                        // Those before the first that can be used.
                        let marked = vec![FAULTY; found.columns()];
                        (0..unusable).try_for_each(|_| sink.push(&marked))?;
                    }
                    window = found;
                    if let Some(window) = &window {
                        window.take(&image, &mut row, |value| value);
                    }
                }
                Err(error) if treatment.faulty == Faulty::Refuse => return Err(error),
                Err(error) => {
                    unusable += 1;
                    first_fault.get_or_insert(error);
                    row.resize(window.as_ref().map_or(0, Window::columns), FAULTY);
                }
            }
            if window.is_some() {
                sink.push(&row)?;
            }
        }
        let empty = || TableError::Empty { path: first_path.clone() };
        let window = window.ok_or_else(|| first_fault.unwrap_or_else(empty))?;
        tell_unusable(unusable, rows, sink);
        if turned > 0 {
            sink.tell(format!(
                "the EXIF data of {} say to show it turned or mirrored, which is ignored: pixels are taken as they are stored",
                counted(turned, "image")
            ));
        }
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
