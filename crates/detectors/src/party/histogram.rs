//! Unlikely rows under histograms: of each column, given the bin of the column that says most about it.
//!
//! Source: Goldstein and Dengel, *Histogram-based outlier score (HBOS)* (KI 2012), who take columns to be independent. Here a
//! tree links them ([`crate::numerics::dependence_tree`]), so two usual values that never go together are rare as well. A
//! value in a gap between values that occur is what a network finds hardest, and a bin finds it at once.

use serde::{Deserialize, Serialize};

use super::PartyRows;
use crate::detector::{Detector, Input, Needs};
use crate::error::DetectorError;
use crate::limits::MIN_ROWS;
use crate::numerics::dependence_tree::dependence_tree;

/// Bins of equal width between the least and the largest normal value of a column.
const INSIDE: usize = 16;
/// These, one bin below and one above.
const BINS: usize = INSIDE + 2;
/// The weight of all rows beside the rows of one parent's bin, in rows: few rows lean on the others.
const PRIOR_ROWS: f64 = 5.0;
/// Rows that the tree is built on; histograms are of all rows.
const TREE_ROWS: usize = 4_096;
/// The most columns that are linked, since pairs grow with their square. More columns are taken to be independent.
const LINKED: usize = 1_024;

/// Least and largest normal value.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Range(f32, f32);

impl Range {
    fn of(values: impl Iterator<Item = f32>) -> Self {
        values.fold(Self(f32::INFINITY, f32::NEG_INFINITY), |range, value| {
            Self(range.0.min(value), range.1.max(value))
        })
    }

    fn bin(self, value: f32) -> usize {
        if value < self.0 {
            0
        } else if value > self.1 {
            BINS - 1
        } else if value == self.1 {
            INSIDE
        } else {
            let fraction = (f64::from(value) - f64::from(self.0)) / (f64::from(self.1) - f64::from(self.0));
            1 + ((fraction * INSIDE as f64) as usize).min(INSIDE - 1)
        }
    }
}

/// How rare each bin of a column is.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Column {
    range: Range,
    parent: Option<u32>,
    /// Negative log-likelihoods: one per bin, or `[parent's bin, bin]`.
    cost: Vec<f32>,
}

/// The negative log-likelihood of a row's bins.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    columns: Vec<Column>,
}

impl Column {
    /// The negative log-likelihood of its `bin` in a row whose columns have the bins `row`.
    fn cost_of(&self, bin: usize, row: &[usize]) -> f64 {
        let start = self.parent.map_or(0, |parent| BINS * row[parent as usize]);
        f64::from(self.cost[start + bin])
    }

    /// Whether it is one of so many columns whose parts fit together.
    fn fits(&self, columns: usize) -> bool {
        let bins = if self.parent.is_some() { BINS * BINS } else { BINS };
        self.range.0.is_finite()
            && self.range.1.is_finite()
            && self.range.0 <= self.range.1
            && self.parent.is_none_or(|parent| (parent as usize) < columns)
            && self.cost.len() == bins
            && self.cost.iter().all(|cost| cost.is_finite())
    }
}

impl Detector for Histogram {
    type Normal<'a> = PartyRows<'a>;
    type Observations<'a> = PartyRows<'a>;
    const NAME: &'static str = "histogram";
    const NEEDS: Needs = Needs { input: Input::Columns, rows: MIN_ROWS };

    fn fit(normal: &PartyRows<'_>, _seed: u64) -> Result<Self, DetectorError> {
        let columns = normal.columns;
        let width = columns.width();
        let ranges: Vec<Range> =
            (0..width).map(|column| Range::of(columns.iter().map(|row| row[column]))).collect();
        let binned: Vec<Vec<u8>> = (0..width)
            .map(|column| columns.iter().map(|row| ranges[column].bin(row[column]) as u8).collect())
            .collect();
        let parents = parents(&binned);
        let mut columns = Vec::with_capacity(width);
        for ((bins, range), parent) in binned.iter().zip(ranges).zip(parents) {
            let cost = match parent {
                Some(parent) => cost_given(bins, &binned[parent]),
                None => fractions(bins).iter().map(|fraction| -fraction.ln() as f32).collect(),
            };
            columns.push(Column { range, parent: parent.map(|parent| parent as u32), cost });
        }
        Ok(Self { columns })
    }

