//! Whose code it is, by a copy of the encoder: regressions that were fitted on other records guess the code of each candidate
//! from its columns, and the candidate counts whose guessed code makes the code that was seen likeliest.
//!
//! Who has columns of other people with their codes can do that as well as guess columns from codes. A guess of columns is a
//! mean over all who may have the code, and names nobody; of few columns, the copy names more records.

use std::ops::Range;

use crate::metrics::reidentify::{likeliest, product};
use crate::regression::Examples;
use crate::regression::ensemble::Guesses;
use crate::regression::family::{Effort, cross_fit};
use crate::regression::folds::Folds;

/// A sign is guessed with no more certainty than this.
const LEAST_CHANCE: f64 = 0.02;
/// Weight of the mean in a stack.
const MEAN: usize = 0;

/// For each record of `columns` [records, columns], in no order that tells anything, how likely it is the one to which its own
/// `values` [records, values] point among all: 1 or 0, or less where several are as likely. Values of signs are 1 or -1, and 0
/// stands for a code that was not seen.
pub fn hits(columns: &[f32], values: &[f32], records: usize, seed: u64) -> Vec<f64> {
    let width = values.len() / records.max(1);
    let (inputs, outputs) = (columns.to_vec(), values.to_vec());
    let examples = Examples { inputs, outputs, rows: records, discrete: false };
    let candidates = cross_fit(&examples, &Folds::of_all(records), seed, Effort::Quick);
    let views: Vec<&[f32]> = candidates.iter().map(|candidate| &candidate.on_judges[..]).collect();
    let blocks: Vec<Range<usize>> = (0..width).map(|value| value..value + 1).collect();
    let guesses = Guesses { views: &views, truth: values, outputs: width, scored: width };
    let copied = guesses.stack_blocks(&blocks, &[MEAN], 1.0).mix(&views);
    named(&copied, values, &weights(values, &copied, width), width)
}

/// The same where `copied` [records, width] are the codes that a copy makes of each candidate, `seen` the codes that were seen of
/// them, and `weights` what [`weights`] says.
pub fn named(copied: &[f32], seen: &[f32], weights: &[f32], width: usize) -> Vec<f64> {
    likeliest(&terms_of(seen), &CodeLikelihoods::new(copied, weights, width).terms, 2 * width)
}

/// How likely codes are those of candidates whose codes a copy has made, as products with what was seen.
pub struct CodeLikelihoods {
    /// [candidates, 2 width].
    terms: Vec<f32>,
    width: usize,
}

impl CodeLikelihoods {
    /// Of candidates for whom a copy makes the codes `copied` [candidates, width], where `weights` are what [`weights`] says.
    pub fn new(copied: &[f32], weights: &[f32], width: usize) -> Self {
        let mut all = Vec::with_capacity(2 * copied.len());
        for row in copied.chunks_exact(width.max(1)) {
            let terms =
                row.iter().copied().enumerate().map(|(place, guess)| match weights.get(place).copied() {
                    // Of a normal distribution around the guess, without what is the same for all candidates.
                    Some(weight) => [-0.5 * weight * guess * guess, weight * guess],
                    None => {
                        let chance = f64::from((1.0 + guess) / 2.0).clamp(LEAST_CHANCE, 1.0 - LEAST_CHANCE);
                        let (plus, minus) = (chance.ln(), (1.0 - chance).ln());
                        [((plus + minus) / 2.0) as f32, ((plus - minus) / 2.0) as f32]
                    }
                });
            all.extend(terms.flatten());
        }
        Self { terms: all, width }
    }

    /// The logarithm of how likely the code that was `seen` of one record is that of each candidate, but for what is the same for all.
    pub fn of(&self, seen: &[f32]) -> Vec<f32> {
        let seen = terms_of(seen);
        self.terms.chunks_exact(2 * self.width).map(|terms| product(&seen, terms)).collect()
    }
}

/// By what likelihoods of codes are multiplied: 0 where nothing was seen.
fn terms_of(seen: &[f32]) -> Vec<f32> {
    seen.iter().flat_map(|value| [f32::from(u8::from(*value != 0.0)), *value]).collect()
}

/// How much each of the `values` [records, width] of a code says where a copy makes them `copied`; none of signs, of which the
/// copy says it record by record.
pub fn weights(values: &[f32], copied: &[f32], width: usize) -> Vec<f32> {
    let signs = values.iter().all(|value| [-1.0, 0.0, 1.0].contains(value));
    if signs { Vec::new() } else { precision(values, copied, width) }
}

/// One over the variance of what `copied` misses of each value, over those that were seen.
fn precision(values: &[f32], copied: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![(0.0_f64, 0.0_f64); width];
    for (values, copied) in values.chunks_exact(width).zip(copied.chunks_exact(width)) {
        for (sum, (value, guess)) in sums.iter_mut().zip(values.iter().zip(copied)) {
            if *value != 0.0 {
                *sum = (sum.0 + 1.0, sum.1 + f64::from(value - guess).powi(2));
            }
        }
    }
    sums.into_iter().map(|(count, squares)| (count / squares.max(1e-6)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::{stream, uniform};

    use super::*;
    use crate::metrics::error::mean;

    /// Columns, and signs of random sums of them; every third pass was not seen of a third of the records.
    fn coded(records: usize, signs: usize) -> (Vec<f32>, Vec<f32>) {
        const WIDTH: usize = 6;
        let mut rng = stream(11, "copied test", &[]);
        let mut draw = || 2.0 * uniform(&mut rng) - 1.0;
        let mixing: Vec<f32> = (0..signs * WIDTH).map(|_| draw()).collect();
        let columns: Vec<f32> = (0..records * WIDTH).map(|_| draw()).collect();
        let mut values = Vec::new();
        for (record, row) in columns.chunks_exact(WIDTH).enumerate() {
            for (sign, mixing) in mixing.chunks_exact(WIDTH).enumerate() {
                let sum: f32 = row.iter().zip(mixing).map(|(value, weight)| value * weight).sum();
                let seen = record % 3 > 0 || sign % 3 > 0;
                values.push(if seen { sum.signum() } else { 0.0 });
            }
        }
        (columns, values)
    }

    #[test]
    fn a_copy_names_records_and_codes_of_others_name_nobody() {
        let records = 400;
        let (columns, mut values) = coded(records, 24);
        let named = mean(&hits(&columns, &values, records, 1));
        assert!(named > 0.2, "{named}");
        values.rotate_left(24 * 19);
        let named = mean(&hits(&columns, &values, records, 1));
        assert!(named < 0.02, "{named}");
    }

    #[test]
    fn levels_name_records_too() {
        let records = 400;
        let (columns, _) = coded(records, 1);
        let levels: Vec<f32> = columns.iter().map(|value| (value * 4.0).floor() / 4.0 + 0.125).collect();
        let named = mean(&hits(&columns, &levels, records, 1));
        assert!(named > 0.5, "{named}");
    }
}
