//! Feature-space hijacking (FSHA: Pasquini, Ateniese and Bernaschi 2021, "Unleashing the tiger"), on hash codes and, in
//! simulations, on floats.
//!
//! A malicious coordinator has auxiliary rows with the victim's columns. It learns codes of its own (the pilot) with
//! a decoder back to columns, and a discriminator that tells pilot codes from the victim's. In place of the loss's
//! gradient it sends the discriminator's, which draws the victim's bottom model towards the pilot's code space; the
//! decoder then reads the victim's codes.
//!
//! The pilot is an [`Encoder`] like the victim's: its bits are as balanced, so the discriminator finds no difference
//! in means to betray itself by. Codes are seen as a top model sees them: a value a latent, which is +1 or -1 where latents are
//! bits. A pilot whose cut is floats reads floats.

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::{shuffle, stream};
use hashvfl_learning::Encoder;
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::bottom::{Dropout, Mlp, MlpConfig};
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::init::Init;
use hashvfl_learning::snapshot::to_host;

pub use crate::attacks::critic::{Critic, CriticConfig, Objective};
use crate::evaluation::context::signs;

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

/// The hijacker's own rows, with the victim's columns: row-major [rows, columns], as a bottom model takes them.
pub struct Auxiliary {
    /// The values.
    pub values: Vec<f32>,
    /// Number of columns.
    pub columns: usize,
    /// Mean and deviation of each column, by which the decoder's guesses are standardised; none where columns are it already.
    pub scales: Vec<(f32, f32)>,
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

    /// Columns as the decoder guesses them.
    fn standard(&self, mut columns: Vec<f32>) -> Vec<f32> {
        let scales = self.scales.iter().cycle();
        columns.iter_mut().zip(scales).for_each(|(value, (mean, deviation))| {
            *value = (*value - mean) / deviation;
        });
        columns
    }

    /// What the decoder guessed, in the columns' own units.
    fn restored(&self, mut guess: Vec<f32>) -> Vec<f32> {
        let scales = self.scales.iter().cycle();
        guess.iter_mut().zip(scales).for_each(|(value, (mean, deviation))| {
            *value = *value * deviation + mean;
        });
        guess
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
            .init(pilot.form().latents(), auxiliary.columns, &mut init)
            .expect("a decoder of few units");
        let critic = Critic::new(config.critic.clone(), pilot.form().latents(), &mut init, config.seed);
        let decoder_adam = Adam::new(AdamConfig::default());
        let mut hijacker =
            Self { config, auxiliary, pilot, decoder, decoder_adam, critic, device, batches: 0 };
        for _ in 0..hijacker.config.head_start {
            hijacker.learn_pilot();
        }
        hijacker
    }

    /// The gradient that is sent for the victim's `codes` [rows, latents], after an update of every network.
    pub fn gradient(&mut self, codes: &[f32]) -> Vec<f32> {
        for _ in 0..self.config.rounds {
            let pilot = self.learn_pilot();
            self.critic.learn(&pilot, codes);
        }
        self.critic.pull(codes)
    }

    /// What the decoder makes of `codes` [rows, latents]: columns, row-major.
    pub fn reconstruct(&self, codes: &[f32], rows: usize) -> Vec<f32> {
        let codes = self.tensor(codes.to_vec(), rows).inner();
        self.auxiliary.restored(to_host(self.decoder.forward(codes, &mut Dropout::off()).0))
    }

    /// What the decoder makes of the pilot's own codes of `columns` [rows, columns]: all that a hijack could give.
    pub fn reconstruct_own(&self, columns: Vec<f32>, rows: usize) -> Vec<f32> {
        self.reconstruct(&self.own_codes(self.pilot.encode(columns, rows)), rows)
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
        let encoded = self.pilot.encode_batch(columns.clone(), order.len());
        let own = self.own_codes(encoded);
        let (count, columns) = (columns.len(), self.auxiliary.standard(columns));
        let codes = self.tensor(own.clone(), order.len()).inner();
        let (guess, trace) = self.decoder.forward(codes, &mut Dropout::off());
        let difference = guess - self.tensor(columns, order.len()).inner();
        // Of the mean squared error.
        let (mut gradients, of_codes) =
            self.decoder.backward(trace, difference.mul_scalar(2.0 / count as f32));
        self.pilot.learn(to_host(of_codes));
        let rate = self.config.critic.learning_rate;
        self.decoder = self.decoder_adam.update(self.decoder.clone(), &mut gradients, rate);
        own
    }

