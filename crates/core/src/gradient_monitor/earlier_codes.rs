//! Whether gradients follow from what each record's own codes were in earlier epochs.
//!
//! A coordinator that draws each record's code towards what its own codes were before, and away from those of others, makes
//! codes tell records apart without knowing one column. A training loss does not look back: its gradient follows from
//! labels and from the codes of this batch. The noise that the party drew before an earlier code is in neither of them. So a
//! gradient that goes along with that noise was computed from earlier codes.
//!
//! This tests a conditional independence whose null distribution is known, since the party drew the noise itself (the
//! conditional randomization test of Candès, Fan, Janson and Lv 2018, section 4). With `c` the noise in a record's code of the
//! epoch before and `g` its gradient, sums over records are kept for each latent j:
//!
//! ```text
//! S_j = sum c_j g                  [outputs]
//! M_j = sum c_j^2 g g'             [outputs, outputs]: the covariance of S_j where c_j is nothing but noise
//! Q   = sum over j of S_j' M_j^-1 S_j
//! ```
//!
//! Q is about chi-squared then, whatever the labels, the top model or the task. Noise of different latents is independent
//! given the columns, so the terms add up. Each draw of noise is compared with one gradient: a record's gradients are alike in
//! all epochs, and noise that is compared with several of them counts several times.
//!
//! Nearly so: models that have learned from a record's code answer to it a little when the record comes again (the figures are
//! in docs/research/gradient-monitor.md). So a share of [`ALLOWED`] is allowed for, and Q is compared with a noncentral
//! chi-squared variable.
//!
//! Self-distillation looks back, too: the coordinator's targets may hold predictions from the cycles before. So noise is
//! forgotten when a cycle of the learning rate begins.

use crate::normal::add_noise;
use crate::random::{shuffle, stream};

/// Latents whose noise is remembered, and directions of the gradient that are compared with it, at most.
const MOST: usize = 16;
/// Values that are remembered over all records, at most: 16 MiB.
const MOST_REMEMBERED: usize = 1 << 22;
/// What is left of a batch's sums a batch later.
const FADING: f64 = 0.998;
/// Strength of the penalty on a covariance, in shares of its mean variance.
const RIDGE: f64 = 0.01;
/// Records that must have been compared before the statistic is believed.
const LEAST_RECORDS: f64 = 256.0;
/// The share of a gradient's variance that noise in earlier codes may explain, by latent: models that have learned from a record
/// answer a little to the code that they learned from.
const ALLOWED: f64 = 0.0005;

/// The test over one run.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierCodes {
    /// Values of a code and of its gradient.
    latents: usize,
    /// The latents whose noise is remembered, rising; drawn, so that no peer knows which they are.
    remembered: Vec<usize>,
    /// Directions of the gradient [outputs, latents]; none where each latent is its own.
    directions: Vec<f32>,
    outputs: usize,
    /// Noise in the code of the epoch before [records, remembered]. A checkpoint keeps it on its own.
    #[serde(skip)]
    noise: Vec<f32>,
    records: usize,
    /// S_j [remembered, outputs].
    sums: Vec<f64>,
    /// M_j [remembered, outputs, outputs].
    covariances: Vec<f64>,
    /// Records compared, fading.
    compared: f64,
    score: f64,
}

impl EarlierCodes {
    /// Nothing is remembered yet of `records` records with codes of `latents` latents; `seed` is known to nobody else.
    pub fn new(latents: usize, records: usize, seed: u64) -> Self {
        let count = latents.min(MOST).min(MOST_REMEMBERED / records.max(1));
        let mut all: Vec<u32> = (0..latents as u32).collect();
        shuffle(&mut all, &mut stream(seed, "gradient monitor latents", &[]));
        let mut remembered: Vec<usize> = all[..count].iter().map(|latent| *latent as usize).collect();
        remembered.sort_unstable();
        let outputs = latents.min(MOST);
        let mut directions = Vec::new();
        if outputs < latents {
            directions = vec![0.0; outputs * latents];
            let deviation = (latents as f32).sqrt().recip();
            add_noise(&mut directions, deviation, &mut stream(seed, "gradient monitor directions", &[]));
        }
        Self {
            latents,
            remembered,
            directions,
            outputs,
            noise: vec![0.0; records * count],
            records,
            sums: vec![0.0; count * outputs],
            covariances: vec![0.0; count * outputs * outputs],
            compared: 0.0,
            score: 0.0,
        }
    }

    /// Whether `other` is about as many records and latents.
    pub fn fits(&self, other: &Self) -> bool {
        let shape = |one: &Self| (one.latents, one.records, one.sums.len(), one.covariances.len());
        shape(self) == shape(other)
            && self.remembered == other.remembered
            && self.directions == other.directions
    }

    /// The noise in earlier codes [records, latents that are remembered].
    pub fn noise(&self) -> &[f32] {
        &self.noise
    }

    /// Takes back what [`Self::noise`] was; `None` if it is of other records.
    pub fn restore(&mut self, noise: &[f32]) -> Option<()> {
        (noise.len() == self.records * self.remembered.len()).then(|| self.noise = noise.to_vec())
    }

    /// How much further gradients go along with the noise in earlier codes than is allowed, in standard deviations of what
    /// chance does; 0 before there is enough to compare.
    pub fn score(&self) -> f64 {
        self.score
    }

    /// Forgets the noise of all codes so far.
    pub fn forget(&mut self) {
        self.noise.fill(0.0);
    }

