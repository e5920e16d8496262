//! E[x given K] as a regression fitted on auxiliary records: several of different kind and capacity, and the mean of
//! those that held-out auxiliary records choose.
//!
//! The true conditional mean is optimal for squared error and that K. A fitted one is an attack that can be carried
//! out, never a bound.

pub mod ensemble;
pub mod family;
mod kernel;
mod local;
mod lookup;
mod network;
mod ridge;
mod trees;

use hashvfl_core::random::{shuffle, stream};

use family::{Effort, Member};
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
        let take = |values: &[f32], width: usize| {
            rows.iter().flat_map(|row| values[*row as usize * width..][..width].iter().copied()).collect()
        };
        Self {
            inputs: take(&self.inputs, self.inputs_width()),
            outputs: take(&self.outputs, self.outputs_width()),
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

/// Squared error of a regression at `held`.
fn error_of(predictor: &dyn Predictor, held: &Examples) -> f64 {
    let guess = predictor.predict(&held.inputs, held.rows);
    held.outputs.iter().zip(guess).map(|(truth, guess)| f64::from(truth - guess).powi(2)).sum()
}

/// The mean of the regressions that held-out records chose.
pub struct Regression {
    members: Vec<(Member, f32)>,
    /// Least and greatest value of each output over the examples: a guess beyond is drawn back.
    ranges: Vec<(f32, f32)>,
    /// The kinds, for the report.
    pub kind: String,
}

/// One in this many auxiliary records is held out to choose by.
const HELD_OUT: usize = 5;
/// Most records that are held out.
const MOST_HELD_OUT: usize = 3000;
const INVERSE: &[usize] = &[256, 256];

impl Regression {
    /// Fits all kinds on four fifths of `examples` and keeps the mean of those that predicts the last fifth best.
    pub fn fit(examples: &Examples, seed: u64) -> Self {
        let ranges = examples.output_ranges();
        if examples.inputs_width() == 0 {
            let member = Member::new("mean".into(), Constant(examples.output_means()));
            return Self { kind: "mean".into(), ranges, members: vec![(member, 1.0)] };
        }
        let (held, kept) = examples.held_out(seed);
        let members = family::fit(&kept, &held, seed, Effort::All);
        let mut on_held = Vec::new();
        for member in &members {
            on_held.push(member.predict(&held.inputs, held.rows));
        }
        let views: Vec<&[f32]> = on_held.iter().map(Vec::as_slice).collect();
        let outputs = examples.outputs_width();
        let weights = ensemble::choose(&views, &held.outputs, outputs, outputs);
        let chosen = members.into_iter().zip(weights).filter(|(_, weight)| *weight > 0.0);
        let members: Vec<(Member, f32)> = chosen.collect();
        let kinds: Vec<&str> = members.iter().map(|(member, _)| member.kind.as_str()).collect();
        Self { kind: kinds.join(", "), ranges, members }
    }

    /// One network of fixed size, stopped early.
    pub fn inverse_network(examples: &Examples, seed: u64) -> Self {
        let (held, kept) = examples.held_out(seed);
        let kind = format!("network {INVERSE:?}");
        let predictor = Box::new(MlpRegression::fit(&kept, &held, INVERSE, seed));
        let members = vec![(Member { kind: kind.clone(), predictor }, 1.0)];
        Self { members, ranges: examples.output_ranges(), kind }
    }

    /// How it came to be, for the report.
    pub fn chosen(&self) -> String {
        format!("chosen on held-out auxiliary records: {}", self.kind)
    }

    /// Outputs [rows, outputs] for inputs [rows, inputs].
    pub fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32> {
        let mut guess = vec![0.0; rows * self.ranges.len()];
        for (member, weight) in &self.members {
            let values = member.predict(inputs, rows);
            guess.iter_mut().zip(values).for_each(|(guess, value)| *guess += weight * value);
        }
        draw_back(&mut guess, &self.ranges);
        guess
    }
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
        let value =
            |(value, (mean, scale)): (&f32, (&f32, &f32))| ((value - mean) * scale).clamp(-CUT_OFF, CUT_OFF);
        let row = |row: &[f32]| -> Vec<f32> {
            row.iter().zip(self.mean.iter().zip(&self.scale)).map(value).collect()
        };
        inputs.chunks_exact(self.mean.len().max(1)).flat_map(row).collect()
    }
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
    use super::ridge::Ridge;
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
    fn the_kind_that_fits_is_kept() {
        let examples = examples(400);
        let regression = Regression::fit(&examples, 0);
        let guess = regression.predict(&[1.0, -1.0, -1.0, -1.0], 2);
        for (found, wanted) in guess.iter().zip([3.0, -1.0, -1.0, 1.0]) {
            assert!((found - wanted).abs() < 0.1, "{}: {guess:?}", regression.kind);
        }
        // A line cannot be a parity: the table and the networks can.
        let line = Ridge::path(&examples, &[0.1])[0].predict(&[1.0, -1.0], 1);
        assert!(line[1].abs() < 0.3, "{line:?}");
    }

    #[test]
    fn nothing_known_gives_the_mean() {
        let examples = Examples { inputs: vec![], outputs: vec![1.0, 3.0, 2.0], rows: 3, discrete: true };
        assert_eq!(Regression::fit(&examples, 0).predict(&[], 2), [2.0, 2.0]);
    }
}
