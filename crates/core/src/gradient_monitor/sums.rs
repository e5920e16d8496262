//! Sums over batches that the gradient monitor keeps, older batches with exponentially smaller weights.

use serde::{Deserialize, Serialize};

/// What is left of a batch's weight a step later, in the regression.
const FADING: f64 = 0.9;
/// What is left of a batch's weight a step later, in the second moments.
const MOMENT_FADING: f64 = 0.95;

/// Sums over records with codes and gradients.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Of x x' [predictors + 1, predictors + 1]; x is a code and a one.
    pub gram: Vec<f64>,
    /// Of x g' [predictors + 1, bits].
    pub cross: Vec<f64>,
    /// Of c x' [predictors, predictors + 1]; c is what noise made of a code, the code less its expected value.
    pub chance_gram: Vec<f64>,
    /// Of c g' [predictors, bits].
    pub chance_cross: Vec<f64>,
    /// Of each square of c [predictors].
    pub chance: Vec<f64>,
    /// Means per batch of g g' over the first bits [predictors, predictors], summed.
    pub moments: Vec<f64>,
    /// Batches in `moments`, and squares of their weights over their records.
    pub weight: f64,
    pub weight_squares: f64,
}

impl Sums {
    /// How long each sum is.
    pub fn lengths(&self) -> [usize; 6] {
        let Self { gram, cross, chance_gram, chance_cross, chance, moments, .. } = self;
        [gram, cross, chance_gram, chance_cross, chance, moments].map(Vec::len)
    }

    /// Of no batch yet.
    pub fn none(bits: usize, predictors: usize) -> Self {
        let inputs = predictors + 1;
        Self {
            gram: vec![0.0; inputs * inputs],
            cross: vec![0.0; inputs * bits],
            chance_gram: vec![0.0; predictors * inputs],
            chance_cross: vec![0.0; predictors * bits],
            chance: vec![0.0; predictors],
            moments: vec![0.0; predictors * predictors],
            weight: 0.0,
            weight_squares: 0.0,
        }
    }

    /// Of one batch, whose `gradient` of mean square `power` a record is scaled to 1.
    #[inline(always)]
    pub fn of_batch(
        codes: &[f32],
        expected: &[f32],
        gradient: &[f32],
        bits: usize,
        predictors: usize,
        power: f64,
    ) -> Self {
        let rows = codes.len() / bits;
        let (mut inputs, mut chances) =
            (Vec::with_capacity(rows * (predictors + 1)), Vec::with_capacity(rows * predictors));
        for (code, expected) in codes.chunks_exact(bits).zip(expected.chunks_exact(bits)) {
            let code = &code[..predictors];
            inputs.extend_from_slice(code);
            inputs.push(1.0);
            chances.extend(code.iter().zip(expected).map(|(code, expected)| code - expected));
        }
        let scale = power.sqrt().recip();
        let gradient: Vec<f32> = gradient.iter().map(|g| (f64::from(*g) * scale) as f32).collect();
        let mut first = Vec::with_capacity(rows * predictors);
        gradient.chunks_exact(bits).for_each(|gradient| first.extend_from_slice(&gradient[..predictors]));
        let mut chance = vec![0.0; predictors];
        for row in chances.chunks_exact(predictors) {
            chance.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(value * value));
        }
        let width = predictors + 1;
        let mut moments = products(&first, predictors, &first, predictors);
        moments.iter_mut().for_each(|moment| *moment /= rows as f64);
        Self {
            gram: products(&inputs, width, &inputs, width),
            cross: products(&inputs, width, &gradient, bits),
            chance_gram: products(&chances, predictors, &inputs, width),
            chance_cross: products(&chances, predictors, &gradient, bits),
            chance,
            moments,
            weight: 1.0,
            weight_squares: (rows as f64).recip(),
        }
    }

    /// Fades, and adds those of a batch.
    #[inline(always)]
    pub fn fade_and_add(&mut self, batch: &Self) {
        fade_and_add(&mut self.gram, &batch.gram, FADING);
        fade_and_add(&mut self.cross, &batch.cross, FADING);
        fade_and_add(&mut self.chance_gram, &batch.chance_gram, FADING);
        fade_and_add(&mut self.chance_cross, &batch.chance_cross, FADING);
        fade_and_add(&mut self.chance, &batch.chance, FADING);
        fade_and_add(&mut self.moments, &batch.moments, MOMENT_FADING);
        self.weight = self.weight * MOMENT_FADING + batch.weight;
        self.weight_squares = self.weight_squares * MOMENT_FADING.powi(2) + batch.weight_squares;
    }
}

#[inline(always)]
fn fade_and_add(sums: &mut [f64], more: &[f64], fading: f64) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = *sum * fading + more);
}

/// Records whose products are added up in registers.
const TOGETHER: usize = 4;

/// `a' b` [a_width, b_width] of `a` [rows, a_width] and `b` [rows, b_width], in f32: sums of a batch, not of a run.
#[inline(always)]
fn products(a: &[f32], a_width: usize, b: &[f32], b_width: usize) -> Vec<f64> {
    let mut sums = vec![0.0_f32; a_width * b_width];
    let (a_groups, b_groups) = (a.chunks_exact(TOGETHER * a_width), b.chunks_exact(TOGETHER * b_width));
    add_rows(a_groups.remainder(), a_width, b_groups.remainder(), b_width, &mut sums);
    for (a, b) in a_groups.zip(b_groups) {
        let (b0, b) = b.split_at(b_width);
        let (b1, b) = b.split_at(b_width);
        let (b2, b3) = b.split_at(b_width);
        for (column, sums) in sums.chunks_exact_mut(b_width).enumerate() {
            let [a0, a1, a2, a3] = [0, 1, 2, 3].map(|row| a[row * a_width + column]);
            let b = b0.iter().zip(b1).zip(b2).zip(b3);
            for (sum, (((b0, b1), b2), b3)) in sums.iter_mut().zip(b) {
                *sum += (a0 * b0 + a1 * b1) + (a2 * b2 + a3 * b3);
            }
        }
    }
    sums.into_iter().map(f64::from).collect()
}

/// Adds the products of rows, one row after the other.
#[inline(always)]
fn add_rows(a: &[f32], a_width: usize, b: &[f32], b_width: usize, sums: &mut [f32]) {
    for (column, sums) in sums.chunks_exact_mut(b_width).enumerate() {
        for (a, b) in a.chunks_exact(a_width).zip(b.chunks_exact(b_width)) {
            let a = a[column];
            sums.iter_mut().zip(b).for_each(|(sum, b)| *sum += a * b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_add_up_over_all_records() {
        let values =
            |count: usize, scale: f32| (0..count).map(|at| (at as f32 * scale).sin()).collect::<Vec<_>>();
        for rows in [0, 1, 4, 7] {
            let (a, b) = (values(rows * 3, 0.7), values(rows * 5, 1.3));
            let found = products(&a, 3, &b, 5);
            for (at, found) in found.iter().enumerate() {
                let sum: f32 = (0..rows).map(|row| a[row * 3 + at / 5] * b[row * 5 + at % 5]).sum();
                assert!((found - f64::from(sum)).abs() < 1e-5);
            }
        }
    }
}
