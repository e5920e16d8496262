//! Regressions in closed form, cross-validated: ridge regression (Hoerl and Kennard 1970) on the inputs, and kernel ridge
//! regression with a Gaussian kernel on landmarks (Williams and Seeger 2001, "Using the Nyström method").

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::{shuffle, stream};
use hashvfl_learning::snapshot::to_host;

use super::family::Candidate;
use super::folds::Folds;
use super::solve::Sums;
use super::{Examples, Predictor, Standard, column_means};

/// Rows whose features are computed at once.
const TOGETHER: usize = 4096;
/// The constant's weight is hardly drawn to zero.
const LITTLE: f64 = 1e-3;
/// What is added for each row to what tells features apart that are nearly equal.
const LITTLE_A_ROW: f64 = 1e-6;
/// Most inputs that are features themselves; of more, products with landmarks are, which are fewer.
const MOST_INPUTS: usize = 512;

/// What a regression is linear in. The last feature is constant.
#[derive(Clone)]
pub(super) struct Features {
    standard: Standard,
    shape: Shape,
    /// [landmarks, inputs], standardised; none where inputs are features.
    landmarks: Vec<f32>,
}

#[derive(Clone, Copy)]
enum Shape {
    /// The inputs.
    Inputs,
    /// Products with landmarks, over the number of inputs.
    Products,
    /// A Gaussian of the distance to landmarks: one over its squared reach.
    Gaussian(f32),
}

impl Features {
    /// For a ridge regression on inputs: where these are many by way of at most `landmarks` rows.
    pub(super) fn inputs(examples: &Examples, landmarks: usize, seed: u64) -> Self {
        let standard = Standard::of(examples);
        match examples.inputs_width() <= MOST_INPUTS {
            true => Self { standard, shape: Shape::Inputs, landmarks: Vec::new() },
            false => {
                let landmarks = drawn(examples, &standard, landmarks, seed);
                Self { standard, shape: Shape::Products, landmarks }
            }
        }
    }

    /// A kernel that falls to 1/e at `reach` times the usual distance of two rows, at `landmarks` rows.
    pub(super) fn gaussian(examples: &Examples, reach: f32, landmarks: usize, seed: u64) -> Self {
        let standard = Standard::of(examples);
        let landmarks = drawn(examples, &standard, landmarks, seed);
        // Two rows of standardised inputs are 2 x width apart on average.
        let narrowness = 1.0 / (reach * reach * 2.0 * examples.inputs_width() as f32);
        Self { standard, shape: Shape::Gaussian(narrowness), landmarks }
    }

    /// Features [rows, features] of `inputs`.
    fn of(&self, inputs: &[f32]) -> Tensor<2> {
        let features = self.of_standard(self.standard.apply(inputs));
        let constant = Tensor::ones([features.dims()[0], 1], &Device::flex());
        Tensor::cat(vec![features, constant], 1)
    }

    /// Without the constant, of standardised inputs.
    fn of_standard(&self, inputs: Vec<f32>) -> Tensor<2> {
        let width = self.standard.mean.len();
        let x = tensor(inputs, width);
        let landmarks = || tensor(self.landmarks.clone(), width);
        match self.shape {
            Shape::Inputs => x,
            Shape::Products => x.matmul(landmarks().transpose()).div_scalar(width as f32),
            Shape::Gaussian(narrowness) => {
                let lengths = |values: &Tensor<2>| (values.clone() * values.clone()).sum_dim(1);
                let landmarks = landmarks();
                let apart = lengths(&x) + lengths(&landmarks).transpose()
                    - x.matmul(landmarks.transpose()).mul_scalar(2.0);
                apart.mul_scalar(-narrowness).exp()
            }
        }
    }

