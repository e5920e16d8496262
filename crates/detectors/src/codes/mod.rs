//! All parties' codes of some records, one after the other, in words of 64 bits.

pub mod centres;
pub(crate) mod nearest;

use hashvfl_core::PackedCodes;
use hashvfl_core::limits::{MAX_BITS, MAX_PARTIES};
use serde::{Deserialize, Serialize};

use crate::error::DetectorError;

/// Codes of `rows` records: the bits of party 0, then of party 1 and so on, padded with zeros to whole words.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codes {
    lengths: Vec<usize>,
    rows: usize,
    words_per_row: usize,
    words: Vec<u64>,
}

impl Codes {
    /// Joins the codes of one batch, one part per party, in the run's order.
    ///
    /// # Errors
    /// If there are no or too many parties, or their numbers of records differ.
    pub fn join(parts: &[PackedCodes]) -> Result<Self, DetectorError> {
        let lengths: Vec<usize> = parts.iter().map(PackedCodes::bits).collect();
        let rows = parts.first().map_or(0, PackedCodes::rows);
        let mut codes = Self::zeros(lengths, rows)?;
        let mut start = 0;
        for part in parts {
            DetectorError::same_rows("codes", rows, part.rows())?;
            // Codes of whole bytes are the usual case: eight bits at a time.
            if part.bits().is_multiple_of(8) && start % 8 == 0 {
                let width = part.bits() / 8;
                for (row, bytes) in part.as_bytes().chunks_exact(width).enumerate() {
                    codes.set_bytes(row, start, bytes);
                }
            } else {
                for row in 0..rows {
                    for bit in (0..part.bits()).filter(|bit| part.get(row, *bit)) {
                        codes.set(row, start + bit);
                    }
                }
            }
            start += part.bits();
        }
        Ok(codes)
    }

    /// Joins values whose signs are the codes: `parts[party]` row-major [rows, bits]; 0 and above is a set bit.
    ///
    /// # Errors
    /// If there are no or too many parties, or the values do not fit `rows` whole codes.
    pub fn of_values(parts: &[&[f32]], rows: usize) -> Result<Self, DetectorError> {
        let lengths: Vec<usize> = parts.iter().map(|part| part.len() / rows.max(1)).collect();
        let mut codes = Self::zeros(lengths.clone(), rows)?;
        let mut start = 0;
        for (part, length) in parts.iter().zip(lengths) {
            if part.len() != rows * length {
                let found = part.len() / length.max(1);
                return Err(DetectorError::Rows { what: "codes", expected: rows, found });
            }
            for (row, values) in part.chunks_exact(length).enumerate() {
                for (bit, _) in values.iter().enumerate().filter(|(_, value)| **value >= 0.0) {
                    codes.set(row, start + bit);
                }
            }
            start += length;
        }
        Ok(codes)
    }

    fn zeros(lengths: Vec<usize>, rows: usize) -> Result<Self, DetectorError> {
        if lengths.is_empty() || lengths.len() > MAX_PARTIES {
            return Err(DetectorError::Limit { what: "parties", found: lengths.len(), limit: MAX_PARTIES });
        }
        if let Some(found) = lengths.iter().copied().find(|bits| *bits == 0 || *bits > MAX_BITS) {
            return Err(DetectorError::Limit { what: "bits of a code", found, limit: MAX_BITS });
        }
        let words_per_row = words_for(total_bits(&lengths));
        Ok(Self { lengths, rows, words_per_row, words: vec![0; rows * words_per_row] })
    }

