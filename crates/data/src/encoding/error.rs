//! Why columns could not be encoded.

use crate::limits::MAX_COLUMNS;
use crate::table::PixelValues;
use crate::table::matrix::MatrixError;

/// Why columns could not be encoded. Messages name columns and numbers of records, never values.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PreprocessError {
    /// There is nothing to fit on.
    #[error("no training rows to fit on, expected at least one; check the split")]
    NoRows,
    /// A training row does not exist.
    #[error(transparent)]
    Rows(#[from] MatrixError),
    /// The table lacks columns that were fitted on, or has others.
    #[error(
        "the table's columns are not those of training: {problem}; load the same columns as for training"
    )]
    Columns {
        /// Which columns, by name.
        problem: String,
    },
    /// A column holds another type than at training.
    #[error(
        "column {column:?} holds {found}, at training it held {expected}; load the same columns as for training"
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
        "the pixels are {}, at training they were {}: one picture would become other values; save the arrays as the type of \
         training", words(.found), words(.expected)
    )]
    Pixels {
        /// What they were.
        expected: PixelValues,
        /// What they are.
        found: PixelValues,
    },
    /// Every training row misses its value.
    #[error("column {column:?} has no value in any training record; leave the column out")]
    AllMissing {
        /// The column's name.
        column: String,
    },
    /// Nearly every training row has a category of its own.
    #[error(
        "column {column:?} has {categories} categories in {rows} training records: that is an id or free text; leave the column out, or set min_count in its type"
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
        "the columns become {width} columns of numbers, expected at most {MAX_COLUMNS}; leave embedding away in the types of columns with many categories"
    )]
    TooWide {
        /// Columns of numbers.
        width: usize,
    },
    /// A category that no training row had.
    #[error(
        "column {column:?}, record {record}: a category that no training record had, and unseen = \"error\"; check the record, or set unseen = \"accept\""
    )]
    NewCategory {
        /// The column's name.
        column: String,
        /// The record's number in the table, from 1.
        record: usize,
    },
    /// A missing value in a column that missed none in training.
    #[error(
        "column {column:?}, record {record}: a missing value where no training record missed one, and unseen = \"error\"; check the record, or set unseen = \"accept\""
    )]
    NewMissing {
        /// The column's name.
        column: String,
        /// The record's number in the table, from 1.
        record: usize,
    },
    /// `clip` is out of range.
    #[error("clip = {clip}, expected a finite number above 0; 10 is usual")]
    Clip {
        /// The setting.
        clip: f32,
    },
    /// `clip` is set and nothing is standardised.
    #[error(
        "clip is set but preprocessing is \"none\", expected \"standardize\" or \"quantile\": clip counts standard \
         deviations; remove one of the two"
    )]
    ClipWithoutScale,
    /// `clip_quantile` is out of range.
    #[error("clip_quantile = {share}, expected a number above 0 and below 0.5; 0.001 is usual")]
    ClipQuantile {
        /// The setting.
        share: f64,
    },
    /// The cache on disk cannot be used.
    #[error("{0}")]
    Cache(String),
    /// What was stored with the model is damaged.
    #[error("the model file's preprocessing is damaged; restore the file from a checkpoint")]
    Stored,
}

fn words(pixels: &PixelValues) -> &'static str {
    match pixels {
        PixelValues::Bytes => "bytes, of which 0 to 255 become 0 to 1",
        PixelValues::Numbers => "numbers that are taken as they are",
    }
}
