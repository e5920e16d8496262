//! A multilayer perceptron as a regression, stopped early.

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::{shuffle, stream};
use hashvfl_learning::Snapshot;
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::bottom::{Dropout, Mlp, MlpConfig};
use hashvfl_learning::init::Init;
use hashvfl_learning::snapshot::to_host;

use super::{Examples, Predictor, Standard, gather};

/// Records of a batch: the more there are to learn from, the more.
const BATCH: usize = 64;
const MOST_BATCH: usize = 256;
const MOST_EPOCHS: u64 = 60;
/// Epochs without a better held-out error after which it stops.
const PATIENCE: u64 = 6;
const DROPOUT: f32 = 0.1;
const RATE: f64 = 2e-3;

/// A network on standardised inputs to centred outputs.
pub(super) struct MlpRegression {
    model: Mlp,
    standard: Standard,
    output_mean: Vec<f32>,
    device: Device,
}

impl MlpRegression {
    /// Learns from `train` until `held` is predicted no better, after so many `updates` at most, and goes back to where it was
    /// best.
    pub(super) fn fit(
        train: &Examples,
        held: &Examples,
        hidden: &[usize],
        updates: usize,
        seed: u64,
    ) -> Self {
        let device = Device::flex().autodiff();
        let (inputs, outputs) = (train.inputs_width(), train.outputs_width());
        let mut init = Init::new(stream(seed, "regression weights", &[hidden.len() as u64]), &device);
        // Unwrap safety: the sizes are constants within the limits.
        let model =
            MlpConfig { hidden: hidden.to_vec() }.init(inputs, outputs, &mut init).expect("few units");
        let standard = Standard::of(train);
        let mut network = Self { model, standard, output_mean: train.output_means(), device };
        network.learn(train, held, updates, seed);
        network
    }

    fn learn(&mut self, train: &Examples, held: &Examples, updates: usize, seed: u64) {
        let (width, outputs) = (train.inputs_width(), train.outputs_width());
        let x = self.standard.apply(&train.inputs);
        let centred = |y: &[f32]| -> Vec<f32> {
            y.chunks_exact(outputs)
                .flat_map(|row| row.iter().zip(&self.output_mean).map(|(y, m)| y - m))
                .collect()
        };
        let y = centred(&train.outputs);
        let mut adam = Adam::new(AdamConfig::default());
        let mut order: Vec<u32> = (0..train.rows as u32).collect();
        let mut best: Option<(f64, u64, Snapshot)> = None;
        let batch = (train.rows / BATCH).clamp(BATCH, MOST_BATCH);
        for epoch in 0..MOST_EPOCHS.min((updates * batch / train.rows).max(1) as u64) {
            shuffle(&mut order, &mut stream(seed, "regression batches", &[epoch]));
            for rows in order.chunks(batch) {
                let known = self.tensor(gather(&x, width, rows), rows.len(), width);
                let wanted = self.tensor(gather(&y, outputs, rows), rows.len(), outputs);
                let mut dropout =
                    Dropout::new(DROPOUT, stream(seed, "regression dropout", &[adam.updates()]));
                let (guess, trace) = self.model.forward(known, &mut dropout);
                // Of the mean squared error.
                let gradient = (guess - wanted).mul_scalar(2.0 / (rows.len() * outputs) as f32);
                let mut gradients = self.model.backward_weights(trace, gradient);
                self.model = adam.update(self.model.clone(), &mut gradients, RATE);
            }
            let guess = self.predict(&held.inputs, held.rows);
            let error: f64 = held.outputs.iter().zip(guess).map(|(t, g)| f64::from(t - g).powi(2)).sum();
            match &best {
                Some((least, since, _)) if error >= *least => {
                    if epoch - since >= PATIENCE {
                        break;
                    }
                }
                _ => {
                    let mut snapshot = Snapshot::default();
                    snapshot.put_module("model", &self.model);
                    best = Some((error, epoch, snapshot));
                }
            }
        }
        if let Some((.., snapshot)) = best {
            // Unwrap safety: the snapshot was taken of this very model.
            self.model = snapshot.load_module("model", self.model.clone()).expect("the same model");
        }
    }

    fn tensor(&self, values: Vec<f32>, rows: usize, width: usize) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, [rows, width]), &self.device.clone().inner())
    }
}

impl Predictor for MlpRegression {
    fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32> {
        let width = self.standard.mean.len();
        let x = self.tensor(self.standard.apply(inputs), rows, width);
        let mut guess = to_host(self.model.forward(x, &mut Dropout::off()).0);
        for row in guess.chunks_exact_mut(self.output_mean.len()) {
            row.iter_mut().zip(&self.output_mean).for_each(|(value, mean)| *value += mean);
        }
        guess
    }
}
