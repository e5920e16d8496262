//! How often each bit of a party's codes is set: a picture of the hash layer at work.

use hashvfl_core::PackedCodes;
use serde::Serialize;

/// Fewest records for which the balance is shown: with fewer, the fractions would nearly reveal codes.
pub const LEAST_RECORDS: usize = 32;

/// Of each bit, in how many of a thousand codes it is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BitBalance {
    /// Codes that were looked at.
    pub records: usize,
    /// Of each bit, a number from 0 to 1,000.
    pub ones_per_mille: Vec<u16>,
}

impl BitBalance {
    /// Of `codes`; `None` where they are fewer than [`LEAST_RECORDS`].
    pub fn of(codes: &PackedCodes) -> Option<Self> {
        let mut ones = vec![0; codes.bits()];
        if codes.rows() < LEAST_RECORDS {
            return None;
        }
        for row in 0..codes.rows() {
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += usize::from(codes.get(row, bit));
            }
        }
        Some(Self::from_counts(&ones, codes.rows()))
    }

    /// Of row-major `signs` of `bits` each, +1 or -1; `None` as above.
    pub fn of_signs(signs: &[f32], bits: usize) -> Option<Self> {
        let records = signs.len() / bits.max(1);
        let mut ones = vec![0; bits];
        for row in signs.chunks_exact(bits.max(1)) {
            ones.iter_mut().zip(row).for_each(|(ones, sign)| *ones += usize::from(*sign > 0.0));
        }
        (records >= LEAST_RECORDS).then(|| Self::from_counts(&ones, records))
    }

    fn from_counts(ones: &[usize], records: usize) -> Self {
        let per_mille = |ones: &usize| ((1_000 * ones + records / 2) / records) as u16;
        Self { records, ones_per_mille: ones.iter().map(per_mille).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_ones_are_told_bit_by_bit_and_not_of_few_records() {
        let row = |number: usize| [1.0, -1.0, if number.is_multiple_of(4) { 1.0 } else { -1.0 }];
        let signs: Vec<f32> = (0..40).flat_map(row).collect();
        let balance = BitBalance::of_signs(&signs, 3).unwrap();
        assert_eq!(balance, BitBalance { records: 40, ones_per_mille: vec![1_000, 0, 250] });
        assert_eq!(BitBalance::of(&PackedCodes::pack(&signs, 3).unwrap()), Some(balance));
        assert_eq!(BitBalance::of_signs(&signs[..93], 3), None);
        assert_eq!(BitBalance::of(&PackedCodes::pack(&signs[..93], 3).unwrap()), None);
    }
}
