//! A discriminator with an auxiliary classifier (Odena, Olah and Shlens 2017): it tells codes by their class and by whose they
//! are, a victim's or a surrogate's.

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::stream;
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::bottom::{Dropout, Mlp, MlpConfig};
use hashvfl_learning::init::Init;
use hashvfl_learning::snapshot::to_host;

use crate::attacks::reconstruction::predictions::probabilities;

/// Codes of some records, and their classes.
#[derive(Debug, Clone, Copy)]
pub struct LabelledCodes<'a> {
    /// Values [rows, latents].
    pub codes: &'a [f32],
    /// A class a row.
    pub classes: &'a [u32],
}

/// The discriminator: of each class y it knows two kinds of codes, 2y for the victim's and 2y + 1 for the surrogate's.
pub struct Dac {
    model: Mlp,
    adam: Adam,
    kinds: usize,
    rate: f64,
    device: Device,
}

impl Dac {
    /// One that has seen nothing, for codes of so many `latents` and `classes`; `hidden` units, and the learning `rate`.
    pub fn new(latents: usize, classes: usize, hidden: &[usize], rate: f64, seed: u64) -> Self {
        let (device, kinds) = (Device::flex().autodiff(), 2 * classes);
        let mut init = Init::new(stream(seed, "hijack classifier", &[]), &device);
        // Unwrap safety: a handful of layers within the limits.
        let model = MlpConfig { hidden: hidden.to_vec() }
            .init(latents, kinds, &mut init)
            .expect("a classifier of few units");
        let adam = Adam::new(AdamConfig { weight_decay: 0.0, ..AdamConfig::default() });
        Self { model, adam, kinds, rate, device }
    }

    /// The gradient [rows, latents] of the cross-entropy by which the victim's codes are taken for the surrogate's of their own
    /// class; nothing is learned.
    pub fn pull(&self, theirs: LabelledCodes) -> Vec<f32> {
        let LabelledCodes { codes, classes } = theirs;
        let (logits, trace) =
            self.model.forward(self.tensor(codes.to_vec(), classes.len()), &mut Dropout::off());
        let gradient = self.of_entropy(&to_host(logits), classes, 1);
        to_host(self.model.backward(trace, self.tensor(gradient, classes.len())).1)
    }

    /// An update: the victim's codes are the victim's, and the surrogate's are `ours`.
    pub fn learn(&mut self, theirs: LabelledCodes, ours: LabelledCodes) {
        let (codes, rows) = ([theirs.codes, ours.codes].concat(), theirs.classes.len() + ours.classes.len());
        let (logits, trace) = self.model.forward(self.tensor(codes, rows), &mut Dropout::off());
        let logits = to_host(logits);
        let (of_theirs, of_ours) = logits.split_at(theirs.classes.len() * self.kinds);
        let gradient =
            [self.of_entropy(of_theirs, theirs.classes, 0), self.of_entropy(of_ours, ours.classes, 1)]
                .concat();
        let mut gradients = self.model.backward_weights(trace, self.tensor(gradient, rows));
        self.model = self.adam.update(self.model.clone(), &mut gradients, self.rate);
    }

    /// The gradient for `logits` [rows, kinds] of the mean cross-entropy to kinds 2y + `side` of `classes` y.
    fn of_entropy(&self, logits: &[f32], classes: &[u32], side: usize) -> Vec<f32> {
        let rows = classes.len() as f32;
        let mut gradient = probabilities(logits, self.kinds);
        gradient.iter_mut().for_each(|probability| *probability /= rows);
        for (row, class) in gradient.chunks_exact_mut(self.kinds).zip(classes) {
            row[2 * *class as usize + side] -= 1.0 / rows;
        }
        gradient
    }

    fn tensor(&self, values: Vec<f32>, rows: usize) -> Tensor<2> {
        let width = values.len() / rows.max(1);
        Tensor::from_data(TensorData::new(values, [rows, width]), &self.device.clone().inner())
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::normal::add_noise;

    use super::*;

    #[test]
    fn the_pull_is_the_gradient_of_the_loss() {
        // Without hidden units there are no kinks, at which differences would err.
        let dac = Dac::new(3, 2, &[], 1e-3, 4);
        let (mut codes, classes) = (vec![0.0; 6 * 3], [0_u32, 1, 1, 0, 1, 0]);
        add_noise(&mut codes, 1.0, &mut stream(1, "codes", &[]));
        let loss = |codes: &[f32]| {
            let logits = to_host(dac.model.forward(dac.tensor(codes.to_vec(), 6), &mut Dropout::off()).0);
            let of_row = |(row, class): (&[f32], &u32)| {
                let sum: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
                sum.ln() - f64::from(row[2 * *class as usize + 1])
            };
            logits.chunks_exact(4).zip(&classes).map(of_row).sum::<f64>() / 6.0
        };
        let pull = dac.pull(LabelledCodes { codes: &codes, classes: &classes });
        for (at, found) in pull.iter().enumerate() {
            let moved = |by: f32| {
                let mut codes = codes.clone();
                codes[at] += by;
                loss(&codes)
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((f64::from(*found) - slope).abs() < 1e-3, "{at}: {found} and {slope}");
        }
    }

    /// Codes that begin where the surrogate's of the other class are come to those of their own.
    #[test]
    fn codes_are_drawn_to_the_surrogates_of_their_class() {
        const CENTRES: [[f32; 2]; 2] = [[-1.0, 1.0], [1.0, -1.0]];
        let classes: Vec<u32> = (0..128).map(|row| row % 2).collect();
        let around = |draw: u64, of: fn(u32) -> usize| {
            let mut codes: Vec<f32> = classes.iter().flat_map(|class| CENTRES[of(*class)]).collect();
            add_noise(&mut codes, 0.3, &mut stream(2, "cloud", &[draw]));
            codes
        };
        let mut codes = around(0, |class| 1 - class as usize);
        let mut dac = Dac::new(2, 2, &[32], 3e-3, 0);
        for draw in 1..=200 {
            let ours = around(draw, |class| class as usize);
            let theirs = LabelledCodes { codes: &codes, classes: &classes };
            let pull = dac.pull(theirs);
            dac.learn(theirs, LabelledCodes { codes: &ours, classes: &classes });
            codes.iter_mut().zip(pull).for_each(|(value, pull)| *value -= 0.05 * 128.0 * pull);
        }
        for (class, centre) in CENTRES.iter().enumerate() {
            let own = codes.chunks_exact(2).skip(class).step_by(2);
            let mean = own.fold([0.0_f32; 2], |sum, code| [sum[0] + code[0] / 64.0, sum[1] + code[1] / 64.0]);
            let apart = ((mean[0] - centre[0]).powi(2) + (mean[1] - centre[1]).powi(2)).sqrt();
            // The two centres are 2.8 apart.
            assert!(apart < 1.0, "class {class} is around {mean:?}");
        }
    }
}
