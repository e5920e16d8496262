//! Columns of a table that take few values: which values they are, and what a guess of likelihoods decides.
//!
//! A column of the table may be several columns to a model, one for each category (one-hot). It is one attribute all the same: of
//! a category with twenty values, to guess nineteen zeros right is no success. Of more categories a model takes the position in a
//! list, a number that says nothing: there the most common ones are values, and all others one more.

use std::ops::Range;

use hashvfl_data::Matrix;
use hashvfl_leakage::categories::{most_common, spread};

/// Most values of a column that is guessed by value.
pub const FEW_VALUES: usize = 32;
/// Records that have a value, at least, on average over its values.
const LEAST_OF_A_VALUE: usize = 3;
/// Added to fractions: a value that hardly occurs must not be guessed all the time.
const LEAST_FRACTION: f32 = 0.01;

/// A column of the table and the values that it takes among records that the adversary owns.
#[derive(Clone)]
pub struct Attribute {
    /// The first of its places among the columns of a model.
    pub column: usize,
    /// How many places it has.
    width: usize,
    /// The values that count by themselves, each of `width` numbers, in rising order.
    levels: Vec<Vec<f32>>,
    /// Whether it holds positions of categories; all values beyond those are one more then, behind them.
    is_position: bool,
    /// How often each occurs among those records.
    pub fractions: Vec<f32>,
}

/// A value of each attribute of each record: [attributes][records] numbers of levels.
pub type Decided = Vec<Vec<usize>>;

impl Attribute {
    /// Those of a model's columns; `sources` names the table's column that each comes from, and `positions` are those that hold
    /// positions of categories. `owned` are records of the same population that the adversary owns, by which categories are scored,
    /// and all others: of a handful of records every number has few values.
    pub fn of(matrix: &Matrix, sources: &[String], positions: &[usize], owned: [&[u32]; 2]) -> Vec<Self> {
        let (auxiliary, all) = (matrix.gather(owned[0]), matrix.gather(&owned.concat()));
        let width = matrix.cols();
        let few = FEW_VALUES.min(owned.concat().len() / LEAST_OF_A_VALUE);
        let mut attributes = Vec::new();
        for places in together(sources, width) {
            let is_position = places.len() == 1 && positions.contains(&places.start);
            let values = cells(if is_position { &auxiliary } else { &all }, width, &places);
            let levels = if is_position { common(&values) } else { levels(&values, few) };
            let Some(levels) = levels else { continue };
            let mut attribute = Self {
                column: places.start,
                width: places.len(),
                levels,
                is_position,
                fractions: Vec::new(),
            };
            let mut fractions = vec![0.0; attribute.count()];
            values.iter().for_each(|value| fractions[attribute.level(value)] += 1.0 / values.len() as f32);
            attribute.fractions = fractions;
            attributes.push(attribute);
        }
        attributes
    }

    /// How many values are told apart.
    pub fn count(&self) -> usize {
        self.levels.len() + usize::from(self.is_position)
    }

    /// Whether it holds positions of categories, which are scored by category.
    pub fn is_position(&self) -> bool {
        self.is_position
    }

    /// What its values are, in a few words.
    pub fn describe(&self) -> String {
        match self.is_position {
            true => format!("one of the {} most common categories, or another", self.levels.len()),
            false => format!("one of {} values", self.levels.len()),
        }
    }

    /// By what indicators of its values are divided, so that it counts as one column.
    pub fn spread(&self) -> f32 {
        spread(&self.fractions)
    }

    /// The number of a value.
    fn level(&self, value: &[f32]) -> usize {
        if !self.is_position {
            return nearest(&self.levels, value);
        }
        let rounded: Vec<f32> = value.iter().map(|position| position.round()).collect();
        self.levels.iter().position(|level| *level == rounded).unwrap_or(self.levels.len())
    }

    /// Its places among the columns of a model.
    fn places(&self) -> Range<usize> {
        self.column..self.column + self.width
    }

