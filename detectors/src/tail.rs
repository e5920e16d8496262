//! How rare a score is among normal rows, on a scale that all detectors share.
//!
//! Below its 95th percentile a score's share is counted; beyond, scores are taken to fall off exponentially, as excesses
//! over a high threshold do (Pickands 1975, for light tails). So scores beyond all normal ones still differ. This scale
//! only serves to combine detectors: what is promised rests on [`crate::conformal`] alone.

use serde::{Deserialize, Serialize};

use crate::error::DetectorError;
use crate::limits::MAX_SCORES;

/// Share of normal scores beyond which the tail begins.
const TAIL: f64 = 0.05;
/// Scores that a tail is learned from, at least.
const ROWS: usize = 40;

/// The scores of normal rows that did not fit the detector.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// Ascending.
    scores: Vec<f64>,
    threshold: f64,
    mean_excess: f64,
}

impl Tail {
    /// Learns from scores of normal rows.
    ///
    /// # Errors
    /// If they are too few, too many or not finite.
    pub fn new(mut scores: Vec<f64>) -> Result<Self, DetectorError> {
        DetectorError::rows("the tail of a detector's scores", ROWS, scores.len())?;
        check_scores(&scores)?;
        scores.sort_unstable_by(f64::total_cmp);
        let threshold = scores[scores.len() - 1 - (TAIL * scores.len() as f64) as usize];
        let beyond: Vec<f64> =
            scores.iter().filter(|score| **score > threshold).map(|score| score - threshold).collect();
        let spread = scores[scores.len() - 1] - scores[0];
        let excess = beyond.iter().sum::<f64>() / beyond.len().max(1) as f64;
        // Where no score is beyond, any step beyond the largest is far.
        let mean_excess =
            if excess > 0.0 { excess } else { spread.max(f64::MIN_POSITIVE.sqrt()) / scores.len() as f64 };
        Ok(Self { scores, threshold, mean_excess })
    }

    /// The logarithm of the share of normal rows that score as high, 0 at most.
    pub fn log_share(&self, score: f64) -> f64 {
        let at_threshold = score.min(self.threshold);
        let below = self.scores.partition_point(|other| *other < at_threshold);
        let share = (1 + self.scores.len() - below) as f64 / (self.scores.len() + 1) as f64;
        share.ln() - (score - self.threshold).max(0.0) / self.mean_excess
    }

    /// The scores it was learned from, ascending.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        check_scores(&self.scores)?;
        let fits = self.scores.len() >= ROWS
            && self.scores.is_sorted()
            && self.threshold.is_finite()
            && self.mean_excess.is_finite()
            && self.mean_excess > 0.0;
        DetectorError::stored(fits, "a tail of scores")
    }
}

/// Refuses scores that are too many or not finite.
pub(crate) fn check_scores(scores: &[f64]) -> Result<(), DetectorError> {
    if scores.len() > MAX_SCORES {
        return Err(DetectorError::Limit { what: "scores", found: scores.len(), limit: MAX_SCORES });
    }
    if scores.iter().all(|score| score.is_finite()) {
        Ok(())
    } else {
        Err(DetectorError::NotFinite { what: "scores" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_counted_and_fall_on_beyond_the_last_score() {
        let tail = Tail::new((0..100).map(f64::from).collect()).unwrap();
        assert!((tail.log_share(50.0) - (51.0_f64 / 101.0).ln()).abs() < 1e-12);
        assert_eq!(tail.log_share(-1.0), 0.0);
        let (last, beyond, far) = (tail.log_share(99.0), tail.log_share(120.0), tail.log_share(1e9));
        assert!(last > beyond && beyond > far && far.is_finite());
        // Five scores are beyond 94, 3 on average.
        assert!((tail.log_share(97.0) - ((7.0_f64 / 101.0).ln() - 1.0)).abs() < 1e-12);
        assert!(tail.check().is_ok());
    }

    #[test]
    fn equal_scores_have_a_tail() {
        let tail = Tail::new(vec![2.0; 50]).unwrap();
        assert_eq!(tail.log_share(2.0), 0.0);
        assert!(tail.log_share(2.1) < -10.0);
        assert!(matches!(Tail::new(vec![0.0; 3]), Err(DetectorError::TooFewRows { .. })));
        assert!(matches!(Tail::new(vec![f64::NAN; 50]), Err(DetectorError::NotFinite { .. })));
    }
}
