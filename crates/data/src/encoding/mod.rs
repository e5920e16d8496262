//! Turns columns into the numbers that a model takes. The encoding is fitted on the training rows alone and kept with the model.
//!
//! A column of numbers is brought to a common scale. If training rows miss values of it, a column of 0 and 1 says which. A
//! column of categories becomes one column of 0 and 1 per category (one-hot). If there are many, it becomes one column of
//! positions in a dictionary, whose embedding the model learns (Guo and Berkhahn 2016). Position 0, or all 0, stands for every
//! rare or new category.

pub(crate) mod content;
pub(crate) mod error;
pub(crate) mod fit;
pub(crate) mod fitted;
pub(crate) mod preprocess;
pub(crate) mod quantile;
pub(crate) mod ranges;
pub(crate) mod row_encoder;
pub(crate) mod scale;
pub(crate) mod treatment;

use std::fmt;

use hashvfl_core::random::{below, uniform};
use hashvfl_core::text::counted;
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::encoding::content::Content;
use crate::encoding::error::PreprocessError;
use crate::encoding::fit::Fit;
use crate::encoding::fitted::{Fitted, FittedColumn, kind_differs};
use crate::encoding::ranges::Ranges;
use crate::encoding::row_encoder::{EncodingNotes, RowEncoder};
use crate::encoding::treatment::{ColumnRules, Treatment, Types};
use crate::limits::MAX_COLUMNS;
use crate::table::matrix::Matrix;
use crate::table::{ImageShape, PixelValues, Table};

/// For at most this many columns the number of categories is shown.
const MOST_COUNTS: usize = 20;

/// What was fitted on every column.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoding {
    pub(crate) columns: Vec<FittedColumn>,
    /// What the pixels of training were; absent where there were none, or the source or an older program did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pixels: Option<PixelValues>,
}

/// A column of the encoded matrix that holds positions of categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedColumn {
    /// The column.
    pub column: usize,
    /// Number of positions, including 0, which stands for rare and new categories.
    pub count: usize,
    /// Floats that the model learns per position.
    pub width: usize,
}

impl Encoding {
    /// Fits every column of `table` on the training `rows`.
    ///
    /// # Errors
    /// When there are no rows, a row does not exist, a setting is out of range, or a column cannot be encoded.
    pub fn fit(table: &Table, rows: &[u32], treatment: &Treatment) -> Result<Self, PreprocessError> {
        table.matrix.check_rows(rows)?;
        let fitted = Self::fit_columns(
            &table.names,
            &table.contents,
            table.image,
            rows.len(),
            treatment,
            &mut |column| Ok(rows.iter().map(|&row| table.matrix.row(row as usize)[column]).collect()),
        )?;
        Ok(Self { pixels: table.pixels, ..fitted })
    }

    /// Fits columns one at a time. `values` returns a column's values at the training rows, of which there are `rows`. Columns of
    /// one value go to the log, unless they are pixels of an image, whose border is often the same in all.
    pub(crate) fn fit_columns(
        names: &[String],
        contents: &[Content],
        image: Option<ImageShape>,
        rows: usize,
        treatment: &Treatment,
        values: &mut dyn FnMut(usize) -> Result<Vec<f32>, PreprocessError>,
    ) -> Result<Self, PreprocessError> {
        let mut columns = Vec::with_capacity(names.len());
        let mut fit = Fit::new(rows, treatment)?;
        for (at, (name, content)) in names.iter().zip(contents).enumerate() {
            let fitted = fit.column(name, content, &mut || values(at))?;
            columns.push(FittedColumn { name: name.clone(), fitted });
        }
        if let Some(told) = fit.told_of_constants().filter(|_| image.is_none()) {
            warn!("{told}");
        }
        Self { columns, pixels: None }.within_limits()
    }

