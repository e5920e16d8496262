//! The hash layer: an embedding to a code, and a code's gradient back to the embedding. A code is signs, as here, or
//! levels ([`levels`]).
//!
//! Forward, in training: `v = BatchNorm(u)` without learned shift or scale (bit balance; HashVFL, section on
//! bit balance), minus one threshold per bit, plus noise, then the sign. Forward, otherwise: the same with fixed
//! statistics and no noise. The thresholds are medians over training records, so that each bit is +1 for half
//! of them even where `v` is skewed, or for as near to half as records with equal values allow: these have equal bits,
//! so where they are a share s of all, a bit's mean can be as far as s from 0. Backward: the sign counts as the identity (straight-through, Bengio et al.
//! 2013) where the value lies within `clip` of its threshold, as a constant elsewhere (Hubara et al. 2016); or, for
//! a smooth surrogate, its slope is a bell around the threshold: the slope of the expected sign under normal noise.

pub mod levels;

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::codes::form::CodeForm;
use hashvfl_core::normal::add_noise;
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::snapshot::{Snapshot, SnapshotError};
use crate::threads::vectorized;

/// What the sign's gradient is taken to be, as a function of the distance to the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Surrogate {
    /// One within `clip`, zero beyond.
    Box,
    /// `exp(-v^2 / (2 clip^2))`.
    #[default]
    Bell,
}

/// The `[encoder.hash]` table of a party. The defaults are the recipe of `docs/research/accuracy.md`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HashConfig {
    /// Standard deviation of the normal noise before the sign or the level, in units of the normalised value; 0 for none.
    pub noise: f32,
    /// The deviation that it begins with, from where it falls to [`Self::noise`]; absent: it is that throughout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_noise: Option<f32>,
    /// Fraction of the run's updates over which it falls; absent: a tenth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_decay_fraction: Option<f32>,
    /// Distance from the threshold beyond which no gradient passes, or the width of the bell; 0 for no limit.
    pub clip: f32,
    /// What the sign's gradient is taken to be.
    pub surrogate: Surrogate,
}

impl Default for HashConfig {
    fn default() -> Self {
        let (initial_noise, noise_decay_fraction) = (None, None);
        Self { noise: 0.5, initial_noise, noise_decay_fraction, clip: 0.5, surrogate: Surrogate::Bell }
    }
}

/// Fraction of the updates over which noise falls, where a config does not say it.
const NOISE_DECAY_FRACTION: f32 = 0.1;

impl HashConfig {
    /// The same with the noise that it has where so much of a run, from 0 to 1, is behind: it falls in a straight line. Under
    /// wide noise codes tell little, and a bottom model learns from their gradients where the label is all the same.
    pub fn at(&self, progress: f64) -> Self {
        let Some(first) = self.initial_noise else { return *self };
        let fraction = self.noise_decay_fraction.unwrap_or(NOISE_DECAY_FRACTION);
        let left = (1.0 - progress as f32 / fraction).max(0.0);
        Self { noise: self.noise + (first - self.noise) * left, ..*self }
    }

    /// The slope of the sign at distance `v` from the threshold.
    #[inline(always)]
    fn slope(&self, v: f32) -> f32 {
        match self.surrogate {
            _ if self.clip <= 0.0 => 1.0,
            Surrogate::Box => f32::from(u8::from(v.abs() <= self.clip)),
            Surrogate::Bell => exp(-0.5 * (v / self.clip).powi(2)),
        }
    }
}

/// `e^x` for x up to 0, to a relative error of 1e-5: unlike the library's, of several values at once.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // e^x = 2^whole * e^rest, with |rest| at most ln(2) / 2.
    let x = x.max(-87.0);
    let whole = (x * std::f32::consts::LOG2_E - 0.5) as i32;
    let rest = x - whole as f32 * std::f32::consts::LN_2;
    let terms = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let power = f32::from_bits(((whole + 127) as u32) << 23);
    power * terms.into_iter().fold(0.0, |sum, term| sum * rest + term)
}

/// The expected sign of `v` plus normal noise of deviation `noise`, to an absolute error of 4e-4 (the tangent that
/// Hendrycks and Gimpel 2016 give for the normal distribution).
#[inline(always)]
fn expected_sign(v: f32, noise: f32) -> f32 {
    let x = if noise > 0.0 { v / noise } else { f32::INFINITY.copysign(v) };
    let tangent = 0.797_884_6 * (x.abs() + 0.044_715 * x.abs().powi(3));
    let falls = exp(-2.0 * tangent.min(40.0));
    ((1.0 - falls) / (1.0 + falls)).copysign(v)
}

