//! The units in which columns are scored: those of a table in standard deviations of auxiliary records, all counted alike, and
//! pixels from 0 to 1. Of a column that holds positions of categories the categories count, as indicators whose variances
//! together are 1: a position is a number that says nothing.

use std::ops::Range;

use hashvfl_data::Matrix;

use crate::evaluation::attributes::Attribute;

/// A guess of the columns of some records.
#[derive(Clone, Copy)]
pub struct GuessedColumns<'a> {
    /// As a model takes them [records, columns].
    pub columns: &'a [f32],
    /// How likely each category is of columns that are scored by category [records, categories]; empty where an attack says no
    /// more than a position.
    pub likelihoods: &'a [f32],
}

/// Which columns count, and in which units.
#[derive(Clone)]
pub struct Units {
    /// Columns of a record.
    columns: usize,
    /// Columns that are scored as numbers.
    kept: Vec<usize>,
    low: f32,
    scale: Vec<f32>,
    /// Columns that are scored by category.
    categories: Vec<Attribute>,
}

impl Units {
    /// Pixels from the least to the greatest value of auxiliary records, which is `range` above `low`.
    pub fn of_pixels(columns: usize, low: f32, range: f32) -> Self {
        let scale = vec![1.0 / range; columns];
        Self { columns, kept: (0..columns).collect(), low, scale, categories: Vec::new() }
    }

    /// Columns of a table with this `deviation` over auxiliary records; one that does not vary there is left out.
    pub fn of_table(deviation: &[f32], attributes: &[Attribute]) -> Self {
        let categories: Vec<Attribute> =
            attributes.iter().filter(|attribute| attribute.is_position()).cloned().collect();
        let is_number =
            |column: &usize| deviation[*column] > 1e-6 && categories.iter().all(|a| a.column != *column);
        let kept: Vec<usize> = (0..deviation.len()).filter(is_number).collect();
        let scale = kept.iter().map(|column| 1.0 / deviation[*column]).collect();
        Self { columns: deviation.len(), kept, low: 0.0, scale, categories }
    }

    /// Columns that count.
    pub fn counted(&self) -> usize {
        self.kept.len() + self.categories.len()
    }

    /// Numbers of a record in these units.
    pub fn width(&self) -> usize {
        self.kept.len() + self.categories.iter().map(Attribute::count).sum::<usize>()
    }

    /// Each column that counts, and where it stands.
    pub fn places(&self) -> Vec<(usize, Range<usize>)> {
        let mut places: Vec<(usize, Range<usize>)> =
            self.kept.iter().enumerate().map(|(place, column)| (*column, place..place + 1)).collect();
        let mut end = self.kept.len();
        for attribute in &self.categories {
            places.push((attribute.column, end..end + attribute.count()));
            end += attribute.count();
        }
        places
    }

    /// Records in these units [records, width]; without likelihoods a position stands for its category.
    pub fn of(&self, guess: GuessedColumns) -> Vec<f32> {
        let each: usize = self.categories.iter().map(Attribute::count).sum();
        let mut scaled = Vec::new();
        let mut indicators = Vec::with_capacity(each);
        for (record, row) in guess.columns.chunks_exact(self.columns).enumerate() {
            let numbers = self.kept.iter().zip(&self.scale);
            scaled.extend(numbers.map(|(column, scale)| (row[*column] - self.low) * scale));
            indicators.clear();
            match guess.likelihoods {
                [] => self.categories.iter().for_each(|attribute| attribute.indicate(row, &mut indicators)),
                likelihoods => indicators.extend_from_slice(&likelihoods[record * each..][..each]),
            }
            let mut rest = &indicators[..];
            for attribute in &self.categories {
                let (of_attribute, behind) = rest.split_at(attribute.count());
                scaled.extend(of_attribute.iter().map(|value| value / attribute.spread()));
                rest = behind;
            }
        }
        scaled
    }

    /// How common each category is among `records`, of columns that are scored by category.
    pub fn fractions(&self, matrix: &Matrix, records: &[u32]) -> Vec<f32> {
        let mut fractions = Vec::new();
        for attribute in &self.categories {
            let start = fractions.len();
            fractions.resize(start + attribute.count(), 0.0);
            for level in attribute.nearest(&matrix.gather(records), self.columns) {
                fractions[start + level] += 1.0 / records.len() as f32;
            }
        }
        fractions
    }
}
