//! Columns of a table that take few values: which values they are, and what a guess of likelihoods decides.

use hashvfl_data::Matrix;

use crate::metrics::attribute::{levels, nearest};
use hashvfl_leakage::metrics::error::column;

/// Most values of a column that is guessed by value.
pub const FEW_VALUES: usize = 32;
/// Added to fractions: a value that hardly occurs must not be guessed all the time.
const LEAST_FRACTION: f32 = 0.01;

/// A column and the values that it takes among auxiliary records.
#[derive(Clone)]
pub struct Attribute {
    /// Its place among the columns.
    pub column: usize,
    /// The values, rising.
    pub levels: Vec<f32>,
    /// How often each occurs among auxiliary records.
    pub fractions: Vec<f32>,
}

/// A value of each attribute of each record: [attributes][records] numbers of levels.
pub type Decided = Vec<Vec<usize>>;

impl Attribute {
    /// Those of a table, by `auxiliary` records.
    pub fn of(matrix: &Matrix, auxiliary: &[u32]) -> Vec<Self> {
        let (known, width) = (matrix.gather(auxiliary), matrix.cols());
        let mut attributes = Vec::new();
        for place in 0..width {
            let values = column(&known, width, place);
            let Some(levels) = levels(&values, FEW_VALUES) else { continue };
            let mut fractions = vec![0.0; levels.len()];
            values.iter().for_each(|value| fractions[nearest(&levels, *value)] += 1.0 / values.len() as f32);
            attributes.push(Self { column: place, levels, fractions });
        }
        attributes
    }

    /// The levels nearest to what a table [records, width] holds of it.
    pub fn nearest(&self, table: &[f32], width: usize) -> Vec<usize> {
        column(table, width, self.column).into_iter().map(|value| nearest(&self.levels, value)).collect()
    }

    /// Adds what a column's value says: 1 for its level and 0 for the others.
    pub fn indicate(&self, value: f32, into: &mut Vec<f32>) {
        let level = nearest(&self.levels, value);
        into.extend((0..self.levels.len()).map(|other| f32::from(u8::from(other == level))));
    }

    /// The level that is likeliest.
    pub fn likeliest(&self, likely: &[f32]) -> usize {
        most(likely.iter().copied())
    }

    /// The level whose likelihood is raised most over its fraction among auxiliary records, which is what balanced accuracy
    /// rewards.
    pub fn most_raised(&self, likely: &[f32]) -> usize {
        most(
            likely.iter().zip(&self.fractions).map(|(likely, fraction)| likely / (fraction + LEAST_FRACTION)),
        )
    }

    /// The most common level.
    pub fn majority(&self) -> usize {
        most(self.fractions.iter().copied())
    }
}

/// The place of the greatest value.
fn most(values: impl Iterator<Item = f32>) -> usize {
    values.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(place, _)| place)
}
