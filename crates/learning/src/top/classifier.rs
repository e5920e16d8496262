//! The coordinator's model: all parties' codes to a prediction, and back to a gradient for each party.

use std::borrow::Cow;

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::codes::form::CodeForm;
use hashvfl_core::normal::add_noise;
use hashvfl_core::random::{shuffle, stream, uniform};
use hashvfl_core::settings::{RunSettings, Task};
use hashvfl_core::{Part, Plan};
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::adam::{Adam, AdamConfig};
use crate::bottom::{BottomError, Dropout, Mlp, MlpConfig};
use crate::gradients::Gradients;
use crate::init::Init;
use crate::range::{RangeError, above_zero, at_least_zero, fraction};
use crate::schedule::Rates;
use crate::snapshot::{Snapshot, SnapshotError, to_host};
use crate::top::evaluation::Evaluation;
use crate::top::loss::{Labels, Loss, LossConfig};
use crate::top::predictor::OutputKind;
use crate::training::Validate;

/// The `[top]` table of the coordinator. The defaults are the recipe of `docs/research/accuracy.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopConfig {
    /// Units of each hidden layer.
    pub hidden: Vec<usize>,
    /// Probability with which a hidden unit is dropped in training.
    pub dropout: f32,
    /// The loss.
    pub loss: LossConfig,
    /// The optimiser; its learning rate is `run.learning_rate`.
    pub adam: AdamConfig,
    /// Epochs without a better validation metric after which training stops; 0 never stops early.
    pub patience: u32,
    /// After which epochs validation records are encoded and judged.
    #[serde(skip_serializing_if = "Validate::is_default")]
    pub validate: Validate,
    /// Epochs of fitting on stored codes, where the run refits.
    pub refit_epochs: u32,
    /// Peak learning rate of that. No key of a config file.
    #[serde(skip)]
    pub refit_learning_rate: f64,
}

impl Default for TopConfig {
    fn default() -> Self {
        Self {
            hidden: vec![64],
            dropout: 0.0,
            loss: LossConfig::default(),
            adam: AdamConfig::default(),
            patience: 0,
            validate: Validate::default(),
            refit_epochs: 15,
            refit_learning_rate: 1e-3,
        }
    }
}

impl TopConfig {
    /// Checks every range.
    pub fn check(&self) -> Result<(), RangeError> {
        fraction("dropout", self.dropout)?;
        at_least_zero("loss.consistency", self.loss.consistency)?;
        fraction("loss.distillation", self.loss.distillation)?;
        above_zero("refit_epochs", f64::from(self.refit_epochs))?;
        above_zero("refit_learning_rate", self.refit_learning_rate)?;
        self.adam.check()
    }
}

/// What one step of training gave.
pub struct TopStep {
    /// The mean loss, without the consistency term.
    pub loss: f64,
    /// The gradient for each party, row-major [rows, latents].
    pub gradients: Vec<Vec<f32>>,
}

/// The top model with its loss and optimiser.
pub struct Classifier {
    config: TopConfig,
    /// What each party's codes are made of; none where values come as they are.
    forms: Vec<CodeForm>,
    inputs: usize,
    model: Mlp,
    adam: Adam,
    loss: Loss,
    pending: Option<Gradients>,
    seed: u64,
    device: Device,
    rates: Rates,
    party_dropout: f64,
    gradient_noise: Option<f64>,
}

impl Classifier {
    /// A new top model on `inputs` values (all parties' latents, of codes of signs all bits), with weights drawn from `seed`. The bias of its outputs
    /// starts at the prior of the `train` rows ([`Loss::prior`]): were it not, the first gradients on a rare class would
    /// all point one way whatever the label, which a party cannot tell from a hijacker's.
    pub fn new(
        config: TopConfig,
        loss: Loss,
        train: &[u32],
        inputs: usize,
        rates: Rates,
        seed: u64,
        device: &Device,
    ) -> Result<Self, BottomError> {
        let device = device.clone().autodiff();
        let mut init = Init::new(stream(seed, "top weights", &[]), &device);
        let hidden = config.hidden.clone();
        let model = MlpConfig { hidden }.init(inputs, loss.outputs(), &mut init)?;
        let model = model.with_output_bias(loss.prior(train), &device);
        let adam = Adam::new(config.adam);
        let party_dropout = 0.0;
        Ok(Self {
            config,
            forms: Vec::new(),
            inputs,
            model,
            adam,
            loss,
            pending: None,
            seed,
            device,
            rates,
            party_dropout,
            gradient_noise: None,
        })
    }

