//! Whether the numbers of a column stay apart in 32 bits, which is how a model takes them: those of identifiers, of time
//! stamps, or far from zero, may not.

use std::collections::HashSet;

/// Distinct values in 32 bits that are enough for any column: what falls together beside so many is close on its scale.
const ENOUGH: usize = 1 << 10;
/// Whole numbers up to here are exact in 32 bits.
const EXACT: f64 = (1 << 24) as f64;
/// Last bits of a fraction that are no difference: 0.1 + 0.2 is 0.3.
const NOISE: u64 = (1 << 8) - 1;

/// The distinct numbers of a column, as they are and in 32 bits.
#[derive(Default)]
pub(crate) struct Resolution {
    wide: HashSet<u64>,
    narrow: HashSet<u32>,
}

impl Resolution {
    /// Takes one number in.
    pub(crate) fn see(&mut self, number: f64) {
        let whole = number.fract() == 0.0;
        if self.narrow.len() > ENOUGH || whole && number.abs() <= EXACT {
            return;
        }
        let bits = number.to_bits();
        self.narrow.insert((number as f32).to_bits());
        // Beyond this it is clear that most fall together.
        if self.wide.len() <= 4 * ENOUGH {
            self.wide.insert(if whole { bits } else { bits.saturating_add(NOISE / 2) & !NOISE });
        }
    }

    /// Distinct numbers, and how many of them are left in 32 bits, where more than one in a hundred falls together with
    /// another.
    pub(crate) fn lost(&self) -> Option<(usize, usize)> {
        let (wide, narrow) = (self.wide.len(), self.narrow.len());
        let lost = wide.saturating_sub(narrow);
        (narrow <= ENOUGH && lost * 100 > wide).then_some((wide, narrow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(numbers: impl Iterator<Item = f64>) -> Option<(usize, usize)> {
        let mut resolution = Resolution::default();
        numbers.for_each(|number| resolution.see(number));
        resolution.lost()
    }

    #[test]
    fn numbers_that_fall_together_are_counted() {
        let rows = |from: f64, step: f64| (0..200).map(move |row| from + f64::from(row) * step);
        assert_eq!(lost(rows(1.7e9, 1.0)), Some((200, 3)), "time stamps");
        assert_eq!(lost(rows(16_777_216.0, 1.0)).unwrap().0, 199);
        assert_eq!(lost(rows(1000.0, 1e-6)).unwrap().0, 199);
        assert!(lost([20_240_102.0, 20_240_103.0, 20_240_104.0].into_iter()).is_some());
        assert_eq!(lost(rows(0.0, 1.0)), None);
        assert_eq!(lost(rows(-3.5, 0.01)), None);
        assert_eq!(lost([0.3, 0.1 + 0.2, 1e300].into_iter()), None, "noise of additions");
    }

    #[test]
    fn many_values_that_stay_apart_are_enough() {
        assert_eq!(lost((0..100_000).map(|row| f64::from(row) / 7e4)), None);
        assert_eq!(lost((0..1_000_000).map(|row| 1e9 + f64::from(row))), None, "64 of a million");
        let (wide, narrow) = lost((0..50_000).map(|row| 1e9 + f64::from(row))).unwrap();
        assert!(wide > 4 * ENOUGH && narrow < ENOUGH);
    }
}
