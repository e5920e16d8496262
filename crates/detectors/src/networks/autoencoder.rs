//! An autoencoder that has seen normal rows only: what it cannot give back is strange.
//!
//! Source: Borghesi et al., *Anomaly detection using autoencoders in high performance computing systems* (AAAI 2019;
//! arXiv 1811.05269).

use hashvfl_learning::Network;
use serde::{Deserialize, Serialize};

use super::train::{Scale, batches, in_passes, mean_squares, network, square_gradient, stored};
use crate::error::DetectorError;
use crate::rows::PartyRows;
use crate::{Detector, Score};

/// Updates of the weights.
const UPDATES: u64 = 3_000;
/// Least deviation of a column, see [`Scale::fit`].
const LEAST: f64 = 0.1;

/// Columns to a few values and back; the score is the mean squared error on the scale of normal rows.
#[derive(Serialize, Deserialize)]
pub struct Autoencoder {
    scale: Scale,
    #[serde(with = "stored")]
    network: Network,
}

impl Autoencoder {
    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        self.scale.check()?;
        let (sizes, width) = (self.network.sizes(), self.scale.width());
        DetectorError::stored(sizes[0] == width && sizes[sizes.len() - 1] == width, "an autoencoder")
    }
}

impl Detector<PartyRows<'_>> for Autoencoder {
    fn fit(normal: &PartyRows<'_>, seed: u64) -> Result<Self, DetectorError> {
        let columns = normal.columns;
        columns.check_fits("an autoencoder")?;
        let width = columns.width();
        let (hidden, narrow) = ((2 * width).clamp(16, 128), (width / 3).clamp(2, 32));
        let scale = Scale::fit(columns, LEAST);
        let mut network = network(&[width, hidden, narrow, hidden, width], seed, "autoencoder");
        batches(columns.rows(), UPDATES, seed, |rows, rate| {
            let input = scale.gather(columns, rows);
            network.learn(&input, rate, |output| square_gradient(output, &input, rows.len()));
        });
        Ok(Self { scale, network })
    }
}

impl Score<PartyRows<'_>> for Autoencoder {
    fn score(&self, rows: &PartyRows<'_>) -> Result<Vec<f64>, DetectorError> {
        let width = self.scale.width();
        in_passes(rows.columns, &self.scale, "columns", |input| {
            mean_squares(&self.network.forward(input), input, width)
        })
    }
}