    /// The top model of a run, its loss fitted to the training records of the cohort.
    pub fn of_run(
        config: &TopConfig,
        labels: Labels,
        settings: &RunSettings,
        plan: &Plan,
        seed: u64,
        device: &Device,
    ) -> Result<Self, BottomError> {
        let train = plan.part(Part::CohortTrain);
        let forms: Vec<CodeForm> = settings.code_forms().collect();
        let inputs = forms.iter().map(|form| form.latents()).sum();
        // Target codes are for codes of signs, which are equally long then.
        let loss = Loss::new(labels, train, config.loss, forms.first().map_or(0, |form| form.latents()));
        let rates = Rates::of_run(settings, plan.updates());
        let (party_dropout, gradient_noise) = (settings.party_dropout, settings.gradient_noise);
        let classifier = Self::new(config.clone(), loss, train, inputs, rates, seed, device)?;
        Ok(Self { forms, party_dropout, gradient_noise, ..classifier })
    }

    /// Weighs `rows` by `weights`, from 0 to 1, whenever it learns from here on.
    pub fn weigh(&mut self, rows: &[u32], weights: &[f32]) {
        self.loss.weigh(rows, weights);
    }

    /// Another epoch begins, `epoch` (from 0) of a cycle of `of`.
    pub fn begin_epoch(&mut self, epoch: u32, of: u32) {
        if let Some(self_distillation) = self.loss.self_distillation() {
            self_distillation.begin_epoch(epoch, of);
        }
    }

    /// Learns from the codes of `rows`, `parts[party]` row-major [rows, bits].
    pub fn step(&mut self, parts: &[Vec<f32>], rows: &[u32]) -> TopStep {
        let step = self.backward(parts, rows);
        self.update();
        step
    }

    /// The first half of [`Self::step`], all that parties wait for. [`Self::update`] is the second.
    pub fn backward(&mut self, parts: &[Vec<f32>], rows: &[u32]) -> TopStep {
        let parts = self.values(parts);
        let mut draws = stream(self.seed, "party dropout", &[self.adam.updates()]);
        let absent = absent(self.party_dropout, parts.len(), rows.len(), &mut draws);
        let input = match &absent {
            Some(absent) => {
                let mut present: Vec<Vec<f32>> = parts.iter().map(|part| part.to_vec()).collect();
                leave_out(&mut present, absent);
                self.input(&present, rows.len())
            }
            None => self.input(&parts, rows.len()),
        };
        let device = input.device();
        let mut dropout =
            Dropout::new(self.config.dropout, stream(self.seed, "dropout", &[self.adam.updates()]));
        let (outputs, trace) = self.model.forward(input, &mut dropout);
        let outputs = to_host(outputs);
        let (loss, gradient) = self.loss.learn(&outputs, rows);
        self.loss.keep(&outputs, rows);
        let gradient = TensorData::new(gradient, [rows.len(), self.loss.outputs()]);
        let (gradients, joint) = self.model.backward(trace, Tensor::from_data(gradient, &device));
        let joint = to_host(joint);
        self.pending = Some(gradients);
        let mut split = split_columns(&joint, &parts, rows.len());
        if let Some(absent) = &absent {
            leave_out(&mut split, absent);
        }
        for (gradient, part) in split.iter_mut().zip(&parts) {
            self.loss.add_consistency(gradient, part, rows);
        }
        if let Some(noise) = self.gradient_noise {
            let mut rng = stream(self.seed, "gradient noise", &[self.adam.updates()]);
            split.iter_mut().for_each(|gradient| blur(gradient, rows.len(), noise as f32, &mut rng));
        }
        TopStep { loss, gradients: split }
    }

