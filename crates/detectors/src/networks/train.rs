//! How networks are trained: batches, the learning rate, and gradients of losses.

use hashvfl_core::random::{shuffle, stream};
use hashvfl_learning::Network;
use hashvfl_learning::schedule::Rates;

/// Rows of a batch.
pub const BATCH: usize = 128;
/// Peak learning rate.
const RATE: f64 = 3e-3;

/// Calls `step` with the row numbers of a batch and the learning rate, `updates` times.
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

/// The mean squared difference between each row of `one` and of `other`, both of `width` values per row.
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

/// The gradient of the mean log loss of a network that tells the two halves of its rows apart: `first`, 0 or 1, labels the
/// first half, and 1 - `first` the other half. The output then is the logarithm of the density ratio.
pub fn halves_gradient(output: &[f32], first: f32) -> Vec<f32> {
    let mut gradient = Vec::with_capacity(output.len());
    for (at, value) in output.iter().enumerate() {
        let wanted = if at < output.len() / 2 { first } else { 1.0 - first };
        gradient.push((1.0 / (1.0 + (-value).exp()) - wanted) / output.len() as f32);
    }
    gradient
}

/// A new network with random weights; the sizes must be within limits.
pub fn network(sizes: &[usize], seed: u64, purpose: &str) -> Network {
    // Unwrap safety: columns were checked, the other sizes are constants.
    Network::new(sizes, stream(seed, purpose, &[])).expect("sizes within limits")
}
