//! Whether a record's label fits its codes, told by a network that has learned labels from codes of other records.
//!
//! Source: predictions of records that the model has not learned from tell wrong labels, Northcutt, Jiang and Chuang,
//! *Confident learning: estimating uncertainty in dataset labels* (JAIR 2021). The score is the loss of the label: minus
//! the logarithm of its probability, or for a value its distance from the predicted one, in deviations.

use hashvfl_learning::Network;
use hashvfl_learning::top::loss::{log_sum, softmax};

use super::labelled::{GivenLabels, Labelled};
use super::train::{BATCH, batches, network};
use crate::codes::signs;
use crate::error::DetectorError;
use crate::{Detector, Score};

/// Hidden units.
const HIDDEN: usize = 64;
/// Passes over the rows, and the fewest and most updates of the weights.
const PASSES: usize = 30;
const UPDATES: [usize; 2] = [300, 6_000];
/// Rows that pass through the network at once outside training.
const PASS: usize = 1_024;
/// Rows that it is fitted on, at least.
const ROWS: usize = 64;

/// A network from codes to labels.
pub struct LabelNoise {
    lengths: Vec<usize>,
    network: Network,
    /// Of the values that it was fitted on; 0 and 1 for classes.
    mean: f64,
    deviation: f64,
}

impl Detector<Labelled<'_>> for LabelNoise {
    fn fit(rows: &Labelled<'_>, seed: u64) -> Result<Self, DetectorError> {
        let (codes, told) = (rows.codes(), rows.told());
        let count = codes.rows();
        DetectorError::rows("a network from codes to labels", ROWS, count)?;
        let (outputs, mean, deviation) = match told {
            GivenLabels::Classes { count, .. } => (count, 0.0, 1.0),
            GivenLabels::Values(values) => {
                let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count as f64;
                let square = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>();
                (1, mean, (square / count as f64).sqrt().max(1e-12))
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
                    match told {
                        GivenLabels::Classes { of, .. } => {
                            softmax(values);
                            values[of[*row as usize] as usize] -= 1.0;
                        }
                        GivenLabels::Values(all) => {
                            values[0] -= ((f64::from(all[*row as usize]) - mean) / deviation) as f32
                        }
                    }
                    values.iter_mut().for_each(|value| *value /= batch.len() as f32);
                }
                gradient
            });
        });
        Ok(Self { lengths: codes.lengths().to_vec(), network, mean, deviation })
    }
}

impl Score<Labelled<'_>> for LabelNoise {
    fn score(&self, rows: &Labelled<'_>) -> Result<Vec<f64>, DetectorError> {
        let (codes, told) = (rows.codes(), rows.told());
        codes.check_lengths(&self.lengths)?;
        let (count, outputs) = (codes.rows(), self.network.sizes()[2]);
        let fits = match told {
            GivenLabels::Classes { count, .. } => count,
            GivenLabels::Values(_) => 1,
        };
        DetectorError::width("labels", outputs, fits)?;
        let mut scores = Vec::with_capacity(count);
        for start in (0..count).step_by(PASS) {
            let end = (start + PASS).min(count);
            let input: Vec<f32> = (start..end).flat_map(|row| signs(codes, row, 0..codes.bits())).collect();
            let output = self.network.forward(&input);
            scores.extend(output.chunks_exact(outputs).zip(start..end).map(|(values, row)| match told {
                GivenLabels::Classes { of, .. } => f64::from(log_sum(values) - values[of[row] as usize]),
                GivenLabels::Values(all) => {
                    ((f64::from(all[row]) - self.mean) / self.deviation - f64::from(values[0])).abs()
                }
            }));
        }
        Ok(scores)
    }
}
