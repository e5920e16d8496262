//! Ridge regression (Hoerl and Kennard 1970) in closed form, on standardised inputs.

use super::{Examples, Predictor, Standard};

/// A linear map with an intercept.
pub(super) struct Ridge {
    standard: Standard,
    /// [inputs, outputs].
    weights: Vec<f64>,
    intercept: Vec<f32>,
}

impl Ridge {
    /// Minimises squared error plus `strength` times the squared weights.
    pub(super) fn fit(examples: &Examples, strength: f64) -> Self {
        let (inputs, outputs, rows) = (examples.inputs_width(), examples.outputs_width(), examples.rows);
        let standard = Standard::of(examples);
        let standardised = standard.apply(&examples.inputs);
        let intercept = examples.output_means();
        let mut gram = vec![0.0_f64; inputs * inputs];
        let mut cross = vec![0.0_f64; inputs * outputs];
        let mut row = vec![0.0_f64; inputs];
        for index in 0..rows {
            let x = &standardised[index * inputs..][..inputs];
            row.iter_mut().zip(x).for_each(|(to, value)| *to = f64::from(*value));
            let y = &examples.outputs[index * outputs..][..outputs];
            for (i, a) in row.iter().enumerate() {
                gram[i * inputs..][..=i].iter_mut().zip(&row).for_each(|(sum, b)| *sum += a * b);
                let targets = y.iter().zip(&intercept);
                cross[i * outputs..][..outputs]
                    .iter_mut()
                    .zip(targets)
                    .for_each(|(sum, (y, mean))| *sum += a * f64::from(y - mean));
            }
        }
        (0..inputs).for_each(|i| gram[i * inputs + i] += strength);
        solve(&mut gram, &mut cross, inputs, outputs);
        Self { standard, weights: cross, intercept }
    }
}

/// Solves `a x = b` in place by Cholesky's factors; `a` [n, n] is positive definite, its lower half is read.
fn solve(a: &mut [f64], b: &mut [f64], n: usize, columns: usize) {
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let rest = a[i * n + j] - dot;
            a[i * n + j] = if i == j { rest.max(1e-12).sqrt() } else { rest / a[j * n + j] };
        }
    }
    for c in 0..columns {
        for i in 0..n {
            let dot: f64 = (0..i).map(|k| a[i * n + k] * b[k * columns + c]).sum();
            b[i * columns + c] = (b[i * columns + c] - dot) / a[i * n + i];
        }
        for i in (0..n).rev() {
            let dot: f64 = (i + 1..n).map(|k| a[k * n + i] * b[k * columns + c]).sum();
            b[i * columns + c] = (b[i * columns + c] - dot) / a[i * n + i];
        }
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
