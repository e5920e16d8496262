//! Columns on a common scale: mean 0 and deviation 1 over the training rows.
//!
//! A [`Standardizer`] is fitted on training rows alone, so that nothing of the test rows flows
//! into training, and is stored beside the model, so that later records are treated alike.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::matrix::{Matrix, MatrixError};
use crate::quantile::Quantiles;

/// What is done to the columns before training.
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

/// What was fitted on the training rows, to be done to all rows and to later ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessor {
    /// From values to scores, for [`Preprocessing::Quantile`].
    pub quantiles: Option<Quantiles>,
    /// To mean 0 and deviation 1.
    pub standardizer: Standardizer,
}

impl Preprocessor {
    /// Treats every row of `matrix` in place.
    ///
    /// # Errors
    /// When the matrix has another number of columns than the one fitted on.
    pub fn apply(&self, matrix: &mut Matrix) -> Result<(), PreprocessError> {
        let expected = self.standardizer.mean().len();
        if matrix.cols() != expected {
            return Err(PreprocessError::Columns { expected, found: matrix.cols() });
        }
        if let Some(quantiles) = &self.quantiles {
            quantiles.apply(matrix);
        }
        self.standardizer.apply(matrix)
    }
}

/// Each column's mean and scale, and how far from the mean a value may lie.
#[derive(Clone, PartialEq)]
pub struct Standardizer {
    mean: Vec<f32>,
    scale: Vec<f32>,
    clip: Option<f32>,
}

/// Why columns could not be standardised.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PreprocessError {
    /// There is nothing to fit on.
    #[error("no training rows to fit on, expected at least one; check the split")]
    NoRows,
    /// A training row does not exist.
    #[error(transparent)]
    Rows(#[from] MatrixError),
    /// The table has another number of columns than the one fitted on.
    #[error("{found} columns, expected {expected} as fitted; load the same columns as for training")]
    Columns {
        /// Columns fitted on.
        expected: usize,
        /// Columns of the table.
        found: usize,
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
    /// A stored standardizer is damaged.
    #[error(
        "stored mean and scale do not fit together: expected as many means as scales, all finite, \
         scales above 0; restore the file from a checkpoint"
    )]
    Stored,
}

impl Preprocessing {
    /// Fits what is to be done on the training `rows` and does it to all rows, in place; `None` when nothing is
    /// to be done.
    ///
    /// `clip`, in standard deviations, bounds the values after standardisation.
    ///
    /// # Errors
    /// As for [`Standardizer::fit`], and when `clip` is set without standardisation.
    pub fn fit_apply(
        self,
        matrix: &mut Matrix,
        rows: &[u32],
        clip: Option<f32>,
    ) -> Result<Option<Preprocessor>, PreprocessError> {
        matrix.check_rows(rows)?;
        let quantiles = match self {
            Self::None if clip.is_some() => return Err(PreprocessError::ClipWithoutScale),
            Self::None => return Ok(None),
            _ if rows.is_empty() => return Err(PreprocessError::NoRows),
            Self::Standardize => None,
            Self::Quantile => Some(Quantiles::fit(matrix, rows)),
        };
        if let Some(quantiles) = &quantiles {
            quantiles.apply(matrix);
        }
        let standardizer = Standardizer::fit(matrix, rows, clip)?;
        standardizer.apply(matrix)?;
        Ok(Some(Preprocessor { quantiles, standardizer }))
    }
}

impl Standardizer {
    /// Fits each column's mean and deviation on the given rows of `matrix`, the training rows.
    ///
    /// Sums are in f64. A column that is constant over those rows gets scale 1. `clip`, in
    /// standard deviations, bounds the values that [`Self::apply`] gives.
    ///
    /// # Errors
    /// When there are no rows, a row does not exist, or `clip` is not finite and above 0.
    pub fn fit(matrix: &Matrix, rows: &[u32], clip: Option<f32>) -> Result<Self, PreprocessError> {
        check_clip(clip)?;
        matrix.check_rows(rows)?;
        if rows.is_empty() {
            return Err(PreprocessError::NoRows);
        }
        let count = rows.len() as f64;
        let average = |term: &dyn Fn(usize, f64) -> f64| {
            let mut sums = vec![0.0; matrix.cols()];
            for &row in rows {
                for (column, &value) in matrix.row(row as usize).iter().enumerate() {
                    sums[column] += term(column, f64::from(value));
                }
            }
            sums.iter_mut().for_each(|sum| *sum /= count);
            sums
        };
        let mean = average(&|_, value| value);
        let variance = average(&|column, value| (value - mean[column]).powi(2));
        let scale = mean.iter().zip(&variance).map(|(&m, &v)| scale(m, v));
        Ok(Self { scale: scale.collect(), mean: mean.iter().map(|&mean| mean as f32).collect(), clip })
    }

    /// A standardizer fitted before, from what [`Self::mean`], [`Self::scale`] and [`Self::clip`] gave.
    ///
    /// # Errors
    /// When the parts do not fit together.
    pub fn from_parts(mean: Vec<f32>, scale: Vec<f32>, clip: Option<f32>) -> Result<Self, PreprocessError> {
        check_clip(clip)?;
        let means_fit = mean.iter().all(|mean| mean.is_finite());
        let scales_fit = scale.iter().all(|s| s.is_finite() && *s > 0.0);
        if mean.len() != scale.len() || !means_fit || !scales_fit {
            return Err(PreprocessError::Stored);
        }
        Ok(Self { mean, scale, clip })
    }

    /// Standardises every row of `matrix` in place.
    ///
    /// # Errors
    /// When the matrix has another number of columns than the one fitted on; it is left as is.
    pub fn apply(&self, matrix: &mut Matrix) -> Result<(), PreprocessError> {
        if matrix.cols() != self.mean.len() {
            return Err(PreprocessError::Columns { expected: self.mean.len(), found: matrix.cols() });
        }
        // Without a clip only what f32 can hold bounds a value far from a narrow column's mean.
        let bound = self.clip.unwrap_or(f32::MAX);
        for row in matrix.rows_mut() {
            for ((value, &mean), &scale) in row.iter_mut().zip(&self.mean).zip(&self.scale) {
                let standard = (f64::from(*value) - f64::from(mean)) / f64::from(scale);
                *value = (standard as f32).clamp(-bound, bound);
            }
        }
        Ok(())
    }

    /// Each column's mean over the training rows: `[columns]`.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Each column's deviation over the training rows, 1 for a constant column: `[columns]`.
    pub fn scale(&self) -> &[f32] {
        &self.scale
    }

    /// The largest distance from 0 after standardisation, in standard deviations.
    pub fn clip(&self) -> Option<f32> {
        self.clip
    }
}

/// The deviation, or 1 where it is no more than the rounding of the values.
fn scale(mean: f64, variance: f64) -> f32 {
    let deviation = variance.sqrt();
    let rounding = mean.abs() * 1e-7 + f64::from(f32::MIN_POSITIVE);
    if deviation <= rounding {
        return 1.0;
    }
    deviation as f32
}

fn check_clip(clip: Option<f32>) -> Result<(), PreprocessError> {
    match clip {
        Some(clip) if !(clip.is_finite() && clip > 0.0) => Err(PreprocessError::Clip { clip }),
        _ => Ok(()),
    }
}

/// Shows the number of columns only: means are statistics of private data.
impl fmt::Debug for Standardizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Standardizer({} columns)", self.mean.len())
    }
}

#[cfg(test)]
#[path = "preprocess_tests.rs"]
mod tests;