    /// Appends a synthetic row of the encoded matrix. Numbers are drawn uniformly between the least and the largest raw value of
    /// training rows, after `clip_quantile`; `ranges` are the ranges of these values once encoded. Every category is as likely
    /// as another, and nothing is missing.
    ///
    /// # Panics
    /// If `ranges` has another number of columns.
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
        self.encode_noting(table, treatment, &mut EncodingNotes::default())
    }

    /// The same, counting values that no training row had in `noted`.
    pub(crate) fn encode_noting(
        &self,
        table: Table,
        treatment: &Treatment,
        noted: &mut EncodingNotes,
    ) -> Result<Matrix, PreprocessError> {
        let Table { names, contents, mut matrix, pixels, .. } = table;
        if let Some((expected, found)) = self.pixels.zip(pixels).filter(|(expected, found)| expected != found)
        {
            return Err(PreprocessError::Pixels { expected, found });
        }
        let encoder = RowEncoder::new(&self.columns, &names, &contents, treatment)?;
        noted.unknown_columns = encoder.unknown_columns();
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

    /// A summary for a person: how many columns hold numbers, how many hold categories, and how many distinct ones.
    pub fn describe(&self) -> String {
        let (mut numbers, mut by_rank, mut missed_by, mut distinct) = (0, 0, 0, Vec::new());
        for FittedColumn { fitted, .. } in &self.columns {
            match fitted {
                Fitted::Number { missed, scaler, .. } => {
                    numbers += 1;
                    by_rank += usize::from(scaler.is_by_rank());
                    missed_by += usize::from(*missed);
                }
                Fitted::Category { names, rare, missed, .. } => {
                    distinct.push((names.len() + rare.len()).to_string());
                    missed_by += usize::from(*missed);
                }
            }
        }
        let mut text = format!("{} of numbers", counted(numbers, "column"));
        if by_rank > 0 {
            text += &format!(" ({by_rank} of them by rank)");
        }
        text += &format!(", {} of categories", distinct.len());
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

    /// A name for each column of the encoded matrix: that of the table's column, numbered if it became several. No name
    /// shows a category.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::with_capacity(self.width());
        for FittedColumn { name, fitted } in &self.columns {
            match fitted.width() {
                1 => names.push(name.clone()),
                width => names.extend((1..=width).map(|part| format!("{name} ({part} of {width})"))),
            }
        }
        names
    }

    /// For each column of the encoded matrix, the name of the table's column that it comes from.
    pub fn sources(&self) -> Vec<String> {
        let of = |column: &FittedColumn| std::iter::repeat_n(column.name.clone(), column.fitted.width());
        self.columns.iter().flat_map(of).collect()
    }

    /// The columns of the encoded matrix that hold positions of categories.
    pub fn embedded(&self) -> Vec<EmbeddedColumn> {
        let (mut at, mut found) = (0, Vec::new());
        for FittedColumn { fitted, .. } in &self.columns {
            if let Fitted::Category { names, missed, embedding: Some(width), .. } = fitted {
                let count = 1 + names.len() + usize::from(*missed);
                found.push(EmbeddedColumn { column: at, count, width: *width });
            }
            at += fitted.width();
        }
        found
    }

    /// The types of the columns, as they were fixed in training: later records are read as these.
    ///
    /// # Errors
    /// When a column is declared to be of another type than in training.
    pub fn types(&self, declared: &Types) -> Result<Types, PreprocessError> {
        let mut types = Types::new();
        for FittedColumn { name, fitted } in &self.columns {
            let rules = declared.get(name).cloned().unwrap_or_else(|| ColumnRules::from(fitted.kind()));
            if rules.kind != fitted.kind() {
                return Err(kind_differs(name, fitted.kind(), rules.kind));
            }
            types.insert(name.clone(), rules);
        }
        Ok(types)
    }

    /// The encoding as text, to be kept with a model.
    pub fn to_text(&self) -> String {
        // Unwrap safety: a list of names, numbers and texts.
        serde_json::to_string(self).expect("plain data")
    }

    /// Reads the text that [`Self::to_text`] returned.
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

/// Shows sizes only: what was fitted are statistics and categories of private data.
impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoding({} columns to {})", self.columns.len(), self.width())
    }
}

#[cfg(test)]
mod tests;
