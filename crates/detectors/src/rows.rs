//! What a detector looks at: records as the coordinator sees them, or as a party does.

use crate::codes::Codes;
use crate::error::DetectorError;
use crate::limits::{MAX_COLUMNS, MIN_ROWS};

/// Values in rows, row-major: `[rows, width]`.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    values: &'a [f32],
    width: usize,
}

impl<'a> Values<'a> {
    /// Takes row-major `values` of `width` values a row.
    ///
    /// # Errors
    /// If they are no whole rows, or a value is not finite.
    pub fn new(what: &'static str, values: &'a [f32], width: usize) -> Result<Self, DetectorError> {
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(DetectorError::Width { what, fitted: width, found: values.len() });
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(DetectorError::NotFinite { what });
        }
        Ok(Self { values, width })
    }

    /// Refuses rows on which none of a party's detectors can be fitted.
    pub(crate) fn check_fits(&self, what: &'static str) -> Result<(), DetectorError> {
        DetectorError::rows(what, MIN_ROWS, self.rows())?;
        let (found, limit) = (self.width, MAX_COLUMNS);
        if found <= limit { Ok(()) } else { Err(DetectorError::Limit { what: "values a row", found, limit }) }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// Values a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All values.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Row by row.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.width)
    }
}

/// Records as the coordinator sees them.
#[derive(Clone, Copy)]
pub struct CoordinatorRows<'a> {
    /// All parties' codes.
    pub codes: &'a Codes,
    /// The class that the top model gives each record; 0 for all in a regression.
    pub classes: &'a [u32],
    /// The top model's features, its last hidden layer.
    pub features: Values<'a>,
}

impl<'a> CoordinatorRows<'a> {
    /// Puts the parts together.
    ///
    /// # Errors
    /// If they are of different numbers of records.
    pub fn new(codes: &'a Codes, classes: &'a [u32], features: Values<'a>) -> Result<Self, DetectorError> {
        for (what, found) in [("classes", classes.len()), ("features", features.rows())] {
            if found != codes.rows() {
                return Err(DetectorError::Rows { what, expected: codes.rows(), found });
            }
        }
        Ok(Self { codes, classes, features })
    }

    /// One more than the largest class.
    pub(crate) fn class_count(&self) -> usize {
        self.classes.iter().max().map_or(1, |most| *most as usize + 1)
    }
}

/// Records as a party sees its part of them.
#[derive(Clone, Copy)]
pub struct PartyRows<'a> {
    /// Its columns, after preprocessing: `[rows, columns]`.
    pub columns: Values<'a>,
    /// Its embedding before the sign: `[rows, bits]`.
    pub embedding: Values<'a>,
}

impl<'a> PartyRows<'a> {
    /// Puts the parts together.
    ///
    /// # Errors
    /// If they are of different numbers of records.
    pub fn new(columns: Values<'a>, embedding: Values<'a>) -> Result<Self, DetectorError> {
        let (expected, found) = (columns.rows(), embedding.rows());
        if expected != found {
            return Err(DetectorError::Rows { what: "embedding", expected, found });
        }
        Ok(Self { columns, embedding })
    }
}
