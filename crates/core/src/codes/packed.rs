//! Hash codes of a batch, packed: eight bits of a code per byte.

use crate::limits::{MAX_BATCH_ROWS, MAX_BITS};

/// Why bytes are not the codes of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// More than [`MAX_BITS`] bits or [`MAX_BATCH_ROWS`] records, or none.
    #[error(
        "a batch of codes holds 1 to {MAX_BATCH_ROWS} records of 1 to {MAX_BITS} bits, not {rows} of {bits}"
    )]
    Size {
        /// Records asked for.
        rows: usize,
        /// Bits per record asked for.
        bits: usize,
    },
    /// The byte count does not match.
    #[error("codes of {rows} records x {bits} bits need {expected} bytes, but {found} arrived")]
    Length {
        /// Records expected.
        rows: usize,
        /// Bits per record expected.
        bits: usize,
        /// Bytes expected.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Unused bits at the end are set: the packing is not canonical.
    #[error("the unused bits after the last code are not zero")]
    Padding,
}

/// Codes of `rows` records, `bits` each; bit `r * bits + j` (least significant first) is 1 for +1, 0 for -1.
///
/// Rows are not padded to bytes: 256 records of 4 bits take 128 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct PackedCodes {
    rows: usize,
    bits: usize,
    bytes: Vec<u8>,
}

impl PackedCodes {
    /// Bytes that `rows` codes of `bits` bits take.
    pub fn packed_len(rows: usize, bits: usize) -> usize {
        (rows * bits).div_ceil(8)
    }

    fn check_size(rows: usize, bits: usize) -> Result<(), CodeError> {
        let fits = (1..=MAX_BATCH_ROWS).contains(&rows) && (1..=MAX_BITS).contains(&bits);
        if fits { Ok(()) } else { Err(CodeError::Size { rows, bits }) }
    }

    /// Packs row-major `values` [rows, bits]; a value of 0 or more is +1 (so sign(0) = +1), a lower one -1.
    ///
    /// # Panics
    /// If `values` does not hold a whole number of rows of `bits`.
    pub fn pack(values: &[f32], bits: usize) -> Result<Self, CodeError> {
        assert!(bits > 0 && values.len().is_multiple_of(bits), "whole rows of {bits} values");
        let rows = values.len() / bits;
        Self::check_size(rows, bits)?;
        let mut bytes = vec![0_u8; Self::packed_len(rows, bits)];
        for (byte, chunk) in bytes.iter_mut().zip(values.chunks(8)) {
            *byte = chunk.iter().enumerate().fold(0, |sum, (j, v)| sum | (u8::from(*v >= 0.0) << j));
        }
        Ok(Self { rows, bits, bytes })
    }

    /// Takes bytes from a peer as codes of `rows` records x `bits` bits.
    pub fn from_bytes(rows: usize, bits: usize, bytes: Vec<u8>) -> Result<Self, CodeError> {
        Self::check_size(rows, bits)?;
        let expected = Self::packed_len(rows, bits);
        if bytes.len() != expected {
            return Err(CodeError::Length { rows, bits, expected, found: bytes.len() });
        }
        let used = (rows * bits) % 8;
        let clean = used == 0 || bytes.last().is_none_or(|last| last >> used == 0);
        if clean { Ok(Self { rows, bits, bytes }) } else { Err(CodeError::Padding) }
    }

    /// Number of records.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bits per record.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// The packed bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The packed bytes, taken.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bit `bit` of record `row`.
    pub fn get(&self, row: usize, bit: usize) -> bool {
        let index = row * self.bits + bit;
        (self.bytes[index / 8] >> (index % 8)) & 1 == 1
    }

    /// The code of record `row` alone, packed into whole bytes.
    pub fn row_bytes(&self, row: usize) -> Vec<u8> {
        let len = self.bits.div_ceil(8);
        if self.bits.is_multiple_of(8) {
            return self.bytes[row * len..(row + 1) * len].to_vec();
        }
        let mut bytes = vec![0; len];
        for bit in 0..self.bits {
            bytes[bit / 8] |= u8::from(self.get(row, bit)) << (bit % 8);
        }
        bytes
    }

