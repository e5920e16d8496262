//! Brings columns to a common scale, fitted on the training rows alone, so that no information of test rows leaks into training.

use hashvfl_core::random::uniform;
use rand::rngs::ChaCha8Rng;

use crate::encoding::error::PreprocessError;
use crate::encoding::ranges::Ranges;
use crate::encoding::scale::{ColumnScaling, Preprocessing, Scaler};
use crate::table::matrix::Matrix;

/// What was fitted on the training rows of a matrix of numbers: one scaler per column.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessor(Vec<Scaler>);

impl Preprocessor {
    /// Scales all rows of `matrix`, in place.
    ///
    /// # Panics
    /// If `matrix` has another number of columns than the one that was fitted.
    pub fn apply(&self, matrix: &mut Matrix) {
        assert_eq!(self.0.len(), matrix.cols(), "as many columns as were fitted");
        for row in matrix.rows_mut() {
            row.iter_mut().zip(&self.0).for_each(|(value, scaler)| *value = scaler.apply(*value));
        }
    }

    /// Appends a row that is drawn uniformly over the range of raw values of training rows. `ranges` are the ranges of these
    /// values after preprocessing.
    ///
    /// # Panics
    /// If there are not as many ranges as columns were fitted.
    pub fn draw(&self, ranges: &Ranges, rng: &mut ChaCha8Rng, into: &mut Vec<f32>) {
        assert_eq!(self.0.len(), ranges.0.len(), "as many columns as were fitted");
        into.extend(self.0.iter().zip(&ranges.0).map(|(scaler, range)| scaler.draw(*range, uniform(rng))));
    }
}

impl Preprocessing {
    /// Fits a scaler per column on the training `rows` of a matrix of numbers; `None` for [`Preprocessing::None`].
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
        let scale = ColumnScaling { preprocessing: self, clip, clip_quantile: None };
        scale.check()?;
        matrix.check_rows(rows)?;
        if self == Self::None {
            return Ok(None);
        }
        if rows.is_empty() {
            return Err(PreprocessError::NoRows);
        }
        let mut scalers = Vec::with_capacity(matrix.cols());
        for column in 0..matrix.cols() {
            scalers.push(scale.fit(rows.iter().map(|&row| matrix.row(row as usize)[column]).collect()));
        }
        Ok(Some(Preprocessor(scalers)))
    }

    /// Fits the scalers and applies them to all rows, in place.
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
