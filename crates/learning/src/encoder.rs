//! A party's model: columns to codes, and gradients of codes to better codes.
//!
//! All that a party learns is in one [`Encoder`], and one [`Snapshot`] holds it whole: weights, statistics,
//! thresholds and the optimiser's moments. A run that loads it goes on bit for bit.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::codes::form::CodeForm;
use hashvfl_core::gradient_monitor;
use hashvfl_core::normal::add_noise;
use hashvfl_core::random::stream;
use hashvfl_core::{Digest, Part, RowSelection};
use serde::{Deserialize, Serialize};

use crate::adam::{Adam, AdamConfig};
use crate::bottom::{BottomActivations, BottomConfig, BottomError, BottomModel, Dropout, InputShape};
use crate::hash::{HashConfig, Hashed, Statistics, levels};
use crate::init::Init;
use crate::range::{RangeError, at_least, at_least_zero, fraction, positive_fraction};
use crate::schedule::Rates;
use crate::snapshot::{Snapshot, SnapshotError, to_host};

/// Records over which statistics and thresholds are measured for good, at most.
const FREEZE_ROWS: usize = 65_536;
/// The same while the model learns, when each epoch measures them again: a bit's mean is then within 0.02 or so.
const LEARNING_ROWS: usize = 8_192;
/// Records that pass through the model at once outside training.
const PASS_ROWS: usize = 512;

/// A party's own choices about its model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderConfig {
    /// The bottom model.
    pub model: BottomConfig,
    /// The hash layer.
    pub hash: HashConfig,
    /// The optimiser.
    pub adam: AdamConfig,
    /// Probability with which a hidden unit is dropped in training, from 0 to below 1.
    pub dropout: f32,
}

impl EncoderConfig {
    /// Checks every range.
    pub fn check(&self) -> Result<(), RangeError> {
        let hash = &self.hash;
        fraction("dropout", self.dropout)?;
        at_least_zero("hash.noise", hash.noise)?;
        let falls = "finite and at least hash.noise, to which it falls";
        at_least("hash.initial_noise", hash.initial_noise.unwrap_or(hash.noise), hash.noise, falls)?;
        positive_fraction("hash.noise_decay_fraction", hash.noise_decay_fraction.unwrap_or(1.0))?;
        at_least_zero("hash.clip", hash.clip)?;
        self.adam.check()
    }
}

/// What leaves the encoder: codes in a federation, floats in a baseline that runs in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutLayer {
    /// The code: signs, or levels.
    Hash,
    /// The normalised embedding: a float in place of each latent. No config file and no message reaches this.
    SimulatedFloat,
}

/// A bottom model with its hash layer and optimiser.
pub struct Encoder {
    config: EncoderConfig,
    cut: CutLayer,
    seed: u64,
    form: CodeForm,
    device: Device,
    model: BottomModel,
    statistics: Statistics,
    monitored: bool,
    calibrated: bool,
    adam: Adam,
    pending: Option<(Hashed, BottomActivations)>,
    rates: Rates,
}

impl Encoder {
    /// A new encoder of `input` columns into codes of `form`, which learns at `rates`, with weights drawn from `seed`. Floats
    /// are one for each latent.
    pub fn new(
        config: EncoderConfig,
        cut: CutLayer,
        input: InputShape,
        form: CodeForm,
        rates: Rates,
        seed: u64,
        device: &Device,
    ) -> Result<Self, BottomError> {
        let device = device.clone().autodiff();
        let mut init = Init::new(stream(seed, "bottom weights", &[]), &device);
        let form = match cut {
            CutLayer::Hash => form,
            CutLayer::SimulatedFloat => CodeForm::signs(form.latents()),
        };
        let model = config.model.init(input, form.latents(), &mut init)?;
        Ok(Self {
            cut,
            seed,
            form,
            statistics: Statistics::neutral(form),
            monitored: false,
            calibrated: false,
            adam: Adam::new(config.adam),
            pending: None,
            rates,
            model,
            device,
            config,
        })
    }

