//! Brings one column to a common scale, fitted on training rows. In this order values are cut off at quantiles, ranked,
//! standardised and clipped.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::encoding::error::PreprocessError;
use crate::encoding::quantile::Curve;

/// What is done to columns of numbers before training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preprocessing {
    /// Nothing, for columns that have a common scale already, as pixels do.
    None,
    /// Each column gets mean 0 and deviation 1 over the training rows.
    #[default]
    Standardize,
    /// Each value becomes the normal score of its rank among the training rows, and is then standardised.
    Quantile,
    /// Each column by itself: as [`Self::Quantile`] where its values at the training rows are skewed, as
    /// [`Self::Standardize`] elsewhere.
    Auto,
}

/// Columns of a larger skewness than this, to either side, are skewed: an exponential distribution has 2.
const MOST_SKEWNESS: f64 = 2.0;

/// What was fitted on one column's training rows; applies to all its values.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaler {
    /// Where raw values are cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bounds: Option<(f32, f32)>,
    /// Maps values to scores, for columns that are taken by rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    curve: Option<Curve>,
    mean: f32,
    scale: f32,
    /// Where standardised values are cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clip: Option<f32>,
}

/// How a column is scaled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnScaling {
    pub preprocessing: Preprocessing,
    pub clip: Option<f32>,
    pub clip_quantile: Option<f64>,
}

impl ColumnScaling {
    /// Fails if a setting is out of range, or settings contradict each other.
    pub(crate) fn check(self) -> Result<(), PreprocessError> {
        match self.clip {
            Some(clip) if !(clip.is_finite() && clip > 0.0) => return Err(PreprocessError::Clip { clip }),
            Some(_) if self.preprocessing == Preprocessing::None => {
                return Err(PreprocessError::ClipWithoutScale);
            }
            _ => {}
        }
        match self.clip_quantile {
            Some(share) if !(share > 0.0 && share < 0.5) => Err(PreprocessError::ClipQuantile { share }),
            _ => Ok(()),
        }
    }

    /// Fits a column on its `values` at training rows, in the order of the rows. There has to be at least one.
    pub(crate) fn fit(self, mut values: Vec<f32>) -> Scaler {
        let bounds = self.clip_quantile.map(|share| quantiles(&values, share));
        if let Some((low, high)) = bounds {
            values.iter_mut().for_each(|value| *value = value.clamp(low, high));
        }
        let by_rank = match self.preprocessing {
            Preprocessing::None | Preprocessing::Standardize => false,
            Preprocessing::Quantile => true,
            Preprocessing::Auto => skewness(&values).abs() > MOST_SKEWNESS,
        };
        let curve = by_rank.then(|| Curve::fit(&values));
        if let Some(curve) = &curve {
            values.iter_mut().for_each(|value| *value = curve.score(*value));
        }
        let (mean, scale) = match self.preprocessing {
            Preprocessing::None => (0.0, 1.0),
            Preprocessing::Standardize | Preprocessing::Quantile | Preprocessing::Auto => moments(&values),
        };
        Scaler { bounds, curve, mean, scale, clip: self.clip }
    }
}

impl Scaler {
    /// A scaler that leaves values as they are.
    pub(crate) fn identity() -> Self {
        Self { bounds: None, curve: None, mean: 0.0, scale: 1.0, clip: None }
    }

    /// Whether values stay as they are.
    pub(crate) fn is_identity(&self) -> bool {
        *self == Self::identity()
    }

    /// Whether values are taken by their rank.
    pub(crate) fn is_by_rank(&self) -> bool {
        self.curve.is_some()
    }

    /// Brings a raw value to the common scale. The result is finite for a finite value.
    pub(crate) fn apply(&self, value: f32) -> f32 {
        self.apply_noting(value).0
    }

