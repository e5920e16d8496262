//! Sums of products of features and outputs, and the least squares that follow from them.

use burn::tensor::Tensor;
use hashvfl_learning::snapshot::to_host;
use hashvfl_learning::threads::vectorized;

/// Sums over records: features times features, and features times outputs. Those of some records are the sums over all less
/// the sums over the others, so that each record is multiplied once, however many parts are left out in turn.
#[derive(Clone)]
pub(super) struct Sums {
    features: usize,
    outputs: usize,
    /// [features, features].
    gram: Vec<f64>,
    /// [features, outputs].
    cross: Vec<f64>,
}

impl Sums {
    pub(super) fn none(features: usize, outputs: usize) -> Self {
        let (gram, cross) = (vec![0.0; features * features], vec![0.0; features * outputs]);
        Self { features, outputs, gram, cross }
    }

    /// Over records of `features` [records, features] and `outputs` [records, outputs].
    pub(super) fn of(features: &Tensor<2>, outputs: &Tensor<2>) -> Self {
        let ([_, width], [_, numbers]) = (features.dims(), outputs.dims());
        let turned = features.clone().transpose();
        let product = |other: &Tensor<2>| -> Vec<f64> {
            to_host(turned.clone().matmul(other.clone())).into_iter().map(f64::from).collect()
        };
        Self { features: width, outputs: numbers, gram: product(features), cross: product(outputs) }
    }

    pub(super) fn add(&mut self, other: &Self, times: f64) {
        let pairs = self.gram.iter_mut().zip(&other.gram).chain(self.cross.iter_mut().zip(&other.cross));
        pairs.for_each(|(sum, value)| *sum += times * value);
    }

    /// Weights [features, outputs] with the least squared error plus `strength` times `penalty` [features, features] of the
    /// weights, and a little more, without which features that are nearly equal could not be told apart.
    pub(super) fn solve(mut self, penalty: &[f64], strength: f64, little: f64) -> Vec<f64> {
        self.gram.iter_mut().zip(penalty).for_each(|(sum, penalty)| *sum += strength * penalty);
        (0..self.features).for_each(|at| self.gram[at * self.features + at] += little);
        vectorized(
            #[inline(always)]
            || solve(&mut self.gram, &mut self.cross, self.features, self.outputs),
        );
        self.cross
    }
}

/// Numbers that one instruction may multiply.
const LANES: usize = 8;

#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f64>() + rest
}

/// What is left of a feature beside those before it, as a part of its square, below which it says nothing that they do not:
/// sums of products are in f32. Such a feature gets no weight.
const LEAST_LEFT: f64 = 1e-6;
/// In the place of what is left of such a one.
const NO_WEIGHT: f64 = 1e30;

/// Rows of a factor that are found together: while they are, each row above is read once for all of them.
const ROWS: usize = 8;

/// Solves `a x = b` in place by Cholesky's factors; `a` [n, n] is positive definite, or nearly so, its lower half is read.
#[inline(always)]
fn solve(a: &mut [f64], b: &mut [f64], n: usize, columns: usize) {
    for first in (0..n).step_by(ROWS) {
        let end = n.min(first + ROWS);
        let (above, rows) = a.split_at_mut(first * n);
        let rows = &mut rows[..(end - first) * n];
        for (j, other) in above.chunks_exact(n).enumerate() {
            for row in rows.chunks_exact_mut(n) {
                divide(row, j, other);
            }
        }
        for i in first..end {
            let (above, row) = rows.split_at_mut((i - first) * n);
            for (j, other) in (first..i).zip(above.chunks_exact(n)) {
                divide(row, j, other);
            }
            let left = row[i] - dot(&row[..i], &row[..i]);
            row[i] = if left > LEAST_LEFT * row[i] { left.sqrt() } else { NO_WEIGHT };
        }
    }
    // All columns of a row at once.
    for i in 0..n {
        let (above, row) = b.split_at_mut(i * columns);
        let row = &mut row[..columns];
        for (k, other) in above.chunks_exact(columns).enumerate() {
            take(row, other, a[i * n + k]);
        }
        row.iter_mut().for_each(|value| *value /= a[i * n + i]);
    }
    for i in (0..n).rev() {
        let (row, below) = b[i * columns..].split_at_mut(columns);
        for (k, other) in (i + 1..n).zip(below.chunks_exact(columns)) {
            take(row, other, a[k * n + i]);
        }
        row.iter_mut().for_each(|value| *value /= a[i * n + i]);
    }
}

/// Place `j` of a factor's `row`, of which those before are there, by the row `other` of number `j`.
#[inline(always)]
fn divide(row: &mut [f64], j: usize, other: &[f64]) {
    row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
}

#[inline(always)]
fn take(row: &mut [f64], other: &[f64], factor: f64) {
    row.iter_mut().zip(other).for_each(|(to, from)| *to -= factor * from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        let n = 19;
        let value = |i: usize, j: usize| ((i * 7 + j * 3) % 11) as f64 / 11.0;
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                a[i * n + j] = (0..n).map(|k| value(i, k) * value(j, k)).sum::<f64>();
            }
            a[i * n + i] += 1.0;
        }
        let wanted: Vec<f64> = (0..2 * n).map(|k| k as f64 - 10.0).collect();
        let mut b = vec![0.0; 2 * n];
        for i in 0..n {
            for j in 0..n {
                (0..2).for_each(|column| b[i * 2 + column] += a[i * n + j] * wanted[j * 2 + column]);
            }
        }
        solve(&mut a, &mut b, n, 2);
        b.iter().zip(&wanted).for_each(|(found, wanted)| assert!((found - wanted).abs() < 1e-8));
    }

    /// To the last bit: figures do not hang on how many rows are found together.
    #[test]
    fn factors_are_those_of_row_by_row() {
        let n = 37;
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                a[i * n + j] = 1.0 / (1.0 + (i as f64 - j as f64).abs()) + if i == j { 0.3 } else { 0.0 };
            }
        }
        let mut plain = a.clone();
        for i in 0..n {
            let (above, row) = plain.split_at_mut(i * n);
            for j in 0..i {
                row[j] = (row[j] - dot(&row[..j], &above[j * n..][..j])) / above[j * n + j];
            }
            row[i] = (row[i] - dot(&row[..i], &row[..i])).sqrt();
        }
        solve(&mut a, &mut vec![1.0; n], n, 1);
        for i in 0..n {
            assert_eq!(a[i * n..][..=i], plain[i * n..][..=i], "row {i}");
        }
    }

    #[test]
    fn a_feature_that_another_holds_gets_no_weight() {
        // The second is the first twice, but for rounding.
        let mut a = vec![1.0, 2.0, 0.0, 2.0, 4.0 - 1e-9, 0.0, 0.0, 0.0, 1.0];
        let mut b = vec![3.0, 6.0, 5.0];
        solve(&mut a, &mut b, 3, 1);
        assert!((b[0] - 3.0).abs() < 1e-6 && b[1].abs() < 1e-6 && (b[2] - 5.0).abs() < 1e-6, "{b:?}");
    }
}