    /// Codes of which each is packed into whole bytes, as [`Self::row_bytes`] gives them.
    pub fn from_rows(rows: &[&[u8]], bits: usize) -> Result<Self, CodeError> {
        Self::check_size(rows.len(), bits)?;
        let mut bytes = vec![0; Self::packed_len(rows.len(), bits)];
        for (row, code) in rows.iter().enumerate() {
            Self::from_bytes(1, bits, code.to_vec())?;
            for bit in 0..bits {
                let at = row * bits + bit;
                bytes[at / 8] |= (code[bit / 8] >> (bit % 8) & 1) << (at % 8);
            }
        }
        Ok(Self { rows: rows.len(), bits, bytes })
    }

    /// The codes as row-major +1.0 and -1.0, [rows, bits].
    pub fn to_signs(&self) -> Vec<f32> {
        let mut signs = Vec::with_capacity(self.rows * self.bits);
        for (index, byte) in self.bytes.iter().enumerate() {
            let used = (self.rows * self.bits - index * 8).min(8);
            signs.extend((0..used).map(|j| if (byte >> j) & 1 == 1 { 1.0 } else { -1.0 }));
        }
        signs
    }
}

// A code is a record's data: it never reaches a log, not even through a forgotten `{:?}`.
impl std::fmt::Debug for PackedCodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedCodes({} records x {} bits)", self.rows, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zero_is_plus_one() {
        let codes = PackedCodes::pack(&[0.0, -0.0, -1e-30, 1.0], 2).unwrap();
        assert_eq!(codes.to_signs(), [1.0, 1.0, -1.0, 1.0]);
    }

    #[test]
    fn bad_bytes_are_refused() {
        assert!(matches!(PackedCodes::from_bytes(2, 3, vec![0; 2]), Err(CodeError::Length { .. })));
        assert_eq!(PackedCodes::from_bytes(2, 3, vec![0b0100_0000]), Err(CodeError::Padding));
        assert!(matches!(PackedCodes::from_bytes(0, 3, vec![]), Err(CodeError::Size { .. })));
        assert!(matches!(
            PackedCodes::from_bytes(1, MAX_BITS + 1, vec![0; 129]),
            Err(CodeError::Size { .. })
        ));
    }

    #[test]
    fn debug_shows_no_bit() {
        let codes = PackedCodes::pack(&[1.0; 8], 8).unwrap();
        assert_eq!(format!("{codes:?}"), "PackedCodes(1 records x 8 bits)");
    }

    proptest! {
        #[test]
        fn packing_round_trips(bits in 1_usize..70, signs in prop::collection::vec(any::<bool>(), 1..700)) {
            let rows = (signs.len() / bits).max(1);
            let values: Vec<f32> =
                (0..rows * bits).map(|i| if signs[i % signs.len()] { 1.0 } else { -1.0 }).collect();
            let codes = PackedCodes::pack(&values, bits).unwrap();
            prop_assert_eq!(codes.as_bytes().len(), (rows * bits).div_ceil(8));
            prop_assert_eq!(codes.to_signs(), values.clone());
            prop_assert_eq!(codes.get(rows - 1, bits - 1), values[rows * bits - 1] > 0.0);
            let last = PackedCodes::from_bytes(1, bits, codes.row_bytes(rows - 1)).unwrap();
            prop_assert_eq!(last.to_signs(), &values[(rows - 1) * bits..]);
            let again = PackedCodes::from_bytes(rows, bits, codes.as_bytes().to_vec()).unwrap();
            prop_assert_eq!(again, codes);
        }

        #[test]
        fn any_bytes_are_codes_or_an_error(rows in 0_usize..300, bits in 0_usize..80, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = PackedCodes::from_bytes(rows, bits, bytes);
        }
    }
}