    /// Says that a gradient monitor looks at gradients: batches that it looks at get the noise that it needs
    /// ([`gradient_monitor::LEAST_NOISE`]), whatever less is configured.
    pub fn expect_monitoring(&mut self) {
        self.monitored = true;
    }

    /// The hash layer's settings where the encoder is in its run.
    fn hash_now(&self) -> HashConfig {
        self.config.hash.at(self.rates.progress(self.adam.updates()))
    }

    /// Sets the number of updates of the run, in place of the one given at creation.
    pub fn expect_updates(&mut self, total_updates: u64) {
        self.rates = self.rates.over(total_updates);
    }

    /// The party's choices about it.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// What leaves it.
    pub fn cut(&self) -> CutLayer {
        self.cut
    }

    /// What a code is made of; of floats, one for each sign.
    pub fn form(&self) -> CodeForm {
        self.form
    }

    /// Bits per record.
    pub fn bits(&self) -> usize {
        self.form.bits()
    }

    /// Number of weights of the bottom model.
    pub fn weights(&self) -> usize {
        self.model.num_params()
    }

    /// Encodes the `columns` [rows, columns] of the records of `selection`, as a run asks for them: a batch to learn from, a
    /// chunk of validation records while it learns, or any other chunk.
    pub fn encode_selected(&mut self, selection: RowSelection, columns: Vec<f32>, rows: usize) -> Vec<f32> {
        match selection {
            RowSelection::Batch { .. } => self.encode_batch(columns, rows),
            // Levels of an epoch's validation records are blurred as those of training records are. Signs are not: their noise
            // is wide, would blur by which epoch is kept, and would hide little.
            RowSelection::Chunk { part: Part::CohortValidation, chunk } if !self.form.is_signs() => {
                self.encode_with_noise(columns, rows, chunk)
            }
            RowSelection::Chunk { .. } => self.encode(columns, rows),
        }
    }

    /// Encodes a training batch `columns` [rows, columns] and keeps its trace for [`Self::learn`]. The signs
    /// of the result [rows, bits] are the codes.
    pub fn encode_batch(&mut self, columns: Vec<f32>, rows: usize) -> Vec<f32> {
        let columns = self.upload(columns, rows);
        let counters = [self.adam.updates()];
        let mut dropout = Dropout::new(self.config.dropout, stream(self.seed, "dropout", &counters));
        let (embedding, trace) = self.model.learn(columns, &mut dropout);
        let embedding = to_host(embedding);
        let (hashed, values) = match self.cut {
            CutLayer::Hash => {
                let mut rng = stream(self.seed, "noise", &counters);
                let monitored = self.monitored && gradient_monitor::looks_at(counters[0] + 1);
                let least = if monitored { gradient_monitor::LEAST_NOISE } else { 0.0 };
                let config = &self.hash_now();
                match self.form.is_signs() {
                    true => Hashed::new(embedding, config, least, &self.statistics, &mut rng),
                    false => {
                        Hashed::of_levels(embedding, config, least, self.form, &self.statistics, &mut rng)
                    }
                }
            }
            CutLayer::SimulatedFloat => Hashed::float(embedding, self.form.latents()),
        };
        self.pending = Some((hashed, trace));
        values
    }

    /// What the values of the last batch's codes [rows, latents] ([`CodeForm::decode`]) were expected to be before noise was
    /// drawn. It stays with the party, for its gradient monitor.
    ///
    /// # Panics
    /// If no batch is waiting.
    pub fn expected_codes(&self) -> Vec<f32> {
        let (hashed, _) = self.pending.as_ref().expect("a batch waits for its gradient");
        if self.form.is_signs() {
            return hashed.expected(&self.statistics);
        }
        hashed.expected_levels(self.form, &self.statistics)
    }

