//! What formats of images share: parts of images, names of their pixels, and errors about sizes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::encoding::content::Content;
use crate::error::TableError;
use crate::table::sink::{Frame, RowSink};
use crate::table::size::check_size;
use crate::table::{ImageShape, PixelValues};

/// A rectangle of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Rows of pixels above it.
    pub top: usize,
    /// Pixels to the left of it.
    pub left: usize,
    /// Rows of pixels in it.
    pub height: usize,
    /// Pixels in each of its rows.
    pub width: usize,
}

/// Why images cannot be a table.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Images of two sizes.
    #[error(
        "{place}: an image of {} pixels, but the first has {}; load only images of the same size together",
        size(found),
        size(expected)
    )]
    Size {
        /// The file, or the folder and the image's number.
        place: String,
        /// Shape of the first image.
        expected: ImageShape,
        /// Shape of this one.
        found: ImageShape,
    },
    /// The crop is empty or reaches beyond the image.
    #[error(
        "`crop` takes {} x {} pixels from row {}, column {}, but must take at least one pixel within images of \
         {height} x {width}; correct `crop`",
        crop.height, crop.width, crop.top, crop.left
    )]
    Crop {
        /// The rectangle, as configured.
        crop: Crop,
        /// Rows of pixels in an image.
        height: usize,
        /// Pixels in a row of an image.
        width: usize,
    },
}

impl From<ImageError> for TableError {
    fn from(error: ImageError) -> Self {
        Self::Format(Box::new(error))
    }
}

fn size(shape: &ImageShape) -> String {
    match shape.channels {
        1 => format!("{} x {}", shape.height, shape.width),
        channels => format!("{channels} channels of {} x {}", shape.height, shape.width),
    }
}

/// Says how many of so many images are marked, since they cannot be used.
pub(crate) fn tell_unusable(unusable: u64, images: u64, sink: &mut dyn RowSink) {
    if unusable > 0 {
        sink.tell(format!(
            "{unusable} of {images} images cannot be used: damaged, with an alpha channel, of another size than the first, or with \
             a pixel that is not a number"
        ));
    }
}

/// A party's part of every image.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    whole: ImageShape,
    crop: Crop,
}

impl Window {
    /// The part `crop`, or the whole, of images of this shape, which `path` holds. An image is not larger than a table
    /// may be wide.
    pub(crate) fn new(path: &Path, whole: ImageShape, crop: Option<Crop>) -> Result<Self, TableError> {
        let ImageShape { channels, height, width } = whole;
        let crop = crop.unwrap_or(Crop { top: 0, left: 0, height, width });
        let fits = |start: usize, length: usize, size: usize| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= size)
        };
        if !fits(crop.top, crop.height, height) || !fits(crop.left, crop.width, width) {
            return Err(ImageError::Crop { crop, height, width }.into());
        }
        // Bounds what one image can take; the crop's own bound follows from it.
        let pixels = [channels, height, width].into_iter().fold(1, |all, size| size.saturating_mul(all));
        check_size(path, 0, pixels as u64)?;
        Ok(Self { whole, crop })
    }

    /// Fails unless the images at `place` have the shape of the first.
    pub(crate) fn check(&self, place: impl ToString, found: ImageShape) -> Result<(), TableError> {
        if found == self.whole {
            return Ok(());
        }
        Err(ImageError::Size { place: place.to_string(), expected: self.whole, found }.into())
    }

    /// Values of a whole image.
    pub(crate) fn whole_values(&self) -> usize {
        self.whole.channels * self.whole.height * self.whole.width
    }

    /// The shape of the part.
    pub(crate) fn shape(&self) -> ImageShape {
        ImageShape { channels: self.whole.channels, height: self.crop.height, width: self.crop.width }
    }

    /// Columns of the part.
    pub(crate) fn columns(&self) -> usize {
        self.whole.channels * self.crop.height * self.crop.width
    }

    /// The part's values of an image whose values lie channel by channel and row by row: `[channels, height, width]`.
    pub(crate) fn take<T: Copy>(&self, image: &[T], into: &mut Vec<f32>, value: impl Fn(T) -> f32) {
        let Self { whole, crop } = self;
        let rows = crop.top..crop.top + crop.height;
        for (line, pixels) in image.chunks_exact(whole.width).enumerate() {
            if rows.contains(&(line % whole.height)) {
                let part = &pixels[crop.left..crop.left + crop.width];
                into.extend(part.iter().map(|&pixel| value(pixel)));
            }
        }
    }

    /// The table of the parts of images with these ids, whose pixels were `pixels`, but its values.
    pub(crate) fn frame(&self, ids: Vec<String>, pixels: PixelValues) -> Frame {
        let contents = vec![Content::Number; self.columns()];
        Frame { ids, names: self.names(), contents, image: Some(self.shape()), pixels: Some(pixels) }
    }

    /// `pixel_ROW_COLUMN` of grey images, `pixel_CHANNEL_ROW_COLUMN` of others, counted from 0 in the whole image.
    pub(crate) fn names(&self) -> Vec<String> {
        let Self { whole, crop } = *self;
        let mut names = Vec::with_capacity(self.columns());
        for channel in 0..whole.channels {
            let channel = if whole.channels == 1 { String::new() } else { format!("{channel}_") };
            for row in crop.top..crop.top + crop.height {
                let columns = crop.left..crop.left + crop.width;
                names.extend(columns.map(|column| format!("pixel_{channel}{row}_{column}")));
            }
        }
        names
    }
}
