//! E[x given K] as a regression fitted on auxiliary records: several of different capacity, and the one that does
//! best on held-out auxiliary records is kept.
//!
//! The true conditional mean is optimal for squared error and that K. A fitted one is an attack that can be carried
//! out, never a bound.

mod local;
mod lookup;
mod network;
mod ridge;

use hashvfl_core::random::{shuffle, stream};

pub use local::{ConvolutionalRegression, Maps};
use lookup::Lookup;
use network::MlpRegression;
use ridge::Ridge;

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
    fn inputs_width(&self) -> usize {
        self.inputs.len() / self.rows.max(1)
    }

    fn outputs_width(&self) -> usize {
        self.outputs.len() / self.rows.max(1)
    }

    fn pick(&self, rows: &[u32]) -> Self {
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

    fn output_ranges(&self) -> Vec<(f32, f32)> {
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
        let (held, kept) = order.split_at((self.rows / HELD_OUT).max(1));
        (self.pick(held), self.pick(kept))
    }

    /// Means of the outputs.
    pub fn output_means(&self) -> Vec<f32> {
        column_means(&self.outputs, self.outputs_width(), self.rows)
    }
}

/// A regression that has been fitted.
trait Predictor {
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

/// The regression that did best on held-out records.
pub struct Regression {
    predictor: Box<dyn Predictor>,
    /// Least and greatest value of each output over the examples: a guess beyond is drawn back.
    ranges: Vec<(f32, f32)>,
    /// Its kind and capacity, for the report.
    pub kind: String,
}

/// One in this many auxiliary records is held out to choose by.
const HELD_OUT: usize = 5;
const RIDGES: [f64; 4] = [0.1, 3.0, 100.0, 3000.0];
const NETWORKS: [&[usize]; 2] = [&[64], &[256, 256]];
const INVERSE: &[usize] = &[256, 256];

impl Regression {
    /// Fits all kinds on four fifths of `examples` and keeps the one that predicts the last fifth best. Closed forms
    /// are fitted again on all of them.
    pub fn fit(examples: &Examples, seed: u64) -> Self {
        let constant = |from: &Examples| -> Box<dyn Predictor> { Box::new(Constant(from.output_means())) };
        if examples.inputs_width() == 0 {
            return Self {
                predictor: constant(examples),
                ranges: examples.output_ranges(),
                kind: "mean".into(),
            };
        }
        let (held, kept) = examples.held_out(seed);
        let score = |predictor: &dyn Predictor| {
            let guess = predictor.predict(&held.inputs, held.rows);
            held.outputs.iter().zip(guess).map(|(t, g)| f64::from(t - g).powi(2)).sum::<f64>()
        };
        let fallback = constant(&kept);
        let mut best = (score(fallback.as_ref()), constant(examples), "mean".to_string());
        let mut consider = |error: f64, kind: String, make: &mut dyn FnMut() -> Box<dyn Predictor>| {
            if error < best.0 {
                best = (error, make(), kind);
            }
        };
        for (ridge, strength) in Ridge::path(&kept, &RIDGES).iter().zip(RIDGES) {
            let kind = format!("ridge, strength {strength}");
            let again = || Ridge::path(examples, &[strength]).pop();
            consider(score(ridge), kind, &mut || match again() {
                Some(ridge) => Box::new(ridge),
                None => constant(examples),
            });
        }
        if examples.discrete {
            let error = score(&Lookup::fit(&kept));
            consider(error, "table".into(), &mut || Box::new(Lookup::fit(examples)));
        }
        for hidden in NETWORKS {
            // Stopped early by the very records that choose: as the others, chosen on records outside the targets.
            let network = MlpRegression::fit(&kept, &held, hidden, seed);
            let mut network = Some(network);
            let error = network.as_ref().map_or(f64::INFINITY, |network| score(network));
            let kind = format!("network {hidden:?}");
            consider(error, kind, &mut || match network.take() {
                Some(network) => Box::new(network),
                None => constant(examples),
            });
        }
        Self { predictor: best.1, ranges: examples.output_ranges(), kind: best.2 }
    }

    /// One network of fixed size, stopped early.
    pub fn inverse_network(examples: &Examples, seed: u64) -> Self {
        let (held, kept) = examples.held_out(seed);
        let network = MlpRegression::fit(&kept, &held, INVERSE, seed);
        let kind = format!("network {INVERSE:?}");
        Self { predictor: Box::new(network), ranges: examples.output_ranges(), kind }
    }

    /// How it came to be, for the report.
    pub fn chosen(&self) -> String {
        format!("regression chosen on held-out auxiliary records: {}", self.kind)
    }

    /// Outputs [rows, outputs] for inputs [rows, inputs].
    pub fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32> {
        let mut guess = self.predictor.predict(inputs, rows);
        for row in guess.chunks_exact_mut(self.ranges.len().max(1)) {
            row.iter_mut()
                .zip(&self.ranges)
                .for_each(|(value, (low, high))| *value = value.clamp(*low, *high));
        }
        guess
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
