//! Whether a record's label fits its codes: a network that has learned labels from codes of other records tells.
//!
//! Source: Northcutt, Jiang and Chuang, *Confident learning: estimating uncertainty in dataset labels* (JAIR 2021), who find
//! wrong labels by out-of-sample predictions. The score is the loss of the label: minus the logarithm of its probability,
//! or in a regression its distance from the prediction, in deviations.

use hashvfl_core::moments::moments;
use hashvfl_learning::Network;
use hashvfl_learning::top::loss::{log_sum, softmax};

use super::labelled::{GivenLabels, Labelled};
use crate::codes::signs;
use crate::detector::Score;
use crate::error::DetectorError;
use crate::limits::MIN_ROWS;
use crate::networks::train::{BATCH, batches, network};

/// Hidden units.
const HIDDEN: usize = 64;
/// Passes over the rows, and the fewest and most updates of the weights.
const PASSES: usize = 30;
const UPDATES: [usize; 2] = [300, 6_000];
/// Rows that pass through the network at once outside training.
const PASS: usize = 1_024;

/// A network from codes to labels.
pub struct LabelNoise {
    lengths: Vec<usize>,
    network: Network,
    /// Mean and deviation of the values that it was fitted on; 0 and 1 for classes.
    mean: f64,
    deviation: f64,
}

impl LabelNoise {
    /// Learns labels from codes.
    ///
    /// # Errors
    /// If there are fewer than [`MIN_ROWS`] records.
    pub fn fit(rows: &Labelled<'_>, seed: u64) -> Result<Self, DetectorError> {
        let (codes, labels) = (rows.codes(), rows.labels());
        let count = codes.rows();
        DetectorError::rows("a network from codes to labels", MIN_ROWS, count)?;
        let (outputs, mean, deviation) = match labels {
            GivenLabels::Classes { count, .. } => (count, 0.0, 1.0),
            GivenLabels::Values(values) => {
                let (mean, deviation) = moments(values);
                (1, mean, deviation)
            }
        };
        let mut network = network(&[codes.bits(), HIDDEN, outputs], seed, "doubt");
        let updates = (PASSES * count / BATCH).clamp(UPDATES[0], UPDATES[1]);
        batches(count, updates as u64, seed, |batch, rate| {
            let input: Vec<f32> =
                batch.iter().flat_map(|row| signs(codes, *row as usize, 0..codes.bits())).collect();
            network.learn(&input, rate, |output| {
                let mut gradient = output.to_vec();
                for (values, row) in gradient.chunks_exact_mut(outputs).zip(batch) {
                    to_gradient(values, labels, *row as usize, mean, deviation);
                    values.iter_mut().for_each(|value| *value /= batch.len() as f32);
                }
                gradient
            });
        });
        Ok(Self { lengths: codes.lengths().to_vec(), network, mean, deviation })
    }

    /// How little the label of a record fits the network's `output` for its codes.
    fn misfit(&self, output: &[f32], labels: GivenLabels<'_>, row: usize) -> f64 {
        match labels {
            GivenLabels::Classes { of, .. } => f64::from(log_sum(output) - output[of[row] as usize]),
            GivenLabels::Values(all) => {
                ((f64::from(all[row]) - self.mean) / self.deviation - f64::from(output[0])).abs()
            }
        }
    }
}

impl Score<Labelled<'_>> for LabelNoise {
    fn score(&self, rows: &Labelled<'_>) -> Result<Vec<f64>, DetectorError> {
        let (codes, labels) = (rows.codes(), rows.labels());
        codes.check_lengths(&self.lengths)?;
        let (count, outputs) = (codes.rows(), self.network.sizes()[2]);
        let expected = match labels {
            GivenLabels::Classes { count, .. } => count,
            GivenLabels::Values(_) => 1,
        };
        DetectorError::width("labels", outputs, expected)?;
        let mut scores = Vec::with_capacity(count);
        for start in (0..count).step_by(PASS) {
            let end = (start + PASS).min(count);
            let input: Vec<f32> = (start..end).flat_map(|row| signs(codes, row, 0..codes.bits())).collect();
            let output = self.network.forward(&input);
            for (output, row) in output.chunks_exact(outputs).zip(start..end) {
                scores.push(self.misfit(output, labels, row));
            }
        }
        Ok(scores)
    }
}

/// Turns a network's output for a record into the gradient of its loss, the log loss or half the squared error.
fn to_gradient(output: &mut [f32], labels: GivenLabels<'_>, row: usize, mean: f64, deviation: f64) {
    match labels {
        GivenLabels::Classes { of, .. } => {
            softmax(output);
            output[of[row] as usize] -= 1.0;
        }
        GivenLabels::Values(all) => output[0] -= ((f64::from(all[row]) - mean) / deviation) as f32,
    }
}