    /// Learns from the gradient [rows, latents] of the last batch's codes.
    ///
    /// # Panics
    /// If no batch is waiting, or its shape is another: the session before this checks a peer's message.
    pub fn learn(&mut self, gradient: Vec<f32>) {
        let (hashed, trace) = self.pending.take().expect("a batch waits for its gradient");
        let rows = gradient.len() / self.form.latents();
        let plain = self.device.clone().inner();
        let gradient = hashed.backward(gradient);
        let gradient = Tensor::<2>::from_data(TensorData::new(gradient, [rows, self.form.latents()]), &plain);
        let mut gradients = self.model.backward(trace, gradient);
        let rate = self.rates.at(self.adam.updates());
        let model = self.model.clone();
        self.model = self.adam.update(model, &mut gradients, rate);
        self.calibrated = false;
    }

    /// Measures statistics and thresholds over the first training `rows`, unless nothing was learned since;
    /// `gather` brings columns of rows. Nothing of this leaves the party.
    pub fn calibrate(&mut self, rows: &[u32], gather: &dyn Fn(&[u32]) -> Vec<f32>) {
        if !self.calibrated {
            self.measure(&rows[..rows.len().min(LEARNING_ROWS)], gather);
        }
    }

    /// The same for good, over more rows.
    pub fn freeze(&mut self, rows: &[u32], gather: &dyn Fn(&[u32]) -> Vec<f32>) {
        self.measure(&rows[..rows.len().min(FREEZE_ROWS)], gather);
    }

    fn measure(&mut self, rows: &[u32], gather: &dyn Fn(&[u32]) -> Vec<f32>) {
        let mut values = Vec::with_capacity(rows.len() * self.form.latents());
        for pass in rows.chunks(PASS_ROWS) {
            values.extend(self.embed(gather(pass), pass.len()));
        }
        self.statistics = Statistics::measure(&values, self.form);
        self.calibrated = true;
    }

    /// Encodes `columns` [rows, columns] with fixed statistics. The signs of the result [rows, bits] are the
    /// codes, before any flip; a row's result does not depend on its neighbours.
    pub fn encode(&self, columns: Vec<f32>, rows: usize) -> Vec<f32> {
        self.code(self.values(columns, rows))
    }

    /// Encodes `columns` [rows, columns] as a batch is that the encoder learns from, with dropout and noise, but with fixed
    /// statistics, to which levels add what those of a batch vary by; `chunk` names the draws.
    pub fn encode_with_noise(&self, columns: Vec<f32>, rows: usize, chunk: u32) -> Vec<f32> {
        let counters = [self.adam.updates(), u64::from(chunk)];
        let (dropout, HashConfig { noise, .. }) = (self.config.dropout, self.hash_now());
        let mut values = match dropout > 0.0 {
            true => {
                let drawn = stream(self.seed, "validation dropout", &counters);
                let columns = self.upload(columns, rows);
                to_host(self.model.learn(columns, &mut Dropout::new(dropout, drawn)).0)
            }
            false => self.embed(columns, rows),
        };
        self.statistics.apply(&mut values, self.codes_signs());
        if !self.form.is_signs() {
            let mut drawn = stream(self.seed, "validation statistics", &counters);
            levels::vary_as_in_batches(&mut values, self.rates.batch_rows(), &mut drawn);
        }
        if noise > 0.0 {
            add_noise(&mut values, noise, &mut stream(self.seed, "validation noise", &counters));
        }
        self.code(values)
    }

    /// What [`Self::code`] makes codes of: normalised values [rows, latents] of `columns` [rows, columns].
    pub fn values(&self, columns: Vec<f32>, rows: usize) -> Vec<f32> {
        let mut values = self.embed(columns, rows);
        self.statistics.apply(&mut values, self.codes_signs());
        values
    }

    /// The codes of `values` [rows, latents]: the signs of the result [rows, bits].
    pub fn code(&self, values: Vec<f32>) -> Vec<f32> {
        if self.form.is_signs() { values } else { self.statistics.to_levels(self.form, &values) }
    }

