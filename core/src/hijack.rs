//! A party's watch over the gradients that it is sent: are they a training loss's, or a hijacker's?
//!
//! A malicious coordinator can send any gradient. In feature-space hijacking (FSHA, Pasquini et al. 2021) it is that
//! of a discriminator, and draws the bottom model into a code space that the coordinator can read. Known detectors
//! compare gradients by label (Erdogan et al. 2022, "SplitGuard"; Fu et al. 2024, "Focusing on Pinocchio's nose"); a
//! party here has no labels, but it has its own codes.
//!
//! - **Predictable.** The gradient of a log loss carries `p - y`, the prediction less the label, and a top model that
//!   learns makes its mean given the codes zero: were it not, the loss would still fall that way. So a party cannot
//!   predict its gradients from its codes. A discriminator's gradient is a function of the code and nothing else. The
//!   watch predicts each batch by a ridge regression on the batches before it (codes and a constant, past batches
//!   fading) and takes the share of squared gradient that this explains. Shares above a drift add up (CUSUM, Page
//!   1954), and an alarm is raised when the sum passes a bound.
//! - **Featureless.** The gradient of few classes through one top model prefers some directions of the code space.
//!   Noise prefers none: the participation ratio of its second moments is nearly the number of bits.
//!
//! It errs where classes are easily told apart and the rate is low: for hundreds of steps the code then says the label
//! and the top model does not know it yet, so an honest gradient follows from the code too (`docs/hijack.md` counts).
//!
//! What it cannot see: a coordinator that trains an honest loss on labels of its choice; hijacking under so much
//! noise or honest gradient that less than four tenths of the gradient's power are predictable (the same page has
//! the curve); and noise itself where codes have fewer than eight bits.

/// Bits of a code that serve as predictors, at most: the work grows with their square.
const MOST_PREDICTORS: usize = 64;
/// What is left of a batch's weight a step later, in the regression.
const FADING: f64 = 0.9;
/// Strength of the regression's penalty, in records.
const RIDGE: f64 = 10.0;
/// The explained share that honest training may show for long: most where classes are easily told apart and the rate is
/// low.
const DRIFT: f64 = 0.4;
/// The sum of shares beyond it at which an alarm is raised.
const BOUND: f64 = 12.0;
/// What is left of a batch's weight a step later, in the second moments.
const MOMENT_FADING: f64 = 0.95;
/// Participation ratio, as a share of the bits, above which gradients are noise.
const FEATURELESS: f64 = 0.9;
/// Steps and bits before which that is not asked.
const FEATURELESS_STEPS: u32 = 20;
const FEATURELESS_BITS: usize = 8;

/// Why a party should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Gradients follow from the party's own codes, as a discriminator's do.
    Predictable,
    /// Gradients point everywhere alike, as noise does.
    Featureless,
}

/// An alarm, and what had left the party by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// What was noticed.
    pub cause: Cause,
    /// Gradients seen.
    pub steps: u32,
    /// Bits released with the batches of those steps, over all records.
    pub released_bits: u64,
}

/// The watch over one run.
pub struct Watch {
    bits: usize,
    predictors: usize,
    /// Fading sums of x x' [predictors + 1, predictors + 1] and x g' [predictors + 1, bits]; x is a code and a one.
    gram: Vec<f64>,
    cross: Vec<f64>,
    /// Fading sums of g g' over the first bits [predictors, predictors].
    moments: Vec<f64>,
    /// Whether gradients carry noise that the run agreed on: noise is no sign of anything then.
    noisy: bool,
    suspicion: f64,
    steps: u32,
    released_bits: u64,
    alarm: Option<Alarm>,
}

impl Watch {
    /// A watch over codes of `bits` bits.
    pub fn new(bits: usize) -> Self {
        let predictors = bits.min(MOST_PREDICTORS);
        let inputs = predictors + 1;
        Self {
            bits,
            predictors,
            gram: vec![0.0; inputs * inputs],
            cross: vec![0.0; inputs * bits],
            moments: vec![0.0; predictors * predictors],
            noisy: false,
            suspicion: 0.0,
            steps: 0,
            released_bits: 0,
            alarm: None,
        }
    }

    /// The same where the run agreed on noise in gradients, or on signs alone.
    pub fn of_noisy(bits: usize) -> Self {
        Self { noisy: true, ..Self::new(bits) }
    }