    /// The second half of [`Self::step`]; nothing where no first half was taken.
    pub fn update(&mut self) {
        let Some(mut gradients) = self.pending.take() else { return };
        let rate = self.rates.at(self.adam.updates());
        self.model = self.adam.update(self.model.clone(), &mut gradients, rate);
    }

    /// The top model's outputs for codes of `rows` records, row-major.
    pub fn predict(&self, parts: &[Vec<f32>], rows: usize) -> Vec<f32> {
        let input = self.input(&self.values(parts), rows);
        to_host(self.model.forward(input, &mut Dropout::off()).0)
    }

    /// The same, and the features [rows, [`Self::feature_count`]] that the outputs are linear in: the last hidden layer,
    /// or the codes where the top model has no hidden layer.
    pub fn predict_with_features(&self, parts: &[Vec<f32>], rows: usize) -> (Vec<f32>, Vec<f32>) {
        let input = self.input(&self.values(parts), rows);
        let (outputs, trace) = self.model.forward(input, &mut Dropout::off());
        (to_host(outputs), to_host(trace.into_last_input()))
    }

    /// Features a record.
    pub fn feature_count(&self) -> usize {
        self.config.hidden.last().copied().unwrap_or(self.inputs)
    }

    /// Target codes by class that training pulled codes to; `None` where it did not.
    pub fn targets(&self) -> Option<&[Vec<f32>]> {
        self.loss.targets()
    }

    /// The gradient [rows, latents] for each party's codes of `rows` records, where `of` gives that of the outputs: for attacks that
    /// know the top model.
    pub fn pull(
        &self,
        parts: &[Vec<f32>],
        rows: usize,
        of: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> Vec<Vec<f32>> {
        let parts = self.values(parts);
        let input = self.input(&parts, rows);
        let device = input.device();
        let (outputs, trace) = self.model.forward(input, &mut Dropout::off());
        let gradient = TensorData::new(of(&to_host(outputs)), [rows, self.loss.outputs()]);
        let (_, joint) = self.model.backward(trace, Tensor::from_data(gradient, &device));
        split_columns(&to_host(joint), &parts, rows)
    }

    /// The gradient of the loss on `rows` for each party's codes, from a model that learns nothing of it.
    pub fn gradients(&self, parts: &[Vec<f32>], rows: &[u32]) -> Vec<Vec<f32>> {
        self.pull(parts, rows.len(), |outputs| self.loss.learn(outputs, rows).1)
    }

    /// Measures outputs on `rows`.
    pub fn evaluate(&self, outputs: &[f32], rows: &[u32]) -> Evaluation {
        self.loss.evaluate(outputs, rows)
    }

    /// Starts anew and fits on stored codes: `gather` brings all parties' codes of rows. The model of the
    /// epoch that does best on `validation` is kept; returns that epoch (from 1).
    pub fn refit(
        &mut self,
        gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
        train: &[u32],
        validation: &[u32],
        batch_rows: usize,
        task: Task,
    ) -> Result<u32, SnapshotError> {
        let batches = train.len().div_ceil(batch_rows).max(1);
        let mut init = Init::new(stream(self.seed, "refit weights", &[]), &self.device);
        let inputs = self.values(&gather(&train[..1])).iter().map(|part| part.len()).sum();
        let hidden = self.config.hidden.clone();
        // Unwrap safety: the same sizes made a model before.
        let model =
            MlpConfig { hidden }.init(inputs, self.loss.outputs(), &mut init).expect("sizes were checked");
        self.adam = Adam::new(self.config.adam);
        let updates = u64::from(self.config.refit_epochs) * batches as u64;
        self.rates = Rates::one_cycle(self.config.refit_learning_rate, updates);
        if let Some(self_distillation) = self.loss.self_distillation() {
            self_distillation.end_cycle();
        }
        self.model = model.with_output_bias(self.loss.prior(train), &self.device);
        let mut order = train.to_vec();
        let mut best: Option<(Evaluation, u32, Snapshot)> = None;
        for epoch in 1..=self.config.refit_epochs {
            shuffle(&mut order, &mut stream(self.seed, "refit batches", &[u64::from(epoch)]));
            for batch in 0..batches {
                let rows = &order[order.len() * batch / batches..order.len() * (batch + 1) / batches];
                self.step(&gather(rows), rows);
            }
            let found = self.evaluate_stored(gather, validation);
            if !validation.is_empty() && best.as_ref().is_none_or(|(best, ..)| found.is_better(best, task)) {
                best = Some((found, epoch, self.snapshot()));
            }
        }
        let Some((_, epoch, snapshot)) = best else { return Ok(self.config.refit_epochs) };
        self.load(&snapshot)?;
        Ok(epoch)
    }

    /// Measures on stored codes.
    pub fn evaluate_stored(&self, gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>, rows: &[u32]) -> Evaluation {
        let outputs: Vec<f32> =
            rows.chunks(4096).flat_map(|chunk| self.predict(&gather(chunk), chunk.len())).collect();
        self.loss.evaluate(&outputs, rows)
    }

    /// The same without the codes of the party `without`, as if it were away.
    pub fn evaluate_without(
        &self,
        without: usize,
        gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
        rows: &[u32],
    ) -> Evaluation {
        let masked = |rows: &[u32]| {
            let mut parts = gather(rows);
            parts[without].fill(0.0);
            parts
        };
        self.evaluate_stored(&masked, rows)
    }

    /// What the outputs stand for.
    pub fn meaning(&self) -> OutputKind {
        self.loss.meaning()
    }

    pub(super) fn loss(&self) -> &Loss {
        &self.loss
    }

    pub(super) fn loss_mut(&mut self) -> &mut Loss {
        &mut self.loss
    }

    /// Everything the classifier has learned.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.put_module("model", &self.model);
        self.adam.put(&mut snapshot);
        snapshot
    }

