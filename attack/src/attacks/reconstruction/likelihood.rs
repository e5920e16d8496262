//! How likely what a party sent is, given what a model makes of columns: bits, whose log odds it says, and floats, which lie around
//! what it says.

use hashvfl_core::normal::add_noise;
use hashvfl_core::random::uniform;
use rand::rngs::ChaCha8Rng;

/// How what was sent follows from a model's outputs.
pub enum Likelihood {
    /// Values are +1 or -1, and outputs their log odds.
    Bits,
    /// Values are spread around outputs by a normal distribution; the variance of each.
    Floats(Vec<f32>),
}

/// Variance of floats around outputs at least, where their own is 1: nothing is said with more certainty than that.
const LEAST_VARIANCE: f32 = 0.02;
/// How much of a variance is that of the last batch.
const RENEWED: f32 = 0.05;

impl Likelihood {
    /// Of so many floats, of which nothing is known yet.
    pub fn floats(values: usize) -> Self {
        Self::Floats(vec![1.0; values])
    }

    /// The logarithm of how likely `code` is by each row of `outputs`, but for what is the same for all.
    pub fn of(&self, outputs: &[f32], code: &[f32]) -> Vec<f32> {
        let rows = outputs.chunks_exact(code.len());
        match self {
            Self::Bits => rows.map(|outputs| of_bits(outputs, code)).collect(),
            Self::Floats(variances) => {
                let spreads: Vec<(f32, f32)> = variances.iter().map(|of| (*of, of.ln())).collect();
                rows.map(|outputs| of_floats(outputs, code, &spreads)).collect()
            }
        }
    }

    /// How likely each record's code among `codes` is that of each of its candidates, whose `outputs` are [records, candidates,
    /// values]: [records, candidates].
    pub fn shares(&self, outputs: &[f32], codes: &[&[f32]]) -> Vec<f32> {
        let mut shares = Vec::new();
        for (outputs, code) in of_records(outputs, codes) {
            let mut likely = self.of(outputs, code);
            let most = likely.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            likely.iter_mut().for_each(|value| *value = (*value - most).exp());
            let all: f32 = likely.iter().sum();
            shares.extend(likely.into_iter().map(|value| value / all));
        }
        shares
    }

    /// The gradient, with respect to `outputs` [records, candidates, values], of minus the mean logarithm of how likely `codes` are
    /// where each candidate is as likely as another, and `shares` are theirs.
    pub fn gradient(&self, outputs: &[f32], codes: &[&[f32]], shares: &[f32]) -> Vec<f32> {
        let mut gradient = Vec::with_capacity(outputs.len());
        for (outputs, code, share) in of_candidates(outputs, codes, shares) {
            let weight = share / codes.len() as f32;
            let pairs = outputs.iter().zip(code);
            match self {
                Self::Bits => gradient.extend(pairs.map(|(odds, bit)| -weight * bit * sigmoid(-bit * odds))),
                Self::Floats(variances) => gradient.extend(
                    pairs
                        .zip(variances)
                        .map(|((output, value), variance)| weight * (output - value) / variance),
                ),
            }
        }
        gradient
    }

    /// Learns from a batch how far floats lie from outputs, by the candidates whose they may be.
    pub fn learn(&mut self, outputs: &[f32], codes: &[&[f32]], shares: &[f32]) {
        let Self::Floats(variances) = self else { return };
        let mut squares = vec![0.0; variances.len()];
        for (outputs, code, share) in of_candidates(outputs, codes, shares) {
            for (sum, (output, value)) in squares.iter_mut().zip(outputs.iter().zip(code)) {
                *sum += share * (value - output).powi(2);
            }
        }
        for (variance, sum) in variances.iter_mut().zip(squares) {
            *variance =
                ((1.0 - RENEWED) * *variance + RENEWED * sum / codes.len() as f32).max(LEAST_VARIANCE);
        }
    }

    /// Values that may follow from one row of `outputs`.
    pub fn draw(&self, outputs: &[f32], rng: &mut ChaCha8Rng) -> Vec<f32> {
        match self {
            Self::Bits => {
                outputs.iter().map(|odds| if uniform(rng) < sigmoid(*odds) { 1.0 } else { -1.0 }).collect()
            }
            Self::Floats(variances) => {
                let mut values = outputs.to_vec();
                for (value, variance) in values.iter_mut().zip(variances) {
                    add_noise(std::slice::from_mut(value), variance.sqrt(), rng);
                }
                values
            }
        }
    }
}

