//! Disagreement between parties: how differently their codes lie around the code of the class.
//!
//! Source: Qiu et al. (arXiv 2212.00325). Training pulls all parties' codes of a class to one target code, so a large Hamming
//! distance between two parties' codes tells that they do not hold the same record. Codes are compared relative to each
//! party's centre of the predicted class, which changes nothing where parties share target codes.

use serde::{Deserialize, Serialize};

use super::{CoordinatorNormal, CoordinatorRows};
use crate::codes::centres::Centres;
use crate::codes::starts;
use crate::detector::{Detector, Input, Needs};
use crate::error::DetectorError;

/// The largest Hamming distance between two parties' codes, each relative to its class centre, as a fraction of the bits
/// that both have.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Disagreement {
    centres: Centres,
}

impl Detector for Disagreement {
    type Normal<'a> = CoordinatorNormal<'a>;
    type Observations<'a> = CoordinatorRows<'a>;
    const NAME: &'static str = "disagreement";
    const NEEDS: Needs = Needs { input: Input::Codes, rows: 1 };

    fn fit(normal: &CoordinatorNormal<'_>, _seed: u64) -> Result<Self, DetectorError> {
        Ok(Self { centres: normal.centres()? })
    }

    fn score(&self, rows: &CoordinatorRows<'_>) -> Result<Vec<f64>, DetectorError> {
        rows.codes.check_lengths(self.centres.lengths())?;
        let lengths = self.centres.lengths();
        let starts = starts(lengths);
        let mut relative = vec![0_u64; rows.codes.words_per_row()];
        let mut scores = Vec::with_capacity(rows.codes.rows());
        for (row, class) in rows.classes.iter().enumerate() {
            let centre = self.centres.of(*class)?;
            let pairs = rows.codes.row(row).iter().zip(centre);
            relative.iter_mut().zip(pairs).for_each(|(to, (code, centre))| *to = code ^ centre);
            let mut most = 0.0_f64;
            for (one, start) in starts.iter().enumerate() {
                for (other, other_start) in starts.iter().enumerate().skip(one + 1) {
                    let bits = lengths[one].min(lengths[other]);
                    let apart = distance(&relative, *start, *other_start, bits);
                    most = most.max(f64::from(apart) / bits as f64);
                }
            }
            scores.push(most);
        }
        Ok(scores)
    }

    fn check(&self) -> Result<(), DetectorError> {
        self.centres.check()
    }
}

/// The Hamming distance between `bits` bits from bit `one` on and as many from bit `other` on.
fn distance(words: &[u64], one: usize, other: usize, bits: usize) -> u32 {
    (0..bits)
        .step_by(64)
        .map(|at| {
            let count = (bits - at).min(64);
            (window(words, one + at, count) ^ window(words, other + at, count)).count_ones()
        })
        .sum()
}

/// `count` bits from bit `start` on; at most 64.
fn window(words: &[u64], start: usize, count: usize) -> u64 {
    let (word, shift) = (start / 64, start % 64);
    let low = words[word] >> shift;
    let high = if shift > 0 && word + 1 < words.len() { words[word + 1] << (64 - shift) } else { 0 };
    let mask = if count == 64 { u64::MAX } else { (1 << count) - 1 };
    (low | high) & mask
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;

    use super::*;
    use crate::codes::{Codes, drawn_signs};
    use crate::values::MatrixView;

    #[test]
    fn it_is_the_distance_between_codes_where_targets_are_shared() {
        let mut rng = stream(1, "codes", &[]);
        for bits in [3, 16, 40, 64, 100] {
            let mut draw = || drawn_signs(&mut rng, 5 * bits);
            let (left, right, target) = (draw(), draw(), draw());
            let codes = Codes::of_values(&[&left, &right], 5).unwrap();
            let features = MatrixView::new("features", &[0.0; 5], 1).unwrap();
            let centres = Centres::of_targets(&[target[..bits].to_vec()], &[bits, bits]).unwrap();
            let seen = CoordinatorRows::new(&codes, &[0; 5], features).unwrap();
            let scores = Disagreement { centres }.score(&seen).unwrap();
            for (row, score) in scores.iter().enumerate() {
                let pairs = left[row * bits..][..bits].iter().zip(&right[row * bits..][..bits]);
                let apart = pairs.filter(|(a, b)| a != b).count();
                assert_eq!(*score, apart as f64 / bits as f64);
            }
        }
    }
}
