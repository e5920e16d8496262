//! E[x given K] as a regression fitted on auxiliary records: several of different kind and capacity, and the mean of them that
//! fits auxiliary records best which were left out when they were fitted.
//!
//! The true conditional mean is optimal for squared error and that K. A fitted one is an attack that can be carried
//! out, never a bound.

pub mod ensemble;
pub mod family;
pub mod folds;
mod linear;
mod local;
mod lookup;
mod network;
mod solve;
mod trees;

use hashvfl_core::random::{shuffle, stream};

use ensemble::{Guesses, mix};
use family::Effort;
use folds::Folds;
pub use local::{ConvolutionalRegression, Maps};
use network::MlpRegression;

/// Records of known inputs and outputs, row-major.
pub struct Examples {
    /// [rows, inputs].
    pub inputs: Vec<f32>,
    /// [rows, outputs].
    pub outputs: Vec<f32>,
    /// Number of rows.
    pub rows: usize,
    /// Whether inputs are values of which equal ones can be counted.
    pub discrete: bool,
}

impl Examples {
    /// Inputs of a row.
    pub fn inputs_width(&self) -> usize {
        self.inputs.len() / self.rows.max(1)
    }

    /// Outputs of a row.
    pub fn outputs_width(&self) -> usize {
        self.outputs.len() / self.rows.max(1)
    }

    /// Some of the rows.
    pub fn pick(&self, rows: &[u32]) -> Self {
        Self {
            inputs: gather(&self.inputs, self.inputs_width(), rows),
            outputs: gather(&self.outputs, self.outputs_width(), rows),
            rows: rows.len(),
            discrete: self.discrete,
        }
    }

    /// Least and greatest value of each output.
    pub fn output_ranges(&self) -> Vec<(f32, f32)> {
        let mut ranges = vec![(f32::INFINITY, f32::NEG_INFINITY); self.outputs_width()];
        for row in self.outputs.chunks_exact(ranges.len().max(1)) {
            ranges.iter_mut().zip(row).for_each(|(range, v)| *range = (range.0.min(*v), range.1.max(*v)));
        }
        ranges
    }

    /// A part to choose by, and the rest.
    fn held_out(&self, seed: u64) -> (Self, Self) {
        let mut order: Vec<u32> = (0..self.rows as u32).collect();
        shuffle(&mut order, &mut stream(seed, "regression hold-out", &[]));
        let (held, kept) = order.split_at((self.rows / HELD_OUT).clamp(1, MOST_HELD_OUT));
        (self.pick(held), self.pick(kept))
    }

    /// Means of the outputs.
    pub fn output_means(&self) -> Vec<f32> {
        column_means(&self.outputs, self.outputs_width(), self.rows)
    }
}

/// A regression that has been fitted.
trait Predictor: Send {
    /// Outputs [rows, outputs] for inputs [rows, inputs].
    fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32>;
}

/// The constant: what is left where nothing is known.
struct Constant(Vec<f32>);

impl Predictor for Constant {
    fn predict(&self, _inputs: &[f32], rows: usize) -> Vec<f32> {
        self.0.repeat(rows)
    }
}

/// Sum of the squares of `values`.
fn squared_error(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum()
}

/// The weighted mean of several regressions, with weights chosen on held-out records.
pub struct Regression {
    members: Vec<(Box<dyn Predictor>, f32)>,
    /// Least and greatest value of each output over the examples: each member's guess beyond is drawn back.
    ranges: Vec<(f32, f32)>,
    /// The kinds, for the report.
    pub kind: String,
}

/// One in this many auxiliary records says when a network of fixed size stops.
const HELD_OUT: usize = 5;
/// Most records that are held out.
const MOST_HELD_OUT: usize = 3000;
const INVERSE: &[usize] = &[256, 256];
/// Updates of it at most.
const INVERSE_UPDATES: usize = 6_000;

impl Regression {
    /// Fits all kinds on `examples` and keeps the mean of them that predicts records best which were left out.
    pub fn fit(examples: &Examples, seed: u64) -> Self {
        Self::with_effort(examples, seed, Effort::All)
    }

    /// The same of so many kinds.
    pub fn with_effort(examples: &Examples, seed: u64, effort: Effort) -> Self {
        let order = in_random_order(examples.rows, seed);
        Self::stacked(&examples.pick(&order), &Folds::new(examples.rows), seed, effort).0
    }

