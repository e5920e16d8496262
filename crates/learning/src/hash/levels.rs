//! Levels: a latent's rank, cut into as many equally common parts as there are, in place of its sign.
//!
//! Forward: `v = BatchNorm(u)` as for signs, in training plus noise, then the level by quantiles over training records, as
//! they were when statistics were measured last (at the end of an epoch; before, those of the normal distribution). So each
//! level is as common as any other, and each bit of its Gray code ([`CodeForm`]) is +1 half the time, as far as records
//! with equal values allow it. Backward: straight-through, with the slope of the expected level under normal noise as wide
//! as a level is on average, and the noise that was drawn. Where thresholds are close a step moves the level more. `clip`
//! and `surrogate` are of signs.

use hashvfl_core::codes::form::CodeForm;
use hashvfl_core::normal::{add_noise, normal_score};
use rand::rngs::ChaCha8Rng;

use super::{HashConfig, Hashed, Normalised, Statistics, exp, expected_sign};
use crate::threads::vectorized;

/// Quantiles of the normal distribution between the levels of a latent, rising.
pub(super) fn normal_quantiles(form: CodeForm) -> Vec<f32> {
    let levels = form.levels();
    (1..levels).map(|level| normal_score(level as f64 / levels as f64) as f32).collect()
}

/// Numbers that cut a column with one value at least into `levels` parts as even as can be, rising.
pub(super) fn quantiles(column: &mut [f32], levels: usize) -> Vec<f64> {
    column.sort_unstable_by(f32::total_cmp);
    (1..levels).map(|level| between(column, (column.len() * level + levels / 2) / levels)).collect()
}

/// A number between two different neighbours of a `sorted` column that has as near to `rank` values below it as can be:
/// whether a value equals a threshold that was rounded is chance.
fn between(sorted: &[f32], rank: usize) -> f64 {
    let value = sorted[rank.min(sorted.len() - 1)];
    let below = sorted.partition_point(|other| *other < value);
    let through = sorted.partition_point(|other| *other <= value);
    let cut = match (below, through) {
        (0, through) if through == sorted.len() => return f64::from(value),
        (0, through) => through,
        (below, through) if through == sorted.len() || rank - below <= through.abs_diff(rank) => below,
        (_, through) => through,
    };
    (f64::from(sorted[cut - 1]) + f64::from(sorted[cut])) / 2.0
}

/// Least deviation of the noise under which a level counts as smooth, in units of the normalised value: thresholds coincide
/// where most records have one value.
const LEAST_WIDTH: f32 = 0.1;

/// The deviation of normal noise that is as wide as the levels between `thresholds` on average, and `noise` beside it.
fn smoothing(thresholds: &[f32], noise: f32) -> f32 {
    let span = thresholds[thresholds.len() - 1] - thresholds[0];
    let level = span / (thresholds.len() - 1) as f32;
    (level * level + noise * noise).sqrt().max(LEAST_WIDTH)
}

/// The expected value of the level of `v` under normal noise of deviation `noise`: half a step up for each threshold
/// below it, and half a step down for each above.
#[inline(always)]
fn expected_level(form: CodeForm, thresholds: &[f32], v: f32, noise: f32) -> f32 {
    form.half_step() * thresholds.iter().map(|threshold| expected_sign(v - threshold, noise)).sum::<f32>()
}

/// The slope of that.
#[inline(always)]
fn slope(form: CodeForm, thresholds: &[f32], v: f32, noise: f32) -> f32 {
    let density = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
    let near = |threshold: &f32| exp(-0.5 * ((v - threshold) / noise).powi(2));
    form.half_step() * density / noise * thresholds.iter().map(near).sum::<f32>()
}

/// The signs [rows, bits] of the levels of `values` [rows, latents], by thresholds of each latent. What is no finite value
/// is made bits that are none, so that nobody takes it for a level.
fn signs(form: CodeForm, values: &[f32], thresholds: &[f32]) -> Vec<f32> {
    let mut signs = vec![0.0; values.len() * form.bits_per_latent()];
    let of_latents = thresholds.chunks_exact(form.thresholds()).cycle();
    let latents = signs.chunks_exact_mut(form.bits_per_latent()).zip(values).zip(of_latents);
    for ((bits, value), thresholds) in latents {
        if value.is_finite() {
            form.put_level(thresholds.partition_point(|threshold| value >= threshold), bits);
        } else {
            bits.fill(f32::NAN);
        }
    }
    signs
}

/// Moves normalised `values` as far as the statistics of a batch of so many `rows` would: mean and deviation of normal values vary
/// by chance. It is drawn, since what the other records of a batch decide would tell of them in this record's code.
pub fn vary_as_in_batches(values: &mut [f32], rows: usize, rng: &mut ChaCha8Rng) {
    let mut draws = vec![0.0; values.len()];
    add_noise(&mut draws, (rows.max(1) as f32).sqrt().recip(), rng);
    for (value, draw) in values.iter_mut().zip(draws) {
        *value += draw * (1.0 + *value * *value / 2.0).sqrt();
    }
}

impl Statistics {
    /// Thresholds of each latent.
    fn of_latents(&self, form: CodeForm) -> std::slice::ChunksExact<'_, f32> {
        self.threshold.chunks_exact(form.thresholds())
    }

    /// The signs [rows, bits] of the codes of normalised `values` [rows, latents], cut into levels.
    pub fn to_levels(&self, form: CodeForm, values: &[f32]) -> Vec<f32> {
        signs(form, values, &self.threshold)
    }
}

impl Hashed {
    /// Cuts an embedding [rows, latents] into levels in training, with noise of deviation `noise` at least. The second
    /// result holds the signs of the codes [rows, bits].
    pub fn of_levels(
        embedding: Vec<f32>,
        config: &HashConfig,
        noise: f32,
        form: CodeForm,
        statistics: &Statistics,
        rng: &mut ChaCha8Rng,
    ) -> (Self, Vec<f32>) {
        let noise = config.noise.max(noise);
        let normalised = Normalised::new(embedding, form.latents());
        let mut slopes = normalised.values.clone();
        let widths: Vec<f32> =
            statistics.of_latents(form).map(|thresholds| smoothing(thresholds, noise)).collect();
        vectorized(
            #[inline(always)]
            || {
                for row in slopes.chunks_exact_mut(form.latents()) {
                    let latents = statistics.of_latents(form).zip(&widths);
                    for (value, (thresholds, width)) in row.iter_mut().zip(latents) {
                        *value = slope(form, thresholds, *value, *width);
                    }
                }
            },
        );
        let mut values = normalised.values.clone();
        if noise > 0.0 {
            add_noise(&mut values, noise, rng);
        }
        let signs = statistics.to_levels(form, &values);
        (Self { normalised, slopes, noise }, signs)
    }

    /// The expected values of the levels [rows, latents] before the noise is drawn, as a top model reads them.
    pub fn expected_levels(&self, form: CodeForm, statistics: &Statistics) -> Vec<f32> {
        let (mut values, noise) = (self.normalised.values.clone(), self.noise);
        vectorized(
            #[inline(always)]
            || {
                for row in values.chunks_exact_mut(form.latents()) {
                    for (value, thresholds) in row.iter_mut().zip(statistics.of_latents(form)) {
                        *value = expected_level(form, thresholds, *value, noise);
                    }
                }
            },
        );
        values
    }
}

#[cfg(test)]
#[path = "levels_tests.rs"]
mod tests;