    /// The penalty [features, features] of weights: squares of what they weigh; the constant has none.
    fn penalty(&self) -> Vec<f64> {
        let width = self.standard.mean.len();
        let (count, between, scale) = match self.shape {
            Shape::Inputs => (width, None, 1.0),
            Shape::Products => (self.landmarks.len() / width, Some(()), 1.0 / width as f64),
            Shape::Gaussian(_) => (self.landmarks.len() / width, Some(()), 1.0),
        };
        let between = between.map(|()| to_host(self.of_standard(self.landmarks.clone())));
        let mut penalty = vec![0.0; (count + 1) * (count + 1)];
        for i in 0..count {
            match &between {
                None => penalty[i * (count + 1) + i] = scale,
                Some(between) => {
                    let row = penalty[i * (count + 1)..].iter_mut().zip(&between[i * count..][..count]);
                    row.for_each(|(penalty, value)| *penalty = scale * f64::from(*value));
                }
            }
        }
        penalty
    }
}

/// At most `count` rows, standardised.
fn drawn(examples: &Examples, standard: &Standard, count: usize, seed: u64) -> Vec<f32> {
    let mut rows: Vec<u32> = (0..examples.rows as u32).collect();
    shuffle(&mut rows, &mut stream(seed, "landmarks", &[]));
    rows.truncate(count);
    standard.apply(&examples.pick(&rows).inputs)
}

fn tensor(values: Vec<f32>, width: usize) -> Tensor<2> {
    let rows = values.len() / width;
    Tensor::from_data(TensorData::new(values, [rows, width]), &Device::flex())
}

/// A linear map of features, from which outputs are `mean` away.
struct Linear {
    features: Features,
    /// [features, outputs].
    weights: Tensor<2>,
    mean: Vec<f32>,
}

impl Predictor for Linear {
    fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32> {
        let width = self.features.standard.mean.len();
        let mut guess = Vec::with_capacity(rows * self.mean.len());
        for inputs in inputs.chunks(width * TOGETHER) {
            guess.extend(to_host(self.features.of(inputs).matmul(self.weights.clone())));
        }
        shift(&mut guess, &self.mean, 1.0);
        guess
    }
}

/// Adds `mean` so many `times` to each row.
fn shift(values: &mut [f32], mean: &[f32], times: f32) {
    for row in values.chunks_exact_mut(mean.len().max(1)) {
        row.iter_mut().zip(mean).for_each(|(value, mean)| *value += times * mean);
    }
}

/// The features of some rows, and sums over them and their outputs less the `mean`.
fn of_rows(
    features: &Features,
    examples: &Examples,
    mean: &[f32],
    rows: std::ops::Range<usize>,
) -> (Tensor<2>, Sums) {
    let (inputs, outputs) = (examples.inputs_width(), examples.outputs_width());
    let mut centred = examples.outputs[rows.start * outputs..rows.end * outputs].to_vec();
    shift(&mut centred, mean, -1.0);
    let x = features.of(&examples.inputs[rows.start * inputs..rows.end * inputs]);
    let sums = Sums::of(&x, &tensor(centred, outputs));
    (x, sums)
}