    /// Goes back to a snapshot.
    pub fn load(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        self.model = snapshot.load_module("model", self.model.clone())?;
        self.adam.load(snapshot, &self.device)
    }

    /// The same for the model file of a run, which also says how it scales values.
    pub fn load_trained(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        self.load(snapshot)?;
        self.loss.scale_as(OutputKind::of(snapshot, self.loss.outputs())?);
        Ok(())
    }

    /// What codes say, party by party [rows, latents].
    fn values<'a>(&self, parts: &'a [Vec<f32>]) -> Vec<Cow<'a, [f32]>> {
        if self.forms.is_empty() {
            return parts.iter().map(|part| Cow::Borrowed(part.as_slice())).collect();
        }
        decode(&self.forms, parts)
    }

    fn input(&self, parts: &[impl AsRef<[f32]>], rows: usize) -> Tensor<2> {
        join(parts, rows, &self.device.clone().inner())
    }
}

/// What codes of `forms` say, party by party [rows, latents].
pub(crate) fn decode<'a>(forms: &[CodeForm], parts: &'a [Vec<f32>]) -> Vec<Cow<'a, [f32]>> {
    forms.iter().zip(parts).map(|(form, part)| form.decode(part)).collect()
}

/// All parties' values side by side: [rows, all latents].
pub(crate) fn join(parts: &[impl AsRef<[f32]>], rows: usize, device: &Device) -> Tensor<2> {
    let parts: Vec<&[f32]> = parts.iter().map(AsRef::as_ref).collect();
    let widths: Vec<usize> = parts.iter().map(|part| part.len() / rows.max(1)).collect();
    let mut joined = Vec::with_capacity(rows * widths.iter().sum::<usize>());
    for row in 0..rows {
        for (part, width) in parts.iter().zip(&widths) {
            joined.extend_from_slice(&part[row * width..(row + 1) * width]);
        }
    }
    let data = TensorData::new(joined, [rows, widths.iter().sum::<usize>()]);
    Tensor::from_data(data, device)
}

