//! From what columns hold to numbers that a model takes, fitted on the training rows alone and kept with the model.
//!
//! A column of numbers becomes one on a common scale, and one of 0 and 1 where training rows missed a value. A column
//! of categories becomes one of 0 and 1 a category, or, where there are many, one of positions in a dictionary, whose
//! embedding the model learns (Guo and Berkhahn 2016). Position 0, or all 0, is every rare or new category.

pub(crate) mod content;
pub(crate) mod preprocess;
pub(crate) mod quantile;
pub(crate) mod ranges;
pub(crate) mod row_encoder;
pub(crate) mod scale;
pub(crate) mod treatment;

use std::collections::HashMap;
use std::fmt;

use hashvfl_core::random::{below, uniform};
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::encoding::content::Content;
use crate::encoding::preprocess::{PreprocessError, Preprocessing};
use crate::encoding::ranges::Ranges;
use crate::encoding::row_encoder::RowEncoder;
use crate::encoding::scale::{Scale, Scaler};
use crate::encoding::treatment::{ColumnRules, ColumnType, Fill, Missing, Treatment, Types};
use crate::limits::MAX_COLUMNS;
use crate::source::Table;
use crate::source::number::category_text;
use crate::store::matrix::Matrix;

/// Most categories that become one column each, where the type does not say otherwise.
pub const ONE_HOT_MOST: usize = 32;
/// Width of an embedding, where the type does not say.
const EMBEDDING: usize = 8;
/// A column of more categories than this, and of one for every second row, is no column of categories.
const FEW_CATEGORIES: usize = 100;

/// What was fitted on every column.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoding {
    pub(crate) columns: Vec<FittedColumn>,
}

/// A column of the encoded matrix that holds positions of categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Embedded {
    /// The column.
    pub column: usize,
    /// Number of positions, with 0 for categories without a name.
    pub count: usize,
    /// Floats that the model learns for each.
    pub width: usize,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedColumn {
    pub(crate) name: String,
    pub(crate) fitted: Fitted,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Fitted {
    Number {
        /// What stands in for a missing value, raw; absent where nothing was measured.
        fill: Option<f32>,
        /// Whether training rows missed values.
        missed: bool,
        scaler: Scaler,
    },
    Category {
        /// Those with a position of their own, sorted.
        names: Vec<String>,
        /// Those that training rows had too rarely, sorted.
        rare: Vec<String>,
        /// Whether training rows missed values: then that is the last category.
        missed: bool,
        /// Width of the embedding; absent: one column a category.
        embedding: Option<usize>,
    },
}

impl Fitted {
    pub(crate) fn kind(&self) -> ColumnType {
        match self {
            Self::Number { .. } => ColumnType::Number,
            Self::Category { .. } => ColumnType::Category,
        }
    }

    /// Columns of the encoded matrix.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Number { missed, .. } => 1 + usize::from(*missed),
            Self::Category { embedding: Some(_), .. } => 1,
            Self::Category { names, missed, .. } => names.len() + usize::from(*missed),
        }
    }
}

impl Encoding {
    /// Fits every column of `table` on the training `rows`.
    ///
    /// # Errors
    /// When there are no rows, a row does not exist, a setting is out of range, or a column cannot be encoded.
    pub fn fit(table: &Table, rows: &[u32], treatment: &Treatment) -> Result<Self, PreprocessError> {
        table.matrix.check_rows(rows)?;
        Self::fit_columns(&table.names, &table.contents, rows.len(), treatment, &mut |column| {
            Ok(rows.iter().map(|&row| table.matrix.row(row as usize)[column]).collect())
        })
    }