    /// The same, and what it makes of each of the examples [rows, outputs] by regressions that were fitted without it.
    pub fn out_of_fold(examples: &Examples, seed: u64, effort: Effort) -> (Self, Vec<f32>) {
        let (order, width) = (in_random_order(examples.rows, seed), examples.outputs_width());
        let folds = Folds::of_all(examples.rows);
        let (regression, guess) = Self::stacked(&examples.pick(&order), &folds, seed, effort);
        let mut of_rows = vec![0.0; guess.len()];
        for (row, guess) in order.iter().zip(guess.chunks_exact(width.max(1))) {
            of_rows[*row as usize * width..][..width].copy_from_slice(guess);
        }
        (regression, of_rows)
    }

    /// Of examples in a random order, and what it makes of those that judge without them.
    fn stacked(examples: &Examples, folds: &Folds, seed: u64, effort: Effort) -> (Self, Vec<f32>) {
        let candidates = family::cross_fit(examples, folds, seed, effort);
        let outputs = examples.outputs_width();
        let views: Vec<&[f32]> = candidates.iter().map(|candidate| &candidate.on_judges[..]).collect();
        let truth = &examples.outputs[..folds.judges() * outputs];
        let weights = Guesses { views: &views, truth, outputs, scored: outputs }.stack();
        let on_judges = mix(&views, &weights);
        let kind = kinds(candidates.iter().map(|candidate| candidate.kind).zip(weights.iter().copied()));
        let counted = candidates.into_iter().zip(&weights).filter(|(_, weight)| **weight > 0.0);
        let counted = counted.map(|(candidate, _)| (candidate, examples)).collect();
        let refitted = family::refit(counted, folds, seed).into_iter();
        let weights = weights.into_iter().filter(|weight| *weight > 0.0);
        let members = refitted.map(family::Candidate::into_predictor).zip(weights).collect();
        (Self { members, ranges: examples.output_ranges(), kind }, on_judges)
    }

    /// One network of fixed size, stopped early.
    pub fn inverse_network(examples: &Examples, seed: u64) -> Self {
        let (held, kept) = examples.held_out(seed);
        let network = MlpRegression::fit(&kept, &held, INVERSE, INVERSE_UPDATES, seed);
        let predictor: Box<dyn Predictor> = Box::new(network);
        let kind = format!("network {INVERSE:?}");
        Self { members: vec![(predictor, 1.0)], ranges: examples.output_ranges(), kind }
    }

    /// How it came to be, for the report.
    pub fn chosen(&self) -> String {
        format!("stacked on auxiliary records that were left out: {}", self.kind)
    }

    /// Outputs [rows, outputs] for inputs [rows, inputs].
    pub fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32> {
        let mut guess = vec![0.0; rows * self.ranges.len()];
        for (member, weight) in &self.members {
            // As when it was judged: one that goes far beyond what it has seen would outweigh all others.
            let mut values = member.predict(inputs, rows);
            draw_back(&mut values, &self.ranges);
            guess.iter_mut().zip(values).for_each(|(guess, value)| *guess += weight * value);
        }
        guess
    }
}

/// Numbers of so many rows, shuffled.
fn in_random_order(rows: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    shuffle(&mut order, &mut stream(seed, "regression folds", &[]));
    order
}

/// Kinds and how much each counts, the most first.
pub fn kinds<'a>(weighed: impl Iterator<Item = (&'a str, f32)>) -> String {
    let mut of_kind: Vec<(&str, f32)> = Vec::new();
    for (kind, weight) in weighed {
        match of_kind.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, sum)) => *sum += weight,
            None => of_kind.push((kind, weight)),
        }
    }
    of_kind.sort_by(|a, b| b.1.total_cmp(&a.1));
    let counted = of_kind.iter().filter(|(_, weight)| *weight >= 0.005);
    counted.map(|(kind, weight)| format!("{kind} {:.0} %", 100.0 * weight)).collect::<Vec<_>>().join(", ")
}

/// Draws guesses [rows, outputs] back into the `ranges` of outputs.
pub fn draw_back(guess: &mut [f32], ranges: &[(f32, f32)]) {
    for row in guess.chunks_exact_mut(ranges.len().max(1)) {
        row.iter_mut().zip(ranges).for_each(|(value, (low, high))| *value = value.clamp(*low, *high));
    }
}

/// Inputs are cut off at this many standard deviations: a column that hardly varies among few auxiliary records would
/// throw a guess anywhere.
const CUT_OFF: f32 = 4.0;

/// Brings inputs to mean 0 and variance 1 over the examples.
#[derive(Clone)]
struct Standard {
    mean: Vec<f32>,
    scale: Vec<f32>,
}

impl Standard {
    fn of(examples: &Examples) -> Self {
        let (width, rows) = (examples.inputs_width(), examples.rows);
        let mean = column_means(&examples.inputs, width, rows);
        let centred: Vec<f32> = examples
            .inputs
            .chunks_exact(width.max(1))
            .flat_map(|row| row.iter().zip(&mean).map(|(value, mean)| (value - mean).powi(2)))
            .collect();
        let scale = column_means(&centred, width, rows).iter().map(|v| 1.0 / v.max(1e-6).sqrt()).collect();
        Self { mean, scale }
    }

