//! Columns of a table that take few values: which values they are, and what a guess of likelihoods decides.
//!
//! A column of the table may be several columns to a model, one for each category (one-hot). It is one attribute all the same: of
//! a category with twenty values, to guess nineteen zeros right is no success.

use std::ops::Range;

use hashvfl_data::Matrix;

/// Most values of a column that is guessed by value.
pub const FEW_VALUES: usize = 32;
/// Added to fractions: a value that hardly occurs must not be guessed all the time.
const LEAST_FRACTION: f32 = 0.01;

/// A column of the table and the values that it takes among auxiliary records.
#[derive(Clone)]
pub struct Attribute {
    /// The first of its places among the columns of a model.
    pub column: usize,
    /// How many places it has.
    width: usize,
    /// The values, each of `width` numbers, in rising order.
    pub levels: Vec<Vec<f32>>,
    /// How often each occurs among auxiliary records.
    pub fractions: Vec<f32>,
}

/// A value of each attribute of each record: [attributes][records] numbers of levels.
pub type Decided = Vec<Vec<usize>>;

impl Attribute {
    /// Those of a model's columns, by `auxiliary` records; `sources` names the table's column that each comes from.
    pub fn of(matrix: &Matrix, sources: &[String], auxiliary: &[u32]) -> Vec<Self> {
        let (known, width) = (matrix.gather(auxiliary), matrix.cols());
        let mut attributes = Vec::new();
        for places in together(sources, width) {
            let values = cells(&known, width, &places);
            let Some(levels) = levels(&values, FEW_VALUES) else { continue };
            let mut fractions = vec![0.0; levels.len()];
            values.iter().for_each(|value| fractions[nearest(&levels, value)] += 1.0 / values.len() as f32);
            attributes.push(Self { column: places.start, width: places.len(), levels, fractions });
        }
        attributes
    }

    /// Its places among the columns of a model.
    fn places(&self) -> Range<usize> {
        self.column..self.column + self.width
    }

    /// The levels nearest to what a table [records, width] holds of it.
    pub fn nearest(&self, table: &[f32], width: usize) -> Vec<usize> {
        let values = cells(table, width, &self.places());
        values.into_iter().map(|value| nearest(&self.levels, value)).collect()
    }

    /// Adds what a record says of it, whose `row` a model takes: 1 for its level and 0 for the others.
    pub fn indicate(&self, row: &[f32], into: &mut Vec<f32>) {
        let level = nearest(&self.levels, &row[self.places()]);
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

/// Places of a model's `width` columns that come from one column of the table; where `sources` does not say, each stands for
/// itself.
pub fn together(sources: &[String], width: usize) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for place in 0..width {
        match ranges.last_mut() {
            Some(last) if sources.get(place).is_some() && sources.get(place) == sources.get(last.start) => {
                last.end = place + 1;
            }
            _ => ranges.push(place..place + 1),
        }
    }
    ranges
}

/// What each record of a table [records, width] holds at `places`.
fn cells<'a>(table: &'a [f32], width: usize, places: &Range<usize>) -> Vec<&'a [f32]> {
    table.chunks_exact(width.max(1)).map(|row| &row[places.clone()]).collect()
}

/// The distinct values in rising order, if there are two to `most` of them.
fn levels(values: &[&[f32]], most: usize) -> Option<Vec<Vec<f32>>> {
    let mut levels: Vec<Vec<f32>> = Vec::new();
    for value in values {
        let order = |level: &Vec<f32>| {
            let mut pairs = level.iter().zip(*value).map(|(a, b)| a.total_cmp(b));
            pairs.find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
        };
        if let Err(place) = levels.binary_search_by(order) {
            if levels.len() == most {
                return None;
            }
            levels.insert(place, value.to_vec());
        }
    }
    (levels.len() >= 2).then_some(levels)
}

/// The number of the level nearest to `value`.
fn nearest(levels: &[Vec<f32>], value: &[f32]) -> usize {
    let distance = |level: &Vec<f32>| -> f32 { level.iter().zip(value).map(|(a, b)| (a - b).powi(2)).sum() };
    let distances = levels.iter().map(distance).enumerate();
    distances.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(place, _)| place)
}

/// The place of the greatest value.
fn most(values: impl Iterator<Item = f32>) -> usize {
    values.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_levels_and_many_are_not() {
        let values = |numbers: &'static [f32]| numbers.iter().map(std::slice::from_ref).collect::<Vec<_>>();
        let three = values(&[2.0, 0.0, 2.0, 1.0]);
        assert_eq!(levels(&three, 3), Some(vec![vec![0.0], vec![1.0], vec![2.0]]));
        assert_eq!(levels(&three, 2), None);
        assert_eq!(levels(&values(&[2.0, 2.0]), 3), None);
        assert_eq!(nearest(&[vec![0.0], vec![1.0]], &[0.7]), 1);
    }

    /// A category with four values, whose last one is no column of its own, a number and a flag.
    #[test]
    fn columns_of_one_category_are_one_attribute() {
        let sources = ["city", "city", "city", "age", "flag"].map(String::from);
        assert_eq!(together(&sources, 5), [0..3, 3..4, 4..5]);
        assert_eq!(together(&[], 2), [0..1, 1..2]);
        let (mut values, records) = (Vec::new(), 200);
        for record in 0..records {
            let city = record % 4;
            values.extend((0..3).map(|place| f32::from(u8::from(place == city))));
            values.extend([record as f32, f32::from(u8::from(record == 7))]);
        }
        let matrix = Matrix::new(records, 5, values).unwrap();
        let auxiliary: Vec<u32> = (0..100).collect();
        let attributes = Attribute::of(&matrix, &sources, &auxiliary);
        let columns: Vec<(usize, usize)> = attributes.iter().map(|a| (a.column, a.levels.len())).collect();
        assert_eq!(columns, [(0, 4), (4, 2)]);
        let city = &attributes[0];
        // Zeros everywhere are what is guessed without any code, and right for one record of four, not of three in four.
        let guess = city.nearest(&[0.2; 5 * 8], 5);
        let truth = city.nearest(&matrix.gather(&(100..108).collect::<Vec<u32>>()), 5);
        assert_eq!(guess.iter().zip(&truth).filter(|(guess, truth)| guess == truth).count(), 2);
        assert!(city.fractions.iter().all(|fraction| (fraction - 0.25).abs() < 1e-4));
        let mut indicated = Vec::new();
        city.indicate(matrix.row(5), &mut indicated);
        assert_eq!(indicated.iter().sum::<f32>(), 1.0);
        assert_eq!(city.likeliest(&indicated), city.nearest(matrix.row(5), 5)[0]);
    }
}