    fn score(&self, rows: &PartyRows<'_>) -> Result<Vec<f64>, DetectorError> {
        DetectorError::width("columns", self.columns.len(), rows.columns.width())?;
        let mut bins = vec![0; self.columns.len()];
        let mut scores = Vec::with_capacity(rows.rows());
        for row in rows.columns.iter() {
            for ((bin, column), value) in bins.iter_mut().zip(&self.columns).zip(row) {
                *bin = column.range.bin(*value);
            }
            let columns = self.columns.iter().zip(&bins);
            scores.push(columns.map(|(column, bin)| column.cost_of(*bin, &bins)).sum());
        }
        Ok(scores)
    }

    fn check(&self) -> Result<(), DetectorError> {
        let columns = self.columns.len();
        let fits = columns > 0 && self.columns.iter().all(|column| column.fits(columns));
        DetectorError::stored(fits, "histograms of columns")
    }
}

/// The column that each column is linked to.
fn parents(binned: &[Vec<u8>]) -> Vec<Option<usize>> {
    let mut parents = vec![None; binned.len()];
    if binned.len() > LINKED {
        return parents;
    }
    let few: Vec<&[u8]> = binned.iter().map(|bins| &bins[..bins.len().min(TREE_ROWS)]).collect();
    let alone: Vec<Entropy> =
        few.iter().map(|bins| Entropy::of(&count::<BINS>(bins.iter().map(|bin| *bin as usize)))).collect();
    for edge in dependence_tree(few.len(), |a, b| information(&alone[a], &alone[b], few[a], few[b])) {
        // Information that chance explains links nothing.
        parents[edge.child] = (edge.information > 0.0).then_some(edge.parent);
    }
    parents
}

fn count<const N: usize>(bins: impl Iterator<Item = usize>) -> [u32; N] {
    let mut counts = [0; N];
    bins.for_each(|bin| counts[bin] += 1);
    counts
}

/// The sum of n ln n over counts, and how many are not 0.
struct Entropy {
    sum: f64,
    filled: f64,
}

impl Entropy {
    fn of(counts: &[u32]) -> Self {
        let filled = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count));
        Self { filled: filled.clone().count() as f64, sum: filled.map(|count| count * count.ln()).sum() }
    }
}

/// The mutual information of two columns' bins, less what chance is expected to add (Miller 1955).
fn information(a: &Entropy, b: &Entropy, bins_a: &[u8], bins_b: &[u8]) -> f64 {
    let rows = bins_a.len() as f64;
    let places = bins_a.iter().zip(bins_b).map(|(a, b)| *a as usize * BINS + *b as usize);
    let both = Entropy::of(&count::<{ BINS * BINS }>(places));
    let chance = (both.filled - a.filled - b.filled + 1.0) / (2.0 * rows);
    rows.ln() + (both.sum - a.sum - b.sum) / rows - chance
}

/// The fraction of rows in each of a column's bins; one more row is spread over all bins.
fn fractions(bins: &[u8]) -> [f64; BINS] {
    let found = count::<BINS>(bins.iter().map(|bin| *bin as usize));
    found.map(|count| (f64::from(count) + 1.0 / BINS as f64) / (bins.len() as f64 + 1.0))
}

