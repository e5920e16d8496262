//! Whether the numbers of a column stay distinct in 32 bits, which is how a model takes them. Identifiers, time stamps and
//! numbers far from zero may not.

use std::collections::HashSet;

/// Distinct values in 32 bits that are enough for any column. With so many, values that become equal are close on its scale.
const ENOUGH: usize = 1 << 10;
/// Whole numbers from 0 that are marked by a bit.
const SMALL: usize = 1 << 10;
/// Whole numbers up to here are exact in 32 bits.
const EXACT: f64 = (1 << 24) as f64;
/// Last bits of a fraction, whose differences are ignored: 0.1 + 0.2 counts as 0.3.
const NOISE: u64 = (1 << 8) - 1;

/// The distinct numbers of a column, as they are and in 32 bits.
#[derive(Default)]
pub(crate) struct Resolution {
    /// A bit for each whole number below [`SMALL`] that came: most columns of whole numbers hold no other.
    small: [u64; SMALL / 64],
    /// Other whole numbers that are exact in 32 bits, as they are there.
    exact: HashSet<u32>,
    /// All others, as they are.
    wide: HashSet<u64>,
    /// The same in 32 bits.
    narrow: HashSet<u32>,
}

impl Resolution {
    /// Adds one number.
    pub(crate) fn see(&mut self, number: f64) {
        if self.narrow.len() > ENOUGH {
            return;
        }
        // Zero is one number, with whatever sign.
        let number = number + 0.0;
        let known = if number.fract() == 0.0 { number } else { without_noise(number) };
        if known.fract() == 0.0 && known.abs() <= EXACT {
            let known = known as f32;
            match small(known) {
                Some(at) => self.small[at / 64] |= 1 << (at % 64),
                None if self.exact.len() <= ENOUGH => drop(self.exact.insert(known.to_bits())),
                None => {}
            }
            return;
        }
        self.narrow.insert((number as f32 + 0.0).to_bits());
        // With more than this it is clear that most become equal.
        if self.wide.len() <= 4 * ENOUGH {
            self.wide.insert(known.to_bits());
        }
    }

    /// The count of distinct numbers, and how many of them are left in 32 bits; `None` where all are. Numbers that are exact in
    /// 32 bits count where another becomes one of them.
    pub(crate) fn merged(&self) -> Option<(usize, usize)> {
        let onto_exact = self.narrow.iter().filter(|bits| self.is_exact(**bits)).count();
        let (distinct, left) = (self.wide.len() + onto_exact, self.narrow.len());
        (left <= ENOUGH && distinct > left).then_some((distinct, left))
    }

    /// Whether a number of these bits came as a whole number that is exact in 32 bits.
    fn is_exact(&self, bits: u32) -> bool {
        match small(f32::from_bits(bits)) {
            Some(at) => self.small[at / 64] >> (at % 64) & 1 == 1,
            None => self.exact.contains(&bits),
        }
    }

    /// The same where more than one in a hundred becomes equal to another: too many to go on.
    pub(crate) fn lost(&self) -> Option<(usize, usize)> {
        self.merged().filter(|(distinct, left)| (distinct - left) * 100 > *distinct)
    }
}

/// The place of a whole number below [`SMALL`].
fn small(number: f32) -> Option<usize> {
    let is_small = number >= 0.0 && number < SMALL as f32 && number.fract() == 0.0;
    is_small.then_some(number as usize)
}

/// The number without the last bits of its fraction.
fn without_noise(number: f64) -> f64 {
    f64::from_bits(number.to_bits().saturating_add(NOISE / 2) & !NOISE)
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
        assert_eq!(lost(rows(16_777_216.0, 1.0)).unwrap().0, 200);
        assert_eq!(lost(rows(1000.0, 1e-6)).unwrap().0, 200);
        assert!(lost([20_240_102.0, 20_240_103.0, 20_240_104.0].into_iter()).is_some());
        assert_eq!(lost(rows(0.0, 1.0)), None);
        assert_eq!(lost(rows(-3.5, 0.01)), None);
        assert_eq!(lost([0.3, 0.1 + 0.2, 1e300].into_iter()), None, "noise of additions");
        assert_eq!(lost([1.0, 0.9999999999999999].into_iter()), None, "noise of additions");
    }

    #[test]
    fn numbers_that_become_an_exact_one_are_lost_too() {
        assert_eq!(lost([0.0, 1e-50].into_iter()), Some((2, 1)), "below what 32 bits hold");
        assert_eq!(lost([1.0, 1.00000001, 7.0].into_iter()), Some((2, 1)));
        assert_eq!(lost([16_777_216.0, 16_777_217.0].into_iter()), Some((2, 1)));
        assert_eq!(lost([0.0, -0.0, 1e-30].into_iter()), None);
    }

    #[test]
    fn a_few_that_fall_together_are_counted_and_borne() {
        let mut resolution = Resolution::default();
        (0..500).for_each(|row| resolution.see(f64::from(row) + 0.5));
        resolution.see(100.500_000_1);
        assert_eq!((resolution.merged(), resolution.lost()), (Some((501, 500)), None));
    }

    #[test]
    fn many_values_that_stay_apart_are_enough() {
        assert_eq!(lost((0..100_000).map(|row| f64::from(row) / 7e4)), None);
        assert_eq!(lost((0..1_000_000).map(|row| 1e9 + f64::from(row))), None, "64 of a million");
        let (wide, narrow) = lost((0..50_000).map(|row| 1e9 + f64::from(row))).unwrap();
        assert!(wide > 4 * ENOUGH && narrow < ENOUGH);
    }
}