/// A regression on `features` for each of `strengths`: what it makes of each part without that part, and the mean of those, or of all
/// records where one part alone is left out.
pub(super) fn cross_fit(
    features: &Features,
    examples: &Examples,
    folds: &Folds,
    strengths: &[f64],
    kind: &'static str,
) -> Vec<Candidate> {
    let outputs = examples.outputs_width();
    let mean = column_means(&examples.outputs, outputs, examples.rows);
    let penalty = features.penalty();
    let width = penalty.len().isqrt();
    let mut all = Sums::none(width, outputs);
    let (mut of_parts, mut held_out) = (Vec::new(), Vec::new());
    for part in folds.parts() {
        let (x, sums) = of_rows(features, examples, &mean, part.clone());
        all.add(&sums, 1.0);
        held_out.push(x);
        of_parts.push(sums);
    }
    for start in (folds.judges()..examples.rows).step_by(TOGETHER) {
        let end = examples.rows.min(start + TOGETHER);
        all.add(&of_rows(features, examples, &mean, start..end).1, 1.0);
    }
    let little = LITTLE + LITTLE_A_ROW * examples.rows as f64;
    let mut candidates = Vec::new();
    for strength in strengths {
        let mut on_judges = Vec::with_capacity(folds.judges() * outputs);
        let mut weights = vec![0.0; width * outputs];
        for (x, sums) in held_out.iter().zip(&of_parts) {
            let mut outside = all.clone();
            outside.add(sums, -1.0);
            let solved = outside.solve(&penalty, *strength, little);
            let solved: Vec<f32> = solved.into_iter().map(|value| value as f32).collect();
            weights.iter_mut().zip(&solved).for_each(|(sum, w)| *sum += w / of_parts.len() as f32);
            on_judges.extend(to_host(x.clone().matmul(tensor(solved, outputs))));
        }
        shift(&mut on_judges, &mean, 1.0);
        if of_parts.len() == 1 {
            let solved = all.clone().solve(&penalty, *strength, little);
            weights = solved.into_iter().map(|value| value as f32).collect();
        }
        let linear =
            Linear { features: features.clone(), weights: tensor(weights, outputs), mean: mean.clone() };
        candidates.push(Candidate::new(kind, on_judges, linear));
    }
    candidates
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::uniform;

    use super::*;

    fn curve(rows: usize) -> Examples {
        let mut rng = stream(4, "test", &[]);
        let inputs: Vec<f32> = (0..rows).map(|_| 6.0 * uniform(&mut rng)).collect();
        let outputs = inputs.iter().map(|x| x.sin()).collect();
        Examples { inputs, outputs, rows, discrete: false }
    }

    fn error(truth: &[f32], guess: &[f32]) -> f64 {
        let pairs = truth.iter().zip(guess);
        pairs.map(|(t, g)| f64::from(t - g).powi(2)).sum::<f64>() / truth.len() as f64
    }

    #[test]
    fn a_curve_is_fitted_by_a_kernel_and_not_by_a_line() {
        let (known, folds) = (curve(800), Folds::new(640));
        let kernel = Features::gaussian(&known, 0.5, 400, 2);
        let kernel = &cross_fit(&kernel, &known, &folds, &[0.03], "kernel ridge")[0];
        let judged = &known.outputs[..folds.judges()];
        assert!(error(judged, &kernel.on_judges) < 1e-3, "{}", error(judged, &kernel.on_judges));
        let guess = kernel.predict(&known.inputs, known.rows);
        assert!(error(&known.outputs, &guess) < 1e-3, "{}", error(&known.outputs, &guess));
        let line = Features::inputs(&known, 400, 2);
        let line = &cross_fit(&line, &known, &folds, &[0.1], "ridge")[0];
        assert!(error(judged, &line.on_judges) > 0.1);
    }

    /// A ridge regression by way of landmarks is the one on inputs, where landmarks are all rows.
    #[test]
    fn many_inputs_are_weighed_as_few_are() {
        let mut rng = stream(5, "test", &[]);
        let inputs: Vec<f32> = (0..60 * 40).map(|_| uniform(&mut rng)).collect();
        let outputs = (0..60).map(|row| inputs[row * 40] - inputs[row * 40 + 3]).collect();
        let known = Examples { inputs, outputs, rows: 60, discrete: false };
        let folds = Folds::new(60);
        let few = Features::inputs(&known, 60, 1);
        let many = Features {
            landmarks: drawn(&known, &few.standard, 60, 1),
            shape: Shape::Products,
            ..few.clone()
        };
        let guess =
            |features: &Features| cross_fit(features, &known, &folds, &[10.0], "ridge").remove(0).on_judges;
        let (few, many) = (guess(&few), guess(&many));
        assert!(error(&few, &many) < 1e-4, "{}", error(&few, &many));
    }
}