    /// Sees a batch's `codes` and the `gradient` that answered them, both [rows, bits]. Once raised, an alarm stays.
    ///
    /// # Panics
    /// If either is not [rows, bits]: the session before this checks a peer's message.
    pub fn see(&mut self, codes: &[f32], gradient: &[f32], rows: usize) -> Option<Alarm> {
        assert!(codes.len() == rows * self.bits && gradient.len() == codes.len(), "codes and their gradient");
        self.steps += 1;
        self.released_bits += codes.len() as u64;
        let power = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>() / rows.max(1) as f64;
        // A gradient of zeros teaches nothing, and shows nothing.
        if power > 0.0 && power.is_finite() {
            // Steps count alike, whatever the gradients' length.
            let scale = power.sqrt().recip();
            let gradient: Vec<f64> = gradient.iter().map(|g| f64::from(*g) * scale).collect();
            let inputs = self.inputs(codes);
            let explained = self.explained(&inputs, &gradient, rows);
            self.suspicion = (self.suspicion + explained - DRIFT).max(0.0);
            self.remember(&inputs, &gradient, rows);
        }
        let cause = if self.suspicion > BOUND {
            Some(Cause::Predictable)
        } else if self.is_featureless() {
            Some(Cause::Featureless)
        } else {
            None
        };
        let (steps, released_bits) = (self.steps, self.released_bits);
        self.alarm = self.alarm.or(cause.map(|cause| Alarm { cause, steps, released_bits }));
        self.alarm
    }

    /// Predictors of each record: [rows, predictors + 1].
    fn inputs(&self, codes: &[f32]) -> Vec<f64> {
        let row = |code: &[f32]| {
            let code: Vec<f64> = code[..self.predictors].iter().copied().map(f64::from).collect();
            code.into_iter().chain([1.0])
        };
        codes.chunks_exact(self.bits).flat_map(row).collect()
    }

    /// The share of `gradient`, whose rows have a mean square of one, that earlier batches predict; below zero where
    /// they mislead.
    fn explained(&self, inputs: &[f64], gradient: &[f64], rows: usize) -> f64 {
        let width = self.predictors + 1;
        let weights = ridge(&self.gram, &self.cross, width);
        let batch = inputs.chunks_exact(width).zip(gradient.chunks_exact(self.bits));
        let mut guess = vec![0.0; self.bits];
        let left: f64 = batch
            .map(|(x, gradient)| {
                guess.fill(0.0);
                for (x, weights) in x.iter().zip(weights.chunks_exact(self.bits)) {
                    guess.iter_mut().zip(weights).for_each(|(guess, weight)| *guess += x * weight);
                }
                guess.iter().zip(gradient).map(|(guess, g)| (g - guess).powi(2)).sum::<f64>()
            })
            .sum();
        1.0 - left / rows as f64
    }

    fn remember(&mut self, inputs: &[f64], gradient: &[f64], rows: usize) {
        self.gram.iter_mut().chain(&mut self.cross).for_each(|sum| *sum *= FADING);
        self.moments.iter_mut().for_each(|sum| *sum *= MOMENT_FADING);
        let batch = inputs.chunks_exact(self.predictors + 1).zip(gradient.chunks_exact(self.bits));
        for (x, gradient) in batch {
            add_product(&mut self.gram, x, x, 1.0);
            add_product(&mut self.cross, x, gradient, 1.0);
            let first = &gradient[..self.predictors];
            add_product(&mut self.moments, first, first, 1.0 / rows as f64);
        }
    }

    /// Whether the participation ratio of the gradient's second moments, `(trace)^2 / trace of the square`, is almost
    /// the number of bits.
    fn is_featureless(&self) -> bool {
        let trace: f64 = self.moments.iter().step_by(self.predictors + 1).sum();
        let square: f64 = self.moments.iter().map(|moment| moment * moment).sum();
        !self.noisy
            && self.steps >= FEATURELESS_STEPS
            && self.predictors >= FEATURELESS_BITS
            && trace * trace > FEATURELESS * self.predictors as f64 * square
    }
}

/// Adds `weight * a b'` to `sums` [a, b].
fn add_product(sums: &mut [f64], a: &[f64], b: &[f64], weight: f64) {
    for (row, a) in sums.chunks_exact_mut(b.len()).zip(a) {
        row.iter_mut().zip(b).for_each(|(sum, b)| *sum += weight * a * b);
    }
}

