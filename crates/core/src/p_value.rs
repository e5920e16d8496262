//! p-values of a party's own detectors as it sends them: a few bits per record, rounded up.
//!
//! Value v of a grid stands for a p-value of 2^-(v step). Rounding up keeps what a p-value promises: a record that is
//! exchangeable with the calibration records has a p-value of a or less with probability a at most. A flag is the grid
//! of one bit.

use crate::codes::packed::{CodeError, PackedCodes};
use crate::limits::{MAX_P_VALUE_BITS, MAX_P_VALUE_STEP};

/// Which p-values there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    bits: u8,
    step: u8,
}

/// No grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "p-values of {bits} bits in steps of 2^-{step}: bits must be 1 to {MAX_P_VALUE_BITS}, the step 1 to {MAX_P_VALUE_STEP}"
)]
pub struct GridError {
    /// Bits per record.
    pub bits: u32,
    /// The step's exponent.
    pub step: u32,
}

impl Grid {
    /// p-values 1, 1/2, 1/4 to 2^-15, in 4 bits.
    pub const FINE: Self = Self { bits: 4, step: 1 };

    /// p-values 2^-(v step) for v from 0 to 2^bits - 1.
    ///
    /// # Errors
    /// If bits are not 1 to [`MAX_P_VALUE_BITS`], or the step not 1 to [`MAX_P_VALUE_STEP`].
    pub fn new(bits: u32, step: u32) -> Result<Self, GridError> {
        let fits = (1..=MAX_P_VALUE_BITS).contains(&bits) && (1..=MAX_P_VALUE_STEP).contains(&step);
        if fits { Ok(Self { bits: bits as u8, step: step as u8 }) } else { Err(GridError { bits, step }) }
    }

    /// One bit: whether the p-value is at most the largest power of two that is `level` or less; `None` where that is
    /// below 2^-[`MAX_P_VALUE_STEP`], or 1.
    pub fn flag(level: f64) -> Option<Self> {
        let step = (0..=MAX_P_VALUE_STEP).find(|step| 0.5_f64.powi(*step as i32) <= level)?;
        Self::new(1, step).ok()
    }

    /// Bits per record.
    pub fn bits(self) -> usize {
        usize::from(self.bits)
    }

    /// The step's exponent.
    pub fn step(self) -> u32 {
        u32::from(self.step)
    }

    /// The least p-value.
    pub fn least(self) -> f64 {
        self.p_value((1 << self.bits) - 1)
    }

    fn p_value(self, value: u32) -> f64 {
        0.5_f64.powi((value * self.step()) as i32)
    }

    /// The mean logarithm of the p-values that were rounded up to `sent`, one of this grid's, if they are evenly spread.
    pub fn mean_log(self, sent: f64) -> f64 {
        let below = if sent <= self.least() { 0.0 } else { sent * 0.5_f64.powi(i32::from(self.step)) };
        // x ln x vanishes at 0.
        let of_below = if below > 0.0 { below * below.ln() } else { 0.0 };
        (sent * sent.ln() - of_below) / (sent - below) - 1.0
    }

    /// The value of the least p-value that is not below `p_value`.
    fn round_up(self, p_value: f64) -> u32 {
        (1..1 << self.bits).take_while(|value| self.p_value(*value) >= p_value).count() as u32
    }

    /// Packs p-values as codes are packed, the least significant bit first. p-values above 1 count as 1.
    ///
    /// # Errors
    /// If there are none, or too many for one message.
    pub fn pack(self, p_values: &[f64]) -> Result<PackedCodes, CodeError> {
        let bits = self.bits();
        let mut bytes = vec![0_u8; PackedCodes::packed_len(p_values.len(), bits)];
        for (row, p_value) in p_values.iter().enumerate() {
            let value = self.round_up(*p_value);
            for bit in 0..bits {
                let at = row * bits + bit;
                bytes[at / 8] |= (((value >> bit) & 1) as u8) << (at % 8);
            }
        }
        PackedCodes::from_bytes(p_values.len(), bits, bytes)
    }

