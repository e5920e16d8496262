//! Levels: a latent's rank, cut into as many equally common parts as there are, in place of its sign.
//!
//! Forward, in training: `v = BatchNorm(u)` as for signs, plus noise, then the level by the normal distribution's
//! quantiles, widened by the noise; otherwise by quantiles over training records, without noise. So each level is as
//! common as any other, and each bit of its Gray code ([`CodeForm`]) is +1 half the time, as far as records with equal
//! values allow it. Backward: the quantiser counts as the identity (straight-through). What is left is the slope of the
//! expected rank under the noise, that of the normal distribution function: `clip` and `surrogate` are of signs.

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

/// How much wider than `v` is what `v` becomes with noise.
fn widening(noise: f32) -> f32 {
    (1.0 + noise * noise).sqrt()
}

/// The level's value as a smooth function of the normalised value: its mean over noise before a fine quantiser.
#[cfg(test)]
fn expected_rank(form: CodeForm, v: f32, noise: f32) -> f32 {
    form.reach() * expected_sign(v, (1.0 + 2.0 * noise * noise).sqrt())
}

/// The slope of that.
#[inline(always)]
fn slope(form: CodeForm, v: f32, noise: f32) -> f32 {
    let width = (1.0 + 2.0 * noise * noise).sqrt();
    let density = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
    form.reach() * density / width * exp(-0.5 * (v / width).powi(2))
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

impl Statistics {
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
        rng: &mut ChaCha8Rng,
    ) -> (Self, Vec<f32>) {
        let noise = config.noise.max(noise);
        let normalised = Normalised::new(embedding, form.latents());
        let mut slopes = normalised.values.clone();
        vectorized(
            #[inline(always)]
            || {
                for value in &mut slopes {
                    *value = slope(form, *value, noise);
                }
            },
        );
        let mut values = normalised.values.clone();
        if noise > 0.0 {
            add_noise(&mut values, noise, rng);
        }
        let signs = signs(form, &values, &trained_thresholds(form, noise));
        (Self { normalised, slopes, noise }, signs)
    }

    /// The expected values of the levels [rows, latents] before the noise is drawn, as a top model reads them.
    pub fn expected_levels(&self, form: CodeForm) -> Vec<f32> {
        let thresholds = trained_thresholds(form, self.noise);
        let (mut values, noise, half_step) = (self.normalised.values.clone(), self.noise, form.half_step());
        vectorized(
            #[inline(always)]
            || {
                for value in &mut values {
                    // A level is half a step up for each threshold below it, and half a step down for each above.
                    let signs =
                        thresholds[..form.thresholds()].iter().map(|t| expected_sign(*value - t, noise));
                    *value = half_step * signs.sum::<f32>();
                }
            },
        );
        values
    }
}

/// Thresholds of each latent in training.
fn trained_thresholds(form: CodeForm, noise: f32) -> Vec<f32> {
    let of_one = normal_quantiles(form).into_iter().map(|threshold| threshold * widening(noise));
    of_one.collect::<Vec<f32>>().repeat(form.latents())
}

#[cfg(test)]
#[path = "levels_tests.rs"]
mod tests;
