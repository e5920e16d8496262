//! What the networks share: batches, the learning rate, the scale of their inputs, and how they are stored.

use hashvfl_core::random::{shuffle, stream};
use hashvfl_learning::Network;
use hashvfl_learning::network::Weights;
use hashvfl_learning::training::schedule::Rates;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::DetectorError;
use crate::rows::Values;

/// Rows of a batch.
pub const BATCH: usize = 128;
/// Peak learning rate.
const RATE: f64 = 3e-3;
/// Rows that pass through a network at once outside training.
const PASS: usize = 512;
/// A standardised value's bound: one row of a broken sensor must not decide what all others look like.
const CLIP: f32 = 1e4;

/// Calls `step` with the batch's row numbers and the learning rate, `updates` times.
pub fn batches(rows: usize, updates: u64, seed: u64, mut step: impl FnMut(&[u32], f64)) {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    let rates = Rates::one_cycle(RATE, updates);
    let mut done = 0;
    for epoch in 0.. {
        shuffle(&mut order, &mut stream(seed, "detector batches", &[epoch]));
        for batch in order.chunks(BATCH) {
            if done == updates {
                return;
            }
            step(batch, rates.at(done));
            done += 1;
        }
    }
}

/// One common centre and deviation for each column, from normal rows.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Scale {
    /// Learns from `rows`. A column's deviation counts as at least `least` times the root mean square of all columns':
    /// what hardly varies must not be blown up.
    pub fn fit(rows: Values<'_>, least: f64) -> Self {
        let mean = crate::features::linear::means(rows, 1, |_| 0).remove(0);
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
        // Rows that are all alike have no scale: steps are then taken as they are.
        let floor = if overall > 0.0 { least * overall } else { 1.0 };
        let deviation = squares.iter().map(|sum| (sum / count).sqrt().max(floor) as f32).collect();
        Self { mean: mean.iter().map(|mean| *mean as f32).collect(), deviation }
    }

    /// Values to a row.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// Rows on the scale.
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

    /// The given rows on the scale.
    pub fn gather(&self, rows: Values<'_>, numbers: &[u32]) -> Vec<f32> {
        let width = rows.width();
        let picked: Vec<f32> = numbers
            .iter()
            .flat_map(|row| rows.values()[*row as usize * width..][..width].iter().copied())
            .collect();
        self.apply(&picked)
    }

    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        let fits = !self.mean.is_empty()
            && self.mean.len() == self.deviation.len()
            && self.mean.iter().all(|mean| mean.is_finite())
            && self.deviation.iter().all(|deviation| deviation.is_finite() && *deviation > 0.0);
        DetectorError::stored(fits, "a scale of columns")
    }
}

/// `score` for passes of rows on the scale, put together.
pub fn in_passes(
    rows: Values<'_>,
    scale: &Scale,
    what: &'static str,
    score: impl Fn(&[f32]) -> Vec<f64>,
) -> Result<Vec<f64>, DetectorError> {
    DetectorError::width(what, scale.width(), rows.width())?;
    let passes = rows.values().chunks(PASS * rows.width());
    Ok(passes.flat_map(|values| score(&scale.apply(values))).collect())
}

/// Mean squared difference of each row of `one` and `other`, both of `width` values a row.
pub fn mean_squares(one: &[f32], other: &[f32], width: usize) -> Vec<f64> {
    let rows = one.chunks_exact(width).zip(other.chunks_exact(width));
    rows.map(|(one, other)| {
        one.iter().zip(other).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / width as f64
    })
    .collect()
}

/// The gradient of the mean squared difference between `output` and `wanted`, a mean over `rows` rows.
pub fn square_gradient(output: &[f32], wanted: &[f32], rows: usize) -> Vec<f32> {
    let weight = 2.0 / (output.len().max(rows)) as f32;
    output.iter().zip(wanted).map(|(output, wanted)| weight * (output - wanted)).collect()
}

/// The gradient of the mean log loss of a network that tells the two halves of its rows apart: `first` is the label, 0 or
/// 1, of those in the first half, the others have the other one. Its output then is the logarithm of their ratio.
pub fn halves_gradient(output: &[f32], first: f32) -> Vec<f32> {
    let gradient = |(at, value): (usize, &f32)| {
        let wanted = if at < output.len() / 2 { first } else { 1.0 - first };
        (1.0 / (1.0 + (-value).exp()) - wanted) / output.len() as f32
    };
    output.iter().enumerate().map(gradient).collect()
}

/// Stores a network as its weights.
pub mod stored {
    use super::*;

    /// For serde.
    pub fn serialize<S: Serializer>(network: &Network, serializer: S) -> Result<S::Ok, S::Error> {
        network.weights().serialize(serializer)
    }

    /// For serde.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Network, D::Error> {
        Network::of_weights(Weights::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A new network, its sizes being within limits.
pub fn network(sizes: &[usize], seed: u64, purpose: &str) -> Network {
    // Unwrap safety: columns were checked, the other sizes are constants.
    Network::new(sizes, stream(seed, purpose, &[])).expect("sizes within limits")
}
