//! Whether the numbers of a column stay distinct in 32 bits, which is how a model takes them. Identifiers, time stamps and
//! numbers far from zero may not.

use std::collections::{HashMap, HashSet};

/// Distinct values in 32 bits that are enough for any column. With so many, values that become equal are close on its scale,
/// and a sample tells how many there are.
const ENOUGH: usize = 1 << 10;
/// Whole numbers from 0 that are marked by a bit.
const SMALL: usize = 1 << 10;
/// Whole numbers up to here are exact in 32 bits.
const EXACT: f64 = (1 << 24) as f64;
/// Levels of samples, at most.
const MOST_LEVELS: u32 = 31;
/// Last bits of a fraction, whose differences are ignored: 0.1 + 0.2 counts as 0.3.
const NOISE: u64 = (1 << 8) - 1;

/// The distinct numbers of a column, as they are and in 32 bits.
#[derive(Default)]
pub(crate) struct Resolution {
    /// A bit for each whole number below [`SMALL`] that came: most columns of whole numbers hold no other.
    small: [u64; SMALL / 64],
    /// Other whole numbers that are exact in 32 bits, as they are there.
    exact: HashSet<u32>,
    /// All others that are sampled, as they are, each with its bits in 32.
    wide: HashMap<u64, u32>,
    /// The same in 32 bits.
    narrow: HashSet<u32>,
    /// One in 2^`level` of the values in 32 bits is sampled, with all that become it.
    level: u32,
}

impl Resolution {
    /// Adds one number.
    pub(crate) fn see(&mut self, number: f64) {
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
        let narrow = (number as f32 + 0.0).to_bits();
        if !is_sampled(narrow, self.level) {
            return;
        }
        self.narrow.insert(narrow);
        // With more than this it is clear that most become equal.
        if self.wide.len() <= 4 * ENOUGH {
            self.wide.insert(known.to_bits(), narrow);
        }
        while self.narrow.len() > ENOUGH && self.level < MOST_LEVELS {
            self.level += 1;
            let level = self.level;
            self.narrow.retain(|narrow| is_sampled(*narrow, level));
            self.wide.retain(|_, narrow| is_sampled(*narrow, level));
        }
    }

    /// How many numbers become equal in 32 bits, in words for a person; `None` where none do. Of more than [`ENOUGH`] a sample
    /// is counted.
    pub(crate) fn rounding(&self) -> Option<String> {
        let (distinct, left) = self.counted();
        match self.level {
            _ if distinct <= left => None,
            0 => Some(format!("{distinct} distinct numbers become {left} in 32 bits")),
            _ => Some(format!(
                "{} of {distinct} distinct numbers, a sample of all, become equal to another in 32 bits",
                distinct - left
            )),
        }
    }

    /// The count of distinct numbers, and how many of them are left in 32 bits; `None` where all are, or where there are many.
    /// Numbers that are exact in 32 bits count where another becomes one of them.
    fn merged(&self) -> Option<(usize, usize)> {
        Some(self.counted()).filter(|(distinct, left)| self.level == 0 && distinct > left)
    }

    /// The count of distinct numbers in the sample, and how many of them are left in 32 bits.
    fn counted(&self) -> (usize, usize) {
        let onto_exact = self.narrow.iter().filter(|bits| self.is_exact(**bits)).count();
        (self.wide.len() + onto_exact, self.narrow.len())
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

/// Whether a value of these bits is among one in 2^`level`, which its bits alone decide.
fn is_sampled(narrow: u32, level: u32) -> bool {
    // Fibonacci hashing: the upper bits of the product are spread evenly.
    level == 0 || narrow.wrapping_mul(0x9e37_79b9) >> (32 - level) == 0
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
        assert_eq!(resolution.rounding().unwrap(), "501 distinct numbers become 500 in 32 bits");
    }

    #[test]
    fn many_values_that_stay_apart_are_enough() {
        assert_eq!(lost((0..100_000).map(|row| f64::from(row) / 7e4)), None);
        assert_eq!(lost((0..1_000_000).map(|row| 1e9 + f64::from(row))), None, "64 of a million");
        let (wide, narrow) = lost((0..50_000).map(|row| 1e9 + f64::from(row))).unwrap();
        assert!(wide > 4 * ENOUGH && narrow < ENOUGH);
    }

    #[test]
    fn of_many_values_a_sample_tells_how_many_fall_together() {
        let told = |numbers: &mut dyn Iterator<Item = f64>| {
            let mut resolution = Resolution::default();
            numbers.for_each(|number| resolution.see(number));
            assert!(resolution.lost().is_none());
            assert!(
                resolution.narrow.len() <= ENOUGH && resolution.wide.len() <= 5 * ENOUGH,
                "memory is bounded"
            );
            resolution.rounding()
        };
        assert_eq!(
            told(&mut (0..100_000).map(|row| f64::from(row) / 7e4)),
            None,
            "fractions that stay apart"
        );
        assert_eq!(told(&mut (0..100_000).map(f64::from)), None, "whole numbers");
        // Every second number beyond 2^24 becomes the one beside it: half of all.
        let text = told(&mut (0..1 << 16).map(|row| 16_777_217.0 + f64::from(row))).unwrap();
        let counts: Vec<f64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [lost, distinct, ..] = counts[..] else { panic!("{text}") };
        assert!(text.contains("a sample of all") && (0.4..0.6).contains(&(lost / distinct)), "{text}");
    }
}