/// Added to variances.
pub const EPSILON: f32 = 1e-5;

/// What turns an embedding into a code outside training: one value per latent of each, which is a bit of a code of signs.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Means over training records.
    pub mean: Vec<f32>,
    /// Reciprocal standard deviations over training records.
    pub scale: Vec<f32>,
    /// Thresholds on the normalised value; between a latent's levels, which are two where it is a sign, rising.
    pub threshold: Vec<f32>,
}

impl Statistics {
    /// Statistics that change nothing, with the thresholds of the normal distribution.
    pub fn neutral(form: CodeForm) -> Self {
        let latents = form.latents();
        let threshold = match form.is_signs() {
            true => vec![0.0; latents],
            false => levels::normal_quantiles(form).repeat(latents),
        };
        Self { mean: vec![0.0; latents], scale: vec![1.0; latents], threshold }
    }

    /// Measures embeddings `values` [rows, latents] of training records. Thresholds are their medians, or the quantiles
    /// between their levels.
    pub fn measure(values: &[f32], form: CodeForm) -> Self {
        let bits = form.latents();
        let rows = values.len() / bits;
        let mut statistics = Self::neutral(form);
        let mut column = vec![0.0_f32; rows];
        for bit in 0..bits {
            column.iter_mut().zip(values.iter().skip(bit).step_by(bits)).for_each(|(to, from)| *to = *from);
            let sum: f64 = column.iter().map(|v| f64::from(*v)).sum();
            let mean = sum / rows.max(1) as f64;
            let squares: f64 = column.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
            let variance = squares / rows.max(1) as f64;
            let scale = 1.0 / (variance + f64::from(EPSILON)).sqrt();
            statistics.mean[bit] = mean as f32;
            statistics.scale[bit] = scale as f32;
            if rows == 0 {
                continue;
            }
            let normalised = |threshold: f64| ((threshold - mean) * scale) as f32;
            if form.is_signs() {
                statistics.threshold[bit] = normalised(halving(&mut column));
            } else {
                let found = levels::quantiles(&mut column, form.levels()).into_iter().map(normalised);
                let own = statistics.threshold[bit * form.thresholds()..].iter_mut();
                own.zip(found).for_each(|(threshold, found)| *threshold = found);
            }
        }
        statistics
    }

    /// Normalises `values` [rows, latents] in place; with `center`, subtracts the thresholds of signs too.
    pub fn apply(&self, values: &mut [f32], center: bool) {
        let bits = self.mean.len();
        for row in values.chunks_exact_mut(bits) {
            for (bit, v) in row.iter_mut().enumerate() {
                *v = (*v - self.mean[bit]) * self.scale[bit];
                if center {
                    *v -= self.threshold[bit];
                }
            }
        }
    }

    /// What [`Self::apply`] subtracts and then multiplies by, [1, latents] each.
    pub fn linear(&self, center: bool, device: &Device) -> (Tensor<2>, Tensor<2>) {
        let bits = self.mean.len();
        let row = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [1, bits]), device);
        let threshold = |bit: usize| if center { self.threshold[bit] / self.scale[bit] } else { 0.0 };
        let shift = (0..bits).map(|bit| self.mean[bit] + threshold(bit)).collect();
        (row(shift), row(self.scale.clone()))
    }

    /// Adds them to a snapshot.
    pub fn put(&self, snapshot: &mut Snapshot) {
        snapshot.put("hash.mean", self.mean.clone());
        snapshot.put("hash.scale", self.scale.clone());
        snapshot.put("hash.threshold", self.threshold.clone());
    }

    /// Takes them from a snapshot.
    pub fn load(snapshot: &Snapshot, form: CodeForm) -> Result<Self, SnapshotError> {
        let get = |name, each: usize| snapshot.get(name, form.latents() * each).map(<[f32]>::to_vec);
        let threshold = get("hash.threshold", form.thresholds())?;
        Ok(Self { mean: get("hash.mean", 1)?, scale: get("hash.scale", 1)?, threshold })
    }
}

