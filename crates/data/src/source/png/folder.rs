//! Folders of PNG images: which files they hold, and one file's pixels. A file's name is a record's id, which no error may
//! show, so errors name an image by its number in the order of names.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use hashvfl_core::text;
use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};

use crate::cell::parse_id;
use crate::error::TableError;
use crate::source::input;
use crate::source::png::exif::is_turned;
use crate::table::ImageShape;
use crate::table::size::check_size;

/// The most levels of folders below a folder.
const MAX_DEPTH: usize = 16;
/// The most memory that decoding one image may take in addition to its pixels.
const DECODER_BYTES: usize = 16 << 20;

/// Why a folder of PNG images could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PngError {
    /// A file is not a complete PNG image.
    #[error(
        "image {number} of {} (in the order of names, from 1) is not a complete PNG image: {reason}; get the file again",
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
    #[error("a file name in {} is not UTF-8; rename the file: file names are record ids", folder.display())]
    Name {
        /// The folder.
        folder: PathBuf,
    },
    /// A file's name cannot be an id.
    #[error(
        "a file name in {} is blank, or holds a line break or another control character; rename the file: file names are \
         record ids", folder.display()
    )]
    Id {
        /// The folder.
        folder: PathBuf,
    },
    /// There are files, but no image by their names.
    #[error(
        "{} holds no file whose name ends in .png, but {} with other names; check `paths`, or save the images as PNG",
        folder.display(), text::counted(.others, "file")
    )]
    NoImages {
        /// The first folder.
        folder: PathBuf,
        /// Files of other names in all folders.
        others: usize,
    },
    /// Names of files repeat, apart from their folders or endings.
    #[error(
        "{} with the name of an earlier one, the first in {}; file names without their ending are record ids: rename \
         these files", text::counted(.count, "image"), folder.display()
    )]
    Twice {
        /// How many.
        count: usize,
        /// The folder of the first.
        folder: PathBuf,
    },
    /// Folders are nested too deeply.
    #[error("{} holds folders more than {MAX_DEPTH} deep; check `paths`", folder.display())]
    Deep {
        /// The folder, as configured.
        folder: PathBuf,
    },
}

impl From<PngError> for TableError {
    fn from(error: PngError) -> Self {
        Self::Format(Box::new(error))
    }
}

/// One image of a folder.
pub(crate) struct Listed<'a> {
    /// Its path below the folder, with `/` between folders and without its ending.
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    folder: &'a Path,
    number: usize,
}

/// What folders hold.
#[derive(Default)]
struct FolderContents<'a> {
    images: Vec<Listed<'a>>,
    /// Files of other names, and links to folders.
    others: usize,
}

/// How many files are no images by their name, and how many links lead to folders: they are passed over.
pub(crate) fn count_others(folders: &[PathBuf]) -> Result<usize, TableError> {
    let mut found = FolderContents::default();
    for folder in folders {
        walk(folder, folder, "", 0, &mut found)?;
    }
    Ok(found.others)
}

/// All images of all folders: folder by folder, each in the order of names. Other files are passed over.
pub(crate) fn list(folders: &[PathBuf]) -> Result<Vec<Listed<'_>>, TableError> {
    let first = folders.first().ok_or(TableError::NoPaths)?;
    let mut found = FolderContents::default();
    for folder in folders {
        let start = found.images.len();
        walk(folder, folder, "", 0, &mut found)?;
        let files = &mut found.images;
        files[start..].sort_unstable_by(|one, other| one.id.cmp(&other.id));
        files[start..].iter_mut().zip(1..).for_each(|(file, number)| file.number = number);
    }
    let FolderContents { images: files, others } = found;
    if files.is_empty() {
        return Err(match others {
            0 => TableError::Empty { path: first.clone() },
            others => PngError::NoImages { folder: first.clone(), others }.into(),
        });
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
    found: &mut FolderContents<'a>,
) -> Result<(), TableError> {
    if depth > MAX_DEPTH {
        return Err(PngError::Deep { folder: folder.to_owned() }.into());
    }
    // Names below the folder are ids, so errors name the folder only.
    let entries = fs::read_dir(at).map_err(|reason| match depth {
        0 => TableError::Open { path: at.to_owned(), reason },
        _ => input::read_error(folder, reason),
    })?;
    for entry in entries {
        let entry = entry.map_err(|reason| input::read_error(folder, reason))?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| PngError::Name { folder: folder.to_owned() })?;
        let path = entry.path();
        // A link to a folder is not followed, since it may lead in a circle.
        if entry.file_type().map_err(|reason| input::read_error(folder, reason))?.is_dir() {
            walk(folder, &path, &format!("{below}{name}/"), depth + 1, found)?;
        } else if let Some((stem, ending)) = name.rsplit_once('.')
            && ending.eq_ignore_ascii_case("png")
            && !stem.is_empty()
        {
            let id = format!("{below}{stem}");
            // As ids of tables are read.
            let id = parse_id(id.as_bytes()).map_err(|_| PngError::Id { folder: folder.to_owned() })?;
            found.images.push(Listed { id: id.to_owned(), path, folder, number: 0 });
        } else {
            found.others += 1;
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
    /// by row, as they are stored, and whether EXIF data say that they are to be shown turned or mirrored.
    pub(crate) fn decode(
        &self,
        check: impl FnOnce(ImageShape) -> Result<(), TableError>,
    ) -> Result<(Vec<f32>, bool), TableError> {
        let file = File::open(&self.path).map_err(|reason| self.damaged(reason.to_string()))?;
        let mut decoder = Decoder::new_with_limits(BufReader::new(file), Limits { bytes: DECODER_BYTES });
        decoder.set_ignore_text_chunk(true);
        decoder.set_transformations(Transformations::EXPAND);
        let mut reader = decoder.read_info().map_err(|error| self.broken(&error))?;
        if reader.info().animation_control.is_some_and(|animation| animation.num_frames > 1) {
            return Err(self.damaged("it is an animation of several images".to_owned()).into());
        }
        let (color, depth) = reader.output_color_type();
        let channels = match color {
            ColorType::Grayscale => 1,
            ColorType::Rgb => 3,
            _ => return Err(PngError::Alpha { folder: self.folder.to_owned(), number: self.number }.into()),
        };
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        let shape = ImageShape { channels, height, width };
        check(shape)?;
        let size = reader.output_buffer_size().ok_or_else(|| self.damaged("it is too large".to_owned()))?;
        let mut bytes = vec![0; size];
        reader.next_frame(&mut bytes).map_err(|error| self.broken(&error))?;
        reader.finish().map_err(|error| self.broken(&error))?;
        let is_turned = reader.info().exif_metadata.as_deref().is_some_and(is_turned);
        Ok((planes(&bytes, depth, shape), is_turned))
    }

    fn broken(&self, error: &DecodingError) -> PngError {
        self.damaged(error.to_string())
    }

    fn damaged(&self, reason: String) -> PngError {
        PngError::Damaged { folder: self.folder.to_owned(), number: self.number, reason }
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
    let mut planes = Vec::with_capacity(values.len());
    for channel in 0..shape.channels {
        planes.extend(values.iter().skip(channel).step_by(shape.channels));
    }
    planes
}
