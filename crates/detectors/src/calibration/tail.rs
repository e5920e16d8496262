//! How rare a score is among normal rows, on a scale that all detectors share.
//!
//! Up to the 95th percentile, the rows with as high a score are counted. Beyond it, scores are taken to fall off
//! exponentially, as excesses over a high threshold do (Pickands 1975, for light tails), so scores beyond all normal scores
//! still differ. This scale only serves to combine detectors: what is promised rests on [`super::conformal`] alone.

use serde::{Deserialize, Serialize};

use crate::error::DetectorError;
use crate::limits::MAX_SCORES;

/// The fraction of normal scores in the tail.
const TAIL: f64 = 0.05;
/// The fewest scores that a tail is learned from.
const ROWS: usize = 40;

/// Cells of the range of scores, so that a score is looked up among few others.
const CELLS: usize = 1024;

/// The scores of normal rows on which the detector was not fitted.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Learned", into = "Learned")]
pub struct Tail {
    learned: Learned,
    /// Different scores up to the threshold, ascending.
    steps: Vec<f64>,
    /// The logarithm of the fraction of scores that are at least as high as each step.
    logs: Vec<f64>,
    /// Cells per unit of score.
    scale: f64,
    /// How many steps are in the cells before each cell, and in all cells at the end.
    before: Vec<u32>,
}

/// What a [`Tail`] is made of, and is stored as.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Learned {
    /// Ascending.
    scores: Vec<f64>,
    threshold: f64,
    mean_excess: f64,
}

impl From<Tail> for Learned {
    fn from(tail: Tail) -> Self {
        tail.learned
    }
}

impl From<Learned> for Tail {
    fn from(learned: Learned) -> Self {
        let (scores, threshold) = (&learned.scores, learned.threshold);
        let (mut steps, mut logs) = (Vec::new(), Vec::new());
        for (below, score) in scores.iter().enumerate().take_while(|(_, score)| **score <= threshold) {
            if steps.last() != Some(score) {
                steps.push(*score);
                logs.push(((1 + scores.len() - below) as f64 / (scores.len() + 1) as f64).ln());
            }
        }
        let span = steps.first().zip(steps.last()).map_or(0.0, |(first, last)| last - first);
        let mut tail = Self { learned, steps, logs, scale: CELLS as f64 / span, before: vec![0; CELLS + 1] };
        let cells: Vec<usize> = tail.steps.iter().map(|step| tail.cell(*step)).collect();
        cells.into_iter().for_each(|cell| tail.before[cell + 1] += 1);
        for cell in 0..CELLS {
            tail.before[cell + 1] += tail.before[cell];
        }
        tail
    }
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
        Ok(Learned { scores, threshold, mean_excess }.into())
    }

    /// The logarithm of the fraction of normal rows that score as high; at most 0.
    pub fn log_fraction(&self, score: f64) -> f64 {
        let Learned { threshold, mean_excess, .. } = self.learned;
        let at_threshold = score.min(threshold);
        let cell = self.cell(at_threshold);
        let (from, to) = (self.before[cell] as usize, self.before[cell + 1] as usize);
        let below = from + self.steps[from..to].partition_point(|step| *step < at_threshold);
        // No step is above the threshold, which is one of them; stored parts that are no tail fail their check.
        let log = self.logs.get(below).copied().unwrap_or_default();
        log - (score - threshold).max(0.0) / mean_excess
    }

    /// The cell of `score` in the range of steps; it never falls as scores rise.
    fn cell(&self, score: f64) -> usize {
        let first = self.steps.first().copied().unwrap_or_default();
        (((score - first) * self.scale) as usize).min(CELLS - 1)
    }

    /// The scores it was learned from, ascending.
    pub fn scores(&self) -> &[f64] {
        &self.learned.scores
    }

    /// Checks fields that were read from a file.
    ///
    /// # Errors
    /// If they contradict each other or exceed a limit.
    pub fn check(&self) -> Result<(), DetectorError> {
        let Learned { scores, threshold, mean_excess } = &self.learned;
        check_scores(scores)?;
        let fits = scores.len() >= ROWS
            && scores.is_sorted()
            && scores.contains(threshold)
            && mean_excess.is_finite()
            && *mean_excess > 0.0;
        DetectorError::stored(fits, "a tail of scores")
    }
}

/// Refuses scores that are too many or not finite.
pub(crate) fn check_scores(scores: &[f64]) -> Result<(), DetectorError> {
    DetectorError::at_most("scores", scores.len(), MAX_SCORES)?;
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
        assert!((tail.log_fraction(50.0) - (51.0_f64 / 101.0).ln()).abs() < 1e-12);
        assert_eq!(tail.log_fraction(-1.0), 0.0);
        let (last, beyond, far) = (tail.log_fraction(99.0), tail.log_fraction(120.0), tail.log_fraction(1e9));
        assert!(last > beyond && beyond > far && far.is_finite());
        // Five scores are beyond 94, 3 on average.
        assert!((tail.log_fraction(97.0) - ((7.0_f64 / 101.0).ln() - 1.0)).abs() < 1e-12);
        assert!(tail.check().is_ok());
    }

    #[test]
    fn a_share_is_that_of_a_count() {
        let mut rng = hashvfl_core::random::stream(5, "scores", &[]);
        let mut draw = || f64::from(rand::Rng::next_u32(&mut rng) % 5000) / 7.0;
        let scores: Vec<f64> = (0..3000).map(|at| if at % 3 == 0 { 40.0 } else { draw() }).collect();
        let tail = Tail::new(scores.clone()).unwrap();
        for score in (0..2000).map(|at| f64::from(at) / 3.0).chain(scores.iter().copied()) {
            let as_high = scores.iter().filter(|other| **other >= score.min(tail.learned.threshold)).count();
            let expected = ((1 + as_high) as f64 / 3001.0).ln();
            let beyond = (score - tail.learned.threshold).max(0.0) / tail.learned.mean_excess;
            assert!((tail.log_fraction(score) - (expected - beyond)).abs() < 1e-12, "{score}");
        }
    }

    #[test]
    fn equal_scores_have_a_tail() {
        let tail = Tail::new(vec![2.0; 50]).unwrap();
        assert_eq!(tail.log_fraction(2.0), 0.0);
        assert!(tail.log_fraction(2.1) < -10.0);
        assert!(matches!(Tail::new(vec![0.0; 3]), Err(DetectorError::TooFewRows { .. })));
        assert!(matches!(Tail::new(vec![f64::NAN; 50]), Err(DetectorError::NotFinite { .. })));
    }
}