    /// The same, and whether the value was cut off on its way: at a quantile, at the ends of what training rows had, or at the
    /// clip.
    pub(crate) fn apply_noting(&self, value: f32) -> (f32, bool) {
        let bounded = self.bounds.map_or(value, |(low, high)| value.clamp(low, high));
        let (scored, beyond) = match &self.curve {
            Some(curve) => {
                let (low, high) = curve.range();
                (curve.score(bounded), bounded < low || bounded > high)
            }
            None => (bounded, false),
        };
        // Without a clip, a value far from the mean of a narrow column could go beyond what f32 holds.
        let bound = self.clip.unwrap_or(f32::MAX);
        let standard = (f64::from(scored) - f64::from(self.mean)) / f64::from(self.scale);
        let clipped = (standard as f32).clamp(-bound, bound);
        (clipped, bounded != value || beyond || clipped != standard as f32)
    }

    /// A value on the common scale, drawn uniformly over the range of raw values that training rows had. `share`, from 0 to 1,
    /// is the draw, and `range` is that range on the common scale.
    pub(crate) fn draw(&self, range: (f32, f32), share: f32) -> f32 {
        match self.curve.as_ref().map(Curve::range) {
            Some((low, high)) => self.apply(low + share * (high - low)),
            None => range.0 + share * (range.1 - range.0),
        }
    }

    /// Whether the values of a stored scaler are possible ones.
    pub(crate) fn is_sound(&self) -> bool {
        let bounds = self.bounds.is_none_or(|(low, high)| low.is_finite() && high.is_finite() && low <= high);
        let clip = self.clip.is_none_or(|clip| clip.is_finite() && clip > 0.0);
        let curve = self.curve.as_ref().is_none_or(Curve::is_sound);
        bounds && clip && curve && self.mean.is_finite() && self.scale.is_finite() && self.scale > 0.0
    }
}

/// The quantiles `share` and 1 - `share` of the values.
fn quantiles(values: &[f32], share: f64) -> (f32, f32) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let last = sorted.len() - 1;
    let rank = (share * last as f64).round() as usize;
    (sorted[rank], sorted[last - rank])
}

/// Mean and standard deviation in 32 bits; a deviation within rounding errors of the values becomes 1.
fn moments(values: &[f32]) -> (f32, f32) {
    let (mean, deviation) = hashvfl_core::moments::moments(values);
    (mean as f32, deviation as f32)
}

/// The third standardised moment of values, of which there has to be one; 0 where they do not vary.
pub(crate) fn skewness(values: &[f32]) -> f64 {
    let count = values.len() as f64;
    let (mean, deviation) = moments(values);
    let cubes =
        values.iter().map(|value| ((f64::from(*value) - f64::from(mean)) / f64::from(deviation)).powi(3));
    cubes.sum::<f64>() / count
}

/// Shows nothing: means are statistics of private data.
impl fmt::Debug for Scaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scaler")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(values: &[f32]) -> Scaler {
        let scale = ColumnScaling { preprocessing: Preprocessing::Auto, clip: None, clip_quantile: None };
        scale.fit(values.to_vec())
    }

    #[test]
    fn skewed_columns_alone_are_taken_by_rank() {
        let sums: Vec<f32> = (0..1000).map(|row| (row as f32 / 100.0).exp()).collect();
        let debts: Vec<f32> = sums.iter().map(|sum| -sum).collect();
        let ages: Vec<f32> = (0..1000).map(|row| 20.0 + (row % 60) as f32).collect();
        let rare: Vec<f32> = (0..1000).map(|row| f32::from(u8::from(row % 100 == 0))).collect();
        let same = [7.0_f32; 1000];
        let found = [&sums[..], &debts, &ages, &rare, &same].map(|values| fit(values).is_by_rank());
        assert_eq!(found, [true, true, false, true, false]);
    }

    #[test]
    fn a_column_is_scaled_as_the_choice_it_falls_to() {
        let sums: Vec<f32> = (0..1000).map(|row| (row as f32 / 100.0).exp()).collect();
        let scale = |preprocessing| ColumnScaling { preprocessing, clip: None, clip_quantile: None };
        assert!(fit(&sums) == scale(Preprocessing::Quantile).fit(sums.clone()));
        let ages: Vec<f32> = (0..1000).map(|row| (row % 60) as f32).collect();
        assert!(fit(&ages) == scale(Preprocessing::Standardize).fit(ages.clone()));
    }
}
