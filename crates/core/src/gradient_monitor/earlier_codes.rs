//! Whether gradients follow from what each record's own codes were in earlier epochs.
//!
//! A coordinator that draws each record's code towards what its own codes were before, and away from those of others, makes
//! codes tell records apart without knowing one column. A training loss does not look back: its gradient follows from
//! labels and from the codes of this batch. The noise that the party drew before an earlier code is in neither of them. So a
//! gradient that goes along with that noise was computed from earlier codes.
//!
//! This tests a conditional independence whose null distribution is known, since the party drew the noise itself (the
//! conditional randomization test of Candès, Fan, Janson and Lv 2018, section 4). With `c` the noise in a record's code of some
//! epochs before and `g` its gradient, sums over records are kept for each latent j:
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
//! With which one? A coordinator that knew could leave out the code that it goes along with. So the noise of a record's last
//! [`MOST_LAGS`] codes is kept, and each draw meets the gradient of one of the next so many codes, each as likely: no peer
//! knows the seed that draws the lag. Sums are kept by lag. Q is taken of each lag, since a pull towards one earlier code has
//! only a part of the draws, and of all lags together, since a pull towards a mean of codes has all of them; the greatest
//! counts.
//!
//! Q is chi-squared nearly: models that have learned from a record's code answer to it a little when the record comes again
//! (the figures are in docs/research/gradient-monitor.md). So a share of [`ALLOWED`] is allowed for, and Q is compared with a
//! noncentral chi-squared variable.
//!
//! Self-distillation looks back, too: the coordinator's targets may hold predictions from the cycles before. So noise is
//! forgotten when a cycle of the learning rate begins.

use std::ops::Range;

use rand::Rng;
use rand::rngs::ChaCha8Rng;

use crate::normal::add_noise;
use crate::random::{below, shuffle, stream};

/// Earlier codes of a record whose noise is remembered, at most.
pub const MOST_LAGS: usize = 4;
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
    /// Earlier codes of a record whose noise is remembered.
    lags: usize,
    /// Draws at which lag noise is compared; no peer knows it.
    seed: u64,
    /// Batches compared so far, which name the draws.
    batches: u64,
    /// Noise in the last codes of each record [records, lags, remembered], the newest first; zeros once it was compared. A
    /// checkpoint keeps it on its own.
    #[serde(skip)]
    noise: Vec<f32>,
    records: usize,
    /// S_j [lags, remembered, outputs].
    sums: Vec<f64>,
    /// M_j [lags, remembered, outputs, outputs].
    covariances: Vec<f64>,
    /// Records compared, fading [lags].
    compared: Vec<f64>,
    /// Of all lags together, and of each [1 + lags].
    scores: Vec<f64>,
}

/// What a batch adds to the sums of each lag.
struct Added {
    sums: Vec<f32>,
    covariances: Vec<f32>,
    compared: Vec<u32>,
}

impl Added {
    fn none(lags: usize, width: usize, outputs: usize) -> Self {
        Self {
            sums: vec![0.0; lags * width * outputs],
            covariances: vec![0.0; lags * width * outputs * outputs],
            compared: vec![0; lags],
        }
    }

    /// Adds a record whose code had this `noise` so many codes ago: its gradient, and the `products` of that with itself.
    fn add(&mut self, lag: usize, noise: &[f32], gradient: &[f32], products: &[f32]) {
        let (outputs, square) = (gradient.len(), products.len());
        self.compared[lag] += 1;
        let sums = self.sums[lag * noise.len() * outputs..].chunks_exact_mut(outputs);
        let covariances = self.covariances[lag * noise.len() * square..].chunks_exact_mut(square);
        for ((sums, covariances), noise) in sums.zip(covariances).zip(noise) {
            sums.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += noise * value);
            let square = noise * noise;
            covariances.iter_mut().zip(products).for_each(|(sum, product)| *sum += square * product);
        }
    }
}