    /// Fits columns whose values at the `rows` training rows `values` brings, one column at a time.
    pub(crate) fn fit_columns(
        names: &[String],
        contents: &[Content],
        rows: usize,
        treatment: &Treatment,
        values: &mut dyn FnMut(usize) -> Result<Vec<f32>, PreprocessError>,
    ) -> Result<Self, PreprocessError> {
        let mut columns = Vec::with_capacity(names.len());
        let fit = Fit::new(rows, treatment)?;
        for (at, (name, content)) in names.iter().zip(contents).enumerate() {
            let fitted = fit.column(name, content, &mut || values(at))?;
            columns.push(FittedColumn { name: name.clone(), fitted });
        }
        Self { columns }.within_limits()
    }

    /// Appends a row of the encoded matrix that is no record: numbers drawn evenly between the least and the largest raw value
    /// of training rows, after `clip_quantile`, all of which lie within `ranges` once encoded; any category as likely as
    /// another; nothing missing.
    ///
    /// # Panics
    /// If the ranges are not of as many columns.
    pub fn draw(&self, ranges: &Ranges, rng: &mut ChaCha8Rng, into: &mut Vec<f32>) {
        assert_eq!(ranges.0.len(), self.width(), "as many columns as were encoded");
        let start = into.len();
        for FittedColumn { fitted, .. } in &self.columns {
            match fitted {
                Fitted::Number { scaler, missed, .. } => {
                    into.push(scaler.draw(ranges.0[into.len() - start], uniform(rng)));
                    into.extend(missed.then_some(0.0));
                }
                Fitted::Category { names, embedding: Some(_), .. } => {
                    into.push((1 + below(rng, names.len().max(1))) as f32)
                }
                Fitted::Category { names, missed, .. } => {
                    let (at, count) = (below(rng, names.len().max(1)), names.len() + usize::from(*missed));
                    into.extend((0..count).map(|other| f32::from(u8::from(other == at))));
                }
            }
        }
    }

    /// Encodes every row of `table`: `[rows, width]`.
    ///
    /// # Errors
    /// When the table lacks a column that was fitted, has another or one of another type, or holds what no training
    /// row had and `treatment` does not accept it.
    pub fn encode(&self, table: Table, treatment: &Treatment) -> Result<Matrix, PreprocessError> {
        self.encode_noting(table, treatment, &mut Noted::default())
    }

    /// The same, noting what was taken for something else.
    pub(crate) fn encode_noting(
        &self,
        table: Table,
        treatment: &Treatment,
        noted: &mut Noted,
    ) -> Result<Matrix, PreprocessError> {
        let Table { names, contents, mut matrix, .. } = table;
        let encoder = RowEncoder::new(self, &names, &contents, treatment)?;
        if encoder.width() == matrix.cols() {
            if encoder.is_identity() && matrix.values().iter().all(|value| value.is_finite()) {
                return Ok(matrix);
            }
            let mut encoded = Vec::with_capacity(encoder.width());
            for (number, row) in matrix.rows_mut().enumerate() {
                encoded.clear();
                encoder.row(number, row, &mut encoded, noted)?;
                row.copy_from_slice(&encoded);
            }
            return Ok(matrix);
        }
        let mut encoded = Vec::with_capacity(matrix.rows() * encoder.width());
        for number in 0..matrix.rows() {
            encoder.row(number, matrix.row(number), &mut encoded, noted)?;
        }
        Ok(Matrix::from_checked(encoder.width(), encoded))
    }

    /// Number of columns of the encoded matrix.
    pub fn width(&self) -> usize {
        self.columns.iter().map(|column| column.fitted.width()).sum()
    }

    /// Columns of the table.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// What they hold, in numbers for a person: how many are numbers, how many categories, and of how many distinct ones.
    pub fn describe(&self) -> String {
        let (mut numbers, mut missed_by, mut distinct) = (0, 0, Vec::new());
        for FittedColumn { fitted, .. } in &self.columns {
            match fitted {
                Fitted::Number { missed, .. } => {
                    numbers += 1;
                    missed_by += usize::from(*missed);
                }
                Fitted::Category { names, rare, missed, .. } => {
                    distinct.push((names.len() + rare.len()).to_string());
                    missed_by += usize::from(*missed);
                }
            }
        }
        let mut text = format!("{numbers} columns of numbers, {} of categories", distinct.len());
        if !distinct.is_empty() {
            let more = if distinct.len() > MOST_COUNTS { ", ..." } else { "" };
            distinct.truncate(MOST_COUNTS);
            text += &format!(" ({}{more} distinct ones in training records)", distinct.join(", "));
        }
        if missed_by > 0 {
            text += &format!(", {missed_by} with missing values");
        }
        text
    }

