//! Feature-space hijacking (FSHA: Pasquini, Ateniese and Bernaschi 2021, "Unleashing the tiger"), on hash codes.
//!
//! A malicious coordinator has auxiliary rows with the victim's columns. It learns codes of its own (the pilot) with
//! a decoder back to columns, and a discriminator that tells pilot codes from the victim's. In place of the loss's
//! gradient it sends the discriminator's, which draws the victim's bottom model towards the pilot's code space; the
//! decoder then reads the victim's codes.
//!
//! The pilot is an [`Encoder`] like the victim's: its bits are as balanced, so the discriminator finds no difference
//! in means to betray itself by.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::{log_sigmoid, relu, sigmoid};
use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::{shuffle, stream};
use hashvfl_learning::Encoder;
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::bottom::{Dropout, Mlp, MlpConfig};
use hashvfl_learning::gradients::Gradients;
use hashvfl_learning::init::{Init, uniform};
use hashvfl_learning::snapshot::to_host;

/// What discriminator and victim are trained for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// Cross-entropy, the victim's in its non-saturating form (Goodfellow et al. 2014).
    JensenShannon,
    /// Difference of means under a gradient penalty of this weight (Gulrajani et al. 2017; FSHA's code takes 500).
    Wasserstein(f32),
    /// Squares (Mao et al. 2017).
    LeastSquares,
    /// Hinges (Lim and Ye 2017).
    Hinge,
}

/// A hijacker's choices.
#[derive(Debug, Clone)]
pub struct FshaConfig {
    /// The adversarial game.
    pub objective: Objective,
    /// Units of the discriminator's hidden layers.
    pub hidden: Vec<usize>,
    /// Slope of its units below zero.
    pub leak: f32,
    /// Its learning rate, and the decoder's.
    pub learning_rate: f64,
    /// Its optimiser.
    pub adam: AdamConfig,
    /// Its updates for each batch of the victim.
    pub rounds: u32,
    /// Updates of pilot and decoder before the run.
    pub head_start: u32,
    /// Seed of weights and batches.
    pub seed: u64,
}

impl Default for FshaConfig {
    fn default() -> Self {
        Self {
            objective: Objective::Wasserstein(500.0),
            hidden: vec![64],
            leak: 0.0,
            learning_rate: 1e-3,
            adam: AdamConfig { weight_decay: 0.0, ..AdamConfig::default() },
            rounds: 1,
            head_start: 200,
            seed: 0,
        }
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
    discriminator: Discriminator,
    discriminator_adam: Adam,
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
        let discriminator = Discriminator::new(pilot.bits(), &config, &mut init);
        let (decoder_adam, discriminator_adam) = (Adam::new(AdamConfig::default()), Adam::new(config.adam));
        let mut hijacker = Self {
            config,
            auxiliary,
            pilot,
            decoder,
            decoder_adam,
            discriminator,
            discriminator_adam,
            device,
            batches: 0,
        };
        for _ in 0..hijacker.config.head_start {
            hijacker.learn_pilot();
        }
        hijacker
    }

    /// The gradient that is sent for the victim's `codes` [rows, bits], after an update of every network.
    pub fn gradient(&mut self, codes: &[f32], rows: usize) -> Vec<f32> {
        for _ in 0..self.config.rounds {
            let pilot = self.learn_pilot();
            self.learn_discriminator(codes, rows, &pilot);
        }
        let codes = self.tensor(codes.to_vec(), rows);
        let (score, slope) = self.discriminator.score_and_slope(codes);
        let pull = match self.config.objective {
            Objective::JensenShannon => sigmoid(score.neg()).neg(),
            Objective::Wasserstein(_) | Objective::Hinge => score.ones_like().neg(),
            Objective::LeastSquares => score.sub_scalar(1.0).mul_scalar(2.0),
        };
        to_host((slope * pull).div_scalar(rows as f32).inner())
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
        let rate = self.config.learning_rate;
        self.decoder = self.decoder_adam.update(self.decoder.clone(), &mut gradients, rate);
        signs
    }