/// `(gram + ridge)^-1 cross`, by Cholesky: gram [width, width], cross [width, outputs].
fn ridge(gram: &[f64], cross: &[f64], width: usize) -> Vec<f64> {
    let outputs = cross.len() / width;
    let mut factor = gram.to_vec();
    for i in 0..width {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| factor[i * width + k] * factor[j * width + k]).sum();
            let value = factor[i * width + j] - dot;
            factor[i * width + j] =
                if i == j { (value + RIDGE).sqrt() } else { value / factor[j * width + j] };
        }
    }
    let mut weights = cross.to_vec();
    for i in 0..width {
        eliminate(
            &mut weights,
            outputs,
            i,
            (0..i).map(|k| (k, factor[i * width + k])),
            factor[i * width + i],
        );
    }
    for i in (0..width).rev() {
        let below = (i + 1..width).map(|k| (k, factor[k * width + i]));
        eliminate(&mut weights, outputs, i, below, factor[i * width + i]);
    }
    weights
}

/// Row `row` less `share` times other rows, divided by `pivot`.
fn eliminate(
    values: &mut [f64],
    width: usize,
    row: usize,
    others: impl Iterator<Item = (usize, f64)>,
    pivot: f64,
) {
    for (other, share) in others {
        for column in 0..width {
            values[row * width + column] -= share * values[other * width + column];
        }
    }
    values[row * width..(row + 1) * width].iter_mut().for_each(|value| *value /= pivot);
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use rand::rngs::ChaCha8Rng;

    use super::*;
    use crate::random::stream;

    const BITS: usize = 8;
    const ROWS: usize = 64;

    fn sign(rng: &mut ChaCha8Rng) -> f32 {
        if rng.next_u32() & 1 == 1 { 1.0 } else { -1.0 }
    }

    /// The first alarm within 100 steps of `gradient`, a function of a step and a code.
    fn watched(mut gradient: impl FnMut(u32, &[f32], &mut ChaCha8Rng) -> Vec<f32>) -> Option<Alarm> {
        let mut watch = Watch::new(BITS);
        let mut rng = stream(5, "watch test", &[]);
        (0..100).find_map(|step| {
            let codes: Vec<f32> = (0..ROWS * BITS).map(|_| sign(&mut rng)).collect();
            let sent: Vec<f32> = codes.chunks(BITS).flat_map(|code| gradient(step, code, &mut rng)).collect();
            watch.see(&codes, &sent, ROWS)
        })
    }

    #[test]
    fn a_gradient_that_follows_from_the_code_is_noticed() {
        let pull = |(bit, h): (usize, &f32)| (0.1 - h) / (bit + 1) as f32;
        let alarm = watched(|_, code, _| code.iter().rev().enumerate().map(pull).collect()).unwrap();
        assert!(alarm.cause == Cause::Predictable && alarm.steps < 30, "{alarm:?}");
        assert_eq!(alarm.released_bits, u64::from(alarm.steps) * (ROWS * BITS) as u64);
        let constant = watched(|_, _, _| vec![1.0; BITS]).unwrap();
        assert_eq!(constant.cause, Cause::Predictable);
    }

    #[test]
    fn a_residual_of_labels_is_not() {
        // One direction a class, towards it or away from it, whatever the code.
        let honest = |_: u32, _: &[f32], rng: &mut ChaCha8Rng| {
            let class = (rng.next_u32() % 3) as usize;
            let residual = sign(rng);
            (0..BITS).map(|bit| residual * [1.0, -0.5, 0.2][(bit + class) % 3]).collect()
        };
        assert_eq!(watched(honest), None);
        assert_eq!(watched(|_, _, _| vec![0.0; BITS]), None);
    }

    #[test]
    fn noise_is_noticed() {
        let alarm = watched(|_, _, rng| (0..BITS).map(|_| sign(rng)).collect()).unwrap();
        assert_eq!((alarm.cause, alarm.steps), (Cause::Featureless, FEATURELESS_STEPS));
        let mut watch = Watch::of_noisy(BITS);
        let mut rng = stream(6, "watch test", &[]);
        for _ in 0..100 {
            let [codes, sent] =
                [(); 2].map(|()| (0..ROWS * BITS).map(|_| sign(&mut rng)).collect::<Vec<f32>>());
            assert_eq!(watch.see(&codes, &sent, ROWS), None, "the run agreed on it");
        }
    }

    #[test]
    fn the_regression_solves_its_equations() {
        let gram = [4.0, 1.0, 0.5, 1.0, 3.0, 0.2, 0.5, 0.2, 5.0];
        let cross = [1.0, -2.0, 0.0, 3.0, 2.0, 0.5];
        let weights = ridge(&gram, &cross, 3);
        for row in 0..3 {
            for output in 0..2 {
                let product: f64 = (0..3).map(|k| gram[row * 3 + k] * weights[k * 2 + output]).sum();
                let found = product + RIDGE * weights[row * 2 + output];
                assert!((found - cross[row * 2 + output]).abs() < 1e-12);
            }
        }
    }
}
