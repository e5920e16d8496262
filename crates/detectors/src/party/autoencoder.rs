//! An autoencoder of normal rows: a row that it cannot reconstruct is strange.
//!
//! Source: Borghesi et al., *Anomaly detection using autoencoders in high performance computing systems* (AAAI 2019;
//! arXiv 1811.05269).

use hashvfl_learning::Network;
use serde::{Deserialize, Serialize};

use super::PartyRows;
use crate::detector::{Detector, Input, Needs};
use crate::error::DetectorError;
use crate::limits::MIN_ROWS;
use crate::networks::scale::{LEAST_DEVIATION, StandardScaler, in_passes};
use crate::networks::train::{batches, mean_squares, network, square_gradient};
use crate::networks::weights;

/// Updates of the weights.
const UPDATES: u64 = 3_000;

/// Columns to a few values and back; the score is the mean squared error on the scale of normal rows.
#[derive(Serialize, Deserialize)]
pub struct Autoencoder {
    scale: StandardScaler,
    #[serde(with = "weights")]
    network: Network,
}

impl Detector for Autoencoder {
    type Normal<'a> = PartyRows<'a>;
    type Observations<'a> = PartyRows<'a>;
    const NAME: &'static str = "autoencoder";
    const NEEDS: Needs = Needs { input: Input::Columns, rows: MIN_ROWS };

    fn fit(normal: &PartyRows<'_>, seed: u64) -> Result<Self, DetectorError> {
        let columns = normal.columns;
        let width = columns.width();
        let (hidden, narrow) = ((2 * width).clamp(16, 128), (width / 3).clamp(2, 32));
        let scale = StandardScaler::fit(columns, LEAST_DEVIATION);
        let mut network = network(&[width, hidden, narrow, hidden, width], seed, "autoencoder");
        batches(columns.rows(), UPDATES, seed, |rows, rate| {
            let input = scale.gather(columns, rows);
            network.learn(&input, rate, |output| square_gradient(output, &input, rows.len()));
        });
        Ok(Self { scale, network })
    }

    fn score(&self, rows: &PartyRows<'_>) -> Result<Vec<f64>, DetectorError> {
        let width = self.scale.width();
        in_passes(rows.columns, &self.scale, "columns", |input| {
            mean_squares(&self.network.forward(input), input, width)
        })
    }

    fn check(&self) -> Result<(), DetectorError> {
        self.scale.check()?;
        let (sizes, width) = (self.network.sizes(), self.scale.width());
        DetectorError::stored(sizes[0] == width && sizes[sizes.len() - 1] == width, "an autoencoder")
    }
}