/// For each party, which of the records it is away from: with probability `rate` each, but never all parties from one
/// record. None at a rate of 0, for which nothing is drawn.
fn absent(rate: f64, parties: usize, rows: usize, draws: &mut ChaCha8Rng) -> Option<Vec<Vec<bool>>> {
    if rate <= 0.0 || parties < 2 {
        return None;
    }
    let mut absent = vec![vec![false; rows]; parties];
    for row in 0..rows {
        absent.iter_mut().for_each(|party| party[row] = f64::from(uniform(draws)) < rate);
        if absent.iter().all(|party| party[row]) {
            let stays = (uniform(draws) * parties as f32) as usize;
            absent[stays.min(parties - 1)][row] = false;
        }
    }
    Some(absent)
}

/// Zeros in place of a party's values of the records that it is away from.
fn leave_out(parts: &mut [Vec<f32>], absent: &[Vec<bool>]) {
    for (part, absent) in parts.iter_mut().zip(absent) {
        let width = (part.len() / absent.len().max(1)).max(1);
        for (values, _) in part.chunks_exact_mut(width).zip(absent).filter(|(_, absent)| **absent) {
            values.fill(0.0);
        }
    }
}

/// Adds normal noise to a `gradient` [rows, bits], that of a row `noise` times as long as the longest row (Li et al. 2022,
/// "Label leakage and protection in two-party split learning", the isotropic baseline): a row's length then says little
/// of its label.
fn blur(gradient: &mut [f32], rows: usize, noise: f32, rng: &mut ChaCha8Rng) {
    let bits = (gradient.len() / rows.max(1)).max(1);
    let square = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>();
    let longest = gradient.chunks_exact(bits).map(square).fold(0.0, f32::max).sqrt();
    add_noise(gradient, noise * longest / (bits as f32).sqrt(), rng);
}

/// The columns of each party out of a joint matrix.
fn split_columns(joint: &[f32], parts: &[Cow<'_, [f32]>], rows: usize) -> Vec<Vec<f32>> {
    let total = joint.len() / rows.max(1);
    let mut start = 0;
    parts
        .iter()
        .map(|part| {
            let width = part.len() / rows.max(1);
            let range = start..start + width;
            start += width;
            joint.chunks_exact(total).flat_map(|row| row[range.clone()].iter().copied()).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_is_left_out_as_often_as_set_and_never_all_of_them() {
        let mut draws = stream(0, "test", &[]);
        assert!(absent(0.0, 2, 10, &mut draws).is_none() && absent(0.5, 1, 10, &mut draws).is_none());
        let absent = absent(0.3, 3, 10_000, &mut draws).unwrap();
        for party in &absent {
            let share = party.iter().filter(|away| **away).count() as f64 / 1e4;
            assert!((share - 0.29).abs() < 0.02, "{share}");
        }
        assert!((0..10_000).all(|row| absent.iter().any(|party| !party[row])));
        let mut parts = vec![vec![1.0; 20_000]; 3];
        leave_out(&mut parts, &absent);
        let zero = |row: usize| parts[1][2 * row..2 * row + 2] == [0.0, 0.0];
        assert!((0..10_000).all(|row| zero(row) == absent[1][row]));
    }

    #[test]
    fn noise_is_as_long_as_said_whatever_the_row() {
        let bits = 64;
        let mut gradient = vec![0.0; 200 * bits];
        gradient[..bits].fill(0.5);
        blur(&mut gradient, 200, 2.0, &mut stream(0, "blur", &[]));
        let noise: f32 = gradient[bits..].iter().map(|v| v * v).sum::<f32>() / 199.0;
        // Twice the length of the longest row, which is 4.
        assert!((noise.sqrt() - 8.0).abs() < 0.2, "{}", noise.sqrt());
    }
}