/// The median of a column with one value at least. Where several values equal it, a number beside them that has as near
/// to half of the column below it as can be: whether a value equals a threshold that was rounded is chance.
fn halving(column: &mut [f32]) -> f64 {
    let count = column.len();
    let (below, &mut median, above) = column.select_nth_unstable_by(count / 2, f32::total_cmp);
    let less = below.iter().filter(|value| **value < median).count();
    let greater = above.iter().filter(|value| **value > median).count();
    let equal = count - less - greater;
    if equal == 1 || equal == count {
        return f64::from(median);
    }
    let beside = if count.abs_diff(2 * less) <= count.abs_diff(2 * (less + equal)) {
        below.iter().copied().filter(|value| *value < median).max_by(f32::total_cmp)
    } else {
        above.iter().copied().filter(|value| *value > median).min_by(f32::total_cmp)
    };
    // The nearer side to half has values: with none below, all of the column lies above, and the other side is nearer.
    (f64::from(median) + f64::from(beside.unwrap_or(median))) / 2.0
}

/// A batch after BatchNorm with its own statistics and neither scale nor shift.
struct Normalised {
    /// [rows, bits], row-major.
    values: Vec<f32>,
    /// Reciprocal standard deviations, one per bit.
    scale: Vec<f32>,
}

impl Normalised {
    fn new(mut values: Vec<f32>, bits: usize) -> Self {
        let mean = column_means(&values, &values, bits, |v, _| v);
        for row in values.chunks_exact_mut(bits) {
            row.iter_mut().zip(&mean).for_each(|(v, mean)| *v -= mean);
        }
        let mut scale = column_means(&values, &values, bits, |a, b| a * b);
        scale.iter_mut().for_each(|variance| *variance = 1.0 / (*variance + EPSILON).sqrt());
        for row in values.chunks_exact_mut(bits) {
            row.iter_mut().zip(&scale).for_each(|(v, scale)| *v *= scale);
        }
        Self { values, scale }
    }

    /// The gradient of what came in, for one of the values.
    fn backward(&self, mut gradient: Vec<f32>) -> Vec<f32> {
        let bits = self.scale.len();
        let mean = column_means(&gradient, &gradient, bits, |g, _| g);
        let along = column_means(&gradient, &self.values, bits, |g, v| g * v);
        for (row, values) in gradient.chunks_exact_mut(bits).zip(self.values.chunks_exact(bits)) {
            for bit in 0..bits {
                row[bit] = (row[bit] - mean[bit] - values[bit] * along[bit]) * self.scale[bit];
            }
        }
        gradient
    }
}

/// Means over rows of `term` of two matrices' values [rows, bits].
fn column_means(a: &[f32], b: &[f32], bits: usize, term: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let mut sums = vec![0.0; bits];
    for (a, b) in a.chunks_exact(bits).zip(b.chunks_exact(bits)) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += term(*a, *b));
    }
    let rows = (a.len() / bits) as f32;
    sums.iter_mut().for_each(|sum| *sum /= rows);
    sums
}

/// A batch on its way through the layer in training.
pub struct Hashed {
    normalised: Normalised,
    /// The slope of the sign, or of the rank, at each value; none for floats, whose gradient passes as it is.
    slopes: Vec<f32>,
    /// Deviation of the noise.
    noise: f32,
}

impl Hashed {
    /// Hashes an embedding [rows, bits] in training, with noise of deviation `noise` at least. The second result holds
    /// the values whose signs are the code, row-major.
    pub fn new(
        embedding: Vec<f32>,
        config: &HashConfig,
        noise: f32,
        statistics: &Statistics,
        rng: &mut ChaCha8Rng,
    ) -> (Self, Vec<f32>) {
        let noise = config.noise.max(noise);
        let bits = statistics.threshold.len();
        let normalised = Normalised::new(embedding, bits);
        let mut values = normalised.values.clone();
        for row in values.chunks_exact_mut(bits) {
            row.iter_mut().zip(&statistics.threshold).for_each(|(v, t)| *v -= t);
        }
        let mut slopes = values.clone();
        vectorized(
            #[inline(always)]
            || {
                for slope in &mut slopes {
                    *slope = config.slope(*slope);
                }
            },
        );
        if noise > 0.0 {
            add_noise(&mut values, noise, rng);
        }
        (Self { normalised, slopes, noise }, values)
    }

