//! Distance to the nearest neighbours in Hamming distance, among normal codes of the predicted class.
//!
//! Source: Ramaswamy et al., *Efficient algorithms for mining outliers from large data sets* (SIGMOD 2000), and Sun et
//! al., *Out-of-distribution detection with deep nearest neighbors* (ICML 2022); here on codes, where a distance is a
//! count of bits.

use hashvfl_core::random::{shuffle, stream};
use serde::{Deserialize, Serialize};

use crate::error::DetectorError;
use crate::features::linear::vectorized;
use crate::limits::{MAX_CLASSES, MAX_SCORES, MAX_TOTAL_BITS};
use crate::rows::CoordinatorRows;
use crate::{Detector, Score};

/// Normal codes kept of each class, at most.
const REFERENCES: usize = 256;
/// Neighbours over whose distances the mean is taken.
const NEIGHBOURS: usize = 5;

/// The mean Hamming distance to the five nearest normal codes of the predicted class.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Knn {
    lengths: Vec<usize>,
    /// Words of the kept codes, a class each, and of all classes for a class that was never seen.
    references: Vec<Vec<u64>>,
}

impl Knn {
    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        let bits =
            self.lengths.iter().try_fold(0_usize, |sum, bits| sum.checked_add(*bits)).unwrap_or(usize::MAX);
        let words = bits.div_ceil(64).max(1);
        let fits = (1..=MAX_TOTAL_BITS).contains(&bits)
            && (2..=MAX_CLASSES + 1).contains(&self.references.len())
            && self
                .references
                .iter()
                .all(|kept| kept.len().is_multiple_of(words) && kept.len() / words <= MAX_SCORES)
            && self.references.last().is_some_and(|all| !all.is_empty());
        DetectorError::stored(fits, "a set of neighbours")
    }
}

impl Detector<CoordinatorRows<'_>> for Knn {
    fn fit(normal: &CoordinatorRows<'_>, seed: u64) -> Result<Self, DetectorError> {
        DetectorError::rows("nearest neighbours", NEIGHBOURS, normal.codes.rows())?;
        let classes = normal.class_count();
        let mut order: Vec<u32> = (0..normal.codes.rows() as u32).collect();
        shuffle(&mut order, &mut stream(seed, "neighbours", &[]));
        let mut kept: Vec<Vec<u32>> = vec![Vec::new(); classes + 1];
        for row in order {
            for class in [normal.classes[row as usize] as usize, classes] {
                if kept[class].len() < REFERENCES {
                    kept[class].push(row);
                }
            }
        }
        // A class of fewer rows than neighbours says nothing about distances.
        let all = kept[classes].clone();
        kept.iter_mut().filter(|rows| rows.len() < NEIGHBOURS).for_each(|rows| rows.clone_from(&all));
        let references = kept.iter().map(|rows| normal.codes.gather(rows).words().to_vec()).collect();
        Ok(Self { lengths: normal.codes.lengths().to_vec(), references })
    }
}

impl Score<CoordinatorRows<'_>> for Knn {
    fn score(&self, rows: &CoordinatorRows<'_>) -> Result<Vec<f64>, DetectorError> {
        rows.codes.check_lengths(&self.lengths)?;
        let last = self.references.len() - 1;
        let scores = Vec::with_capacity(rows.codes.rows());
        Ok(vectorized(
            #[inline(always)]
            move || {
                let (mut scores, mut distances) = (scores, Vec::new());
                for (row, class) in rows.classes.iter().enumerate() {
                    let references = &self.references[(*class as usize).min(last)];
                    measure(rows.codes.row(row), references, &mut distances);
                    scores.push(mean_of_least(&distances, NEIGHBOURS));
                }
                scores
            },
        ))
    }
}

/// Hamming distances of `code` to each of `references`.
#[inline(always)]
pub(crate) fn measure(code: &[u64], references: &[u64], distances: &mut Vec<u16>) {
    distances.resize(references.len() / code.len(), 0);
    if let [one] = code {
        distances.iter_mut().zip(references).for_each(|(to, other)| *to = (one ^ other).count_ones() as u16);
        return;
    }
    for (to, other) in distances.iter_mut().zip(references.chunks_exact(code.len())) {
        *to = code.iter().zip(other).map(|(a, b)| (a ^ b).count_ones() as u16).sum();
    }
}

/// Mean of the `count` least of `distances`, of all where there are fewer. Distances are small whole numbers, so it
/// counts them from the least up rather than sort.
#[inline(always)]
pub(crate) fn mean_of_least(distances: &[u16], count: usize) -> f64 {
    let wanted = count.min(distances.len());
    let (mut found, mut sum) = (0, 0_usize);
    let mut next = distances.iter().copied().fold(u16::MAX, u16::min);
    while found < wanted && next < u16::MAX {
        let (mut equal, mut above) = (0_usize, u16::MAX);
        // Blocks short enough for a count of 16 bits, so that it stays in the vectors of the distances.
        for block in distances.chunks(4096) {
            let mut in_block = 0_u16;
            for other in block {
                in_block += u16::from(*other == next);
                above = above.min(if *other > next { *other } else { u16::MAX });
            }
            equal += usize::from(in_block);
        }
        let taken = equal.min(wanted - found);
        (found, sum) = (found + taken, sum + taken * usize::from(next));
        next = above;
    }
    sum as f64 / wanted.max(1) as f64
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::codes::Codes;
    use crate::rows::Values;

    #[test]
    fn the_least_are_those_of_a_sort() {
        let mut rng = stream(3, "distances", &[]);
        for count in [1, 4, 5, 40] {
            let distances: Vec<u16> = (0..40).map(|_| (rng.next_u32() % 9) as u16).collect();
            let mut sorted = distances.clone();
            sorted.sort_unstable();
            let expected = sorted[..count].iter().map(|d| f64::from(*d)).sum::<f64>() / count as f64;
            assert_eq!(mean_of_least(&distances, count), expected);
        }
        assert_eq!(mean_of_least(&[3], 5), 3.0);
    }

    #[test]
    fn far_codes_score_high_at_any_length() {
        for bits in [16, 70] {
            let normal = vec![1.0; 20 * bits];
            let mut strange = vec![1.0; bits];
            strange[..7].fill(-1.0);
            let codes = Codes::of_values(&[&normal], 20).unwrap();
            let features = Values::new("features", &[0.0; 20], 1).unwrap();
            let detector = Knn::fit(&CoordinatorRows::new(&codes, &[0; 20], features).unwrap(), 0).unwrap();
            assert!(detector.check().is_ok());
            let strange = Codes::of_values(&[&strange], 1).unwrap();
            let features = Values::new("features", &[0.0], 1).unwrap();
            for class in [0, 7] {
                let scores =
                    detector.score(&CoordinatorRows::new(&strange, &[class], features).unwrap()).unwrap();
                assert_eq!(scores, [7.0]);
            }
        }
    }
}
