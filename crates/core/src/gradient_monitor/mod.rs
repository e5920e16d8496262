//! A party's monitor of the gradients that it is sent: are they a training loss's, or a hijacker's?
//!
//! A malicious coordinator can send any gradient. In feature-space hijacking (FSHA, Pasquini et al. 2021) it is that
//! of a discriminator, and draws the bottom model into a code space that the coordinator can read. Known detectors
//! compare gradients by label (Erdogan et al. 2022, "SplitGuard"; Fu et al. 2024, "Focusing on Pinocchio's nose"); a
//! party here has no labels, but it has its own codes.
//!
//! - **Predictable.** The gradient of a log loss carries `p - y`, the prediction less the label, and a top model that
//!   learns makes its mean given the codes zero: were it not, the loss would still fall that way. So a party cannot
//!   predict its gradients from its codes. A discriminator's gradient is a function of the code and nothing else. The
//!   monitor predicts each batch from the batches before it (codes and a constant, past batches fading) and takes the
//!   share of squared gradient that this explains. Shares above a drift add up (CUSUM, Page 1954), and an alarm is
//!   raised when the sum passes a bound.
//!
//!   A ridge regression alone would err where classes are easily told apart and the top model has not learned it yet:
//!   the code then says the label, and an honest gradient follows the label. So it is corrected by an instrumental
//!   variable (Angrist, Imbens and Rubin 1996): noise before the sign, which the party draws itself, decides part of
//!   each code, and no label knows of it. A discriminator's gradient follows from that part as from the rest, a label
//!   does not.
//! - **Featureless.** The gradient of few classes through one top model prefers some directions of the code space.
//!   Noise prefers none: the participation ratio of its second moments is nearly the number of bits.
//!
//! - **From earlier codes.** The gradient follows from what the record's own codes were in earlier epochs
//!   (`earlier_codes`), as that of a coordinator does who makes codes tell records apart.
//!
//! What it cannot see: a coordinator that trains an honest loss on labels of its choice; hijacking under so much
//! noise or honest gradient that less than two fifths of the gradient's power is predictable
//! (`docs/research/gradient-monitor.md` has the curve); noise itself where codes have fewer than eight latents; a pull
//! towards codes that are more than four epochs old; and, where latents have levels, what of a gradient follows from a
//! level in no straight line.
//!
//! A code is seen as the coordinator's top model sees it: a value a latent, which is +1 or -1 where latents are bits.

mod earlier_codes;
mod ridge;
mod sums;

use earlier_codes::{EarlierCodes, MOST_LAGS};
use ridge::ridge;
use serde::{Deserialize, Serialize};
use sums::Sums;

use crate::codes::form::CodeForm;
use crate::gradient::GradientEncoding;
use crate::settings::RunSettings;

/// Latents of a code that serve as predictors, at most: the work grows with their square.
const MOST_PREDICTORS: usize = 64;
/// Strength of the penalty on the instrument's correction, in records whose bit noise alone decides.
const INSTRUMENT_RIDGE: f64 = 30.0;
/// The explained share that honest training may show for long.
const DRIFT: f64 = 0.4;
/// The sum of shares beyond it at which an alarm is raised.
pub const BOUND: f64 = 12.0;
/// Participation ratio, as a share of that of normal noise, above which gradients are noise.
const FEATURELESS: f64 = 0.95;
/// Steps and bits before which that is not asked.
const FEATURELESS_STEPS: u32 = 20;
const FEATURELESS_BITS: usize = 8;

/// Batches from the start of which a party looks at each; later at one in so many, since a look costs about as much as
/// a small model's step.
const ALL: u64 = 100;
const LATER: u64 = 8;

/// Deviation of the noise before the sign, in units of the normalised value, in batches that a party looks at, at least:
/// the gradient monitor needs an instrument.
pub const LEAST_NOISE: f32 = 0.25;

/// How far gradients may go along with the noise in earlier codes, in standard deviations of what chance does.
pub const EARLIER_BOUND: f64 = 6.0;

