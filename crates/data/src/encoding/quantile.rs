//! Columns on the scale of their ranks: a value becomes the normal score of its rank among the training rows.
//!
//! Sums of money span orders of magnitude, and a few rows then set the scale of all. Ranks do not care. Ties get
//! their middle rank, so that a column of few values keeps them apart. (Conover 1999, section 5.10, normal scores.)

use hashvfl_core::normal::normal_score;
use serde::{Deserialize, Serialize};

/// Points of a column's curve from value to score, at most; between them it is straight.
const KNOTS: usize = 256;
/// Scores end at the ranks of this share and its complement, about 3.1 deviations.
const TAIL: f64 = 1e-3;

/// One column's curve from values to scores.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Curve {
    /// Rising.
    values: Vec<f32>,
    /// One score a value.
    scores: Vec<f32>,
}

impl Curve {
    /// Fits the curve on a column's training rows, of which there is at least one.
    pub(crate) fn fit(column: &[f32]) -> Self {
        let mut sorted = column.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
        let (values, scores) = knots(&sorted).into_iter().unzip();
        Self { values, scores }
    }

    /// Whether a stored curve can have been fitted.
    pub(crate) fn is_sound(&self) -> bool {
        let finite = self.values.iter().chain(&self.scores).all(|value| value.is_finite());
        finite && !self.values.is_empty() && self.values.len() == self.scores.len() && self.values.is_sorted()
    }

    /// The least and the largest value that it was fitted on.
    pub(crate) fn range(&self) -> (f32, f32) {
        let ends = self.values.first().zip(self.values.last());
        ends.map_or((0.0, 0.0), |(low, high)| (*low, *high))
    }

    /// The score of a value.
    pub(crate) fn score(&self, value: f32) -> f32 {
        score(value, &self.values, &self.scores)
    }
}

/// At most [`KNOTS`] distinct values of a sorted column with the scores of their middle ranks.
fn knots(sorted: &[f32]) -> Vec<(f32, f32)> {
    let count = sorted.len() as f64;
    let mut distinct: Vec<(f32, f32)> = Vec::new();
    let mut start = 0;
    while start < sorted.len() {
        let value = sorted[start];
        let end = start + sorted[start..].partition_point(|other| *other <= value);
        let share = (start + end) as f64 / 2.0 / count;
        distinct.push((value, normal_score(share.clamp(TAIL, 1.0 - TAIL)) as f32));
        start = end;
    }
    if distinct.len() <= KNOTS {
        return distinct;
    }
    // Those nearest to evenly spread ranks, the first and the last among them.
    let mut chosen: Vec<(f32, f32)> = (0..KNOTS)
        .map(|knot| {
            let rank = knot * (sorted.len() - 1) / (KNOTS - 1);
            distinct[distinct.partition_point(|(value, _)| *value < sorted[rank])]
        })
        .collect();
    chosen.dedup();
    chosen
}

fn score(value: f32, values: &[f32], scores: &[f32]) -> f32 {
    let above = values.partition_point(|knot| *knot < value);
    if above == 0 {
        return scores[0];
    }
    if above == values.len() {
        return scores[above - 1];
    }
    let (low, high) = (f64::from(values[above - 1]), f64::from(values[above]));
    let share = (f64::from(value) - low) / (high - low);
    let (from, to) = (f64::from(scores[above - 1]), f64::from(scores[above]));
    (from + (to - from) * share) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skewed_column_becomes_normal_and_keeps_its_order() {
        let values: Vec<f32> = (0..2000).map(|i| (i as f32 / 100.0).exp()).collect();
        let curve = Curve::fit(&values);
        let scores: Vec<f32> = values.iter().map(|value| curve.score(*value)).collect();
        assert!(scores.is_sorted());
        let mean = scores.iter().sum::<f32>() / 2000.0;
        let spread = scores.iter().map(|score| score * score).sum::<f32>() / 2000.0;
        assert!(mean.abs() < 0.01 && (spread - 1.0).abs() < 0.05, "{mean} {spread}");
        assert!((scores[1500] - normal_score(0.75) as f32).abs() < 0.02);
    }

    #[test]
    fn ties_share_a_score_and_new_values_lie_between_or_at_the_ends() {
        let curve = Curve::fit(&[1.0, 1.0, 3.0, 3.0]);
        let edge = normal_score(0.75) as f32;
        for (value, expected) in [(1.0, -edge), (2.0, 0.0), (3.0, edge), (1e9, edge), (-1e9, -edge)] {
            assert_eq!(curve.score(value), expected);
        }
        let constant = Curve::fit(&[7.0; 4]);
        assert!([7.0, 9.0, 5.0].iter().all(|value| constant.score(*value) == 0.0));
        assert!(curve.is_sound());
        let damaged = [vec![], vec![1.0], vec![3.0, 1.0], vec![1.0, f32::NAN]];
        assert!(damaged.into_iter().all(|values| !Curve { values, scores: vec![0.0; 2] }.is_sound()));
    }
}
