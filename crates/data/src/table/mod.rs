//! A party's records in memory: ids, names of columns and a matrix of values.

pub(crate) mod matrix;
pub(crate) mod sink;
pub(crate) mod size;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::encoding::content::Content;
use crate::table::matrix::Matrix;

/// The shape of an image whose pixels are columns: `[channels, height, width]`, row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// Channels: 1 for grey, 3 for colour.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
}

/// What pixels were before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelValues {
    /// Bytes: 0 to 255 became 0 to 1.
    Bytes,
    /// Numbers, which stay as they are.
    Numbers,
}

/// A party's records as they were read: one id and one row of values each.
#[derive(Clone, PartialEq)]
pub struct Table {
    /// The record ids, one per row, each once.
    pub ids: Vec<String>,
    /// The columns' names, one per column of `matrix`.
    pub names: Vec<String>,
    /// What each column holds.
    pub contents: Vec<Content>,
    /// The values: `[ids.len(), names.len()]`; NaN where one is missing.
    pub matrix: Matrix,
    /// Set when the columns are an image's pixels; its product is then `names.len()`.
    pub image: Option<ImageShape>,
    /// What the pixels were, where their source knows.
    pub pixels: Option<PixelValues>,
}

/// Shows sizes only: ids and values are private data.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("matrix", &self.matrix)
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_id() {
        let table = Table {
            ids: vec!["secret".to_owned()],
            names: vec!["a".to_owned()],
            contents: vec![Content::Number],
            matrix: Matrix::new(1, 1, vec![17.0]).unwrap(),
            image: None,
            pixels: None,
        };
        let shown = format!("{table:?}");
        assert!(!shown.contains("secret") && !shown.contains("17"), "{shown}");
    }
}
