//! What a regression is asked for: columns in the units in which they are scored, and behind them, for columns with few
//! values, which value it is. A column that holds positions of categories is scored by category.

use std::ops::Range;

use hashvfl_data::Matrix;

use crate::evaluation::attributes::{Attribute, Decided};
use crate::evaluation::context::AttackContext;
use crate::evaluation::score::moments;

/// The outputs of regressions about one victim: numbers, and categories that stand for a column, by which guesses are compared;
/// behind these positions as numbers, and the values of the other attributes.
pub struct Outputs<'a> {
    matrix: &'a Matrix,
    /// What each column is divided by: pixels by one.
    deviation: Vec<f32>,
    /// Columns that are scored as numbers.
    numbers: Vec<usize>,
    /// Columns that are scored by category.
    positions: Vec<usize>,
    attributes: &'a [Attribute],
    /// Where the values of each attribute begin.
    starts: Vec<usize>,
    scored: usize,
    width: usize,
}

/// A column that varies less does not count.
const LEAST_DEVIATION: f32 = 1e-6;

impl<'a> Outputs<'a> {
    /// Outputs about the victim of `context`.
    pub fn new(context: &AttackContext<'a>) -> Self {
        let (_, mut deviation) = moments(context.columns, context.auxiliary);
        if context.image.is_some() {
            deviation.fill(1.0);
        }
        Self::of_table(context.columns, deviation, context.scorer.attributes())
    }

    /// Outputs of a table whose columns have this `deviation`.
    fn of_table(matrix: &'a Matrix, mut deviation: Vec<f32>, attributes: &'a [Attribute]) -> Self {
        deviation
            .iter_mut()
            .filter(|deviation| **deviation <= LEAST_DEVIATION)
            .for_each(|deviation| *deviation = 1.0);
        let by_category = |attribute: &&Attribute| attribute.is_position();
        let positions: Vec<usize> = attributes.iter().filter(by_category).map(|a| a.column).collect();
        let numbers: Vec<usize> = (0..deviation.len()).filter(|column| !positions.contains(column)).collect();
        let (mut starts, mut scored) = (vec![0; attributes.len()], numbers.len());
        for (attribute, start) in attributes.iter().zip(&mut starts).filter(|(a, _)| a.is_position()) {
            *start = scored;
            scored += attribute.count();
        }
        let mut width = scored + positions.len();
        for (attribute, start) in attributes.iter().zip(&mut starts).filter(|(a, _)| !a.is_position()) {
            *start = width;
            width += attribute.count();
        }
        Self { matrix, deviation, numbers, positions, attributes, starts, scored, width }
    }

    /// Numbers of a record by which guesses are compared: its columns.
    pub fn scored(&self) -> usize {
        self.scored
    }

    /// Numbers of a record.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Outputs for which guesses are averaged by themselves: each column, and the values of each attribute.
    pub fn blocks(&self) -> Vec<Range<usize>> {
        let positions = self.scored..self.scored + self.positions.len();
        let columns = (0..self.numbers.len()).chain(positions).map(|column| column..column + 1);
        let values = self.attributes.iter().zip(&self.starts);
        let values = values.map(|(attribute, start)| *start..*start + attribute.count());
        let mut blocks: Vec<Range<usize>> = columns.chain(values).collect();
        blocks.sort_unstable_by_key(|block| block.start);
        blocks
    }

    /// Outputs [records, width] of `records`.
    pub fn of(&self, records: &[u32]) -> Vec<f32> {
        let columns = self.matrix.gather(records);
        let mut outputs = Vec::with_capacity(records.len() * self.width());
        for row in columns.chunks_exact(self.deviation.len()) {
            let scaled = |column: &usize| row[*column] / self.deviation[*column];
            outputs.extend(self.numbers.iter().map(scaled));
            for attribute in self.attributes.iter().filter(|attribute| attribute.is_position()) {
                let start = outputs.len();
                attribute.indicate(row, &mut outputs);
                outputs[start..].iter_mut().for_each(|value| *value /= attribute.spread());
            }
            outputs.extend(self.positions.iter().map(scaled));
            let values = self.attributes.iter().filter(|attribute| !attribute.is_position());
            values.for_each(|attribute| attribute.indicate(row, &mut outputs));
        }
        outputs
    }

