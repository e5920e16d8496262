//! A malicious coordinator that steers, so that codes of every record say more. One that knows columns of some records in
//! training learns a decoder from their codes back to them, and adds the decoder's gradient to theirs. One that knows none
//! adds a gradient that draws the codes of a batch apart, or that draws each towards the record's own earlier codes. A hijacker's
//! takes the place of the honest one, or of a part of it.

use std::collections::BTreeSet;

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::gradient_monitor::{Alarm, GradientMonitor, SeenBatch};
use hashvfl_core::random::stream;
use hashvfl_core::{CodeForm, Gradient, GradientEncoding, RunSettings};
use hashvfl_data::Matrix;
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::bottom::{Dropout, Mlp, MlpConfig};
use hashvfl_learning::init::Init;
use hashvfl_learning::snapshot::to_host;

use crate::attacks::active::contrastive::Contrastive;
use crate::evaluation::score::moments;

/// Units of the decoder's hidden layers, and its rate.
const DECODER: &[usize] = &[128];
const RATE: f64 = 3e-3;
/// What a coordinator steers towards.
pub enum Goal<'a> {
    /// Codes from which columns can be decoded.
    Decoded(Box<Decoder<'a>>),
    /// Codes of a batch that are unlike each other.
    Apart,
    /// Codes that are like a record's own earlier ones, and unlike those of others.
    OwnEarlierCodes(Contrastive),
    /// Codes that a hijacker reads.
    Hijacked(Box<Pull<'a>>),
}

/// What a hijacker sends for the rows of a batch and the values [rows, latents] of their codes: a gradient [rows, latents].
pub type Pull<'a> = dyn FnMut(&[u32], &[f32]) -> Vec<f32> + 'a;

/// A decoder of codes that learns along with the run, on records whose columns are known.
pub struct Decoder<'a> {
    columns: &'a Matrix,
    known: BTreeSet<u32>,
    mean: Vec<f32>,
    deviation: Vec<f32>,
    model: Mlp,
    adam: Adam,
}

/// Who steers one party of a run.
pub struct Steer<'a> {
    victim: usize,
    goal: Goal<'a>,
    /// Power of the goal's gradient, as a multiple of the honest one's, root mean square against root mean square.
    weight: f32,
    /// What is kept of the honest one, where the goal pulls.
    honest: f32,
    /// What the victim's codes are made of; of floats, one for each sign.
    form: CodeForm,
    encoding: GradientEncoding,
    waiting: Option<PendingBatch>,
    monitor: GradientMonitor,
    /// What the victim's own gradient monitor says of it.
    pub alarm: Option<Alarm>,
}

/// A training batch that waits for its gradient.
pub struct PendingBatch {
    /// Whether a cycle of the learning rate begins with it.
    pub begins_cycle: bool,
    /// The records.
    pub rows: Vec<u32>,
    /// Their codes [rows, bits], or floats [rows, latents].
    pub codes: Vec<f32>,
    /// What the victim expected their values to be before it drew noise [rows, latents], where they are codes.
    pub expected: Option<Vec<f32>>,
}

impl<'a> Steer<'a> {
    /// A coordinator that steers the party at `victim`, which holds `records` records and sends codes of `form`, towards
    /// `goal`.
    pub fn new(
        victim: usize,
        goal: Goal<'a>,
        weight: f32,
        settings: &RunSettings,
        form: CodeForm,
        records: usize,
    ) -> Self {
        Self {
            victim,
            goal,
            weight,
            honest: 1.0,
            form,
            encoding: settings.gradient,
            waiting: None,
            monitor: GradientMonitor::of_run(settings, form, records, settings.seed),
            alarm: None,
        }
    }

    /// The same, but where its goal pulls no more than this share of the honest gradient is kept.
    pub fn keeping(self, honest: f32) -> Self {
        Self { honest, ..self }
    }

    /// The party that it steers.
    pub fn victim(&self) -> usize {
        self.victim
    }

    /// A training batch's codes came.
    pub fn saw(&mut self, batch: PendingBatch) {
        self.waiting = Some(batch);
    }