/// Whether a party looks closely at its batch number `batch`, counted from 1.
pub fn looks_at(batch: u64) -> bool {
    batch <= ALL || batch.is_multiple_of(LATER)
}

/// Why a party should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// Gradients follow from the party's own codes, as a discriminator's do.
    Predictable,
    /// Gradients point everywhere alike, as noise does.
    Featureless,
    /// Gradients follow from each record's own codes of earlier epochs.
    EarlierCodes,
}

/// An alarm, and what had left the party by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What was noticed.
    pub cause: Cause,
    /// Gradients seen.
    pub steps: u32,
    /// Bits released with the batches of those steps, over all records.
    pub released_bits: u64,
}

/// A training batch of a party, and what answered it.
#[derive(Debug, Clone, Copy)]
pub struct SeenBatch<'a> {
    /// Whether a cycle of the learning rate begins with it.
    pub begins_cycle: bool,
    /// The records, by their place in the run.
    pub rows: &'a [u32],
    /// Values of the codes ([`CodeForm::decode`]) [rows, latents].
    pub codes: &'a [f32],
    /// What they were expected to be before the noise was drawn [rows, latents].
    pub expected: &'a [f32],
    /// The gradient that answered them [rows, latents].
    pub gradient: &'a [f32],
}

/// The gradient monitor over one run. A checkpoint keeps it whole, [`Self::noise`] on its own.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradientMonitor {
    /// Values of a code, and of its gradient: latents.
    bits: usize,
    form: CodeForm,
    predictors: usize,
    /// Of all batches before, fading.
    sums: Sums,
    earlier: EarlierCodes,
    /// Whether gradients carry noise that the run agreed on: noise is no sign of anything then.
    noisy: bool,
    /// Whether gradients are only signs: what all rows of a batch share is no sign of anything then.
    signs: bool,
    suspicion: f64,
    explained: f64,
    steps: u32,
    /// Steps whose gradients count no more: a person has dismissed what they showed.
    #[serde(default)]
    dismissed_steps: u32,
    released_bits: u64,
    alarm: Option<Alarm>,
}

impl GradientMonitor {
    /// A gradient monitor over codes of `form` of `records` records; no peer knows the `seed`.
    pub fn new(form: CodeForm, records: usize, seed: u64) -> Self {
        let bits = form.latents();
        let predictors = bits.min(MOST_PREDICTORS);
        Self {
            bits,
            form,
            predictors,
            sums: Sums::none(bits, predictors),
            earlier: EarlierCodes::new(bits, records, MOST_LAGS, seed),
            noisy: false,
            signs: false,
            suspicion: 0.0,
            explained: 0.0,
            steps: 0,
            dismissed_steps: 0,
            released_bits: 0,
            alarm: None,
        }
    }

    /// The gradient monitor over a run of these settings, at a party whose codes are of `form`.
    ///
    /// Where the run agreed on noise in gradients, or on signs alone, they may point everywhere alike. The signs of a
    /// rare class's gradients say that nearly all records are of another class, whatever the code. So signs are looked at
    /// around their mean over the batch. A party loses little by that: BatchNorm and thresholds take a pull on all records
    /// alike out again.
    ///
    /// It looks back at no more codes than a record sends within a cycle of the learning rate.
    pub fn of_run(run: &RunSettings, form: CodeForm, records: usize, seed: u64) -> Self {
        let signs = run.gradient == GradientEncoding::Sign;
        let lags = run.cycle_epochs().saturating_sub(1) as usize;
        let earlier = EarlierCodes::new(form.latents(), records, lags, seed);
        let noisy = signs || run.gradient_noise.is_some();
        Self { noisy, signs, earlier, ..Self::new(form, 0, seed) }
    }

    /// Whether `other` is over codes of the same form, in a run of the same settings, so that one can go on as the other.
    pub fn fits(&self, other: &Self) -> bool {
        let shape = |one: &Self| (one.form, one.bits, one.predictors, one.noisy, one.signs);
        shape(self) == shape(other)
            && self.sums.lengths() == other.sums.lengths()
            && self.earlier.fits(&other.earlier)
    }

