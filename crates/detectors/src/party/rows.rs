//! Records as a party sees its part of them.

use crate::error::DetectorError;
use crate::values::Values;

/// A party's part of some records: to score them, or to fit detectors on them.
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
    /// If the parts have different numbers of records.
    pub fn new(columns: Values<'a>, embedding: Values<'a>) -> Result<Self, DetectorError> {
        DetectorError::same_rows("the embedding", columns.rows(), embedding.rows())?;
        Ok(Self { columns, embedding })
    }

    /// The number of records.
    pub fn rows(&self) -> usize {
        self.columns.rows()
    }
}
