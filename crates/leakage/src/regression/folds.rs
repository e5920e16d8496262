//! Cross-validation (Stone 1974): every record that judges a regression was left out when it was fitted.

use std::ops::Range;

/// Parts into which records are divided.
const PARTS: usize = 5;
/// Records that judge, if there are so many: further parts are fitted on only.
const ENOUGH: usize = 300;
/// Records of a part at most.
const MOST_IN_PART: usize = 3_000;

/// Parts of the first records of a list, each of which is left out once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    parts: Vec<Range<usize>>,
    /// Records of the list that were divided.
    divided: usize,
}

impl Folds {
    /// Divides the first `records` of a list, which stand in a random order, into five parts. So many of these are left out,
    /// each once, that enough records judge.
    pub fn new(records: usize) -> Self {
        let count = PARTS.min(records);
        let mut parts: Vec<Range<usize>> = Vec::new();
        for part in 0..count {
            let start = part * records / count;
            let end = ((part + 1) * records / count).min(start + MOST_IN_PART);
            parts.push(start..end);
            if end >= ENOUGH {
                break;
            }
        }
        Self { parts, divided: records }
    }

    /// Divides `records` into five parts, each of which is left out once: all of them judge.
    pub fn of_all(records: usize) -> Self {
        let count = PARTS.min(records);
        let parts = (0..count).map(|part| part * records / count..(part + 1) * records / count).collect();
        Self { parts, divided: records }
    }

    /// How many records judge: the first ones of the list.
    pub fn judges(&self) -> usize {
        self.parts.last().map_or(0, |part| part.end)
    }

    /// The parts that are left out.
    pub fn parts(&self) -> &[Range<usize>] {
        &self.parts
    }

    /// Numbers of the records that are fitted on where `part` is left out of a list of `records`.
    pub fn outside(&self, part: &Range<usize>, records: usize) -> Vec<u32> {
        (0..part.start).chain(part.end..records).map(|row| row as u32).collect()
    }

    /// Of [`outside`](Self::outside), those that say when to stop, half as many as `part` holds, and the others.
    pub(super) fn stopping(&self, part: &Range<usize>, records: usize) -> (Vec<u32>, Vec<u32>) {
        let mut fitted = self.outside(part, records);
        let count = (part.len() / 2).max(1);
        // Those that follow the part, or the first ones.
        let start = if part.end + count <= self.divided { part.start } else { 0 };
        let stop = fitted.drain(start..start + count).collect();
        (stop, fitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_judge_is_left_out_once() {
        for records in [3, 10, 101, 540, 4_000, 40_000] {
            let folds = Folds::new(records);
            let judges: Vec<usize> = folds.parts().iter().cloned().flatten().collect();
            assert_eq!(judges, (0..folds.judges()).collect::<Vec<_>>());
            assert!(judges.len() == records || judges.len() >= ENOUGH, "{records}: {}", judges.len());
            for part in folds.parts() {
                let outside = folds.outside(part, records + 7);
                assert_eq!(outside.len(), records + 7 - part.len());
                assert!(outside.iter().all(|row| !part.contains(&(*row as usize))));
            }
        }
    }

    #[test]
    fn who_stops_neither_judges_nor_is_fitted_on() {
        let folds = Folds::new(100);
        for part in folds.parts() {
            let (stop, fitted) = folds.stopping(part, 130);
            assert_eq!((stop.len(), fitted.len()), (10, 100));
            let mut all: Vec<u32> = [&stop[..], &fitted].concat();
            all.sort_unstable();
            assert_eq!(all, folds.outside(part, 130));
            assert!(stop.iter().all(|row| *row < 100), "of those that are like the judges");
        }
    }
}