    /// The noise that it remembers of earlier codes, which a checkpoint keeps beside it.
    pub fn noise(&self) -> &[f32] {
        self.earlier.noise()
    }

    /// Takes back what [`Self::noise`] was; `None` if it is of other records.
    pub fn restore_noise(&mut self, noise: &[f32]) -> Option<()> {
        self.earlier.restore(noise)
    }

    /// What the codes are made of.
    pub fn form(&self) -> CodeForm {
        self.form
    }

    /// Dismisses the alarm: what was seen so far counts no more, and only later gradients can raise another.
    pub fn dismiss_alarm(&mut self) {
        self.sums = Sums::none(self.bits, self.predictors);
        self.earlier.forget_gradients();
        self.suspicion = 0.0;
        self.dismissed_steps = self.steps;
        self.alarm = None;
    }

    /// The alarm, once it is raised.
    pub fn alarm(&self) -> Option<Alarm> {
        self.alarm
    }

    /// The share of the last batch's squared gradient that the batches before predicted; below zero where they misled.
    pub fn explained(&self) -> f64 {
        self.explained
    }

    /// The sum of shares that explained more than honest training may; an alarm is raised above [`BOUND`].
    pub fn suspicion(&self) -> f64 {
        self.suspicion
    }

    /// How far gradients go along with the noise in earlier codes, in standard deviations of what chance does; an alarm is
    /// raised above [`EARLIER_BOUND`].
    pub fn earlier_score(&self) -> f64 {
        self.earlier.score()
    }

    /// Sees a batch: each of the run, in order. Once raised, an alarm stays, unless it is dismissed.
    ///
    /// # Panics
    /// If its values are not [rows, latents]: the session before this checks a peer's message.
    pub fn observe(&mut self, batch: &SeenBatch<'_>) -> Option<Alarm> {
        let SeenBatch { begins_cycle, rows, codes, expected, gradient } = *batch;
        let fits = |values: &[f32]| values.len() == rows.len() * self.bits;
        assert!(fits(codes) && fits(expected) && fits(gradient), "codes and their gradient");
        self.steps += 1;
        self.released_bits += (rows.len() * self.form.bits()) as u64;
        if begins_cycle {
            self.earlier.forget();
        }
        let power = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>() / rows.len().max(1) as f64;
        // A gradient of zeros teaches nothing, and shows nothing.
        if power > 0.0 && power.is_finite() {
            self.earlier.compare(rows, gradient, power);
            if looks_at(self.steps.into()) {
                self.look(batch);
            }
        }
        self.earlier.remember(rows, codes, expected);
        let cause = if self.suspicion > BOUND {
            Some(Cause::Predictable)
        } else if self.earlier.score() > EARLIER_BOUND {
            Some(Cause::EarlierCodes)
        } else if self.is_featureless() {
            Some(Cause::Featureless)
        } else {
            None
        };
        let (steps, released_bits) = (self.steps, self.released_bits);
        self.alarm = self.alarm.or(cause.map(|cause| Alarm { cause, steps, released_bits }));
        self.alarm
    }

    /// Looks at how the gradient follows from the codes of the batch.
    fn look(&mut self, batch: &SeenBatch<'_>) {
        let SeenBatch { rows, codes, expected, gradient, .. } = *batch;
        let centred;
        let gradient = if self.signs {
            centred = around_mean_row(gradient, self.bits);
            &centred
        } else {
            gradient
        };
        let rows = rows.len();
        let power = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>() / rows as f64;
        if power > 0.0 {
            pulp::Arch::new().dispatch(Look { monitor: self, codes, expected, gradient, rows, power });
        }
    }