    /// The columns [records, columns] that `outputs` [records, width] say.
    pub fn columns(&self, outputs: &[f32]) -> Vec<f32> {
        let mut columns = Vec::new();
        let mut values = vec![0.0; self.deviation.len()];
        for row in outputs.chunks_exact(self.width()) {
            let numbers = self.numbers.iter().zip(row);
            for (column, value) in numbers.chain(self.positions.iter().zip(&row[self.scored..])) {
                values[*column] = value * self.deviation[*column];
            }
            columns.extend_from_slice(&values);
        }
        columns
    }

    /// How likely `outputs` [records, width] say each category is, of columns that are scored by category: [records, categories].
    pub fn likelihoods(&self, outputs: &[f32]) -> Vec<f32> {
        let mut likelihoods = Vec::new();
        for row in outputs.chunks_exact(self.width()) {
            for (attribute, start) in self.attributes.iter().zip(&self.starts) {
                if attribute.is_position() {
                    let spread = attribute.spread();
                    likelihoods.extend(row[*start..][..attribute.count()].iter().map(|value| value * spread));
                }
            }
        }
        likelihoods
    }

    /// The values of attributes that `outputs` [records, width] say, as `choose` takes one by likelihoods of levels.
    pub fn decide(&self, outputs: &[f32], choose: impl Fn(&Attribute, &[f32]) -> usize) -> Decided {
        let mut decided: Decided = self.attributes.iter().map(|_| Vec::new()).collect();
        for row in outputs.chunks_exact(self.width()) {
            for ((attribute, start), decided) in self.attributes.iter().zip(&self.starts).zip(&mut decided) {
                decided.push(choose(attribute, &row[*start..][..attribute.count()]));
            }
        }
        decided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number, positions of 50 categories and a flag: all that is put in comes out, and a category counts as one column.
    #[test]
    fn numbers_categories_and_values_are_read_as_they_were_written() {
        let (records, mut values) = (500_u16, Vec::new());
        for record in 0..records {
            let category = record * 7 % 50;
            values.extend([f32::from(record), f32::from(category), f32::from(record % 2)]);
        }
        let matrix = Matrix::new(usize::from(records), 3, values).unwrap();
        let all: Vec<u32> = (0..u32::from(records)).collect();
        let sources = ["number", "code", "flag"].map(String::from);
        let attributes = Attribute::of(&matrix, &sources, &[1], [&all, &[]]);
        let outputs = Outputs::of_table(&matrix, moments(&matrix, &all).1, &attributes);
        assert_eq!((outputs.scored(), outputs.width()), (1 + 1 + 32, 1 + 1 + 32 + 1 + 2));
        let blocks = outputs.blocks();
        assert!(blocks.windows(2).all(|pair| pair[0].end == pair[1].start), "{blocks:?}");
        assert_eq!(blocks.last().unwrap().end, outputs.width());
        let written = outputs.of(&all);
        let read = outputs.columns(&written);
        assert!(read.iter().zip(matrix.values()).all(|(read, value)| (read - value).abs() < 1e-3));
        let decided = outputs.decide(&written, |attribute, likely| attribute.likeliest(likely));
        assert!(
            attributes.iter().zip(&decided).all(|(a, decided)| *decided == a.nearest(matrix.values(), 3))
        );
        let likelihoods = outputs.likelihoods(&written);
        assert_eq!(likelihoods.len(), all.len() * 32);
        let sums = likelihoods.chunks_exact(32).map(|row| row.iter().sum::<f32>());
        assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-4));
    }
}