    /// The expected signs [rows, bits] before the noise is drawn, from -1 to 1.
    pub fn expected(&self, statistics: &Statistics) -> Vec<f32> {
        let mut values = self.normalised.values.clone();
        let (threshold, noise) = (&statistics.threshold, self.noise);
        vectorized(
            #[inline(always)]
            || {
                for row in values.chunks_exact_mut(threshold.len()) {
                    row.iter_mut().zip(threshold).for_each(|(v, t)| *v = expected_sign(*v - t, noise));
                }
            },
        );
        values
    }

    /// A float cut, for baselines: the normalised values are what the top model sees.
    pub fn float(embedding: Vec<f32>, bits: usize) -> (Self, Vec<f32>) {
        let normalised = Normalised::new(embedding, bits);
        let values = normalised.values.clone();
        (Self { normalised, slopes: Vec::new(), noise: 0.0 }, values)
    }

    /// The embedding's gradient: the straight-through one of the codes' `gradient` [rows, bits].
    pub fn backward(self, mut gradient: Vec<f32>) -> Vec<f32> {
        gradient.iter_mut().zip(&self.slopes).for_each(|(g, slope)| *g *= slope);
        self.normalised.backward(gradient)
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;

    use super::*;
    use crate::snapshot::to_host;

    #[test]
    fn noise_falls_from_the_first_to_the_usual_and_stays() {
        let usual = HashConfig { noise: 0.1, ..HashConfig::default() };
        assert_eq!([0.0, 0.5, 1.0].map(|progress| usual.at(progress)), [usual; 3]);
        let falls = HashConfig { initial_noise: Some(2.1), noise_decay_fraction: Some(0.5), ..usual };
        let found = [0.0, 0.25, 0.5, 1.0].map(|progress| falls.at(progress).noise);
        assert!(found.iter().zip([2.1, 1.1, 0.1, 0.1]).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6));
        let tenth = HashConfig { noise_decay_fraction: None, ..falls };
        assert!((tenth.at(0.05).noise - 1.1).abs() < 1e-6 && tenth.at(0.1).noise == 0.1);
        // A config without it is named as it was before there was one.
        let text = serde_json::to_string(&usual).unwrap();
        assert!(!text.contains("first"), "{text}");
        assert_eq!(
            serde_json::from_str::<HashConfig>(&serde_json::to_string(&falls).unwrap()).unwrap(),
            falls
        );
    }

    #[test]
    fn medians_balance_skewed_values() {
        let values: Vec<f32> = (0..1000).map(|i| ((i as f32) / 100.0).exp()).collect();
        let above = |center| {
            let mut hashed = values.clone();
            Statistics::measure(&values, CodeForm::signs(1)).apply(&mut hashed, center);
            hashed.iter().filter(|v| **v >= 0.0).count()
        };
        assert_eq!(above(true), 500);
        assert!(above(false) < 300);
    }

    #[test]
    fn equal_values_are_on_one_side_of_a_threshold_and_the_sides_are_as_even_as_can_be() {
        // How many records have each value, and how many are above the threshold.
        for (counts, expected) in [
            (&[40, 20, 40][..], &[40, 60][..]),
            (&[45, 30, 25], &[55]),
            (&[25, 30, 45], &[45]),
            (&[70, 30], &[30]),
            (&[30, 70], &[70]),
            (&[99, 1], &[1]),
            (&[50, 50], &[50]),
        ] {
            for shift in [0.0, 0.1, -1000.3] {
                let values: Vec<f32> = counts
                    .iter()
                    .enumerate()
                    .flat_map(|(value, count)| vec![shift + 0.37 * (value as f32).exp(); *count])
                    .collect();
                let mut hashed = values.clone();
                Statistics::measure(&values, CodeForm::signs(1)).apply(&mut hashed, true);
                let above = hashed.iter().filter(|value| **value >= 0.0).count();
                assert!(expected.contains(&above), "{counts:?} with {shift}: {above}");
            }
        }
    }

