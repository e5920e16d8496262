//! A feature adapter with a discriminator that tells embeddings of normal rows from noised ones.
//!
//! Source: Liu et al., *SimpleNet: a simple network for image anomaly detection and localization* (CVPR 2023): strange
//! features are made by adding Gaussian noise to adapted normal ones; a truncated L1 loss keeps the discriminator from
//! growing. Here on a party's embedding, before the sign.

use hashvfl_core::normal::normal_score;
use hashvfl_core::random::stream;
use hashvfl_learning::Network;
use rand::Rng;
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::PartyRows;
use crate::detector::{Detector, Input, Needs};
use crate::error::DetectorError;
use crate::limits::MIN_ROWS;
use crate::networks::scale::{LEAST_DEVIATION, StandardScaler, in_passes};
use crate::networks::train::{batches, network};
use crate::networks::weights;

/// Updates of the weights.
const UPDATES: u64 = 3_000;
/// Deviation of the noise, in deviations of an embedding's values.
const NOISE: f32 = 0.5;
/// Margin of the truncated L1 loss.
const MARGIN: f32 = 0.5;
/// The adapter's learning rate over the discriminator's: it learns more slowly, as in the source.
const ADAPTER_RATE: f64 = 0.5;

/// A discriminator of adapted embeddings; the score is minus its output.
#[derive(Serialize, Deserialize)]
pub struct Adapter {
    scale: StandardScaler,
    #[serde(with = "weights")]
    adapter: Network,
    #[serde(with = "weights")]
    discriminator: Network,
}

impl Detector for Adapter {
    type Normal<'a> = PartyRows<'a>;
    type Observations<'a> = PartyRows<'a>;
    const NAME: &'static str = "adapter";
    const NEEDS: Needs = Needs { input: Input::Embedding, rows: MIN_ROWS };

    fn fit(normal: &PartyRows<'_>, seed: u64) -> Result<Self, DetectorError> {
        let embedding = normal.embedding;
        let width = embedding.width();
        let scale = StandardScaler::fit(embedding, LEAST_DEVIATION);
        let mut adapter = network(&[width, width], seed, "adapter");
        let mut discriminator = network(&[width, (2 * width).clamp(32, 128), 1], seed, "discriminator");
        let mut rng = stream(seed, "adapter noise", &[]);
        batches(embedding.rows(), UPDATES, seed, |rows, rate| {
            let input = scale.gather(embedding, rows);
            let mut adapted = adapter.forward(&input);
            let noised: Vec<f32> = adapted.iter().map(|value| value + noise(&mut rng)).collect();
            adapted.extend(noised);
            let to_adapted =
                discriminator.learn(&adapted, rate, |output| truncated_l1_gradient(output, rows.len()));
            // The noise is added to the adapted features, so both halves pull at them.
            let (plain, noised) = to_adapted.split_at(rows.len() * width);
            let pull = plain.iter().zip(noised).map(|(one, other)| one + other).collect();
            adapter.learn(&input, ADAPTER_RATE * rate, |_| pull);
        });
        Ok(Self { scale, adapter, discriminator })
    }

    fn score(&self, rows: &PartyRows<'_>) -> Result<Vec<f64>, DetectorError> {
        in_passes(rows.embedding, &self.scale, "an embedding", |input| {
            let outputs = self.discriminator.forward(&self.adapter.forward(input));
            outputs.into_iter().map(|output| -f64::from(output)).collect()
        })
    }

    fn check(&self) -> Result<(), DetectorError> {
        self.scale.check()?;
        let (width, adapter, discriminator) =
            (self.scale.width(), self.adapter.sizes(), self.discriminator.sizes());
        let fits = adapter[0] == width
            && adapter[adapter.len() - 1] == discriminator[0]
            && discriminator[discriminator.len() - 1] == 1;
        DetectorError::stored(fits, "a feature adapter")
    }
}

/// One draw of the noise.
fn noise(rng: &mut ChaCha8Rng) -> f32 {
    let uniform = (f64::from(rng.next_u32()) + 0.5) / 2_f64.powi(32);
    NOISE * normal_score(uniform) as f32
}

/// The gradient of the truncated L1 loss: the first `normal` outputs are to be above the margin, the others below minus
/// the margin.
fn truncated_l1_gradient(outputs: &[f32], normal: usize) -> Vec<f32> {
    let step = 1.0 / normal as f32;
    let mut gradient = vec![0.0; outputs.len()];
    for (at, (gradient, output)) in gradient.iter_mut().zip(outputs).enumerate() {
        if at < normal && *output < MARGIN {
            *gradient = -step;
        }
        if at >= normal && *output > -MARGIN {
            *gradient = step;
        }
    }
    gradient
}
