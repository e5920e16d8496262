//! One column's way to a common scale, fitted on training rows: cut off, ranked, standardised, clipped.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::encoding::preprocess::{PreprocessError, Preprocessing};
use crate::encoding::quantile::Curve;

/// What was fitted on one column's training rows, to be done to all its values.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaler {
    /// Where raw values are cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bounds: Option<(f32, f32)>,
    /// From values to scores, for [`Preprocessing::Quantile`].
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
pub(crate) struct Scale {
    pub preprocessing: Preprocessing,
    pub clip: Option<f32>,
    pub clip_quantile: Option<f64>,
}

impl Scale {
    /// Fails where the settings are no distance, no share, or contradict each other.
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

    /// Fits a column on its `values` at training rows, of which there is at least one, in the order of the rows.
    pub(crate) fn fit(self, mut values: Vec<f32>) -> Scaler {
        let bounds = self.clip_quantile.map(|share| quantiles(&values, share));
        if let Some((low, high)) = bounds {
            values.iter_mut().for_each(|value| *value = value.clamp(low, high));
        }
        let curve = (self.preprocessing == Preprocessing::Quantile).then(|| Curve::fit(&values));
        if let Some(curve) = &curve {
            values.iter_mut().for_each(|value| *value = curve.score(*value));
        }
        let (mean, scale) = match self.preprocessing {
            Preprocessing::None => (0.0, 1.0),
            Preprocessing::Standardize | Preprocessing::Quantile => moments(&values),
        };
        Scaler { bounds, curve, mean, scale, clip: self.clip }
    }
}

impl Scaler {
    /// Values stay as they are.
    pub(crate) fn identity() -> Self {
        Self { bounds: None, curve: None, mean: 0.0, scale: 1.0, clip: None }
    }

    /// Whether values stay as they are.
    pub(crate) fn is_identity(&self) -> bool {
        *self == Self::identity()
    }

    /// A raw value on the common scale; finite for a finite value.
    pub(crate) fn apply(&self, value: f32) -> f32 {
        let value = self.bounds.map_or(value, |(low, high)| value.clamp(low, high));
        let value = self.curve.as_ref().map_or(value, |curve| curve.score(value));
        // Without a clip only what f32 can hold bounds a value far from a narrow column's mean.
        let bound = self.clip.unwrap_or(f32::MAX);
        let standard = (f64::from(value) - f64::from(self.mean)) / f64::from(self.scale);
        (standard as f32).clamp(-bound, bound)
    }

    /// A value on the common scale, drawn evenly over the raw values that training rows had; `share` from 0 to 1 is the
    /// draw. `range` is theirs on the common scale: where that is straight, it is as even there.
    pub(crate) fn draw(&self, range: (f32, f32), share: f32) -> f32 {
        match self.curve.as_ref().map(Curve::range) {
            Some((low, high)) => self.apply(low + share * (high - low)),
            None => range.0 + share * (range.1 - range.0),
        }
    }

    /// Whether a stored scaler can have been fitted.
    pub(crate) fn is_sound(&self) -> bool {
        let bounds = self.bounds.is_none_or(|(low, high)| low.is_finite() && high.is_finite() && low <= high);
        let clip = self.clip.is_none_or(|clip| clip.is_finite() && clip > 0.0);
        let curve = self.curve.as_ref().is_none_or(Curve::is_sound);
        bounds && clip && curve && self.mean.is_finite() && self.scale.is_finite() && self.scale > 0.0
    }
}

/// The values at `share` and its complement of the ranks.
fn quantiles(values: &[f32], share: f64) -> (f32, f32) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let last = sorted.len() - 1;
    let rank = (share * last as f64).round() as usize;
    (sorted[rank], sorted[last - rank])
}

/// Mean and deviation, with sums in f64; 1 for the deviation where it is no more than the rounding of the values.
fn moments(values: &[f32]) -> (f32, f32) {
    let count = values.len() as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let squares = values.iter().map(|value| (f64::from(*value) - mean).powi(2));
    let deviation = (squares.sum::<f64>() / count).sqrt();
    let rounding = mean.abs() * 1e-7 + f64::from(f32::MIN_POSITIVE);
    (mean as f32, if deviation <= rounding { 1.0 } else { deviation as f32 })
}

/// Shows nothing: means are statistics of private data.
impl fmt::Debug for Scaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scaler")
    }
}