/// The same of bits, by one row of log odds.
fn of_bits(odds: &[f32], code: &[f32]) -> f32 {
    odds.iter().zip(code).map(|(odds, bit)| sigmoid(bit * odds).max(1e-12).ln()).sum()
}

/// The same of floats, by one row of outputs; `spreads` are variances and their logarithms.
fn of_floats(outputs: &[f32], code: &[f32], spreads: &[(f32, f32)]) -> f32 {
    let pairs = outputs.iter().zip(code).zip(spreads);
    pairs
        .map(|((output, value), (variance, logarithm))| {
            -0.5 * ((value - output).powi(2) / variance + logarithm)
        })
        .sum()
}

/// The outputs of each record's candidates, and its code.
fn of_records<'a>(
    outputs: &'a [f32],
    codes: &'a [&'a [f32]],
) -> impl Iterator<Item = (&'a [f32], &'a [f32])> {
    outputs.chunks_exact(outputs.len() / codes.len().max(1)).zip(codes.iter().copied())
}

/// The outputs of each candidate of each record, the record's code, and the candidate's share.
fn of_candidates<'a>(
    outputs: &'a [f32],
    codes: &'a [&'a [f32]],
    shares: &'a [f32],
) -> impl Iterator<Item = (&'a [f32], &'a [f32], f32)> {
    let rows = of_records(outputs, codes)
        .flat_map(|(outputs, code)| outputs.chunks_exact(code.len()).map(move |outputs| (outputs, code)));
    rows.zip(shares).map(|((outputs, code), share)| (outputs, code, *share))
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;

    use super::*;

    #[test]
    fn the_gradient_is_that_of_the_likelihood() {
        let outputs = [0.3_f32, 0.5, -1.0, 0.2, 0.9, -0.4];
        for (likelihood, code) in
            [(Likelihood::Bits, [1.0_f32, -1.0]), (Likelihood::Floats(vec![0.5, 2.0]), [0.7, -0.2])]
        {
            let loss = |outputs: &[f32]| -> f32 {
                let each = likelihood.of(outputs, &code);
                -(each.iter().map(|likely| likely.exp()).sum::<f32>() / 3.0).ln()
            };
            let codes = [&code[..]];
            let shares = likelihood.shares(&outputs, &codes);
            let found = likelihood.gradient(&outputs, &codes, &shares);
            for (place, found) in found.iter().enumerate() {
                let mut moved = outputs;
                moved[place] += 1e-2;
                let above = loss(&moved);
                moved[place] -= 2e-2;
                let slope = (above - loss(&moved)) / 2e-2;
                assert!((slope - found).abs() < 1e-3, "{slope} {found}");
            }
        }
    }

    #[test]
    fn floats_lie_as_far_from_outputs_as_they_were_seen_to_and_are_drawn_so() {
        let mut likelihood = Likelihood::floats(2);
        // One candidate a record: the first value is exact, the second one is off by two.
        let (outputs, codes) = ([0.0_f32, 1.0, 5.0, 1.0], [[0.0_f32, 3.0], [5.0, -1.0]]);
        let codes: Vec<&[f32]> = codes.iter().map(|code| &code[..]).collect();
        for _ in 0..400 {
            let shares = likelihood.shares(&outputs, &codes);
            likelihood.learn(&outputs, &codes, &shares);
        }
        let Likelihood::Floats(variances) = &likelihood else { panic!("floats") };
        assert!(variances[0] == LEAST_VARIANCE && (variances[1] - 4.0).abs() < 1e-3, "{variances:?}");
        let mut rng = stream(3, "likelihood test", &[]);
        let drawn: Vec<f32> = (0..4_000).map(|_| likelihood.draw(&[1.0, -1.0], &mut rng)[1] + 1.0).collect();
        let variance = drawn.iter().map(|value| value * value).sum::<f32>() / 4_000.0;
        assert!((variance - 4.0).abs() < 0.4, "{variance}");
        let bits = Likelihood::Bits.draw(&[9.0, -9.0], &mut rng);
        assert_eq!(bits, [1.0, -1.0]);
    }
}
