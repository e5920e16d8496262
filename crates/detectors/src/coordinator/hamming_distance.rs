//! Hamming distance of a record's code to the target code of the class that was predicted for it.
//!
//! Source: Qiu et al., *All You Need Is Hashing* (arXiv 2212.00325), the section on abnormal inputs: codes that make
//! the top model err lie far from the target code. Blind to a party that sends the target code itself.

use serde::{Deserialize, Serialize};

use super::{CoordinatorNormal, CoordinatorRows};
use crate::codes::centres::Centres;
use crate::codes::{masked_distance, masks};
use crate::detector::{Detector, Input, Needs};
use crate::error::DetectorError;

/// The distance of the farthest party, as a fraction of its bits; the mean over parties breaks ties.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct HammingDistance {
    centres: Centres,
}

impl Detector for HammingDistance {
    type Normal<'a> = CoordinatorNormal<'a>;
    type Observations<'a> = CoordinatorRows<'a>;
    const NAME: &'static str = "hamming-distance";
    const NEEDS: Needs = Needs { input: Input::Codes, rows: 1 };

    /// Without target codes, the majority code of each class stands in their place.
    fn fit(normal: &CoordinatorNormal<'_>, _seed: u64) -> Result<Self, DetectorError> {
        Ok(Self { centres: normal.centres()? })
    }

    fn score(&self, rows: &CoordinatorRows<'_>) -> Result<Vec<f64>, DetectorError> {
        rows.codes.check_lengths(self.centres.lengths())?;
        let masks = masks(self.centres.lengths());
        let mut scores = Vec::with_capacity(rows.codes.rows());
        for (row, class) in rows.classes.iter().enumerate() {
            let (code, centre) = (rows.codes.row(row), self.centres.of(*class)?);
            let (mut most, mut sum) = (0.0_f64, 0.0);
            for (mask, length) in masks.iter().zip(self.centres.lengths()) {
                let fraction = f64::from(masked_distance(code, centre, mask)) / *length as f64;
                most = most.max(fraction);
                sum += fraction;
            }
            // Below one bit, so that it orders rows whose farthest party is equally far.
            let longest = self.centres.lengths().iter().max().copied().unwrap_or(1);
            scores.push(most + sum / (masks.len() as f64 * 2.0 * longest as f64));
        }
        Ok(scores)
    }

    fn check(&self) -> Result<(), DetectorError> {
        self.centres.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Codes;
    use crate::values::MatrixView;

    #[test]
    fn the_farthest_party_counts() {
        let targets = [vec![1.0; 4], vec![-1.0; 4]];
        let detector = HammingDistance { centres: Centres::of_targets(&targets, &[4, 4]).unwrap() };
        // Equal; one bit off at each party; two bits off at one; all bits off at one.
        let left = [1.0, 1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0];
        let right = [1.0, 1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        let codes = Codes::of_values(&[&left, &right], 4).unwrap();
        let features = MatrixView::new("features", &[0.0; 4], 1).unwrap();
        let scores = detector.score(&CoordinatorRows::new(&codes, &[0; 4], features).unwrap()).unwrap();
        assert!(scores.is_sorted_by(|a, b| a < b) && scores[0] == 0.0, "{scores:?}");
        let other = Codes::of_values(&[&left[..8]], 4).unwrap();
        let error = detector.score(&CoordinatorRows::new(&other, &[0; 4], features).unwrap()).unwrap_err();
        assert!(matches!(error, DetectorError::CodeLengths { .. }));
    }
}