impl EarlierCodes {
    /// Nothing is remembered yet of `records` records with codes of `latents` latents. It looks back at `lags` codes of each, 1
    /// to [`MOST_LAGS`]; `seed` is known to nobody else.
    pub fn new(latents: usize, records: usize, lags: usize, seed: u64) -> Self {
        let most = MOST_REMEMBERED / records.max(1);
        let lags = lags.clamp(1, MOST_LAGS).min(most.max(1));
        let count = latents.min(MOST).min(most / lags);
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
            lags,
            seed: stream(seed, "gradient monitor lags", &[]).next_u64(),
            batches: 0,
            noise: vec![0.0; records * lags * count],
            records,
            sums: vec![0.0; lags * count * outputs],
            covariances: vec![0.0; lags * count * outputs * outputs],
            compared: vec![0.0; lags],
            scores: vec![0.0; 1 + lags],
        }
    }

    /// Whether `other` is about as many records, latents and lags, with the same draws.
    pub fn fits(&self, other: &Self) -> bool {
        self.shape() == other.shape()
            && self.lengths() == other.lengths()
            && self.remembered == other.remembered
            && self.directions == other.directions
    }

    fn shape(&self) -> (usize, usize, usize, u64) {
        (self.latents, self.records, self.lags, self.seed)
    }

    fn lengths(&self) -> [usize; 4] {
        [self.sums.len(), self.covariances.len(), self.compared.len(), self.scores.len()]
    }

    /// The noise in earlier codes [records, lags, latents that are remembered].
    pub fn noise(&self) -> &[f32] {
        &self.noise
    }

    /// Takes back what [`Self::noise`] was; `None` if it is of other records.
    pub fn restore(&mut self, noise: &[f32]) -> Option<()> {
        let length = self.records * self.lags * self.remembered.len();
        (noise.len() == length).then(|| self.noise = noise.to_vec())
    }

    /// How much further gradients go along with the noise in earlier codes than is allowed, in standard deviations of what
    /// chance does, at the lag at which they go furthest; 0 before there is enough to compare.
    pub fn score(&self) -> f64 {
        self.scores.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Forgets the noise of all codes so far.
    pub fn forget(&mut self) {
        self.noise.fill(0.0);
    }

    /// Forgets what gradients had in common with noise so far.
    pub fn forget_gradients(&mut self) {
        for sums in [&mut self.sums, &mut self.covariances, &mut self.compared, &mut self.scores] {
            sums.fill(0.0);
        }
    }

    /// Compares the `gradient` of `rows` [rows, latents], of mean square 1 per record once it is divided by the root of
    /// `power`, with the noise in their earlier codes.
    pub fn compare(&mut self, rows: &[u32], gradient: &[f32], power: f64) {
        let (width, outputs) = (self.remembered.len(), self.outputs);
        if width == 0 {
            return;
        }
        let scale = power.sqrt().recip();
        let mut added = Added::none(self.lags, width, outputs);
        let (mut output, mut products) = (vec![0.0_f32; outputs], vec![0.0_f32; outputs * outputs]);
        let mut draws = stream(self.seed, "gradient monitor lags", &[self.batches]);
        self.batches += 1;
        let mut due = Vec::with_capacity(self.lags);
        for (row, gradient) in rows.iter().zip(gradient.chunks_exact(self.latents)) {
            self.draw_due(*row, &mut draws, &mut due);
            if due.is_empty() {
                continue;
            }
            self.project(gradient, scale as f32, &mut output);
            for (products, value) in products.chunks_exact_mut(outputs).zip(&output) {
                products.iter_mut().zip(&output).for_each(|(product, other)| *product = value * other);
            }
            for lag in &due {
                let place = self.place(*row, *lag);
                let noise = &mut self.noise[place..][..width];
                added.add(*lag, noise, &output, &products);
                noise.fill(0.0);
            }
        }
        if added.compared.iter().all(|compared| *compared == 0) {
            return;
        }
        fade_and_add(&mut self.sums, &added.sums, FADING);
        // The variance of a sum that has faded has faded twice.
        fade_and_add(&mut self.covariances, &added.covariances, FADING * FADING);
        for (sum, more) in self.compared.iter_mut().zip(added.compared) {
            *sum = *sum * FADING + f64::from(more);
        }
        self.update_scores();
    }

    /// Where the noise in the code of `row` of so many codes ago begins; 0 is the last code.
    fn place(&self, row: u32, lag: usize) -> usize {
        (row as usize * self.lags + lag) * self.remembered.len()
    }

    /// Fills `due` with the lags whose noise of `row` is compared now. Noise that waits in place l of n is due with a chance of
    /// 1 / (n - l): so each draw is compared once, at each lag as likely as at another.
    fn draw_due(&self, row: u32, draws: &mut ChaCha8Rng, due: &mut Vec<usize>) {
        due.clear();
        for lag in 0..self.lags {
            let noise = &self.noise[self.place(row, lag)..][..self.remembered.len()];
            if noise.iter().any(|noise| *noise != 0.0) && below(draws, self.lags - lag) == 0 {
                due.push(lag);
            }
        }
    }

    /// Scores all lags together, and one of them: another one each batch, since a score takes as long as a batch's sums.
    fn update_scores(&mut self) {
        self.scores[0] = self.score_of(0..self.lags);
        let lag = (self.batches % self.lags as u64) as usize;
        self.scores[1 + lag] = self.score_of(lag..lag + 1);
    }

    /// Remembers the noise in the `codes` of `rows`: what they are less what they were `expected` to be before it was drawn,
    /// both [rows, latents]. What was remembered of the oldest code goes.
    pub fn remember(&mut self, rows: &[u32], codes: &[f32], expected: &[f32]) {
        let width = self.remembered.len();
        if width == 0 {
            return;
        }
        let codes = codes.chunks_exact(self.latents).zip(expected.chunks_exact(self.latents));
        for (row, (code, expected)) in rows.iter().zip(codes) {
            let place = self.place(*row, 0);
            let noise = &mut self.noise[place..][..self.lags * width];
            noise.copy_within(..(self.lags - 1) * width, width);
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

    /// Q of some lags together as a standard normal deviate, where as much as is allowed follows from earlier codes: the cube
    /// root of a noncentral chi-squared variable (Abdel-Aty 1954). With a penalty `l` on each covariance, Q's expected value
    /// without that is the trace of `(M + l)^-1 M`. 0 before there is enough to compare.
    fn score_of(&self, lags: Range<usize>) -> f64 {
        let outputs = self.outputs;
        let compared: f64 = self.compared[lags.clone()].iter().sum();
        if compared < LEAST_RECORDS {
            return 0.0;
        }
        let sums = summed(&self.sums, self.lags, lags.clone());
        let covariances = summed(&self.covariances, self.lags, lags);
        let (mut statistic, mut expected) = (0.0, 0.0);
        let of_latents = sums.chunks_exact(outputs).zip(covariances.chunks_exact(outputs * outputs));
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
        let allowed = ALLOWED * compared * expected / self.remembered.len() as f64;
        let mean = expected + allowed;
        let variance = 2.0 * (expected + 2.0 * allowed) / (9.0 * mean * mean);
        ((statistic / mean).cbrt() - (1.0 - variance)) / variance.sqrt()
    }
}

/// The sum of `values` [lags, ..] over `some` of the lags.
fn summed(values: &[f64], lags: usize, some: Range<usize>) -> Vec<f64> {
    let length = values.len() / lags;
    let mut sums = vec![0.0; length];
    for values in values[some.start * length..some.end * length].chunks_exact(length) {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    sums
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
    let mut trace = 0.0;
    let mut unit = vec![0.0; n];
    for column in 0..n {
        unit[column] = 1.0;
        trace += solved_length(&factor, &unit, column);
        unit[column] = 0.0;
    }
    (solved_length(&factor, v, 0), trace)
}

/// The squared length of `L^-1 right`, with L the lower `factor` [n, n], where `right` is zeros before `first`.
fn solved_length(factor: &[f64], right: &[f64], first: usize) -> f64 {
    let n = right.len();
    let mut solved = vec![0.0; n];
    for i in first..n {
        let before: f64 = (first..i).map(|k| factor[i * n + k] * solved[k]).sum();
        solved[i] = (right[i] - before) / factor[i * n + i];
    }
    solved.iter().map(|value| value * value).sum()
}

#[cfg(test)]
#[path = "earlier_codes_tests.rs"]
mod tests;
