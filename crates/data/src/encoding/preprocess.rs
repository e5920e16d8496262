//! Columns on a common scale, fitted on the training rows alone, so that nothing of the test rows flows into training.

use hashvfl_core::random::uniform;
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::encoding::ranges::Ranges;
use crate::encoding::scale::{Scale, Scaler};
use crate::limits::MAX_COLUMNS;
use crate::store::matrix::{Matrix, MatrixError};

/// What is done to columns of numbers before training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preprocessing {
    /// Nothing: the columns have a common scale already, as pixels have.
    None,
    /// Each column gets mean 0 and deviation 1 over the training rows.
    #[default]
    Standardize,
    /// Each value becomes the normal score of its rank among the training rows, standardised then.
    Quantile,
}

/// Why columns could not be brought to numbers. Messages name columns and records' numbers, never values.
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
    /// `clip` is no distance.
    #[error("clip = {clip}, expected a finite number above 0; 10 is usual")]
    Clip {
        /// The setting.
        clip: f32,
    },
    /// `clip` is set and nothing is standardised.
    #[error(
        "clip is set but preprocessing is \"none\", expected \"standardize\": clip counts standard \
         deviations; remove one of the two"
    )]
    ClipWithoutScale,
    /// `clip_quantile` is no share.
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

/// What was fitted on the training rows of a matrix of numbers, one scaler a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessor(Vec<Scaler>);

impl Preprocessor {
    /// Does it to all rows of `matrix`, in place.
    ///
    /// # Panics
    /// If `matrix` has another number of columns than the one that was fitted.
    pub fn apply(&self, matrix: &mut Matrix) {
        assert_eq!(self.0.len(), matrix.cols(), "as many columns as were fitted");
        for row in matrix.rows_mut() {
            row.iter_mut().zip(&self.0).for_each(|(value, scaler)| *value = scaler.apply(*value));
        }
    }

    /// Appends a row that is drawn evenly over the raw values of training rows, which lie within `ranges` after
    /// preprocessing.
    ///
    /// # Panics
    /// If there are not as many ranges as columns were fitted.
    pub fn draw(&self, ranges: &Ranges, rng: &mut ChaCha8Rng, into: &mut Vec<f32>) {
        assert_eq!(self.0.len(), ranges.0.len(), "as many columns as were fitted");
        into.extend(self.0.iter().zip(&ranges.0).map(|(scaler, range)| scaler.draw(*range, uniform(rng))));
    }
}

impl Preprocessing {
    /// Fits what is to be done on the training `rows` of a matrix of numbers; `None` where nothing is.
    ///
    /// `clip`, in standard deviations, bounds the values after standardisation.
    ///
    /// # Errors
    /// When there are no rows, a row does not exist, `clip` is not finite and above 0, or is set without
    /// standardisation.
    pub fn fit(
        self,
        matrix: &Matrix,
        rows: &[u32],
        clip: Option<f32>,
    ) -> Result<Option<Preprocessor>, PreprocessError> {
        let scale = Scale { preprocessing: self, clip, clip_quantile: None };
        scale.check()?;
        matrix.check_rows(rows)?;
        if self == Self::None {
            return Ok(None);
        }
        if rows.is_empty() {
            return Err(PreprocessError::NoRows);
        }
        let fit = |column| scale.fit(rows.iter().map(|&row| matrix.row(row as usize)[column]).collect());
        Ok(Some(Preprocessor((0..matrix.cols()).map(fit).collect())))
    }

    /// Fits it and does it to all rows, in place.
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn fit_apply(
        self,
        matrix: &mut Matrix,
        rows: &[u32],
        clip: Option<f32>,
    ) -> Result<Option<Preprocessor>, PreprocessError> {
        let fitted = self.fit(matrix, rows, clip)?;
        if let Some(preprocessor) = &fitted {
            preprocessor.apply(matrix);
        }
        Ok(fitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, values: &[f32]) -> Matrix {
        Matrix::new(rows, values.len() / rows, values.to_vec()).unwrap()
    }

    fn standardized(rows: usize, values: &[f32], train: &[u32], clip: Option<f32>) -> Vec<f32> {
        let mut table = matrix(rows, values);
        Preprocessing::Standardize.fit_apply(&mut table, train, clip).unwrap();
        table.into_values()
    }

    #[test]
    fn only_training_rows_are_fitted_and_every_row_is_changed() {
        let found = standardized(3, &[1.0, 10.0, 3.0, 10.0, 7.0, 12.0], &[0, 1], None);
        assert_eq!(found, [-1.0, 0.0, 1.0, 0.0, 5.0, 2.0]);
    }

    #[test]
    fn a_clip_bounds_what_lies_far_out() {
        assert_eq!(standardized(3, &[-1.0, 1.0, 500.0], &[0, 1], Some(10.0)), [-1.0, 1.0, 10.0]);
    }

    #[test]
    fn large_values_keep_their_differences_and_results_stay_finite() {
        let large = [16_000_000.0, 16_000_002.0, 16_000_000.0, 16_000_002.0];
        assert!(standardized(4, &large, &[0, 1, 2, 3], None).iter().all(|value| value.abs() <= 1.0));
        let extreme = standardized(3, &[f32::MAX, f32::MIN, f32::MAX], &[0, 1, 2], None);
        assert!(extreme.iter().all(|value| value.abs() < 2.0));
        let narrow = standardized(3, &[0.0, 1e-30, f32::MAX], &[0, 1], None);
        assert!(narrow.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn a_constant_column_is_only_shifted_whatever_its_value() {
        for value in [0.0, 0.1, -3.7e7, 1e-44] {
            let found = standardized(4, &[value, value, value, value + 1.0], &[0, 1, 2], None);
            assert!((found[3] - (value + 1.0 - value)).abs() < 1e-6, "{value}");
        }
    }

    #[test]
    fn faults_are_refused() {
        let fit = |preprocessing: Preprocessing, rows: &[u32], clip| {
            preprocessing.fit_apply(&mut matrix(2, &[1.0, 2.0, 3.0, 4.0]), rows, clip)
        };
        assert_eq!(fit(Preprocessing::Standardize, &[], None), Err(PreprocessError::NoRows));
        assert!(matches!(fit(Preprocessing::Standardize, &[2], None), Err(PreprocessError::Rows(_))));
        for clip in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let error = fit(Preprocessing::Standardize, &[0], Some(clip)).unwrap_err();
            assert!(matches!(error, PreprocessError::Clip { .. }));
        }
        assert_eq!(fit(Preprocessing::None, &[0], Some(10.0)), Err(PreprocessError::ClipWithoutScale));
        assert_eq!(fit(Preprocessing::None, &[0], None), Ok(None));
    }
}
