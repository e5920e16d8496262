//! Records as a party sees its part of them.

use crate::error::DetectorError;
use crate::values::MatrixView;

/// A party's part of some records: to score them, or to fit detectors on them.
#[derive(Clone, Copy)]
pub struct PartyRows<'a> {
    /// Its columns, after preprocessing: `[rows, columns]`.
    pub columns: MatrixView<'a>,
    /// Its embedding before the sign: `[rows, bits]`.
    pub embedding: MatrixView<'a>,
}

impl<'a> PartyRows<'a> {
    /// Puts the parts together.
    ///
    /// # Errors
    /// If the parts have different numbers of records.
    pub fn new(columns: MatrixView<'a>, embedding: MatrixView<'a>) -> Result<Self, DetectorError> {
        DetectorError::same_rows("the embedding", columns.rows(), embedding.rows())?;
        Ok(Self { columns, embedding })
    }

    /// The number of records.
    pub fn rows(&self) -> usize {
        self.columns.rows()
    }
}
