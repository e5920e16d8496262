//! Why columns could not be encoded.

use crate::limits::MAX_COLUMNS;
use crate::table::PixelValues;
use crate::table::matrix::MatrixError;

/// Why columns could not be encoded. Messages name columns and numbers of records, never values.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PreprocessError {
    /// There is nothing to fit on.
    #[error(
        "no training records to fit the columns on; use more records, or smaller validation and test fractions in \
         [run]"
    )]
    NoRows,
    /// A training row does not exist.
    #[error(transparent)]
    Rows(#[from] MatrixError),
    /// The table lacks columns that were fitted on, or has others.
    #[error(
        "the table's columns differ from those of training: {problem}; load the same columns as for training"
    )]
    Columns {
        /// Which columns, by name.
        problem: String,
    },
    /// A column holds another type than at training.
    #[error(
        "column {column:?} holds {found}, but held {expected} in training; load the same columns as for training"
    )]
    ColumnType {
        /// The column's name.
        column: String,
        /// What it held.
        expected: &'static str,
        /// What it holds.
        found: &'static str,
    },
    /// Pixels of another type than at training.
    #[error(
        "the pixels are {}, but were {} in training, so the same picture would give different values; save the arrays \
         with the type used in training", words(.found), words(.expected)
    )]
    Pixels {
        /// What they were.
        expected: PixelValues,
        /// What they are.
        found: PixelValues,
    },
    /// Every training row misses its value.
    #[error("column {column:?} has no value in any training record; exclude it with `ignore`")]
    AllMissing {
        /// The column's name.
        column: String,
    },
    /// Nearly every training row has a category of its own.
    #[error(
        "column {column:?} has {categories} categories in {rows} training records, so it looks like an id or free \
         text; exclude it with `ignore`, or set min_count in [types]"
    )]
    NearlyUnique {
        /// The column's name.
        column: String,
        /// Distinct values.
        categories: usize,
        /// Training rows.
        rows: usize,
    },
    /// The encoded table would be too wide.
    #[error(
        "encoding gives {width} columns of numbers, but at most {MAX_COLUMNS} are allowed; in [types], remove \
         embedding = 0 from columns with many categories"
    )]
    TooWide {
        /// Columns of numbers.
        width: usize,
    },
    /// A category that no training row had.
    #[error(
        "column {column:?}, record {record}: a category that no training record had, which unseen = \"error\" \
         refuses; check the record, or set unseen = \"accept\""
    )]
    NewCategory {
        /// The column's name.
        column: String,
        /// The record's number in the table, from 1.
        record: usize,
    },
    /// A missing value in a column that missed none in training.
    #[error(
        "column {column:?}, record {record}: a missing value in a column without missing values in training, which \
         unseen = \"error\" refuses; check the record, or set unseen = \"accept\""
    )]
    NewMissing {
        /// The column's name.
        column: String,
        /// The record's number in the table, from 1.
        record: usize,
    },
    /// `clip` is out of range.
    #[error("clip = {clip}: expected a finite number above 0, such as 10")]
    Clip {
        /// The setting.
        clip: f32,
    },
    /// `clip` is set and nothing is standardised.
    #[error(
        "clip is set but preprocessing is \"none\": clip is in standard deviations and needs preprocessing = \
         \"standardize\", \"quantile\" or \"auto\"; remove clip or change preprocessing"
    )]
    ClipWithoutScale,
    /// `clip_quantile` is out of range.
    #[error("clip_quantile = {share}: expected a number above 0 and below 0.5, such as 0.001")]
    ClipQuantile {
        /// The setting.
        share: f64,
    },
    /// The cache on disk cannot be used.
    #[error("{0}")]
    Cache(String),
    /// What was stored with the model is damaged.
    #[error(
        "the model file's preprocessing is damaged; restore the model file from a backup, or train again"
    )]
    Stored,
}

fn words(pixels: &PixelValues) -> &'static str {
    match pixels {
        PixelValues::Bytes => "bytes (0 to 255 are scaled to 0 to 1)",
        PixelValues::Numbers => "numbers (used without scaling)",
    }
}