/// The negative log-likelihoods `[parent's bin, bin]`.
fn cost_given(bins: &[u8], parent: &[u8]) -> Vec<f32> {
    let all = fractions(bins);
    let places = parent.iter().zip(bins).map(|(parent, bin)| *parent as usize * BINS + *bin as usize);
    let found = count::<{ BINS * BINS }>(places);
    let mut cost = Vec::with_capacity(found.len());
    for of_parent in found.chunks_exact(BINS) {
        let rows: f64 = of_parent.iter().map(|count| f64::from(*count)).sum();
        for (count, all) in of_parent.iter().zip(&all) {
            let fraction = (f64::from(*count) + PRIOR_ROWS * all) / (rows + PRIOR_ROWS);
            cost.push(-fraction.ln() as f32);
        }
    }
    cost
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;
    use rand::Rng;

    use super::*;
    use crate::values::MatrixView;

    /// Columns of 0 and 1: the second copies the first, the third is drawn.
    fn drawn(rows: usize, seed: u64) -> Vec<f32> {
        let mut rng = stream(seed, "rows", &[]);
        let mut values = Vec::new();
        for _ in 0..rows {
            let bits = rng.next_u32();
            let (a, b) = ((bits & 1) as f32, (bits >> 1 & 1) as f32);
            values.extend([a, a, b]);
        }
        values
    }

    fn local(values: &[f32], width: usize) -> PartyRows<'_> {
        let values = MatrixView::new("columns", values, width).unwrap();
        PartyRows::new(values, values).unwrap()
    }

    #[test]
    fn scores_are_likelihoods_of_linked_columns() {
        let detector = Histogram::fit(&local(&drawn(4000, 1), 3), 0).unwrap();
        assert!(detector.check().is_ok());
        // Two free bits: 2 ln 2. A broken copy, a value between, values outside: each much rarer.
        let rows = [0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.5, 0.5, 1.0, -9.0, 0.0, 0.0, 0.0, 0.0, 9.0];
        let scores = detector.score(&local(&rows, 3)).unwrap();
        assert!((scores[0] - 2.0 * 2_f64.ln()).abs() < 0.1, "{scores:?}");
        assert!(scores[1..].iter().all(|score| *score > 6.0), "{scores:?}");
    }

    #[test]
    fn columns_that_do_not_go_together_are_not_linked() {
        let mut rng = stream(2, "rows", &[]);
        let values: Vec<f32> = (0..2 * 4000).map(|_| (rng.next_u32() >> 8) as f32).collect();
        let detector = Histogram::fit(&local(&values, 2), 0).unwrap();
        let costs: Vec<usize> = detector.columns.iter().map(|column| column.cost.len()).collect();
        assert_eq!(costs[0], BINS);
        // Chance alone decides about the second one, and says little.
        let scores = detector.score(&local(&values, 2)).unwrap();
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        assert!((mean - 2.0 * (INSIDE as f64).ln()).abs() < 0.1, "{mean}");
    }

    #[test]
    fn a_column_of_one_value_knows_it() {
        let mut values = drawn(200, 1);
        values.iter_mut().skip(2).step_by(3).for_each(|value| *value = 7.0);
        let detector = Histogram::fit(&local(&values, 3), 0).unwrap();
        let scores = detector.score(&local(&[0.0, 0.0, 7.0, 0.0, 0.0, 7.5], 3)).unwrap();
        assert!(scores[0] < 1.5 && scores[1] > 5.0, "{scores:?}");
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let good = Histogram::fit(&local(&drawn(200, 1), 3), 0).unwrap();
        let with = |change: &dyn Fn(&mut Histogram)| {
            let mut changed = good.clone();
            change(&mut changed);
            changed.check().is_err()
        };
        assert!(with(&|bad| bad.columns[1].parent = Some(3)));
        assert!(with(&|bad| bad.columns[1].parent = None));
        assert!(with(&|bad| bad.columns[0].range.1 = f32::NAN));
        assert!(with(&|bad| {
            bad.columns[2].cost.pop();
        }));
        assert!(with(&|bad| bad.columns.clear()));
    }
}
