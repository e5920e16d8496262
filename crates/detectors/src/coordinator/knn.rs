//! The distance to the nearest neighbours in Hamming distance, among normal codes of the predicted class.
//!
//! Source: Ramaswamy et al., *Efficient algorithms for mining outliers from large data sets* (SIGMOD 2000), and Sun et
//! al., *Out-of-distribution detection with deep nearest neighbors* (ICML 2022); here on codes, where a distance is a
//! number of bits.

use hashvfl_core::random::{shuffle, stream};
use serde::{Deserialize, Serialize};

use super::{CoordinatorNormal, CoordinatorRows};
use crate::codes::nearest::{distances_to, mean_of_least};
use crate::codes::{total_bits, words_for};
use crate::detector::{Detector, Input, Needs};
use crate::error::DetectorError;
use crate::limits::{MAX_CLASSES, MAX_SCORES, MAX_TOTAL_BITS};
use crate::numerics::vectors::vectorized;

/// The most normal codes that are kept of a class.
const REFERENCES: usize = 256;
/// Neighbours over whose distances the mean is taken.
const NEIGHBOURS: usize = 5;

/// The mean Hamming distance to the five nearest normal codes of the predicted class.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Knn {
    lengths: Vec<usize>,
    /// The words of the kept codes, one list per class, and a list of all classes for a class that no normal row has.
    references: Vec<Vec<u64>>,
}

impl Detector for Knn {
    type Normal<'a> = CoordinatorNormal<'a>;
    type Observations<'a> = CoordinatorRows<'a>;
    const NAME: &'static str = "knn";
    const NEEDS: Needs = Needs { input: Input::Codes, rows: NEIGHBOURS };

    fn fit(normal: &CoordinatorNormal<'_>, seed: u64) -> Result<Self, DetectorError> {
        let normal = normal.rows;
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
        // Fewer rows of a class than neighbours say nothing about distances.
        let all = kept[classes].clone();
        kept.iter_mut().filter(|rows| rows.len() < NEIGHBOURS).for_each(|rows| rows.clone_from(&all));
        let references = kept.iter().map(|rows| normal.codes.gather(rows).words().to_vec()).collect();
        Ok(Self { lengths: normal.codes.lengths().to_vec(), references })
    }

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
                    distances_to(rows.codes.row(row), references, &mut distances);
                    scores.push(mean_of_least(&distances, NEIGHBOURS));
                }
                scores
            },
        ))
    }

    fn check(&self) -> Result<(), DetectorError> {
        let bits = total_bits(&self.lengths);
        let words = words_for(bits).max(1);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Codes;
    use crate::values::MatrixView;

    #[test]
    fn far_codes_score_high_at_any_length() {
        for bits in [16, 70] {
            let normal = vec![1.0; 20 * bits];
            let mut strange = vec![1.0; bits];
            strange[..7].fill(-1.0);
            let codes = Codes::of_values(&[&normal], 20).unwrap();
            let features = MatrixView::new("features", &[0.0; 20], 1).unwrap();
            let detector =
                Knn::fit(&CoordinatorRows::new(&codes, &[0; 20], features).unwrap().into(), 0).unwrap();
            assert!(detector.check().is_ok());
            let strange = Codes::of_values(&[&strange], 1).unwrap();
            let features = MatrixView::new("features", &[0.0], 1).unwrap();
            for class in [0, 7] {
                let scores =
                    detector.score(&CoordinatorRows::new(&strange, &[class], features).unwrap()).unwrap();
                assert_eq!(scores, [7.0]);
            }
        }
    }
}
