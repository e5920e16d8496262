//! What a step shows of its records.

use hashvfl_core::PackedCodes;

use crate::ValueEncoding;

/// The values of a step's records, one batch a party.
pub enum RecordedBatches<'a> {
    /// Codes.
    Codes(&'a [PackedCodes]),
    /// Floats [records, values].
    Floats(Vec<&'a [f32]>),
}

impl RecordedBatches<'_> {
    /// How each value is written, and each batch's bytes, record by record.
    pub(crate) fn encoded(&self) -> (ValueEncoding, Vec<Vec<u8>>) {
        match self {
            Self::Codes(batches) => (ValueEncoding::Bits, batches.iter().map(code_bytes).collect()),
            Self::Floats(batches) => {
                (ValueEncoding::F32, batches.iter().map(|batch| float_bytes(batch)).collect())
            }
        }
    }
}

/// The packed bits of a batch, record by record.
fn code_bytes(batch: &PackedCodes) -> Vec<u8> {
    (0..batch.rows()).flat_map(|row| batch.row_bytes(row)).collect()
}

/// The floats of a batch, in their order.
fn float_bytes(batch: &[f32]) -> Vec<u8> {
    batch.iter().flat_map(|value| value.to_le_bytes()).collect()
}
