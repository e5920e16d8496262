//! The conditional mean as a table: the mean over records of equal inputs, drawn towards the mean of all where they
//! are few.

use std::collections::HashMap;

use super::{Examples, Predictor};

/// Weight of the mean of all, in records.
const PRIOR: f64 = 2.0;

/// One row a distinct input.
pub(super) struct Lookup {
    rows: HashMap<Vec<i8>, Vec<f32>>,
    mean: Vec<f32>,
    width: usize,
}

fn key(row: &[f32]) -> Vec<i8> {
    row.iter().map(|value| *value as i8).collect()
}

impl Lookup {
    /// Counts rows of equal inputs, which are -1, 0 or 1.
    pub(super) fn fit(examples: &Examples) -> Self {
        let (width, outputs) = (examples.inputs_width(), examples.outputs_width());
        let mean = examples.output_means();
        let mut sums: HashMap<Vec<i8>, (f64, Vec<f64>)> = HashMap::new();
        for (x, y) in examples.inputs.chunks_exact(width).zip(examples.outputs.chunks_exact(outputs)) {
            let (count, sum) = sums.entry(key(x)).or_insert_with(|| (0.0, vec![0.0; outputs]));
            *count += 1.0;
            sum.iter_mut().zip(y).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let mut rows = HashMap::with_capacity(sums.len());
        for (key, (count, sum)) in sums {
            let sums_and_means = sum.into_iter().zip(&mean);
            let shrunk = sums_and_means.map(|(sum, mean)| (sum + PRIOR * f64::from(*mean)) / (count + PRIOR));
            rows.insert(key, shrunk.map(|mean| mean as f32).collect());
        }
        Self { rows, mean, width }
    }
}

impl Predictor for Lookup {
    fn predict(&self, inputs: &[f32], _rows: usize) -> Vec<f32> {
        let row = |x: &[f32]| self.rows.get(&key(x)).unwrap_or(&self.mean).clone();
        inputs.chunks_exact(self.width).flat_map(row).collect()
    }
}
