//! What a regression is asked for: columns in the units in which they are scored, and behind them, for columns with few
//! values, which value it is.

use std::ops::Range;

use hashvfl_data::Matrix;

use crate::evaluation::attributes::{Attribute, Decided};
use crate::evaluation::context::AttackContext;
use crate::evaluation::score::moments;

/// The outputs of regressions about one victim.
pub struct Outputs<'a> {
    matrix: &'a Matrix,
    /// What each column is divided by: pixels by one.
    deviation: Vec<f32>,
    attributes: &'a [Attribute],
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
        deviation
            .iter_mut()
            .filter(|deviation| **deviation <= LEAST_DEVIATION)
            .for_each(|deviation| *deviation = 1.0);
        Self { matrix: context.columns, deviation, attributes: context.scorer.attributes() }
    }

    /// Numbers of a record by which guesses are compared: its columns.
    pub fn scored(&self) -> usize {
        self.deviation.len()
    }

    /// Numbers of a record.
    pub fn width(&self) -> usize {
        let levels: usize = self.attributes.iter().map(|attribute| attribute.levels.len()).sum();
        self.deviation.len() + levels
    }

    /// Outputs for which guesses are averaged by themselves: each column, and the values of each attribute.
    pub fn blocks(&self) -> Vec<Range<usize>> {
        let mut blocks: Vec<Range<usize>> = (0..self.scored()).map(|column| column..column + 1).collect();
        let mut start = self.scored();
        for attribute in self.attributes {
            blocks.push(start..start + attribute.levels.len());
            start += attribute.levels.len();
        }
        blocks
    }

    /// Outputs [records, width] of `records`.
    pub fn of(&self, records: &[u32]) -> Vec<f32> {
        let columns = self.matrix.gather(records);
        let mut outputs = Vec::with_capacity(records.len() * self.width());
        for row in columns.chunks_exact(self.deviation.len()) {
            outputs.extend(row.iter().zip(&self.deviation).map(|(value, deviation)| value / deviation));
            self.attributes.iter().for_each(|attribute| attribute.indicate(row, &mut outputs));
        }
        outputs
    }

    /// The columns [records, columns] that `outputs` [records, width] say.
    pub fn columns(&self, outputs: &[f32]) -> Vec<f32> {
        let mut columns = Vec::new();
        for row in outputs.chunks_exact(self.width()) {
            columns.extend(row.iter().zip(&self.deviation).map(|(value, deviation)| value * deviation));
        }
        columns
    }

    /// The values of attributes that `outputs` [records, width] say, as `choose` takes one by likelihoods of levels.
    pub fn decide(&self, outputs: &[f32], choose: impl Fn(&Attribute, &[f32]) -> usize) -> Decided {
        let mut decided: Decided = self.attributes.iter().map(|_| Vec::new()).collect();
        for row in outputs.chunks_exact(self.width()) {
            let mut rest = &row[self.deviation.len()..];
            for (attribute, decided) in self.attributes.iter().zip(&mut decided) {
                let (likely, behind) = rest.split_at(attribute.levels.len());
                decided.push(choose(attribute, likely));
                rest = behind;
            }
        }
        decided
    }
}