    /// How gradients follow from codes [predictors + 1, bits]: the regression's weights, with what they leave of the
    /// gradient regressed on the instrument.
    #[inline(always)]
    fn weights(&self) -> Vec<f64> {
        let Sums { gram, cross, chance_gram, chance_cross, chance, .. } = &self.sums;
        let width = self.predictors + 1;
        let mut weights = ridge(gram, cross, width);
        let mut left = chance_cross.clone();
        for (left, gram) in left.chunks_exact_mut(self.bits).zip(chance_gram.chunks_exact(width)) {
            for (sum, weights) in gram.iter().zip(weights.chunks_exact(self.bits)) {
                left.iter_mut().zip(weights).for_each(|(left, weight)| *left -= sum * weight);
            }
        }
        let corrected = weights.chunks_exact_mut(self.bits).zip(left.chunks_exact(self.bits)).zip(chance);
        for ((weights, left), chance) in corrected {
            let scale = (chance + INSTRUMENT_RIDGE).recip();
            weights.iter_mut().zip(left).for_each(|(weight, left)| *weight += left * scale);
        }
        weights
    }

    /// How much of a batch's squared gradient, of mean 1 per record, earlier batches predict; below zero where they
    /// mislead. With weights W it is `2 tr(W' C) - tr(W' A W)`, A and C the batch's sums of x x' and x g'.
    #[inline(always)]
    fn predicted(&self, batch: &Sums) -> f64 {
        let width = self.predictors + 1;
        let weights = self.weights();
        let mut explained = 0.0;
        let mut fitted = vec![0.0; self.bits];
        let rows = weights.chunks_exact(self.bits).zip(batch.cross.chunks_exact(self.bits));
        for ((own, cross), gram) in rows.zip(batch.gram.chunks_exact(width)) {
            fitted.fill(0.0);
            for (sum, weights) in gram.iter().zip(weights.chunks_exact(self.bits)) {
                fitted.iter_mut().zip(weights).for_each(|(fitted, weight)| *fitted += sum * weight);
            }
            let terms = own.iter().zip(cross).zip(&fitted);
            explained += terms.map(|((weight, cross), fitted)| weight * (2.0 * cross - fitted)).sum::<f64>();
        }
        explained
    }

    /// Whether the participation ratio of the gradient's second moments, `(trace)^2 / trace of the square`, is almost
    /// that of normal noise: p bits over n records have p / (1 + (p + 1) / n).
    fn is_featureless(&self) -> bool {
        let Sums { moments, weight, weight_squares, .. } = &self.sums;
        let trace: f64 = moments.iter().step_by(self.predictors + 1).sum();
        let square: f64 = moments.iter().map(|moment| moment * moment).sum();
        let bits = self.predictors as f64;
        let of_noise = bits / (1.0 + (bits + 1.0) * weight_squares / (weight * weight));
        !self.noisy
            && self.steps.saturating_sub(self.dismissed_steps) >= FEATURELESS_STEPS
            && self.predictors >= FEATURELESS_BITS
            && trace * trace > FEATURELESS * of_noise * square
    }
}

/// `gradient` [rows, bits] less the mean of its rows. Zeros, exactly, where all rows are the same signs.
fn around_mean_row(gradient: &[f32], bits: usize) -> Vec<f32> {
    let rows = gradient.len() / bits;
    let mut sums = vec![0.0_f64; bits];
    for row in gradient.chunks_exact(bits) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
    let mut centred = gradient.to_vec();
    for row in centred.chunks_exact_mut(bits) {
        for (value, sum) in row.iter_mut().zip(&sums) {
            *value -= (sum / rows as f64) as f32;
        }
    }
    centred
}

/// A look at one batch, compiled for the processor's vectors with all that it calls. No closure: the compiler does not
/// promise to inline those.
struct Look<'a> {
    monitor: &'a mut GradientMonitor,
    codes: &'a [f32],
    expected: &'a [f32],
    gradient: &'a [f32],
    rows: usize,
    /// The mean square of a record's gradient.
    power: f64,
}

impl pulp::WithSimd for Look<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self { monitor, codes, expected, gradient, rows, power } = self;
        // Steps count alike, whatever the gradients' length.
        let batch = Sums::of_batch(codes, expected, gradient, monitor.bits, monitor.predictors, power);
        monitor.explained = monitor.predicted(&batch) / rows as f64;
        monitor.suspicion = (monitor.suspicion + monitor.explained - DRIFT).max(0.0);
        monitor.sums.fade_and_add(&batch);
    }
}

#[cfg(test)]
mod tests;