    /// The p-values of unpacked ones: [rows, bits], above 0 for a bit that is set.
    pub fn p_values(self, unpacked: &[f32]) -> Vec<f64> {
        let value = |bits: &[f32]| bits.iter().rev().fold(0, |value, bit| 2 * value + u32::from(*bit > 0.0));
        unpacked.chunks_exact(self.bits()).map(|bits| self.p_value(value(bits))).collect()
    }
}

/// p-values of some records as a party sends them.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedPValues {
    /// What their values stand for.
    pub grid: Grid,
    /// One value per record, of the grid's bits.
    pub packed: PackedCodes,
}

impl PackedPValues {
    /// Packs p-values by `grid`, rounded up.
    ///
    /// # Errors
    /// If there are none, or too many for one message.
    pub fn pack(grid: Grid, p_values: &[f64]) -> Result<Self, CodeError> {
        Ok(Self { grid, packed: grid.pack(p_values)? })
    }

    /// One p-value per record, above 0 and at most 1.
    pub fn p_values(&self) -> Vec<f64> {
        self.grid.p_values(&self.packed.to_signs())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_grid_has_limits_and_a_flag_is_the_power_of_two_below_its_level() {
        for (bits, step) in [(0, 1), (5, 1), (1, 0), (1, 16), (u32::MAX, u32::MAX)] {
            assert_eq!(Grid::new(bits, step), Err(GridError { bits, step }));
        }
        let steps = [0.5, 0.25, 0.05, 0.01].map(|level| Grid::flag(level).unwrap().step());
        assert_eq!(steps, [1, 2, 5, 7]);
        assert_eq!(Grid::flag(0.01).unwrap().least(), 1.0 / 128.0);
        assert_eq!((Grid::flag(1e-6), Grid::flag(1.0), Grid::flag(f64::NAN)), (None, None, None));
        assert_eq!((Grid::FINE, Grid::FINE.least()), (Grid::new(4, 1).unwrap(), 0.5_f64.powi(15)));
    }

    #[test]
    fn p_values_are_packed_and_come_back_rounded_up() {
        let packed = Grid::FINE.pack(&[1.0, 0.5, 0.3, 1e-9, 2.0]).unwrap();
        assert_eq!(packed.as_bytes(), [0x10, 0xf1, 0x00]);
        assert_eq!(Grid::FINE.p_values(&packed.to_signs()), [1.0, 0.5, 0.5, 0.5_f64.powi(15), 1.0]);
        let flag = Grid::flag(0.05).unwrap();
        let packed = flag.pack(&[0.04, 1.0 / 32.0, 0.001]).unwrap();
        assert_eq!((packed.as_bytes(), packed.rows()), (&[0b110][..], 3));
        assert!(Grid::FINE.pack(&[]).is_err());
    }

    #[test]
    fn what_was_rounded_up_has_a_mean_logarithm() {
        let flag = Grid::flag(0.01).unwrap();
        // Between 0 and 1/128, and between that and 1.
        assert!((flag.mean_log(1.0 / 128.0) - ((1.0_f64 / 128.0).ln() - 1.0)).abs() < 1e-12);
        let counted = (1..10_000).map(|at| 1.0 / 128.0 + (127.0 / 128.0) * f64::from(at) / 10_000.0);
        let mean = counted.map(f64::ln).sum::<f64>() / 9_999.0;
        assert!((flag.mean_log(1.0) - mean).abs() < 1e-3, "{mean}");
        let halving = Grid::FINE.mean_log(0.5) - 0.5_f64.ln();
        assert!((halving - (Grid::FINE.mean_log(0.25) - 0.25_f64.ln())).abs() < 1e-12, "{halving}");
    }

    proptest! {
        #[test]
        fn a_p_value_is_never_smaller_than_it_was(p in 1e-9_f64..=1.0, bits in 1_u32..=4, step in 1_u32..=15) {
            let grid = Grid::new(bits, step).unwrap();
            let sent = grid.p_values(&grid.pack(&[p]).unwrap().to_signs())[0];
            prop_assert!(sent >= p);
            prop_assert!(sent * 0.5_f64.powi(step as i32) < p || sent == grid.least());
        }
    }
}