    /// A name for each of them: that of the table's column, numbered where it became several. No category is in it.
    pub fn names(&self) -> Vec<String> {
        let named = |FittedColumn { name, fitted }: &FittedColumn| -> Vec<String> {
            match fitted.width() {
                1 => vec![name.clone()],
                width => (1..=width).map(|part| format!("{name} ({part} of {width})")).collect(),
            }
        };
        self.columns.iter().flat_map(named).collect()
    }

    /// Those of them that hold positions of categories.
    pub fn embedded(&self) -> Vec<Embedded> {
        let (mut at, mut found) = (0, Vec::new());
        for FittedColumn { fitted, .. } in &self.columns {
            if let Fitted::Category { names, missed, embedding: Some(width), .. } = fitted {
                let count = 1 + names.len() + usize::from(*missed);
                found.push(Embedded { column: at, count, width: *width });
            }
            at += fitted.width();
        }
        found
    }

    /// The types of the columns, as they were fixed in training: later records are read as these.
    pub fn types(&self, declared: &Types) -> Result<Types, PreprocessError> {
        let fixed = |FittedColumn { name, fitted }: &FittedColumn| {
            let rules = declared.get(name).cloned().unwrap_or_else(|| ColumnRules::from(fitted.kind()));
            if rules.kind != fitted.kind() {
                return Err(kind_differs(name, fitted.kind(), rules.kind));
            }
            Ok((name.clone(), rules))
        };
        self.columns.iter().map(fixed).collect()
    }

    /// As text, to be kept with a model.
    pub fn to_text(&self) -> String {
        // Unwrap safety: a list of names, numbers and texts.
        serde_json::to_string(self).expect("plain data")
    }

    /// From what [`Self::to_text`] gave.
    ///
    /// # Errors
    /// When the text is damaged.
    pub fn from_text(text: &str) -> Result<Self, PreprocessError> {
        let encoding: Self = serde_json::from_str(text).map_err(|_| PreprocessError::Stored)?;
        let sound = encoding.columns.iter().all(|column| match &column.fitted {
            Fitted::Number { fill, scaler, .. } => fill.is_none_or(f32::is_finite) && scaler.is_sound(),
            Fitted::Category { embedding, .. } => *embedding != Some(0),
        });
        if sound { encoding.within_limits() } else { Err(PreprocessError::Stored) }
    }

    fn within_limits(self) -> Result<Self, PreprocessError> {
        let width = self.width();
        if width as u64 <= MAX_COLUMNS { Ok(self) } else { Err(PreprocessError::TooWide { width }) }
    }
}

/// The column's type is another than at training.
pub(crate) fn kind_differs(name: &str, expected: ColumnType, found: ColumnType) -> PreprocessError {
    let word = |kind| match kind {
        ColumnType::Number => "numbers",
        ColumnType::Category => "categories",
    };
    PreprocessError::ColumnType { column: name.to_owned(), expected: word(expected), found: word(found) }
}

/// The fitting of a table's columns.
struct Fit<'a> {
    rows: usize,
    scale: Scale,
    treatment: &'a Treatment,
}

/// What became of values that are none of those at training.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Rows, ascending, that could not be encoded and are zeros, where faults are marked.
    pub faulty: Vec<u32>,
    /// Values of other rows that no training row had, and that were taken for no category or filled in.
    pub unseen: u64,
}

/// Columns whose numbers of categories are told, at most.
const MOST_COUNTS: usize = 20;

