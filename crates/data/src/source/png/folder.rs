//! Folders of PNG images: which files they hold, and one file's pixels. A file's name is a record's id, so that errors
//! place an image by its number in the order of names.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};

use crate::error::TableError;
use crate::limits::check_size;
use crate::source::ImageShape;
use crate::source::input;

/// Folders below a folder, at most.
const MAX_DEPTH: usize = 16;
/// What decoding one image may take beside its pixels.
const DECODER_BYTES: usize = 16 << 20;

/// Why a folder of PNG images could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PngError {
    /// A file is no whole PNG image.
    #[error(
        "image {number} of {} (in the order of names, from 1) is no whole PNG image: {reason}; get the file again",
        folder.display()
    )]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// Which image, counted from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// An image has an alpha channel.
    #[error(
        "image {number} of {} (in the order of names, from 1) has transparent pixels, expected grey or RGB; save the \
         images without an alpha channel", folder.display()
    )]
    Alpha {
        /// The folder.
        folder: PathBuf,
        /// Which image, counted from 1.
        number: usize,
    },
    /// A file's name is not text.
    #[error("a file's name in {} is not UTF-8; rename it: names are record ids", folder.display())]
    Name {
        /// The folder.
        folder: PathBuf,
    },
    /// Two files have one name but for their folders or endings.
    #[error(
        "{count} images repeat the name of an earlier one, the first in {}; names without their ending are record ids: \
         rename them", folder.display()
    )]
    Twice {
        /// How many.
        count: usize,
        /// The folder of the first.
        folder: PathBuf,
    },
    /// Folders within folders, too many.
    #[error("{} holds folders more than {MAX_DEPTH} deep; check `paths`", folder.display())]
    Deep {
        /// The folder, as configured.
        folder: PathBuf,
    },
}

/// One image of a folder.
pub(crate) struct Listed<'a> {
    /// Its path below the folder, with `/` between folders and without its ending.
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    folder: &'a Path,
    number: usize,
}

/// All images of all folders: folder by folder, each in the order of names. Other files are passed over.
pub(crate) fn list(folders: &[PathBuf]) -> Result<Vec<Listed<'_>>, TableError> {
    let first = folders.first().ok_or(TableError::NoPaths)?;
    let mut files = Vec::new();
    for folder in folders {
        let start = files.len();
        walk(folder, folder, "", 0, &mut files)?;
        files[start..].sort_unstable_by(|one, other| one.id.cmp(&other.id));
        files[start..].iter_mut().zip(1..).for_each(|(file, number)| file.number = number);
    }
    if files.is_empty() {
        return Err(TableError::Empty { path: first.clone() });
    }
    check_size(first, files.len() as u64, 1)?;
    let mut seen = HashSet::with_capacity(files.len());
    let repeated: Vec<&Listed<'_>> = files.iter().filter(|file| !seen.insert(file.id.as_str())).collect();
    match repeated.first() {
        None => Ok(files),
        Some(file) => Err(PngError::Twice { count: repeated.len(), folder: file.folder.to_owned() }.into()),
    }
}

fn walk<'a>(
    folder: &'a Path,
    at: &Path,
    below: &str,
    depth: usize,
    files: &mut Vec<Listed<'a>>,
) -> Result<(), TableError> {
    if depth > MAX_DEPTH {
        return Err(PngError::Deep { folder: folder.to_owned() }.into());
    }
    // Below the folder names are ids: errors tell the folder alone.
    let failed = |reason| input::read_error(folder, reason);
    let entries = fs::read_dir(at).map_err(|reason| match depth {
        0 => TableError::Open { path: at.to_owned(), reason },
        _ => failed(reason),
    })?;
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| PngError::Name { folder: folder.to_owned() })?;
        let path = entry.path();
        // A link to a folder is not followed: it may lead round in a circle.
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(folder, &path, &format!("{below}{name}/"), depth + 1, files)?;
        } else if let Some((stem, ending)) = name.rsplit_once('.')
            && ending.eq_ignore_ascii_case("png")
            && !stem.is_empty()
        {
            files.push(Listed { id: format!("{below}{stem}"), path, folder, number: 0 });
        }
    }
    Ok(())
}

impl Listed<'_> {
    /// Where the image is, for an error.
    pub(crate) fn place(&self) -> String {
        format!("image {} of {} (in the order of names, from 1)", self.number, self.folder.display())
    }

    /// Decodes the image, whose shape `check` has to accept first: its pixels from 0 to 1, channel by channel and row
    /// by row.
    pub(crate) fn decode(
        &self,
        check: impl FnOnce(ImageShape) -> Result<(), TableError>,
    ) -> Result<(ImageShape, Vec<f32>), TableError> {
        let damaged = |reason: String| PngError::Damaged {
            folder: self.folder.to_owned(),
            number: self.number,
            reason,
        };
        let broken = |error: DecodingError| damaged(error.to_string());
        let file = File::open(&self.path).map_err(|reason| damaged(reason.to_string()))?;
        let mut decoder = Decoder::new_with_limits(BufReader::new(file), Limits { bytes: DECODER_BYTES });
        decoder.set_ignore_text_chunk(true);
        decoder.set_transformations(Transformations::EXPAND);
        let mut reader = decoder.read_info().map_err(broken)?;
        let (color, depth) = reader.output_color_type();
        let channels = match color {
            ColorType::Grayscale => 1,
            ColorType::Rgb => 3,
            _ => return Err(PngError::Alpha { folder: self.folder.to_owned(), number: self.number }.into()),
        };
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        let shape = ImageShape { channels, height, width };
        check(shape)?;
        let size = reader.output_buffer_size().ok_or_else(|| damaged("it is too large".to_owned()))?;
        let mut bytes = vec![0; size];
        reader.next_frame(&mut bytes).map_err(broken)?;
        reader.finish().map_err(broken)?;
        Ok((shape, planes(&bytes, depth, shape)))
    }
}

/// From pixel by pixel to channel by channel.
fn planes(bytes: &[u8], depth: BitDepth, shape: ImageShape) -> Vec<f32> {
    let values: Vec<f32> = match depth {
        BitDepth::Sixteen => {
            let (pairs, _) = bytes.as_chunks::<2>();
            pairs.iter().map(|pair| f32::from(u16::from_be_bytes(*pair)) / 65535.0).collect()
        }
        _ => bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect(),
    };
    let channel = |channel| values.iter().skip(channel).step_by(shape.channels).copied();
    (0..shape.channels).flat_map(channel).collect()
}
