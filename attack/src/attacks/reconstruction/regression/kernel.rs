//! Kernel ridge regression with a Gaussian kernel, on landmarks (Williams and Seeger 2001, "Using the Nyström method").

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::{shuffle, stream};
use hashvfl_learning::snapshot::to_host;

use super::ridge::solve;
use super::{Examples, Predictor, Standard, error_of};

/// Rows that serve as landmarks at most.
const LANDMARKS: usize = 600;
/// Weights of the penalty among which held-out records choose.
const STRENGTHS: [f64; 3] = [0.03, 0.3, 3.0];
/// Rows whose kernel is computed at once.
const TOGETHER: usize = 4096;

/// A weighted sum of kernels at landmarks.
pub(super) struct KernelRidge {
    standard: Standard,
    /// [landmarks, inputs], standardised.
    landmarks: Vec<f32>,
    /// One over the squared reach of the kernel.
    narrowness: f32,
    /// [landmarks, outputs].
    weights: Tensor<2>,
    mean: Vec<f32>,
}

impl KernelRidge {
    /// With a kernel that falls to 1/e at `reach` times the usual distance of two rows; `held` chooses the penalty.
    pub(super) fn fit(train: &Examples, held: &Examples, reach: f32, seed: u64) -> Self {
        let (width, outputs) = (train.inputs_width(), train.outputs_width());
        let standard = Standard::of(train);
        let mut rows: Vec<u32> = (0..train.rows as u32).collect();
        shuffle(&mut rows, &mut stream(seed, "landmarks", &[]));
        rows.truncate(LANDMARKS);
        let landmarks = standard.apply(&train.pick(&rows).inputs);
        // Two rows of standardised inputs are 2 x width apart on average.
        let narrowness = 1.0 / (reach * reach * 2.0 * width as f32);
        let (count, mean) = (rows.len(), train.output_means());
        let weights = tensor(vec![0.0; count * outputs], outputs);
        let mut ridge = Self { standard, landmarks, narrowness, weights, mean };
        let (gram, cross) = ridge.products(train);
        let between: Vec<f64> = floats(to_host(ridge.kernel(&ridge.landmarks)));
        let mut best: Option<(f64, Tensor<2>)> = None;
        for strength in STRENGTHS {
            let (mut matrix, mut solution) = (gram.clone(), cross.clone());
            matrix.iter_mut().zip(&between).for_each(|(sum, kernel)| *sum += strength * kernel);
            // Landmarks that lie close together leave the matrix singular otherwise.
            (0..count).for_each(|at| matrix[at * count + at] += 1e-3 + 1e-7 * train.rows as f64);
            solve(&mut matrix, &mut solution, count, outputs);
            ridge.weights = tensor(solution.into_iter().map(|value| value as f32).collect(), outputs);
            let error = error_of(&ridge, held);
            if best.as_ref().is_none_or(|(least, _)| error < *least) {
                best = Some((error, ridge.weights.clone()));
            }
        }
        ridge.weights = best.map_or(ridge.weights, |(_, weights)| weights);
        ridge
    }

    /// Products of the kernels of all rows with each other [landmarks, landmarks] and with centred outputs.
    fn products(&self, train: &Examples) -> (Vec<f64>, Vec<f64>) {
        let (inputs, outputs) = (train.inputs_width(), train.outputs_width());
        let count = self.landmarks.len() / inputs;
        let (mut gram, mut cross) = (vec![0.0; count * count], vec![0.0; count * outputs]);
        let known = train.inputs.chunks(inputs * TOGETHER).zip(train.outputs.chunks(outputs * TOGETHER));
        for (x, y) in known {
            let kernel = self.kernel(&self.standard.apply(x));
            let mut centred = y.to_vec();
            for row in centred.chunks_exact_mut(outputs) {
                row.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value -= mean);
            }
            let turned = kernel.clone().transpose();
            add(&mut gram, to_host(turned.clone().matmul(kernel)));
            add(&mut cross, to_host(turned.matmul(tensor(centred, outputs))));
        }
        (gram, cross)
    }

    /// Kernel [rows, landmarks] of standardised `rows`.
    fn kernel(&self, rows: &[f32]) -> Tensor<2> {
        let width = self.standard.mean.len();
        let (x, landmarks) = (tensor(rows.to_vec(), width), tensor(self.landmarks.clone(), width));
        let lengths = |values: &Tensor<2>| (values.clone() * values.clone()).sum_dim(1);
        let apart =
            lengths(&x) + lengths(&landmarks).transpose() - x.matmul(landmarks.transpose()).mul_scalar(2.0);
        apart.mul_scalar(-self.narrowness).exp()
    }
}

fn tensor(values: Vec<f32>, width: usize) -> Tensor<2> {
    let rows = values.len() / width;
    Tensor::from_data(TensorData::new(values, [rows, width]), &Device::flex())
}

fn floats(values: Vec<f32>) -> Vec<f64> {
    values.into_iter().map(f64::from).collect()
}

fn add(sums: &mut [f64], values: Vec<f32>) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(value));
}

impl Predictor for KernelRidge {
    fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32> {
        let width = self.standard.mean.len();
        let mut guess = Vec::with_capacity(rows * self.mean.len());
        for inputs in inputs.chunks(width * TOGETHER) {
            guess.extend(to_host(self.kernel(&self.standard.apply(inputs)).matmul(self.weights.clone())));
        }
        for row in guess.chunks_exact_mut(self.mean.len()) {
            row.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value += mean);
        }
        guess
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::uniform;

    use super::*;

    #[test]
    fn a_curve_is_fitted() {
        let mut rng = stream(4, "test", &[]);
        let inputs: Vec<f32> = (0..800).map(|_| 6.0 * uniform(&mut rng)).collect();
        let outputs = inputs.iter().map(|x| x.sin()).collect();
        let examples = Examples { inputs, outputs, rows: 800, discrete: false };
        let (held, kept) = examples.held_out(1);
        let ridge = KernelRidge::fit(&kept, &held, 0.5, 2);
        let error = error_of(&ridge, &held) / held.rows as f64;
        assert!(error < 1e-3, "{error}");
    }
}
