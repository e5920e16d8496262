//! A decoder from codes to columns that learns while the codes still move, under two pulls: to known columns, and to guesses
//! that nobody tells from columns.

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::stream;
use hashvfl_data::Matrix;
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::bottom::{Dropout, Mlp, MlpConfig};
use hashvfl_learning::init::Init;
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::snapshot::to_host;

use crate::evaluation::score::moments;

/// Units of its hidden layers.
const HIDDEN: [usize; 2] = [256, 256];
/// Its rate at most.
const RATE: f64 = 2e-3;

/// A perceptron to standardised columns.
pub struct ColumnDecoder {
    model: Mlp,
    adam: Adam,
    rates: Rates,
    device: Device,
    mean: Vec<f32>,
    /// What each column is divided by: all pixels by the same.
    deviation: Vec<f32>,
}

impl ColumnDecoder {
    /// One that has learned nothing and makes so many `updates`, from `inputs` values to columns of `matrix`, which are
    /// standardised over `auxiliary` rows; all pixels are divided by the same.
    pub fn new(
        inputs: usize,
        matrix: &Matrix,
        auxiliary: &[u32],
        pixels: bool,
        updates: u64,
        seed: u64,
    ) -> Self {
        let device = Device::flex().autodiff();
        let mut init = Init::new(stream(seed, "column decoder", &[]), &device);
        // Unwrap safety: a handful of layers within the limits.
        let model = MlpConfig { hidden: HIDDEN.to_vec() }
            .init(inputs, matrix.cols(), &mut init)
            .expect("a decoder of few units");
        let (mean, mut deviation) = moments(matrix, auxiliary);
        if pixels {
            let squares: f32 = deviation.iter().map(|deviation| deviation * deviation).sum();
            let of_all = (squares / deviation.len() as f32).sqrt();
            deviation.fill(of_all);
        }
        let constant = deviation.iter_mut().filter(|deviation| **deviation < 1e-6);
        constant.for_each(|deviation| *deviation = 1.0);
        let adam = Adam::new(AdamConfig { weight_decay: 0.0, ..AdamConfig::default() });
        Self { model, adam, rates: Rates::one_cycle(RATE, updates), device, mean, deviation }
    }

    /// `columns` [rows, columns] as it guesses them.
    pub fn standard(&self, columns: &[f32]) -> Vec<f32> {
        let scales = self.mean.iter().zip(&self.deviation).cycle();
        columns.iter().zip(scales).map(|(value, (mean, deviation))| (value - mean) / deviation).collect()
    }

    /// What it makes of `inputs` [rows, inputs]: standardised columns [rows, columns].
    pub fn standard_guess(&self, inputs: &[f32]) -> Vec<f32> {
        to_host(self.model.forward(self.tensor(inputs.to_vec()), &mut Dropout::off()).0)
    }

    /// The same in the columns' own units.
    pub fn guess(&self, inputs: &[f32]) -> Vec<f32> {
        let scales = self.mean.iter().zip(&self.deviation).cycle();
        let guess = self.standard_guess(inputs);
        guess.iter().zip(scales).map(|(value, (mean, deviation))| value * deviation + mean).collect()
    }

    /// An update: `known` inputs [rows, inputs] by the mean squared error to standardised `columns` [rows, columns], and
    /// `others` by their `pull`, a gradient of their guesses [rows, columns]. Returns the gradient of all these inputs.
    pub fn learn(&mut self, known: &[f32], columns: &[f32], others: &[f32], pull: &[f32]) -> Vec<f32> {
        let inputs = [known, others].concat();
        let (guess, trace) = self.model.forward(self.tensor(inputs), &mut Dropout::off());
        let guess = to_host(guess);
        let scale = 2.0 / columns.len() as f32;
        let mut gradient: Vec<f32> = guess.iter().zip(columns).map(|(g, c)| scale * (g - c)).collect();
        gradient.extend_from_slice(pull);
        let rows = guess.len() / self.mean.len();
        let gradient = Tensor::from_data(
            TensorData::new(gradient, [rows, self.mean.len()]),
            &self.device.clone().inner(),
        );
        let (mut gradients, of_inputs) = self.model.backward(trace, gradient);
        let rate = self.rates.at(self.adam.updates());
        self.model = self.adam.update(self.model.clone(), &mut gradients, rate);
        to_host(of_inputs)
    }

    fn tensor(&self, inputs: Vec<f32>) -> Tensor<2> {
        let width = self.model.sizes().0;
        let rows = inputs.len() / width;
        Tensor::from_data(TensorData::new(inputs, [rows, width]), &self.device.clone().inner())
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::uniform;

    use super::*;

    /// It learns what is known, and follows the pull where nothing is.
    #[test]
    fn both_pulls_are_followed() {
        let mut rng = stream(0, "decoder test", &[]);
        let codes: Vec<f32> = (0..400).map(|_| 2.0 * uniform(&mut rng) - 1.0).collect();
        // One column of the first value, times ten, and a constant one.
        let columns: Vec<f32> = codes.chunks_exact(2).flat_map(|code| [10.0 * code[0] + 3.0, 7.0]).collect();
        let matrix = Matrix::new(200, 2, columns.clone()).unwrap();
        let rows: Vec<u32> = (0..200).collect();
        let mut decoder = ColumnDecoder::new(2, &matrix, &rows, false, 400, 1);
        let known = decoder.standard(&columns);
        for _ in 0..400 {
            let guess = decoder.standard_guess(&[5.0, 5.0]);
            // Of the square of what the second column lacks to two.
            let pull = [0.0, 2.0 * (guess[1] - 2.0)];
            decoder.learn(&codes, &known, &[5.0, 5.0], &pull);
        }
        let error: f32 = decoder.guess(&codes).iter().zip(&columns).map(|(g, c)| (g - c).powi(2)).sum();
        assert!(error / 400.0 < 0.5, "{}", error / 400.0);
        let pulled = decoder.guess(&[5.0, 5.0])[1];
        assert!((pulled - 9.0).abs() < 0.5, "{pulled}");
    }
}