    /// The values [rows, latents] of the codes whose bits are the signs of what the pilot gave; floats as they are.
    fn own_codes(&self, encoded: Vec<f32>) -> Vec<f32> {
        match self.pilot.cut() {
            CutLayer::Hash => self.pilot.form().decode(&signs(encoded)).into_owned(),
            CutLayer::SimulatedFloat => encoded,
        }
    }

    fn tensor(&self, values: Vec<f32>, rows: usize) -> Tensor<2> {
        let width = values.len() / rows.max(1);
        let data = TensorData::new(values, [rows, width]);
        Tensor::from_inner(Tensor::<2>::from_data(data, &self.device.clone().inner()))
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::CodeForm;
    use hashvfl_core::normal::add_noise;
    use hashvfl_core::random::uniform;
    use hashvfl_learning::EncoderConfig;
    use hashvfl_learning::bottom::{BottomConfig, InputShape};
    use hashvfl_learning::schedule::Rates;

    use super::*;

    const ROWS: usize = 900;
    /// Mean and deviation of the columns.
    const SCALES: [(f32, f32); 2] = [(0.0, 1.0), (3.0, 11.2)];

    /// A linear bottom model of two columns that sends a float.
    fn encoder(updates: u64, seed: u64) -> Encoder {
        let model = BottomConfig::Mlp(MlpConfig { hidden: Vec::new() });
        let config = EncoderConfig { model, ..EncoderConfig::default() };
        let input = InputShape { columns: 2, ..InputShape::default() };
        let (form, rates) = (CodeForm::signs(1), Rates::one_cycle(1e-2, updates));
        Encoder::new(config, CutLayer::SimulatedFloat, input, form, rates, seed, &Device::flex()).unwrap()
    }

    /// Two skewed columns of one cause, in units of their own.
    fn columns(seed: u64) -> Vec<f32> {
        let mut rng = stream(seed, "skewed columns", &[]);
        let cause: Vec<f32> = (0..ROWS).map(|_| -uniform(&mut rng).max(1e-3).ln() - 1.0).collect();
        let mut noise = vec![0.0; ROWS];
        add_noise(&mut noise, 0.5, &mut rng);
        cause.iter().zip(noise).flat_map(|(cause, noise)| [*cause, 3.0 + 10.0 * (cause + noise)]).collect()
    }

    /// A float that was hijacked says what both columns have in common, the right way round, since that is skewed.
    #[test]
    fn floats_are_read_after_fsha() {
        const STEPS: u64 = 400;
        let (theirs, ours) = (columns(1), columns(2));
        let auxiliary = Auxiliary { values: ours, columns: 2, scales: SCALES.to_vec() };
        let critic = CriticConfig { objective: Objective::JensenShannon, ..CriticConfig::default() };
        let config = FshaConfig { critic, seed: 3, ..FshaConfig::default() };
        let pilot = encoder(STEPS + u64::from(config.head_start), 77);
        let mut hijacker = Fsha::new(config, pilot, auxiliary);
        let mut victim = encoder(STEPS, 5);
        let mut order: Vec<u32> = (0..ROWS as u32).collect();
        let gather = |rows: &[u32]| -> Vec<f32> {
            rows.iter().flat_map(|row| theirs[2 * *row as usize..][..2].to_vec()).collect()
        };
        for step in 0..STEPS {
            shuffle(&mut order, &mut stream(4, "batches", &[step]));
            let floats = victim.encode_batch(gather(&order[..BATCH]), BATCH);
            victim.learn(hijacker.gradient(&floats));
        }
        victim.freeze(&order, &gather);
        let guess = hijacker.reconstruct(&victim.encode(theirs.clone(), ROWS), ROWS);
        let (mut missed, mut all) = (0.0_f32, 0.0_f32);
        for (place, (guess, truth)) in guess.iter().zip(&theirs).enumerate() {
            let (mean, deviation) = SCALES[place % 2];
            missed += ((guess - truth) / deviation).powi(2);
            all += ((truth - mean) / deviation).powi(2);
        }
        let skill = 1.0 - missed / all;
        assert!(skill > 0.5, "{skill}");
    }
}