    #[test]
    fn training_and_fixed_statistics_agree_on_one_batch() {
        let values: Vec<f32> = (0..24).map(|i| ((i * 7 % 11) as f32).sin()).collect();
        let config = HashConfig { noise: 0.0, ..HashConfig::default() };
        let (_, trained) = Hashed::new(
            values.clone(),
            &config,
            0.0,
            &Statistics::neutral(CodeForm::signs(2)),
            &mut stream(0, "t", &[]),
        );
        let mut fixed = values.clone();
        Statistics::measure(&values, CodeForm::signs(2)).apply(&mut fixed, false);
        for (a, b) in trained.iter().zip(&fixed) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn the_exponential_is_the_librarys() {
        for step in 0..8000 {
            let x = -0.01 * step as f32;
            let (found, expected) = (exp(x), x.exp());
            assert!((found / expected - 1.0).abs() < 1e-5, "{x}: {found} {expected}");
        }
        assert!(exp(-1e30) < 1e-37);
    }

    #[test]
    fn a_bell_is_the_slope_of_the_expected_sign() {
        let config = HashConfig { surrogate: Surrogate::Bell, clip: 0.5, ..HashConfig::default() };
        let mut noise = vec![0.0; 200_000];
        add_noise(&mut noise, config.clip, &mut stream(0, "t", &[]));
        let expected =
            |v: f32| noise.iter().map(|n| if v + n >= 0.0 { 1.0 } else { -1.0 }).sum::<f64>() / 2e5;
        let slope = |v: f32| (expected(v + 0.1) - expected(v - 0.1)) / 0.2;
        for v in [0.3, 0.6, 1.0] {
            let (found, wanted) = (slope(v) / slope(0.0), f64::from(config.slope(v)));
            assert!((found - wanted).abs() < 0.05, "{v}: {found}, {wanted}");
        }
    }

    #[test]
    fn expected_signs_are_means_over_the_noise() {
        let config = HashConfig { noise: 0.0, ..HashConfig::default() };
        let statistics = Statistics { threshold: vec![0.2], ..Statistics::neutral(CodeForm::signs(1)) };
        let values: Vec<f32> = (0..40).map(|at| at as f32 - 17.3).collect();
        for least in [0.0, 0.5] {
            let mut means = vec![0.0_f32; values.len()];
            let mut rng = stream(0, "t", &[]);
            let mut expected = Vec::new();
            for _ in 0..2000 {
                let (hashed, noised) = Hashed::new(values.clone(), &config, least, &statistics, &mut rng);
                expected = hashed.expected(&statistics);
                means.iter_mut().zip(noised).for_each(|(mean, v)| *mean += v.signum() / 2000.0);
            }
            for (mean, expected) in means.iter().zip(&expected) {
                assert!((mean - expected).abs() < 0.09, "{mean} {expected}");
            }
        }
    }

    #[test]
    fn no_gradient_passes_beyond_the_clip() {
        let values = vec![-3.0, -0.2, 0.1, 0.3, 2.8, 0.0];
        let surrogate = Surrogate::Box;
        let config = HashConfig { noise: 0.0, clip: 1.0, surrogate, ..HashConfig::default() };
        let neutral = Statistics::neutral(CodeForm::signs(1));
        let (hashed, _) = Hashed::new(values, &config, 0.0, &neutral, &mut stream(0, "t", &[]));
        assert_eq!(hashed.slopes, [0.0, 1.0, 1.0, 1.0, 0.0, 1.0]);
        // A gradient on blocked values alone moves nothing.
        let gradient = hashed.backward(vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert!(gradient.iter().all(|g| g.abs() < 1e-7), "{gradient:?}");
    }

    /// With burn's graph of the same: BatchNorm, then a product with the gradient.
    #[test]
    fn the_gradient_is_that_of_a_graph() {
        let (rows, bits) = (16, 3);
        let values: Vec<f32> = (0..rows * bits).map(|i| ((i * 7 % 13) as f32).sin()).collect();
        let gradient: Vec<f32> = (0..rows * bits).map(|i| ((i * 5 % 17) as f32).cos()).collect();
        let config = HashConfig { clip: 0.0, ..HashConfig::default() };
        let neutral = Statistics::neutral(CodeForm::signs(bits));
        let (hashed, _) = Hashed::new(values.clone(), &config, 0.0, &neutral, &mut stream(0, "t", &[]));
        let found = hashed.backward(gradient.clone());

        let device = Device::flex().autodiff();
        let matrix = |values| Tensor::<2>::from_data(TensorData::new(values, [rows, bits]), &device);
        let embedding = matrix(values).require_grad();
        let (ones, zeros) = (Tensor::ones([bits], &device), Tensor::zeros([bits], &device));
        let epsilon = f64::from(EPSILON);
        let normalised =
            burn::tensor::module::batch_norm_train(embedding.clone(), ones, zeros, epsilon).output;
        let loss = (normalised * matrix(gradient)).sum();
        let expected = embedding.grad(&loss.backward()).map(to_host).unwrap();
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}
