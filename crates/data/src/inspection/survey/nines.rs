//! Numbers that consist of nines, such as -999 and 99999, which many programs and people write for a missing value.

use std::collections::BTreeMap;

/// Such numbers, above zero.
const NINES: [f64; 8] = [99.0, 999.0, 9_999.0, 99_999.0, 999_999.0, 9_999_999.0, 99_999_999.0, 999_999_999.0];

/// The numbers of nines of one column, and between what the others lie.
#[derive(Default)]
pub(super) struct Nines {
    /// How often each came.
    counts: BTreeMap<i64, u64>,
    others: Option<(f64, f64)>,
}

impl Nines {
    /// Adds one number.
    pub(super) fn see(&mut self, number: f64) {
        if NINES.contains(&number.abs()) {
            *self.counts.entry(number as i64).or_default() += 1; // exact: of nine digits at most
            return;
        }
        let (low, high) = self.others.unwrap_or((number, number));
        self.others = Some((low.min(number), high.max(number)));
    }

    /// How many lie further from all others than these do from each other; 0 where there are not two of these.
    pub(super) fn apart(&self) -> u64 {
        let Some((low, high)) = self.others.filter(|(low, high)| low < high) else { return 0 };
        let is_apart = |number: f64| (low - number).max(number - high) > high - low;
        self.counts.iter().filter(|(number, _)| is_apart(**number as f64)).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_apart_from_all_others_are_counted() {
        let apart = |numbers: &[f64]| {
            let mut nines = Nines::default();
            numbers.iter().for_each(|number| nines.see(*number));
            nines.apart()
        };
        for (numbers, expected) in [
            (&[20.0, 59.0, -999.0, 31.0, -999.0][..], 2),
            (&[20.0, 59.0, 99.0, 999.0], 2),
            (&[0.5, 1.5, 9999.0], 1),
            (&[90.0, 95.0, 99.0, 91.0], 0),
            (&[1.0, 1000.0, 999.0], 0),
            (&[5.0, 9.0, 9.0, 0.0], 0),
            (&[20.0, 59.0, -999.5, 998.0], 0),
            (&[-999.0, -999.0], 0),
            (&[99.0, 100.0, 99.0], 0),
            (&[], 0),
        ] {
            assert_eq!(apart(numbers), expected, "{numbers:?}");
        }
    }
}
