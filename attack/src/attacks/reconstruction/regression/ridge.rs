//! Ridge regression (Hoerl and Kennard 1970) in closed form, on standardised inputs.

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_learning::snapshot::to_host;

use super::{Examples, Predictor, Standard};

/// A linear map with an intercept.
pub(super) struct Ridge {
    standard: Standard,
    /// [inputs, outputs].
    weights: Vec<f64>,
    intercept: Vec<f32>,
}

impl Ridge {
    /// Minimises squared error plus each of `strengths` times the squared weights.
    pub(super) fn path(examples: &Examples, strengths: &[f64]) -> Vec<Self> {
        let (inputs, outputs, rows) = (examples.inputs_width(), examples.outputs_width(), examples.rows);
        let standard = Standard::of(examples);
        let intercept = examples.output_means();
        let centred = examples.outputs.chunks_exact(outputs).flat_map(|row| {
            let pairs = row.iter().zip(&intercept);
            pairs.map(|(value, mean)| value - mean).collect::<Vec<f32>>()
        });
        let tensor = |values: Vec<f32>, width: usize| {
            Tensor::<2>::from_data(TensorData::new(values, [rows, width]), &Device::flex())
        };
        let x = tensor(standard.apply(&examples.inputs), inputs);
        let y = tensor(centred.collect(), outputs);
        let product = |a: &Tensor<2>, b: &Tensor<2>| -> Vec<f64> {
            to_host(a.clone().transpose().matmul(b.clone())).into_iter().map(f64::from).collect()
        };
        let (gram, cross) = (product(&x, &x), product(&x, &y));
        let solved = |strength: &f64| {
            let (mut gram, mut weights) = (gram.clone(), cross.clone());
            (0..inputs).for_each(|i| gram[i * inputs + i] += strength);
            solve(&mut gram, &mut weights, inputs, outputs);
            Self { standard: standard.clone(), weights, intercept: intercept.clone() }
        };
        strengths.iter().map(solved).collect()
    }
}

/// Solves `a x = b` in place by Cholesky's factors; `a` [n, n] is positive definite, its lower half is read.
pub(super) fn solve(a: &mut [f64], b: &mut [f64], n: usize, columns: usize) {
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let rest = a[i * n + j] - dot;
            a[i * n + j] = if i == j { rest.max(1e-12).sqrt() } else { rest / a[j * n + j] };
        }
    }
    // All columns of a row at once.
    let mut row = vec![0.0; columns];
    let mut reduce =
        |b: &mut [f64], i: usize, others: std::ops::Range<usize>, factor: &dyn Fn(usize) -> f64| {
            row.copy_from_slice(&b[i * columns..][..columns]);
            for k in others {
                let factor = factor(k);
                row.iter_mut().zip(&b[k * columns..][..columns]).for_each(|(to, from)| *to -= factor * from);
            }
            b[i * columns..][..columns].iter_mut().zip(&row).for_each(|(to, from)| *to = from / a[i * n + i]);
        };
    for i in 0..n {
        reduce(b, i, 0..i, &|k| a[i * n + k]);
    }
    for i in (0..n).rev() {
        reduce(b, i, i + 1..n, &|k| a[k * n + i]);
    }
}

impl Predictor for Ridge {
    fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32> {
        let (width, outputs) = (self.standard.mean.len(), self.intercept.len());
        let inputs = self.standard.apply(inputs);
        let mut guess = Vec::with_capacity(rows * outputs);
        for row in inputs.chunks_exact(width) {
            let mut sums: Vec<f64> = self.intercept.iter().map(|v| f64::from(*v)).collect();
            for (i, value) in row.iter().enumerate() {
                let weights = &self.weights[i * outputs..][..outputs];
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += f64::from(*value) * weight);
            }
            guess.extend(sums.into_iter().map(|sum| sum as f32));
        }
        guess
    }
}
