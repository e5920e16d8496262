//! A malicious coordinator that steers: it knows columns of some records in training, learns a decoder from their codes
//! back to them, and adds the decoder's gradient to theirs. The bottom model becomes an encoder of columns as well as of
//! what the label needs, and codes of every record say more.

use std::collections::BTreeSet;

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::gradient_monitor::{Alarm, GradientMonitor};
use hashvfl_core::random::stream;
use hashvfl_core::{Gradient, GradientEncoding, RunSettings};
use hashvfl_data::Matrix;
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::bottom::{Dropout, Mlp, MlpConfig};
use hashvfl_learning::init::Init;
use hashvfl_learning::snapshot::to_host;

use crate::evaluation::score::moments;

/// Units of the decoder's hidden layers, and its rate.
const DECODER: &[usize] = &[128];
const RATE: f64 = 3e-3;
/// Batches that the victim's gradient monitor looks at.
const WATCHED: u32 = 500;

/// Who steers one party of a run.
pub struct Steer<'a> {
    victim: usize,
    columns: &'a Matrix,
    known: BTreeSet<u32>,
    mean: Vec<f32>,
    deviation: Vec<f32>,
    decoder: Mlp,
    adam: Adam,
    /// Power of the decoder's gradient, as a multiple of the honest one's, root mean square against root mean square.
    weight: f32,
    bits: usize,
    encoding: GradientEncoding,
    waiting: Option<(Vec<u32>, Vec<f32>, Option<Vec<f32>>)>,
    monitor: GradientMonitor,
    steps: u32,
    /// What the victim's own gradient monitor says of it.
    pub alarm: Option<Alarm>,
}

impl<'a> Steer<'a> {
    /// A coordinator that knows the `columns` of `known` records of the party at `victim`.
    pub fn new(
        victim: usize,
        columns: &'a Matrix,
        known: &[u32],
        weight: f32,
        settings: &RunSettings,
        seed: u64,
    ) -> Self {
        let device = Device::flex().autodiff();
        let mut init = Init::new(stream(seed, "steering decoder", &[]), &device);
        // Unwrap safety: two layers of few units.
        let decoder = MlpConfig { hidden: DECODER.to_vec() }
            .init(settings.bits, columns.cols(), &mut init)
            .expect("few units");
        let (mean, deviation) = moments(columns, known);
        Self {
            victim,
            columns,
            known: known.iter().copied().collect(),
            mean,
            deviation,
            decoder,
            adam: Adam::new(AdamConfig::default()),
            weight,
            bits: settings.bits,
            encoding: settings.gradient,
            waiting: None,
            monitor: GradientMonitor::of_run(settings),
            steps: 0,
            alarm: None,
        }
    }

    /// The party that it steers.
    pub fn victim(&self) -> usize {
        self.victim
    }

    /// A training batch's codes came; `expected` is what the victim knows of them, where they are codes.
    pub fn saw(&mut self, rows: Vec<u32>, codes: Vec<f32>, expected: Option<Vec<f32>>) {
        self.waiting = Some((rows, codes, expected));
    }

    /// The gradient that is sent in place of an honest one.
    pub fn turn(&mut self, honest: Gradient) -> Gradient {
        let Some((rows, codes, expected)) = self.waiting.take() else { return honest };
        let mut gradient = honest.decode();
        let places: Vec<usize> = (0..rows.len()).filter(|place| self.known.contains(&rows[*place])).collect();
        if places.len() > 1 {
            let own: Vec<u32> = places.iter().map(|place| rows[*place]).collect();
            let seen =
                places.iter().flat_map(|place| codes[place * self.bits..][..self.bits].iter().copied());
            let pull = self.learn(seen.collect(), &own);
            let power = |values: &[f32]| {
                (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt().max(1e-20)
            };
            let scale = self.weight * power(&gradient) / power(&pull);
            for (place, pull) in places.iter().zip(pull.chunks_exact(self.bits)) {
                let row = &mut gradient[place * self.bits..][..self.bits];
                row.iter_mut().zip(pull).for_each(|(value, pull)| *value += scale * pull);
            }
        }
        let sent = Gradient::encode(gradient, self.bits, self.encoding);
        self.steps += 1;
        if self.steps <= WATCHED {
            let expected = expected.as_deref().unwrap_or(&codes);
            self.alarm = self.monitor.observe(&codes, expected, &sent.decode(), rows.len());
        }
        sent
    }

    /// An update of the decoder on `codes` of `known` records; the gradient of its mean squared error for them.
    fn learn(&mut self, codes: Vec<f32>, known: &[u32]) -> Vec<f32> {
        let device = Device::flex();
        let tensor = |values: Vec<f32>| {
            let width = values.len() / known.len();
            Tensor::<2>::from_data(TensorData::new(values, [known.len(), width]), &device)
        };
        let scales = self.mean.iter().zip(&self.deviation).cycle();
        let truth = self.columns.gather(known);
        let truth: Vec<f32> = truth.iter().zip(scales).map(|(v, (m, d))| (v - m) / d.max(1e-6)).collect();
        let count = truth.len() as f32;
        let (guess, trace) = self.decoder.forward(tensor(codes), &mut Dropout::off());
        let difference = (guess - tensor(truth)).mul_scalar(2.0 / count);
        let (mut gradients, of_codes) = self.decoder.backward(trace, difference);
        self.decoder = self.adam.update(self.decoder.clone(), &mut gradients, RATE);
        to_host(of_codes)
    }
}
