//! Numbers in rows.

use crate::error::DetectorError;
use crate::limits::MAX_WIDTH;

/// Finite values in rows, row-major: `[rows, width]`.
#[derive(Clone, Copy)]
pub struct MatrixView<'a> {
    values: &'a [f32],
    width: usize,
}

impl<'a> MatrixView<'a> {
    /// Takes row-major `values` of `width` values per row; errors call them `what`.
    ///
    /// # Errors
    /// If they are no whole rows, are wider than [`MAX_WIDTH`], or hold a value that is not finite.
    pub fn new(what: &'static str, values: &'a [f32], width: usize) -> Result<Self, DetectorError> {
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(DetectorError::Width { what, fitted: width, found: values.len() });
        }
        if width > MAX_WIDTH {
            return Err(DetectorError::Limit { what: "values per row", found: width, limit: MAX_WIDTH });
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(DetectorError::NotFinite { what });
        }
        Ok(Self { values, width })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// Values per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All values, row-major.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// The rows, one after the other.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.width)
    }
}