    /// The gradient that is sent in place of an honest one.
    pub fn turn(&mut self, honest: Gradient) -> Gradient {
        let Some(PendingBatch { begins_cycle, rows, codes, expected }) = self.waiting.take() else {
            return honest;
        };
        let (mut gradient, latents) = (honest.decode(), self.form.latents());
        let codes = self.form.decode(&codes);
        let (places, pull) = self.goal.pull(&rows, &codes, latents);
        if !places.is_empty() {
            let power = |values: &[f32]| {
                (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt().max(1e-20)
            };
            let scale = self.weight * power(&gradient) / power(&pull);
            for (place, pull) in places.iter().zip(pull.chunks_exact(latents)) {
                let row = &mut gradient[place * latents..][..latents];
                row.iter_mut()
                    .zip(pull)
                    .for_each(|(value, pull)| *value = self.honest * *value + scale * pull);
            }
        }
        let sent = Gradient::encode(gradient, latents, self.encoding);
        let (rows, codes) = (&rows, &*codes);
        let expected = expected.as_deref().unwrap_or(codes);
        let gradient = &sent.decode();
        self.alarm = self.monitor.observe(&SeenBatch { begins_cycle, rows, codes, expected, gradient });
        sent
    }
}

impl Goal<'_> {
    /// Places in the batch `rows` at which it pulls, and how: [places, latents].
    fn pull(&mut self, rows: &[u32], codes: &[f32], latents: usize) -> (Vec<usize>, Vec<f32>) {
        let decoder = match self {
            Self::Decoded(decoder) => decoder,
            Self::Apart => return ((0..rows.len()).collect(), apart(codes, latents)),
            Self::OwnEarlierCodes(contrastive) => return contrastive.pull(rows, codes, latents),
            Self::Hijacked(pull) => return ((0..rows.len()).collect(), pull(rows, codes)),
        };
        let places: Vec<usize> =
            (0..rows.len()).filter(|place| decoder.known.contains(&rows[*place])).collect();
        if places.len() < 2 {
            return (Vec::new(), Vec::new());
        }
        let own: Vec<u32> = places.iter().map(|place| rows[*place]).collect();
        let seen = places.iter().flat_map(|place| codes[place * latents..][..latents].iter().copied());
        let pull = decoder.learn(seen.collect(), &own);
        (places, pull)
    }
}

/// The gradient, with respect to `codes` [records, latents], of the squared products of codes of different records.
fn apart(codes: &[f32], latents: usize) -> Vec<f32> {
    let mut gradient = vec![0.0; codes.len()];
    let rows = codes.chunks_exact(latents).zip(gradient.chunks_exact_mut(latents));
    for (number, (own, gradient)) in rows.enumerate() {
        for (_, code) in codes.chunks_exact(latents).enumerate().filter(|(other, _)| *other != number) {
            let product: f32 = own.iter().zip(code).map(|(a, b)| a * b).sum();
            gradient.iter_mut().zip(code).for_each(|(sum, bit)| *sum += product * bit);
        }
    }
    gradient
}

impl<'a> Decoder<'a> {
    /// One that knows the `columns` of `known` records and has learned nothing.
    pub fn new(columns: &'a Matrix, known: &[u32], latents: usize, seed: u64) -> Self {
        let device = Device::flex().autodiff();
        let mut init = Init::new(stream(seed, "steering decoder", &[]), &device);
        // Unwrap safety: two layers of few units.
        let model = MlpConfig { hidden: DECODER.to_vec() }
            .init(latents, columns.cols(), &mut init)
            .expect("few units");
        let (mean, deviation) = moments(columns, known);
        let known = known.iter().copied().collect();
        Self { columns, known, mean, deviation, model, adam: Adam::new(AdamConfig::default()) }
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
        let (guess, trace) = self.model.forward(tensor(codes), &mut Dropout::off());
        let difference = (guess - tensor(truth)).mul_scalar(2.0 / count);
        let (mut gradients, of_codes) = self.model.backward(trace, difference);
        self.model = self.adam.update(self.model.clone(), &mut gradients, RATE);
        to_host(of_codes)
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::{PartyName, Task};

    use super::*;

    #[test]
    fn of_the_honest_gradient_a_share_is_kept() {
        let encoding = GradientEncoding::F32;
        let names = vec![PartyName::new("a").unwrap()];
        let settings = RunSettings { gradient: encoding, ..RunSettings::new(names, Task::Binary, 2, 1) };
        for (honest, weight, expected) in
            [(1.0, 1.0, [2.0, 2.0]), (0.0, 1.0, [0.0, 2.0]), (0.5, 0.5, [1.0, 1.0])]
        {
            let pull = |rows: &[u32], codes: &[f32]| {
                assert_eq!((rows, codes), (&[4, 6][..], &[1.0, -1.0, -1.0, 1.0][..]));
                vec![0.0, 5.0, 0.0, 5.0]
            };
            let goal = Goal::Hijacked(Box::new(pull));
            let mut steer = Steer::new(0, goal, weight, &settings, CodeForm::signs(2), 8).keeping(honest);
            let codes = vec![1.0, -1.0, -1.0, 1.0];
            steer.saw(PendingBatch { begins_cycle: true, rows: vec![4, 6], codes, expected: None });
            let sent = steer.turn(Gradient::encode(vec![2.0, 0.0, 2.0, 0.0], 2, encoding)).decode();
            // Both have the same power, and as much of the honest gradient is kept as is asked for.
            let apart = sent.iter().zip(expected.repeat(2)).map(|(a, b): (&f32, f32)| (a - b).abs());
            assert!(apart.fold(0.0, f32::max) < 1e-5, "{honest}: {sent:?}");
        }
    }

    #[test]
    fn equal_codes_are_drawn_apart_and_unlike_ones_are_left() {
        let found = apart(&[1.0, 1.0, 1.0, 1.0, 1.0, -1.0], 2);
        // Two equal codes push each other; the third is at a right angle to both.
        assert_eq!(found, [2.0, 2.0, 2.0, 2.0, 0.0, 0.0]);
    }
}