    /// Compares the `gradient` of `rows` [rows, latents], of mean square 1 per record once it is divided by the root of
    /// `power`, with the noise in their earlier codes.
    pub fn compare(&mut self, rows: &[u32], gradient: &[f32], power: f64) {
        let (width, outputs) = (self.remembered.len(), self.outputs);
        if width == 0 {
            return;
        }
        let scale = power.sqrt().recip();
        let mut sums = vec![0.0_f32; width * outputs];
        let mut covariances = vec![0.0_f32; width * outputs * outputs];
        let (mut output, mut products) = (vec![0.0_f32; outputs], vec![0.0_f32; outputs * outputs]);
        let mut compared = 0;
        for (row, gradient) in rows.iter().zip(gradient.chunks_exact(self.latents)) {
            let noise = &self.noise[*row as usize * width..][..width];
            if noise.iter().all(|noise| *noise == 0.0) {
                continue;
            }
            compared += 1;
            self.project(gradient, scale as f32, &mut output);
            for (products, value) in products.chunks_exact_mut(outputs).zip(&output) {
                products.iter_mut().zip(&output).for_each(|(product, other)| *product = value * other);
            }
            let of_latents =
                sums.chunks_exact_mut(outputs).zip(covariances.chunks_exact_mut(outputs * outputs));
            for ((sums, covariances), noise) in of_latents.zip(noise) {
                sums.iter_mut().zip(&output).for_each(|(sum, value)| *sum += noise * value);
                let square = noise * noise;
                covariances.iter_mut().zip(&products).for_each(|(sum, product)| *sum += square * product);
            }
        }
        if compared == 0 {
            return;
        }
        fade_and_add(&mut self.sums, &sums, FADING);
        // The variance of a sum that has faded has faded twice.
        fade_and_add(&mut self.covariances, &covariances, FADING * FADING);
        self.compared = self.compared * FADING + f64::from(compared);
        if self.compared >= LEAST_RECORDS {
            self.score = self.standardised();
        }
    }

    /// Remembers the noise in the `codes` of `rows`: what they are less what they were `expected` to be before it was drawn,
    /// both [rows, latents].
    pub fn remember(&mut self, rows: &[u32], codes: &[f32], expected: &[f32]) {
        let width = self.remembered.len();
        if width == 0 {
            return;
        }
        let codes = codes.chunks_exact(self.latents).zip(expected.chunks_exact(self.latents));
        for (row, (code, expected)) in rows.iter().zip(codes) {
            let noise = &mut self.noise[*row as usize * width..][..width];
            for (noise, latent) in noise.iter_mut().zip(&self.remembered) {
                *noise = code[*latent] - expected[*latent];
            }
        }
    }

    /// A record's gradient in the directions that are looked at, times `scale`.
    fn project(&self, gradient: &[f32], scale: f32, output: &mut [f32]) {
        if self.directions.is_empty() {
            output.iter_mut().zip(gradient).for_each(|(output, value)| *output = scale * value);
            return;
        }
        for (output, direction) in output.iter_mut().zip(self.directions.chunks_exact(self.latents)) {
            *output = scale * direction.iter().zip(gradient).map(|(a, b)| a * b).sum::<f32>();
        }
    }

    /// Q as a standard normal deviate, where as much as is allowed follows from earlier codes: the cube root of a noncentral
    /// chi-squared variable (Abdel-Aty 1954). With a penalty `l` on each covariance, Q's expected value without that is the
    /// trace of `(M + l)^-1 M`.
    fn standardised(&self) -> f64 {
        let outputs = self.outputs;
        let (mut statistic, mut expected) = (0.0, 0.0);
        let of_latents =
            self.sums.chunks_exact(outputs).zip(self.covariances.chunks_exact(outputs * outputs));
        for (sums, covariance) in of_latents {
            let trace: f64 = covariance.iter().step_by(outputs + 1).sum();
            if trace <= 0.0 {
                continue;
            }
            let penalty = RIDGE * trace / outputs as f64;
            let (found, inverse_trace) = quadratic_form(covariance, sums, penalty);
            statistic += found;
            expected += outputs as f64 - penalty * inverse_trace;
        }
        if expected <= 0.0 {
            return 0.0;
        }
        let allowed = ALLOWED * self.compared * expected / self.remembered.len() as f64;
        let mean = expected + allowed;
        let variance = 2.0 * (expected + 2.0 * allowed) / (9.0 * mean * mean);
        ((statistic / mean).cbrt() - (1.0 - variance)) / variance.sqrt()
    }
}

fn fade_and_add(sums: &mut [f64], more: &[f32], fading: f64) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = *sum * fading + f64::from(*more));
}

/// `v' (A + penalty)^-1 v` and the trace of `(A + penalty)^-1`, by Cholesky; A [n, n] is positive semidefinite.
fn quadratic_form(a: &[f64], v: &[f64], penalty: f64) -> (f64, f64) {
    let n = v.len();
    let mut factor = a.to_vec();
    for i in 0..n {
        for j in 0..=i {
            let before: f64 = (0..j).map(|k| factor[i * n + k] * factor[j * n + k]).sum();
            let value = factor[i * n + j] - before;
            factor[i * n + j] = if i == j {
                (value + penalty).max(f64::MIN_POSITIVE).sqrt()
            } else {
                value / factor[j * n + j]
            };
        }
    }
    // With L the factor, both are squared lengths: of L^-1 v, and of the columns of L^-1.
    let squared_length = |right: &dyn Fn(usize) -> f64| {
        let mut solved = vec![0.0; n];
        for i in 0..n {
            let before: f64 = (0..i).map(|k| factor[i * n + k] * solved[k]).sum();
            solved[i] = (right(i) - before) / factor[i * n + i];
        }
        solved.iter().map(|value| value * value).sum::<f64>()
    };
    let form = squared_length(&|i| v[i]);
    let trace = (0..n).map(|column| squared_length(&|i| f64::from(u8::from(i == column)))).sum();
    (form, trace)
}
