//! Columns on the scale of their ranks: a value becomes the normal score of its rank among the training rows.
//!
//! Sums of money span orders of magnitude, and a few rows then set the scale of all. Ranks do not care. Ties get
//! their middle rank, so that a column of few values keeps them apart. (Conover 1999, section 5.10, normal scores.)

use std::fmt;

use hashvfl_core::normal::normal_score;

use crate::matrix::Matrix;

/// Points of each column's curve from value to score; between them it is straight.
const KNOTS: usize = 256;
/// Scores end at the ranks of this share and its complement, about 3.1 deviations.
const TAIL: f64 = 1e-3;

/// Curves of all columns.
#[derive(Clone, PartialEq)]
pub struct Quantiles {
    /// `[columns, KNOTS]`, rising in each column.
    values: Vec<f32>,
    /// `[columns, KNOTS]`.
    scores: Vec<f32>,
}

impl Quantiles {
    /// Fits the curves on `rows`, of which there is at least one.
    pub(crate) fn fit(matrix: &Matrix, rows: &[u32]) -> Self {
        let mut fitted = Self { values: Vec::new(), scores: Vec::new() };
        let mut column = Vec::with_capacity(rows.len());
        for at in 0..matrix.cols() {
            column.clear();
            column.extend(rows.iter().map(|&row| matrix.row(row as usize)[at]));
            column.sort_unstable_by(f32::total_cmp);
            let knots = knots(&column);
            // The last point fills the rest: a curve of few points.
            for index in 0..KNOTS {
                let (value, score) = knots[index.min(knots.len() - 1)];
                fitted.values.push(value);
                fitted.scores.push(score);
            }
        }
        fitted
    }

    /// Curves fitted before, from what [`Self::values`] and [`Self::scores`] gave; `None` where they are damaged.
    pub fn from_parts(columns: usize, values: Vec<f32>, scores: Vec<f32>) -> Option<Self> {
        let fits = values.len() == columns * KNOTS && scores.len() == values.len();
        let finite = values.iter().chain(&scores).all(|value| value.is_finite());
        let rising = values.chunks_exact(KNOTS).all(<[f32]>::is_sorted);
        (fits && finite && rising).then_some(Self { values, scores })
    }

    /// Values of all curves' points.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Scores of all curves' points.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// Number of columns fitted on.
    pub fn columns(&self) -> usize {
        self.values.len() / KNOTS
    }

    /// Replaces every value of `matrix`, which has the columns fitted on, by its score.
    pub(crate) fn apply(&self, matrix: &mut Matrix) {
        for row in matrix.rows_mut() {
            let curves = self.values.chunks_exact(KNOTS).zip(self.scores.chunks_exact(KNOTS));
            for (value, (values, scores)) in row.iter_mut().zip(curves) {
                *value = score(*value, values, scores);
            }
        }
    }
}

/// Shows the number of columns only: quantiles are statistics of private data.
impl fmt::Debug for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantiles({} columns)", self.columns())
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
        let mut matrix = Matrix::new(2000, 1, values).unwrap();
        let rows: Vec<u32> = (0..2000).collect();
        Quantiles::fit(&matrix, &rows).apply(&mut matrix);
        let scores = matrix.values();
        assert!(scores.is_sorted());
        let mean = scores.iter().sum::<f32>() / 2000.0;
        let spread = scores.iter().map(|score| score * score).sum::<f32>() / 2000.0;
        assert!(mean.abs() < 0.01 && (spread - 1.0).abs() < 0.05, "{mean} {spread}");
        assert!((scores[1500] - normal_score(0.75) as f32).abs() < 0.02);
    }

    #[test]
    fn ties_share_a_score_and_new_values_lie_between_or_at_the_ends() {
        let train = Matrix::new(4, 2, vec![1.0, 7.0, 1.0, 7.0, 3.0, 7.0, 3.0, 7.0]).unwrap();
        let fitted = Quantiles::fit(&train, &[0, 1, 2, 3]);
        let mut new = Matrix::new(4, 2, vec![1.0, 7.0, 2.0, 9.0, 3.0, 5.0, 1e9, 7.0]).unwrap();
        fitted.apply(&mut new);
        let edge = normal_score(0.75) as f32;
        assert_eq!(new.values(), [-edge, 0.0, 0.0, 0.0, edge, 0.0, edge, 0.0]);
        let again = Quantiles::from_parts(2, fitted.values().to_vec(), fitted.scores().to_vec()).unwrap();
        assert_eq!(again, fitted);
        assert!(Quantiles::from_parts(3, fitted.values().to_vec(), fitted.scores().to_vec()).is_none());
    }
}