    /// Number of records.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bits of each party's code.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Bits of all parties' codes of a record.
    pub fn bits(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Words of a record.
    pub fn words_per_row(&self) -> usize {
        self.words_per_row
    }

    /// The words of all records.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words of record `row`; bit `b` is bit `b % 64` of word `b / 64`.
    pub fn row(&self, row: usize) -> &[u64] {
        &self.words[row * self.words_per_row..][..self.words_per_row]
    }

    /// The codes of several batches, one after the other.
    ///
    /// # Errors
    /// If there are none, or their lengths differ.
    pub fn stack(batches: &[&Self]) -> Result<Self, DetectorError> {
        let first = *batches.first().ok_or(DetectorError::Empty)?;
        batches.iter().try_for_each(|codes| codes.check_lengths(&first.lengths))?;
        let words = batches.iter().flat_map(|codes| codes.words.iter().copied()).collect();
        let rows = batches.iter().map(|codes| codes.rows).sum();
        Ok(Self { lengths: first.lengths.clone(), rows, words, ..*first })
    }

    /// Checks fields that were read from a file.
    ///
    /// # Errors
    /// If they contradict each other or exceed a limit.
    pub fn check(&self) -> Result<(), DetectorError> {
        let whole = Self::zeros(self.lengths.clone(), 0)?.words_per_row;
        let fits = self.words_per_row == whole && self.rows.checked_mul(whole) == Some(self.words.len());
        DetectorError::stored(fits, "codes")
    }

    /// The codes of `rows` alone.
    pub fn gather(&self, rows: &[u32]) -> Self {
        let words = rows.iter().flat_map(|row| self.row(*row as usize).iter().copied()).collect();
        Self { lengths: self.lengths.clone(), rows: rows.len(), words, ..*self }
    }

    /// Checks that the codes have the lengths `fitted`.
    ///
    /// # Errors
    /// If they do not.
    pub fn check_lengths(&self, fitted: &[usize]) -> Result<(), DetectorError> {
        DetectorError::code_lengths(fitted, &self.lengths)
    }

    fn row_mut(&mut self, row: usize) -> &mut [u64] {
        &mut self.words[row * self.words_per_row..][..self.words_per_row]
    }

    /// Sets the bits of `bytes` from bit `start` on, which is a multiple of 8.
    fn set_bytes(&mut self, row: usize, start: usize, bytes: &[u8]) {
        let words = self.row_mut(row);
        for (at, byte) in bytes.iter().enumerate() {
            let bit = start + 8 * at;
            words[bit / 64] |= u64::from(*byte) << (bit % 64);
        }
    }

    fn set(&mut self, row: usize, bit: usize) {
        self.row_mut(row)[bit / 64] |= 1 << (bit % 64);
    }
}

/// Whether bit `bit` of a record's words is set.
pub fn bit(words: &[u64], bit: usize) -> bool {
    (words[bit / 64] >> (bit % 64)) & 1 == 1
}

/// Bits of all parties' codes together; the largest number where the sum exceeds it.
pub(crate) fn total_bits(lengths: &[usize]) -> usize {
    lengths.iter().fold(0, |sum: usize, bits| sum.saturating_add(*bits))
}

/// Words that hold so many bits.
pub(crate) fn words_for(bits: usize) -> usize {
    bits.div_ceil(64)
}

/// The first bit of each party's code in a record's words.
pub(crate) fn starts(lengths: &[usize]) -> Vec<usize> {
    (0..lengths.len()).map(|party| lengths[..party].iter().sum()).collect()
}

/// One mask per party that has its bits set and no other, for [`masked_distance`].
pub fn masks(lengths: &[usize]) -> Vec<Vec<u64>> {
    let words = words_for(total_bits(lengths));
    let mut masks = Vec::with_capacity(lengths.len());
    for (start, length) in starts(lengths).into_iter().zip(lengths) {
        let mut mask = vec![0_u64; words];
        (start..start + length).for_each(|bit| mask[bit / 64] |= 1 << (bit % 64));
        masks.push(mask);
    }
    masks
}

/// The Hamming distance between two records' words under a mask.
pub fn masked_distance(one: &[u64], other: &[u64], mask: &[u64]) -> u32 {
    one.iter().zip(other).zip(mask).map(|((a, b), mask)| ((a ^ b) & mask).count_ones()).sum()
}

// A code is a record's data: it never reaches a log.
impl std::fmt::Debug for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Codes({} records x {:?} bits)", self.rows, self.lengths)
    }
}

/// The bits `range` of a row, as +1.0 and -1.0.
pub(crate) fn signs(codes: &Codes, row: usize, range: std::ops::Range<usize>) -> impl Iterator<Item = f32> {
    let words = codes.row(row);
    range.map(move |at| if bit(words, at) { 1.0 } else { -1.0 })
}

/// Signs drawn at random, for tests.
#[cfg(test)]
pub(crate) fn drawn_signs(rng: &mut impl rand::Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| if rng.next_u32() & 1 == 1 { 1.0 } else { -1.0 }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packed_codes_and_signs_join_alike(
            lengths in prop::collection::vec(1_usize..80, 1..4),
            rows in 1_usize..20,
            seed in any::<u64>(),
        ) {
            let mut rng = hashvfl_core::random::stream(seed, "codes", &[]);
            let parts: Vec<Vec<f32>> = lengths
                .iter()
                .map(|bits| drawn_signs(&mut rng, rows * bits))
                .collect();
            let packed: Vec<PackedCodes> =
                parts.iter().zip(&lengths).map(|(part, bits)| PackedCodes::pack(part, *bits).unwrap()).collect();
            let joined = Codes::join(&packed).unwrap();
            let slices: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(&joined, &Codes::of_values(&slices, rows).unwrap());
            let mut at = 0;
            for (part, length) in packed.iter().zip(&lengths) {
                for b in 0..*length {
                    prop_assert_eq!(bit(joined.row(rows - 1), at + b), part.get(rows - 1, b));
                }
                at += length;
            }
            let masks = masks(&lengths);
            let whole: u32 = masks.iter().map(|mask| masked_distance(joined.row(0), joined.row(rows - 1), mask)).sum();
            let plain: u32 = joined.row(0).iter().zip(joined.row(rows - 1)).map(|(a, b)| (a ^ b).count_ones()).sum();
            prop_assert_eq!(whole, plain);
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let one = PackedCodes::pack(&[1.0; 8], 4).unwrap();
        let other = PackedCodes::pack(&[1.0; 12], 4).unwrap();
        assert!(matches!(Codes::join(&[one.clone(), other]), Err(DetectorError::Rows { .. })));
        assert!(matches!(Codes::join(&[]), Err(DetectorError::Limit { .. })));
        let codes = Codes::join(&[one]).unwrap();
        let error = codes.check_lengths(&[16, 16]).unwrap_err().to_string();
        assert!(error.contains("fitted on codes of [16, 16] bits"), "{error}");
        assert_eq!(format!("{codes:?}"), "Codes(2 records x [4] bits)");
    }
}
