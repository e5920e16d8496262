//! A feature adapter with a discriminator that tells embeddings of normal rows from noised ones.
//!
//! Source: Liu et al., *SimpleNet: a simple network for image anomaly detection and localization* (CVPR 2023): strange
//! features are made by adding Gaussian noise to adapted normal ones; a truncated L1 loss keeps the discriminator from
//! growing. Here on a party's embedding, before the sign.

use hashvfl_core::normal::normal_score;
use hashvfl_core::random::stream;
use hashvfl_learning::Network;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::train::{Scale, batches, in_passes, network, stored};
use crate::error::DetectorError;
use crate::rows::PartyRows;
use crate::{Detector, Score};

/// Updates of the weights.
const UPDATES: u64 = 3_000;
/// Deviation of the noise, in deviations of an embedding's values.
const NOISE: f32 = 0.5;
/// Margin of the truncated L1 loss.
const MARGIN: f32 = 0.5;
/// The adapter learns slower than the discriminator, as in the source.
const ADAPTER_RATE: f64 = 0.5;
/// Least deviation of a value, see [`Scale::fit`].
const LEAST: f64 = 0.1;

/// Adapted embeddings, judged: the score is minus the discriminator's output.
#[derive(Serialize, Deserialize)]
pub struct Adapter {
    scale: Scale,
    #[serde(with = "stored")]
    adapter: Network,
    #[serde(with = "stored")]
    discriminator: Network,
}

impl Adapter {
    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        self.scale.check()?;
        let (width, adapter, discriminator) =
            (self.scale.width(), self.adapter.sizes(), self.discriminator.sizes());
        let fits = adapter[0] == width
            && adapter[adapter.len() - 1] == discriminator[0]
            && discriminator[discriminator.len() - 1] == 1;
        DetectorError::stored(fits, "a feature adapter")
    }
}

impl Detector<PartyRows<'_>> for Adapter {
    fn fit(normal: &PartyRows<'_>, seed: u64) -> Result<Self, DetectorError> {
        let embedding = normal.embedding;
        embedding.check_fits("a feature adapter")?;
        let width = embedding.width();
        let scale = Scale::fit(embedding, LEAST);
        let mut adapter = network(&[width, width], seed, "adapter");
        let mut discriminator = network(&[width, (2 * width).clamp(32, 128), 1], seed, "discriminator");
        let mut noise = stream(seed, "adapter noise", &[]);
        let mut draw = || {
            let share = (f64::from(noise.next_u32()) + 0.5) / 2_f64.powi(32);
            NOISE * normal_score(share) as f32
        };
        batches(embedding.rows(), UPDATES, seed, |rows, rate| {
            let input = scale.gather(embedding, rows);
            let mut adapted = adapter.forward(&input);
            let noised: Vec<f32> = adapted.iter().map(|value| value + draw()).collect();
            adapted.extend(noised);
            let count = rows.len();
            let judged = |output: &[f32]| -> Vec<f32> {
                let step = 1.0 / count as f32;
                let gradient = |(at, value): (usize, &f32)| match at < count {
                    true => {
                        if *value < MARGIN {
                            -step
                        } else {
                            0.0
                        }
                    }
                    false => {
                        if *value > -MARGIN {
                            step
                        } else {
                            0.0
                        }
                    }
                };
                output.iter().enumerate().map(gradient).collect()
            };
            let to_adapted = discriminator.learn(&adapted, rate, judged);
            // The noise is added to the adapted features, so both halves pull at them.
            let (plain, noised) = to_adapted.split_at(count * width);
            let pull = plain.iter().zip(noised).map(|(one, other)| one + other).collect();
            adapter.learn(&input, ADAPTER_RATE * rate, |_| pull);
        });
        Ok(Self { scale, adapter, discriminator })
    }
}

impl Score<PartyRows<'_>> for Adapter {
    fn score(&self, rows: &PartyRows<'_>) -> Result<Vec<f64>, DetectorError> {
        in_passes(rows.embedding, &self.scale, "an embedding", |input| {
            let judged = self.discriminator.forward(&self.adapter.forward(input));
            judged.into_iter().map(|value| -f64::from(value)).collect()
        })
    }
}
