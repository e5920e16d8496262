//! Feature-space hijacking (FSHA: Pasquini, Ateniese and Bernaschi 2021, "Unleashing the tiger"), on hash codes.
//!
//! A malicious coordinator has auxiliary rows with the victim's columns. It learns codes of its own (the pilot) with
//! a decoder back to columns, and a discriminator that tells pilot codes from the victim's. In place of the loss's
//! gradient it sends the discriminator's, which draws the victim's bottom model towards the pilot's code space; the
//! decoder then reads the victim's codes.
//!
//! The pilot is an [`Encoder`] like the victim's: its bits are as balanced, so the discriminator finds no difference
//! in means to betray itself by.

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::{shuffle, stream};
use hashvfl_learning::Encoder;
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::bottom::{Dropout, Mlp, MlpConfig};
use hashvfl_learning::init::Init;
use hashvfl_learning::snapshot::to_host;

use crate::active::critic::Critic;
pub use crate::active::critic::{CriticConfig, Objective};

/// A hijacker's choices.
#[derive(Debug, Clone)]
pub struct FshaConfig {
    /// The discriminator; the decoder has its learning rate.
    pub critic: CriticConfig,
    /// Its updates for each batch of the victim.
    pub rounds: u32,
    /// Updates of pilot and decoder before the run.
    pub head_start: u32,
    /// Seed of the decoder's weights and of batches.
    pub seed: u64,
}

impl Default for FshaConfig {
    fn default() -> Self {
        Self { critic: CriticConfig::default(), rounds: 1, head_start: 200, seed: 0 }
    }
}

/// The hijacker's own rows, with the victim's columns: row-major [rows, columns], standardised.
pub struct Auxiliary {
    /// The values.
    pub values: Vec<f32>,
    /// Number of columns.
    pub columns: usize,
}

impl Auxiliary {
    fn gather(&self, rows: &[u32]) -> Vec<f32> {
        rows.iter()
            .flat_map(|row| &self.values[*row as usize * self.columns..][..self.columns])
            .copied()
            .collect()
    }

    fn rows(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }
}

/// A hijacker at work.
pub struct Fsha {
    config: FshaConfig,
    auxiliary: Auxiliary,
    pilot: Encoder,
    decoder: Mlp,
    decoder_adam: Adam,
    critic: Critic,
    device: Device,
    batches: u64,
}

/// Units of the decoder's hidden layers.
const DECODER: &[usize] = &[128, 128];
/// Most auxiliary rows of a batch.
const BATCH: usize = 128;
/// Updates after which the pilot's thresholds are measured anew.
const CALIBRATE: u64 = 25;

impl Fsha {
    /// A hijacker whose pilot and decoder have had their head start on auxiliary rows.
    pub fn new(config: FshaConfig, pilot: Encoder, auxiliary: Auxiliary) -> Self {
        let device = Device::flex().autodiff();
        let mut init = Init::new(stream(config.seed, "hijack weights", &[]), &device);
        // Unwrap safety: a handful of layers within the limits.
        let decoder = MlpConfig { hidden: DECODER.to_vec() }
            .init(pilot.bits(), auxiliary.columns, &mut init)
            .expect("a decoder of few units");
        let critic = Critic::new(config.critic.clone(), pilot.bits(), &mut init, config.seed);
        let decoder_adam = Adam::new(AdamConfig::default());
        let mut hijacker =
            Self { config, auxiliary, pilot, decoder, decoder_adam, critic, device, batches: 0 };
        for _ in 0..hijacker.config.head_start {
            hijacker.learn_pilot();
        }
        hijacker
    }

    /// The gradient that is sent for the victim's `codes` [rows, bits], after an update of every network.
    pub fn gradient(&mut self, codes: &[f32]) -> Vec<f32> {
        for _ in 0..self.config.rounds {
            let pilot = self.learn_pilot();
            self.critic.learn(&pilot, codes);
        }
        self.critic.pull(codes)
    }

    /// What the decoder makes of `codes` [rows, bits]: columns, row-major.
    pub fn reconstruct(&self, codes: &[f32], rows: usize) -> Vec<f32> {
        let codes = self.tensor(codes.to_vec(), rows).inner();
        to_host(self.decoder.forward(codes, &mut Dropout::off()).0)
    }

    /// What the decoder makes of the pilot's own codes of `columns` [rows, columns]: all that a hijack could give.
    pub fn reconstruct_own(&self, columns: Vec<f32>, rows: usize) -> Vec<f32> {
        self.reconstruct(&signs(&self.pilot.encode(columns, rows)), rows)
    }

    /// One update of pilot and decoder; returns the pilot's codes of its batch.
    fn learn_pilot(&mut self) -> Vec<f32> {
        let mut order: Vec<u32> = (0..self.auxiliary.rows() as u32).collect();
        let (auxiliary, batch) = (&self.auxiliary, self.batches);
        if batch.is_multiple_of(CALIBRATE) {
            self.pilot.calibrate(&order, &|rows| auxiliary.gather(rows));
        }
        shuffle(&mut order, &mut stream(self.config.seed, "hijack batches", &[batch]));
        order.truncate(BATCH);
        self.batches += 1;
        let columns = self.auxiliary.gather(&order);
        let signs = signs(&self.pilot.encode_batch(columns.clone(), order.len()));
        let count = columns.len();
        let codes = self.tensor(signs.clone(), order.len()).inner();
        let (guess, trace) = self.decoder.forward(codes, &mut Dropout::off());
        let difference = guess - self.tensor(columns, order.len()).inner();
        // Of the mean squared error.
        let (mut gradients, of_codes) =
            self.decoder.backward(trace, difference.mul_scalar(2.0 / count as f32));
        self.pilot.learn(to_host(of_codes));
        let rate = self.config.critic.learning_rate;
        self.decoder = self.decoder_adam.update(self.decoder.clone(), &mut gradients, rate);
        signs
    }

    fn tensor(&self, values: Vec<f32>, rows: usize) -> Tensor<2> {
        let width = values.len() / rows.max(1);
        let data = TensorData::new(values, [rows, width]);
        Tensor::from_inner(Tensor::<2>::from_data(data, &self.device.clone().inner()))
    }
}

fn signs(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| if *value >= 0.0 { 1.0 } else { -1.0 }).collect()
}