    fn learn_discriminator(&mut self, codes: &[f32], rows: usize, pilot: &[f32]) {
        let pilot_rows = pilot.len() / self.pilot.bits();
        let own = self.tensor(pilot.to_vec(), pilot_rows);
        let victim = self.tensor(codes.to_vec(), rows);
        let (real, _) = self.discriminator.score_and_slope(own);
        let (fake, _) = self.discriminator.score_and_slope(victim);
        let loss = match self.config.objective {
            Objective::JensenShannon => (log_sigmoid(real).mean() + log_sigmoid(fake.neg()).mean()).neg(),
            Objective::Wasserstein(weight) => {
                fake.mean() - real.mean()
                    + self.penalty(codes, pilot, rows.min(pilot_rows)).mul_scalar(weight)
            }
            Objective::LeastSquares => {
                let real = real.sub_scalar(1.0);
                (real.clone() * real).mean() + (fake.clone() * fake).mean()
            }
            Objective::Hinge => relu(real.neg().add_scalar(1.0)).mean() + relu(fake.add_scalar(1.0)).mean(),
        };
        let whole = loss.ones_like().inner();
        let mut gradients = Gradients::of_graph(&self.discriminator, loss, whole);
        let rate = self.config.learning_rate;
        self.discriminator = self.discriminator_adam.update(self.discriminator.clone(), &mut gradients, rate);
    }

    /// Squared distance of the slope's length from one, between codes of either side.
    fn penalty(&self, codes: &[f32], pilot: &[f32], rows: usize) -> Tensor<1> {
        let bits = self.pilot.bits();
        let mut rng = stream(self.config.seed, "hijack penalty", &[self.batches]);
        let pairs = codes.chunks_exact(bits).zip(pilot.chunks_exact(bits)).take(rows);
        let between = pairs.flat_map(|(one, other)| {
            let share = uniform(&mut rng);
            one.iter().zip(other).map(move |(a, b)| share * a + (1.0 - share) * b)
        });
        let between = self.tensor(between.collect(), rows);
        let (_, slope) = self.discriminator.score_and_slope(between);
        let length = (slope.clone() * slope).sum_dim(1).add_scalar(1e-12).sqrt().sub_scalar(1.0);
        (length.clone() * length).mean()
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

/// A perceptron whose slope at its inputs is written out, so that a penalty on it can be learned from.
#[derive(Module, Debug)]
struct Discriminator {
    layers: Vec<Linear>,
    leak: f32,
}

impl Discriminator {
    fn new(bits: usize, config: &FshaConfig, init: &mut Init) -> Self {
        let sizes: Vec<usize> = [bits].into_iter().chain(config.hidden.iter().copied()).chain([1]).collect();
        let layers = sizes.windows(2).map(|pair| init.linear(pair[0], pair[1])).collect();
        Self { layers, leak: config.leak }
    }

    /// The score [rows, 1] of `codes` [rows, bits] and its slope [rows, bits]. Which units are active does not change
    /// with the weights, but for a set of measure zero.
    fn score_and_slope(&self, codes: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let mut active = Vec::new();
        let mut x = codes;
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x);
            if index + 1 < self.layers.len() {
                let above = x.clone().inner().greater_elem(0.0).float();
                let slopes = Tensor::from_inner(above.mul_scalar(1.0 - self.leak).add_scalar(self.leak));
                x = x * slopes.clone();
                active.push(slopes);
            }
        }
        let back = |layer: &Linear, slope: Tensor<2>| slope.matmul(layer.weight.val().transpose());
        let mut slope = x.ones_like();
        for (index, layer) in self.layers.iter().enumerate().rev() {
            slope = back(layer, slope);
            if index > 0 {
                slope = slope * active[index - 1].clone();
            }
        }
        (x, slope)
    }
}