    /// The levels nearest to what a table [records, width] holds of it.
    pub fn nearest(&self, table: &[f32], width: usize) -> Vec<usize> {
        let values = cells(table, width, &self.places());
        values.into_iter().map(|value| self.level(value)).collect()
    }

    /// The same of true values: one that no owned record has is none of the levels, and no guess finds it.
    pub fn exactly(&self, table: &[f32], width: usize) -> Vec<usize> {
        let of = |value: &[f32]| {
            let level = self.level(value);
            let is_known = self.is_position || self.levels[level] == value;
            if is_known { level } else { self.count() }
        };
        cells(table, width, &self.places()).into_iter().map(of).collect()
    }

    /// Adds what a record says of it, whose `row` a model takes: 1 for its level and 0 for the others.
    pub fn indicate(&self, row: &[f32], into: &mut Vec<f32>) {
        let level = self.level(&row[self.places()]);
        into.extend((0..self.count()).map(|other| f32::from(u8::from(other == level))));
    }

    /// The level that is likeliest.
    pub fn likeliest(&self, likely: &[f32]) -> usize {
        most(likely.iter().copied())
    }

    /// The level whose likelihood is raised most over its fraction among owned records, which is what balanced accuracy rewards.
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

/// The most common of these positions, each by itself, if there are two at least.
fn common(values: &[&[f32]]) -> Option<Vec<Vec<f32>>> {
    let common = most_common(&values.concat());
    (common.len() >= 2).then(|| common.into_iter().map(|position| vec![position]).collect())
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
        let attributes = Attribute::of(&matrix, &sources, &[], [&auxiliary, &[]]);
        let columns: Vec<(usize, usize)> = attributes.iter().map(|a| (a.column, a.count())).collect();
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

    #[test]
    fn a_number_of_few_records_is_no_attribute_and_a_value_that_nobody_owns_is_never_found() {
        // Of sixty records twenty are owned, ten of them of the same population: a number, and a column of which one value is rare.
        let rare = |record: u16| if record == 40 { 9 } else { record % 2 };
        let values = (0..60_u16).flat_map(|record| [f32::from(record) * 0.37, f32::from(rare(record))]);
        let matrix = Matrix::new(60, 2, values.collect()).unwrap();
        let owned: Vec<u32> = (0..20).collect();
        let attributes = Attribute::of(&matrix, &[], &[], [&owned[..10], &owned[10..]]);
        let [column] = &attributes[..] else { panic!("{} attributes", attributes.len()) };
        assert_eq!((column.column, column.count()), (1, 2));
        let truth = column.exactly(&matrix.gather(&[39, 40, 41]), 2);
        assert_eq!(truth, [1, 2, 1]);
        assert!((0..column.count()).all(|guess| guess != truth[1]), "whatever is guessed, it is a miss");
    }

    #[test]
    fn of_many_categories_the_most_common_ones_are_values_and_all_others_one() {
        // Half of the records have the category at position 7, the others any of 60.
        let positions: Vec<f32> = (0..600_u16)
            .map(|record| f32::from(if record % 2 == 0 { 7 } else { 1 + record / 2 % 60 }))
            .collect();
        let matrix = Matrix::new(600, 1, positions).unwrap();
        let auxiliary: Vec<u32> = (0..600).collect();
        let sources = ["code".to_string()];
        assert!(
            Attribute::of(&matrix, &sources, &[], [&auxiliary, &[]]).is_empty(),
            "as numbers, too many values"
        );
        let attributes = Attribute::of(&matrix, &sources, &[0], [&auxiliary, &[]]);
        let [code] = &attributes[..] else { panic!("{} attributes", attributes.len()) };
        assert_eq!((code.count(), code.fractions.len()), (32, 32));
        assert!((code.fractions.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        let common = code.majority();
        assert!((code.fractions[common] - 305.0 / 600.0).abs() < 1e-4, "{:?}", code.fractions);
        // A number between two positions is that of the nearer one, and one that nobody had is another category.
        assert_eq!(code.nearest(&[7.0, 6.6, 61.0, 400.0], 1), [common, common, 31, 31]);
        assert!(code.describe().contains("31 most common categories"), "{}", code.describe());
    }
}