    fn apply(&self, inputs: &[f32]) -> Vec<f32> {
        let mut values = Vec::with_capacity(inputs.len());
        for row in inputs.chunks_exact(self.mean.len().max(1)) {
            for ((value, mean), scale) in row.iter().zip(&self.mean).zip(&self.scale) {
                values.push(((value - mean) * scale).clamp(-CUT_OFF, CUT_OFF));
            }
        }
        values
    }
}

/// Some `rows` of `values` [.., width].
fn gather(values: &[f32], width: usize, rows: &[u32]) -> Vec<f32> {
    rows.iter().flat_map(|row| values[*row as usize * width..][..width].iter().copied()).collect()
}

/// Means of each column of `values` [rows, width].
pub fn column_means(values: &[f32], width: usize, rows: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; width];
    for row in values.chunks_exact(width.max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    sums.into_iter().map(|sum| (sum / rows.max(1) as f64) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// y = 2 a - b and the parity of two signs.
    fn examples(rows: usize) -> Examples {
        let mut rng = stream(1, "test", &[]);
        let mut sign = || f32::from(u8::from(hashvfl_core::random::uniform(&mut rng) < 0.5)) * 2.0 - 1.0;
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let (a, b) = (sign(), sign());
            inputs.extend([a, b]);
            outputs.extend([2.0 * a - b, a * b]);
        }
        Examples { inputs, outputs, rows, discrete: true }
    }

    #[test]
    fn a_member_that_goes_far_beyond_what_it_has_seen_does_not_outweigh_all_others() {
        let member =
            |value: f32, weight: f32| (Box::new(Constant(vec![value])) as Box<dyn Predictor>, weight);
        let members = vec![member(1e6, 0.01), member(0.5, 0.99)];
        let regression = Regression { members, ranges: vec![(-1.0, 1.0)], kind: String::new() };
        let guess = regression.predict(&[], 2);
        assert!(guess.iter().all(|value| (value - 0.505).abs() < 1e-6), "{guess:?}");
    }

    #[test]
    fn the_kind_that_fits_is_kept() {
        let examples = examples(400);
        let regression = Regression::fit(&examples, 0);
        let guess = regression.predict(&[1.0, -1.0, -1.0, -1.0], 2);
        for (found, wanted) in guess.iter().zip([3.0, -1.0, -1.0, 1.0]) {
            assert!((found - wanted).abs() < 0.1, "{}: {guess:?}", regression.kind);
        }
        // A line cannot be a parity: the table and the networks can.
        let line = linear::Features::inputs(&examples, 100, 0);
        let line = &linear::cross_fit(&line, &examples, &Folds::new(400), &[0.1], "ridge")[0];
        let line = line.predict(&[1.0, -1.0], 1);
        assert!(line[1].abs() < 0.3, "{line:?}");
    }

    /// What a row has of its own is in no guess of it, and guesses stand in the order of their rows.
    #[test]
    fn rows_are_guessed_without_themselves() {
        let known = examples(300);
        let (regression, guess) = Regression::out_of_fold(&known, 0, Effort::Quick);
        let mut lines = guess.chunks_exact(2).zip(known.outputs.chunks_exact(2));
        assert!(lines.all(|(guess, truth)| (guess[0] - truth[0]).abs() < 0.3), "{}", regression.kind);
        // Each row has an input of its own, and an output that follows from nothing.
        let mut rng = stream(2, "test", &[]);
        let mut sign = || f32::from(u8::from(hashvfl_core::random::uniform(&mut rng) < 0.5)) * 2.0 - 1.0;
        let inputs = (0..256_u16).flat_map(|row| (0..8).map(move |bit| f32::from(row >> bit & 1)));
        let outputs: Vec<f32> = (0..256).map(|_| sign()).collect();
        let noise = Examples { inputs: inputs.collect(), outputs, rows: 256, discrete: true };
        let (_, guess) = Regression::out_of_fold(&noise, 0, Effort::Quick);
        let along: f32 = guess.iter().zip(&noise.outputs).map(|(guess, truth)| guess * truth).sum();
        assert!(along / 256.0 < 0.03, "{along}");
    }

    #[test]
    fn nothing_known_gives_the_mean() {
        let examples = Examples { inputs: vec![], outputs: vec![1.0, 3.0, 2.0], rows: 3, discrete: true };
        assert_eq!(Regression::fit(&examples, 0).predict(&[], 2), [2.0, 2.0]);
    }
}