/// Brings a column's values at the training rows.
type Values<'a> = &'a mut dyn FnMut() -> Result<Vec<f32>, PreprocessError>;

impl<'a> Fit<'a> {
    fn new(rows: usize, treatment: &'a Treatment) -> Result<Self, PreprocessError> {
        let Treatment { preprocessing, clip, clip_quantile, .. } = *treatment;
        let scale = Scale { preprocessing, clip, clip_quantile };
        scale.check()?;
        if rows == 0 { Err(PreprocessError::NoRows) } else { Ok(Self { rows, scale, treatment }) }
    }

    fn column(&self, name: &str, content: &Content, values: Values<'_>) -> Result<Fitted, PreprocessError> {
        let rules = self.treatment.types.get(name);
        match content {
            Content::Number => self.number(name, rules.map_or(Fill::default(), |rules| rules.fill), values),
            Content::Category(names) => self.category(name, rules, names, &values()?),
        }
    }

    fn number(&self, name: &str, fill: Fill, values: Values<'_>) -> Result<Fitted, PreprocessError> {
        let as_is = self.scale.preprocessing == Preprocessing::None && self.scale.clip_quantile.is_none();
        if as_is && self.treatment.missing(name) == Missing::Error {
            return Ok(Fitted::Number { fill: None, missed: false, scaler: Scaler::identity() });
        }
        let mut values = values()?;
        values.retain(|value| !value.is_nan());
        if values.is_empty() {
            return Err(PreprocessError::AllMissing { column: name.to_owned() });
        }
        let fill = match fill {
            Fill::Mean => {
                (values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64) as f32
            }
            Fill::Median => {
                let middle = values.len() / 2;
                *values.clone().select_nth_unstable_by(middle, f32::total_cmp).1
            }
        };
        let missed = values.len() < self.rows;
        Ok(Fitted::Number { fill: Some(fill), missed, scaler: self.scale.fit(values) })
    }

    fn category(
        &self,
        name: &str,
        rules: Option<&ColumnRules>,
        names: &[String],
        values: &[f32],
    ) -> Result<Fitted, PreprocessError> {
        let mut counts = vec![0_usize; names.len()];
        let present = values.iter().filter(|value| !value.is_nan());
        present.clone().for_each(|value| counts[*value as usize] += 1);
        let missed = present.count() < values.len();
        let least = rules.map_or(1, |rules| rules.min_count).max(1);
        let sorted = |chosen: &dyn Fn(usize) -> bool| {
            let chosen = names.iter().zip(&counts).filter(|(_, count)| chosen(**count));
            let mut names: Vec<String> = chosen.map(|(name, _)| name.clone()).collect();
            names.sort_unstable();
            names
        };
        let rare = sorted(&|count| count > 0 && count < least);
        let names = sorted(&|count| count >= least);
        let column = || name.to_owned();
        if names.len() > FEW_CATEGORIES && names.len() > self.rows / 2 {
            return Err(PreprocessError::NearlyUnique {
                column: column(),
                categories: names.len(),
                rows: self.rows,
            });
        }
        let count = names.len() + usize::from(missed);
        if count == 0 {
            return Err(PreprocessError::AllMissing { column: column() });
        }
        let embedding = match rules.and_then(|rules| rules.embedding) {
            Some(0) => None,
            Some(width) => Some(width),
            None => (count > ONE_HOT_MOST).then_some(EMBEDDING),
        };
        Ok(Fitted::Category { names, rare, missed, embedding })
    }
}

/// Positions of `names`, which older models may hold as their tables wrote them.
pub(crate) fn positions(names: &[String]) -> HashMap<&str, u32> {
    names.iter().map(|name| category_text(name)).zip(0..).collect()
}

/// Shows sizes only: what was fitted are statistics and categories of private data.
impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoding({} columns to {})", self.columns.len(), self.width())
    }
}

#[cfg(test)]
mod tests;
