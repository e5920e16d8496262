//! Figures of a table for its owner: types, missing values, quartiles and histograms.
//!
//! Figures show values and names of categories, so they belong on the owner's own screen and never in a log.

pub(crate) mod first_config;
pub(crate) mod survey;

use std::cmp::Reverse;

use serde::Serialize;

use crate::encoding::content::{Content, is_faulty};
use crate::encoding::scale::skewness;
use crate::encoding::treatment::{ColumnType, Missing, Treatment};
use crate::table::{ImageShape, Table};

/// Bars of a histogram.
const BARS: usize = 24;

/// Figures of a table.
#[derive(Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// Its records.
    pub records: usize,
    /// Lines of its text files, headers and empty ones among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// What else is to know of its files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// Its columns in order; none where they are pixels.
    pub columns: Vec<Inspected>,
    /// The pixels, where columns are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixels: Option<Pixels>,
}

/// Figures of one column.
#[derive(Clone, PartialEq, Serialize)]
pub struct Inspected {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
    /// Records without a value.
    pub missing: usize,
    /// Records with a cell that is no value of the column, where such are looked at.
    pub unusable: usize,
    /// What such a record is.
    pub when_missing: Missing,
    /// What its values are; absent where it has none.
    #[serde(flatten)]
    pub figures: Option<ColumnFigures>,
}

/// What a column's values are.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnFigures {
    /// Of numbers.
    Numbers(NumberSummary),
    /// Of categories: how many records each has, most first.
    Categories {
        /// Distinct categories.
        distinct: usize,
        /// Records of the most frequent ones, at most 24.
        histogram: Vec<u64>,
        /// Their names, where they were asked for.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        names: Vec<String>,
    },
}

/// Where numbers lie.
#[derive(Clone, PartialEq, Serialize)]
pub struct NumberSummary {
    /// Distinct numbers.
    pub distinct: usize,
    /// The least.
    pub minimum: f32,
    /// A quarter of all is at most this.
    pub lower_quartile: f32,
    /// Half of all is at most this.
    pub median: f32,
    /// Three quarters of all are at most this.
    pub upper_quartile: f32,
    /// The largest.
    pub maximum: f32,
    /// Their third standardised moment: 0 where they lie evenly around their mean.
    pub skewness: f64,
    /// How many there are in each of up to 24 parts of equal width, from the least to the largest.
    pub histogram: Vec<u64>,
}

/// Figures of images.
#[derive(Clone, PartialEq, Serialize)]
pub struct Pixels {
    /// Their shape.
    pub shape: ImageShape,
    /// The least value of a pixel.
    pub minimum: f32,
    /// The mean of all.
    pub mean: f64,
    /// The largest.
    pub maximum: f32,
    /// How many there are in each of 24 parts of equal width, from the least to the largest.
    pub histogram: Vec<u64>,
}

impl Inspection {
    /// Of a table that was loaded with missing values filled in; `treatment` is the one that training has. `names` asks
    /// for names of categories.
    ///
    /// It needs memory for one column, in addition to the table.
    pub fn of(table: &Table, treatment: &Treatment, names: bool) -> Self {
        let records = table.ids.len();
        if let Some(shape) = table.image {
            return Self {
                records,
                lines: None,
                remarks: Vec::new(),
                columns: Vec::new(),
                pixels: Pixels::of(shape, table.matrix.values()),
            };
        }
        let columns = table.names.iter().zip(&table.contents).enumerate();
        let columns = columns.map(|(at, (name, content))| {
            let mut values: Vec<f32> = (0..records).map(|row| table.matrix.row(row)[at]).collect();
            let unusable = values.iter().filter(|value| is_faulty(**value)).count();
            values.retain(|value| !value.is_nan());
            Inspected {
                name: name.clone(),
                kind: content.kind(),
                missing: records - values.len() - unusable,
                unusable,
                when_missing: treatment.missing(name),
                figures: ColumnFigures::of(content, values, names),
            }
        });
        let columns = columns.collect();
        Self { records, lines: None, remarks: Vec::new(), columns, pixels: None }
    }
}

impl ColumnFigures {
    fn of(content: &Content, mut values: Vec<f32>, with_names: bool) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        match content {
            Content::Number => {
                values.sort_unstable_by(f32::total_cmp);
                Some(Self::Numbers(NumberSummary::of(&values)))
            }
            Content::Category(names) => {
                let mut counts = vec![0_u64; names.len()];
                values.iter().for_each(|position| counts[*position as usize] += 1);
                let mut ranked: Vec<(&String, u64)> = names.iter().zip(counts).collect();
                ranked.sort_unstable_by_key(|(name, count)| (Reverse(*count), *name));
                let shown = &ranked[..ranked.len().min(BARS)];
                let shown_names = shown.iter().map(|(name, _)| (*name).clone());
                Some(Self::Categories {
                    distinct: names.len(),
                    histogram: shown.iter().map(|(_, count)| *count).collect(),
                    names: if with_names { shown_names.collect() } else { Vec::new() },
                })
            }
        }
    }
}

