//! A discriminator that learns to tell two kinds of codes apart, and the gradient that draws one kind towards the other.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::{log_sigmoid, relu, sigmoid};
use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::{stream, uniform};
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::gradients::Gradients;
use hashvfl_learning::init::Init;
use hashvfl_learning::snapshot::to_host;

/// What the discriminator, and what is drawn by it, are trained for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// Cross-entropy, the drawn side's in its non-saturating form (Goodfellow et al. 2014).
    JensenShannon,
    /// Difference of means under a gradient penalty of this weight (Gulrajani et al. 2017; FSHA's code takes 500).
    Wasserstein(f32),
    /// Squares (Mao et al. 2017).
    LeastSquares,
    /// Hinges (Lim and Ye 2017).
    Hinge,
}

/// Its choices.
#[derive(Debug, Clone)]
pub struct CriticConfig {
    /// The adversarial game.
    pub objective: Objective,
    /// Units of the hidden layers.
    pub hidden: Vec<usize>,
    /// Slope of its units below zero.
    pub leak: f32,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Its optimiser.
    pub adam: AdamConfig,
}

impl Default for CriticConfig {
    fn default() -> Self {
        Self {
            objective: Objective::Wasserstein(500.0),
            hidden: vec![64],
            leak: 0.0,
            learning_rate: 1e-3,
            adam: AdamConfig { weight_decay: 0.0, ..AdamConfig::default() },
        }
    }
}

/// A discriminator with its optimiser.
pub struct Critic {
    config: CriticConfig,
    seed: u64,
    bits: usize,
    discriminator: Discriminator,
    adam: Adam,
    device: Device,
    updates: u64,
}

impl Critic {
    /// One that has seen nothing, for codes of `bits` values, with weights from `init`; `seed` draws where the penalty
    /// is taken.
    pub fn new(config: CriticConfig, bits: usize, init: &mut Init, seed: u64) -> Self {
        let discriminator = Discriminator::new(bits, &config, init);
        let (adam, device) = (Adam::new(config.adam), init.device().clone());
        Self { config, seed, bits, discriminator, adam, device, updates: 0 }
    }

    /// An update on `real` codes and `drawn` ones, each [rows, bits].
    pub fn learn(&mut self, real: &[f32], drawn: &[f32]) {
        self.updates += 1;
        let (real_score, _) = self.discriminator.score_and_slope(self.tensor(real.to_vec()));
        let (drawn_score, _) = self.discriminator.score_and_slope(self.tensor(drawn.to_vec()));
        let loss = match self.config.objective {
            Objective::JensenShannon => {
                (log_sigmoid(real_score).mean() + log_sigmoid(drawn_score.neg()).mean()).neg()
            }
            Objective::Wasserstein(weight) => {
                drawn_score.mean() - real_score.mean() + self.penalty(real, drawn).mul_scalar(weight)
            }
            Objective::LeastSquares => {
                let real = real_score.sub_scalar(1.0);
                (real.clone() * real).mean() + (drawn_score.clone() * drawn_score).mean()
            }
            Objective::Hinge => {
                relu(real_score.neg().add_scalar(1.0)).mean() + relu(drawn_score.add_scalar(1.0)).mean()
            }
        };
        let whole = loss.ones_like().inner();
        let mut gradients = Gradients::of_graph(&self.discriminator, loss, whole);
        let rate = self.config.learning_rate;
        self.discriminator = self.adam.update(self.discriminator.clone(), &mut gradients, rate);
    }

    /// The gradient that moves `codes` [rows, bits] towards those that the discriminator considers real.
    pub fn pull(&self, codes: &[f32]) -> Vec<f32> {
        let rows = codes.len() / self.bits;
        let (score, slope) = self.discriminator.score_and_slope(self.tensor(codes.to_vec()));
        let pull = match self.config.objective {
            Objective::JensenShannon => sigmoid(score.neg()).neg(),
            Objective::Wasserstein(_) | Objective::Hinge => score.ones_like().neg(),
            Objective::LeastSquares => score.sub_scalar(1.0).mul_scalar(2.0),
        };
        to_host((slope * pull).div_scalar(rows as f32).inner())
    }

    /// Squared distance of the slope's length from one, between codes of either side.
    fn penalty(&self, real: &[f32], drawn: &[f32]) -> Tensor<1> {
        let mut rng = stream(self.seed, "critic penalty", &[self.updates]);
        let pairs = drawn.chunks_exact(self.bits).zip(real.chunks_exact(self.bits));
        let between = pairs.flat_map(|(one, other)| {
            let share = uniform(&mut rng);
            one.iter().zip(other).map(move |(a, b)| share * a + (1.0 - share) * b)
        });
        let (_, slope) = self.discriminator.score_and_slope(self.tensor(between.collect()));
        let length = (slope.clone() * slope).sum_dim(1).add_scalar(1e-12).sqrt().sub_scalar(1.0);
        (length.clone() * length).mean()
    }

    fn tensor(&self, values: Vec<f32>) -> Tensor<2> {
        let data = TensorData::new(values.clone(), [values.len() / self.bits, self.bits]);
        Tensor::from_inner(Tensor::<2>::from_data(data, &self.device.clone().inner()))
    }
}

/// A perceptron whose slope at its inputs is written out, so that a penalty on it can be learned from.
#[derive(Module, Debug)]
struct Discriminator {
    layers: Vec<Linear>,
    leak: f32,
}

impl Discriminator {
    fn new(bits: usize, config: &CriticConfig, init: &mut Init) -> Self {
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
