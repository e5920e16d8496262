//! The scale on which networks take their input.

use serde::{Deserialize, Serialize};

use crate::error::DetectorError;
use crate::numerics::eigen::means;
use crate::values::MatrixView;

/// The least deviation of a column that detectors allow, see [`StandardScaler::fit`].
pub const LEAST_DEVIATION: f64 = 0.1;
/// Rows that pass through a network at once outside training.
const PASS: usize = 512;
/// The bound of a standardised value: one row of a broken sensor must not decide what all other rows look like.
const CLIP: f32 = 1e4;

/// A mean and a deviation per column, from normal rows.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct StandardScaler {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl StandardScaler {
    /// Learns from `rows`. The deviation of a column counts as at least `least` times the root mean square over all columns,
    /// so that columns which hardly vary are not blown up.
    pub fn fit(rows: MatrixView<'_>, least: f64) -> Self {
        let mean = means(rows, 1, |_| 0).remove(0);
        let mut squares = vec![0.0_f64; rows.width()];
        for row in rows.iter() {
            let pairs = row.iter().zip(&mean);
            squares
                .iter_mut()
                .zip(pairs)
                .for_each(|(sum, (value, mean))| *sum += (f64::from(*value) - mean).powi(2));
        }
        let count = rows.rows().max(1) as f64;
        let overall = (squares.iter().sum::<f64>() / (count * squares.len() as f64)).sqrt();
        // Rows that are all alike have no scale: differences are then taken as they are.
        let floor = if overall > 0.0 { least * overall } else { 1.0 };
        let deviation = squares.iter().map(|sum| (sum / count).sqrt().max(floor) as f32).collect();
        Self { mean: mean.iter().map(|mean| *mean as f32).collect(), deviation }
    }

    /// Values per row.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// Row-major `values` on the scale.
    pub fn apply(&self, values: &[f32]) -> Vec<f32> {
        let mut scaled = Vec::with_capacity(values.len());
        for row in values.chunks_exact(self.mean.len()) {
            let columns = row.iter().zip(self.mean.iter().zip(&self.deviation));
            scaled.extend(
                columns.map(|(value, (mean, deviation))| ((value - mean) / deviation).clamp(-CLIP, CLIP)),
            );
        }
        scaled
    }

    /// The rows `numbers` on the scale.
    pub fn gather(&self, rows: MatrixView<'_>, numbers: &[u32]) -> Vec<f32> {
        let width = rows.width();
        let picked: Vec<f32> = numbers
            .iter()
            .flat_map(|row| rows.values()[*row as usize * width..][..width].iter().copied())
            .collect();
        self.apply(&picked)
    }

    /// Checks fields that were read from a file.
    ///
    /// # Errors
    /// If they contradict each other.
    pub fn check(&self) -> Result<(), DetectorError> {
        let fits = !self.mean.is_empty()
            && self.mean.len() == self.deviation.len()
            && self.mean.iter().all(|mean| mean.is_finite())
            && self.deviation.iter().all(|deviation| deviation.is_finite() && *deviation > 0.0);
        DetectorError::stored(fits, "a scale of columns")
    }
}

/// The scores of all rows: `score` gives those of some rows on the scale.
///
/// # Errors
/// If the rows have another width than the scale; the error calls them `what`.
pub fn in_passes(
    rows: MatrixView<'_>,
    scale: &StandardScaler,
    what: &'static str,
    score: impl Fn(&[f32]) -> Vec<f64>,
) -> Result<Vec<f64>, DetectorError> {
    DetectorError::width(what, scale.width(), rows.width())?;
    let passes = rows.values().chunks(PASS * rows.width());
    Ok(passes.flat_map(|values| score(&scale.apply(values))).collect())
}