    fn codes_signs(&self) -> bool {
        self.cut == CutLayer::Hash && self.form.is_signs()
    }

    /// What the first `blocks` blocks of a cnn (convolution, ReLU, maximum) give for `columns` [rows, columns]:
    /// [rows, channels, height, width], with the last three; `None` for other models and for blocks that it does not
    /// have.
    pub fn features(&self, columns: Vec<f32>, rows: usize, blocks: usize) -> Option<(Vec<f32>, [usize; 3])> {
        let (features, shape) = self.model.features(self.upload(columns, rows), blocks)?;
        Some((to_host(features), shape))
    }

    /// The gradient of `columns` [rows, columns], where `of` gives that of [`Self::features`]: for attacks that know
    /// the weights.
    pub fn pull_features(
        &self,
        columns: Tensor<2>,
        blocks: usize,
        of: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> Option<Tensor<2>> {
        self.model.pull_features(columns, blocks, of)
    }

    /// The gradient of `columns` [rows, columns], where `of` gives that of [`Self::values`]
    /// [rows, latents]: for attacks that know the weights.
    pub fn pull(&self, columns: Tensor<2>, of: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let (shift, scale) = self.statistics.linear(self.codes_signs(), &columns.device());
        self.model.pull(columns, |embedding| of((embedding - shift) * scale.clone()) * scale)
    }

    /// [`Self::pull`] with values on the host: `of` gives the gradient of the values [rows, latents] for the values.
    pub fn pull_values(
        &self,
        columns: Vec<f32>,
        rows: usize,
        of: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> Vec<f32> {
        let plain = self.device.clone().inner();
        to_host(self.pull(self.upload(columns, rows), |embedding| {
            let dims = embedding.dims();
            Tensor::from_data(TensorData::new(of(&to_host(embedding)), dims), &plain)
        }))
    }

    fn embed(&self, columns: Vec<f32>, rows: usize) -> Vec<f32> {
        to_host(self.model.forward(self.upload(columns, rows)))
    }

    /// Columns [rows, columns] on the device.
    fn upload(&self, columns: Vec<f32>, rows: usize) -> Tensor<2> {
        let width = columns.len() / rows.max(1);
        Tensor::from_data(TensorData::new(columns, [rows, width]), &self.device.clone().inner())
    }

    /// Digest of everything that turns columns into codes.
    pub fn digest(&self) -> Digest {
        let mut snapshot = Snapshot::default();
        snapshot.put_module("model", &self.model);
        self.statistics.put(&mut snapshot);
        snapshot.digest(&["model.", "hash."])
    }

    /// Digest of everything that decides which codes come out while it learns, beside its choices: what
    /// [`Self::snapshot`] holds, its seed, and whether a gradient monitor asks for expected codes.
    pub fn state_digest(&self) -> Digest {
        let snapshot = self.snapshot();
        let arrays = snapshot.digest(&[""]);
        let text = snapshot.text.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]);
        let (seed, monitored) = (self.seed.to_le_bytes(), [u8::from(self.monitored)]);
        let parts = [arrays.0.as_slice(), &seed, &monitored];
        Digest::of_parts(parts.into_iter().chain(text))
    }

    /// Everything the encoder has learned.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.put_module("model", &self.model);
        self.statistics.put(&mut snapshot);
        self.adam.put(&mut snapshot);
        snapshot.text.insert("calibrated".into(), u8::from(self.calibrated).to_string());
        snapshot
    }

    /// Goes back to a snapshot of an encoder of the same configuration.
    pub fn load(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        self.model = snapshot.load_module("model", self.model.clone())?;
        self.statistics = Statistics::load(snapshot, self.form)?;
        self.adam.load(snapshot, &self.device)?;
        self.calibrated = snapshot.number("calibrated")? == 1;
        self.pending = None;
        Ok(())
    }
}