impl NumberSummary {
    /// Of sorted values, of which there is at least one.
    fn of(sorted: &[f32]) -> Self {
        // The least value that so many quarters of all do not exceed.
        let quartile = |quarters: usize| sorted[(sorted.len() * quarters).div_ceil(4).max(1) - 1];
        let (minimum, maximum) = (sorted[0], sorted[sorted.len() - 1]);
        Self {
            distinct: 1 + sorted.windows(2).filter(|pair| pair[0] != pair[1]).count(),
            minimum,
            lower_quartile: quartile(1),
            median: quartile(2),
            upper_quartile: quartile(3),
            maximum,
            skewness: skewness(sorted),
            histogram: histogram(sorted.iter().copied(), minimum, maximum),
        }
    }
}

impl Pixels {
    fn of(shape: ImageShape, values: &[f32]) -> Option<Self> {
        let there = || values.iter().copied().filter(|value| !value.is_nan());
        let minimum = there().min_by(f32::total_cmp)?;
        let maximum = there().max_by(f32::total_cmp)?;
        let mean = there().map(f64::from).sum::<f64>() / there().count() as f64;
        Some(Self { shape, minimum, mean, maximum, histogram: histogram(there(), minimum, maximum) })
    }
}

/// How many values there are in each of [`BARS`] parts of equal width; one part where all are the same.
fn histogram(values: impl Iterator<Item = f32>, minimum: f32, maximum: f32) -> Vec<u64> {
    let width = f64::from(maximum) - f64::from(minimum);
    if width <= 0.0 {
        return vec![values.count() as u64];
    }
    let mut bars = vec![0; BARS];
    for value in values {
        let share = (f64::from(value) - f64::from(minimum)) / width;
        bars[((share * BARS as f64) as usize).min(BARS - 1)] += 1;
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Matrix, Missing};

    fn table(columns: &[(&str, Content)], rows: usize, values: Vec<f32>, image: Option<ImageShape>) -> Table {
        Table {
            ids: (0..rows).map(|row| row.to_string()).collect(),
            names: columns.iter().map(|(name, _)| (*name).to_owned()).collect(),
            contents: columns.iter().map(|(_, content)| content.clone()).collect(),
            matrix: Matrix::from_checked(columns.len(), values),
            image,
            pixels: None,
        }
    }

    #[test]
    fn numbers_have_quartiles_and_categories_counts() {
        let jobs = Content::Category(vec!["secret clerk".into(), "smith".into()]);
        let columns = [("age", Content::Number), ("job", jobs), ("none", Content::Number)];
        let nan = f32::NAN;
        let values = vec![4.0, 1.0, nan, 1.0, 1.0, nan, 3.0, 0.0, nan, nan, 1.0, nan, 2.0, nan, nan];
        let found = Inspection::of(&table(&columns, 5, values, None), &Treatment::default(), false);
        let [age, job, none] = found.columns.as_slice() else { panic!("three columns") };
        let Some(ColumnFigures::Numbers(spread)) = &age.figures else { panic!("numbers") };
        let quartiles =
            [spread.minimum, spread.lower_quartile, spread.median, spread.upper_quartile, spread.maximum];
        assert_eq!((quartiles, spread.distinct), ([1.0, 1.0, 2.0, 3.0, 4.0], 4));
        assert_eq!((spread.histogram.len(), spread.histogram.iter().sum::<u64>()), (BARS, 4));
        assert_eq!(
            (spread.histogram[0], spread.histogram[8], spread.histogram[16], spread.histogram[23]),
            (1, 1, 1, 1)
        );
        assert_eq!((age.missing, age.when_missing), (1, Missing::Error));
        let Some(ColumnFigures::Categories { distinct, histogram, names }) = &job.figures else {
            panic!("categories")
        };
        assert_eq!((*distinct, histogram.as_slice(), names.len(), job.missing), (2, &[3, 1][..], 0, 1));
        assert!(none.figures.is_none() && none.missing == 5);
        let json = serde_json::to_string(&found).unwrap();
        assert!(json.contains("\"lower_quartile\":1.0") && !json.contains("secret"), "{json}");
    }

    #[test]
    fn names_come_where_they_are_asked_for_and_equal_values_are_one_bar() {
        let jobs = Content::Category(vec!["a".into(), "b".into()]);
        let columns = [("x", Content::Number), ("job", jobs)];
        let table = table(&columns, 3, vec![7.0, 1.0, 7.0, 0.0, 7.0, 1.0], None);
        let found = Inspection::of(&table, &Treatment::default(), true);
        let Some(ColumnFigures::Categories { names, .. }) = &found.columns[1].figures else {
            panic!("categories")
        };
        assert_eq!(names.as_slice(), ["b", "a"]);
        let Some(ColumnFigures::Numbers(spread)) = &found.columns[0].figures else { panic!("numbers") };
        assert_eq!(spread.histogram, [3]);
    }

    #[test]
    fn images_have_one_histogram() {
        let columns = [("pixel_0_0", Content::Number), ("pixel_0_1", Content::Number)];
        let shape = ImageShape { channels: 1, height: 1, width: 2 };
        let found = Inspection::of(
            &table(&columns, 2, vec![0.0, 1.0, 0.5, 0.5], Some(shape)),
            &Treatment::default(),
            false,
        );
        let pixels = found.pixels.unwrap();
        assert!(found.columns.is_empty());
        assert_eq!((pixels.shape, pixels.mean, pixels.histogram[12]), (shape, 0.5, 2));
    }
}
