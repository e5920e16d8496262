//! The mean of several guesses that fits best on records which none of them was fitted on: stacking with weights that are
//! not negative and sum to one (Wolpert 1992; Breiman 1996, "Stacked regressions").
//!
//! Whoever knows more is handed the guesses of whoever knows less. The stack is drawn back to the better of these by as much as
//! its gain over that one may be chance, so that more knowledge costs nothing where it brings nothing.

use std::ops::Range;

/// What is known of several guesses at the same records.
pub struct Guesses<'a> {
    /// Outputs of all records, guess by guess.
    pub views: &'a [&'a [f32]],
    /// The truth.
    pub truth: &'a [f32],
    /// Numbers of a record.
    pub outputs: usize,
    /// How many of them count: the first ones.
    pub scored: usize,
}

/// Moves of weight at most, and the part of the error below which a move gains nothing.
const MOST_MOVES: usize = 5_000;
const LEAST_GAIN: f64 = 1e-7;
/// A smaller weight is dropped.
const LEAST_WEIGHT: f64 = 0.01;
/// Numbers that are multiplied before they are summed in double precision, and those of them that one instruction may multiply.
const TOGETHER: usize = 64;
const LANES: usize = 8;
/// Outputs that are looked at together where all of them count alike.
const ALIKE: usize = 16;

impl Guesses<'_> {
    /// Squared error of each record, of the guesses' mean by `weights`.
    pub fn errors(&self, weights: &[f32]) -> Vec<f64> {
        self.errors_of(&mix(self.views, weights))
    }

    /// Squared error of each record, where it is guessed as `guess`.
    pub fn errors_of(&self, guess: &[f32]) -> Vec<f64> {
        let rows = guess.chunks_exact(self.outputs).zip(self.truth.chunks_exact(self.outputs));
        rows.map(|(guess, truth)| {
            let pairs = guess.iter().zip(truth).take(self.scored);
            pairs.map(|(guess, truth)| f64::from((guess - truth).powi(2))).sum()
        })
        .collect()
    }

    /// The weights with the least squared error, the same at all outputs.
    pub fn stack(&self) -> Vec<f32> {
        let mut products = vec![0.0; self.views.len() * self.views.len()];
        for start in (0..self.scored).step_by(ALIKE) {
            let part = self.missed(start..self.scored.min(start + ALIKE)).products();
            products.iter_mut().zip(part).for_each(|(sum, product)| *sum += product);
        }
        least_error(&products, self.views.len())
    }

    /// The stack, drawn back to the best of the guesses `bases` alone: all the way if what it gains over that is within one
    /// standard error over the records, and the less the more it is (the positive part of Stein's estimate). What stays is
    /// `trust` of it, from 0 to 1.
    pub fn stack_beside(&self, bases: &[usize], trust: f64) -> Vec<f32> {
        drawn_back(self.stack(), bases, trust, |weights| self.errors(weights))
    }

    /// The same for each of `blocks` by itself, ranges of outputs that belong together and hold all outputs between them: what
    /// tells one column alone would drown in what it says of all others, and be drawn back with it.
    ///
    /// A block keeps of its own stack what its records show to be better than the one stack for all outputs. So many columns of
    /// which each gains little are not drawn back one by one.
    pub fn stack_blocks(&self, blocks: &[Range<usize>], bases: &[usize], trust: f64) -> StackingWeights {
        let (common, count) = (self.stack_beside(bases, trust), self.views.len());
        let mut weights = vec![0.0; count * self.outputs];
        for block in blocks {
            let missed = self.missed(block.clone());
            let own = least_error(&missed.products(), count);
            let own = drawn_back(own, bases, trust, |weights| missed.errors(weights));
            let better = kept(&missed.errors(&common), &missed.errors(&own)) as f32;
            for (place, (own, common)) in own.iter().zip(&common).enumerate() {
                let weight = better * own + (1.0 - better) * common;
                weights[place * self.outputs..][block.clone()].fill(weight);
            }
        }
        StackingWeights { outputs: self.outputs, weights }
    }

    /// What each guess misses of some of the outputs.
    fn missed(&self, outputs: Range<usize>) -> GuessErrors {
        let mut values =
            Vec::with_capacity(self.views.len() * outputs.len() * self.truth.len() / self.outputs.max(1));
        for view in self.views {
            let rows =
                view.chunks_exact(self.outputs.max(1)).zip(self.truth.chunks_exact(self.outputs.max(1)));
            for (guess, truth) in rows {
                let pairs = guess[outputs.clone()].iter().zip(&truth[outputs.clone()]);
                values.extend(pairs.map(|(guess, truth)| guess - truth));
            }
        }
        GuessErrors { guesses: self.views.len(), width: outputs.len(), values }
    }
}

/// What each of several guesses misses of the same outputs.
struct GuessErrors {
    guesses: usize,
    /// Outputs of a record.
    width: usize,
    /// [guesses, records, outputs].
    values: Vec<f32>,
}

impl GuessErrors {
    fn of(&self, guess: usize) -> &[f32] {
        let each = self.values.len() / self.guesses.max(1);
        &self.values[guess * each..][..each]
    }

    /// Products of what each guess misses with what each other one misses [guesses, guesses].
    fn products(&self) -> Vec<f64> {
        let mut products = vec![0.0; self.guesses * self.guesses];
        for i in 0..self.guesses {
            for j in 0..=i {
                let product = dot(self.of(i), self.of(j));
                products[i * self.guesses + j] = product;
                products[j * self.guesses + i] = product;
            }
        }
        products
    }

    /// Squared error of each record, of the guesses' mean by `weights`, which sum to one.
    fn errors(&self, weights: &[f32]) -> Vec<f64> {
        let views: Vec<&[f32]> = (0..self.guesses).map(|guess| self.of(guess)).collect();
        let missed = mix(&views, weights);
        let row = |row: &[f32]| -> f64 { row.iter().map(|missed| f64::from(missed.powi(2))).sum() };
        missed.chunks_exact(self.width.max(1)).map(row).collect()
    }
}

/// The weights of `count` guesses with the least squared error, by the `products` of what they miss.
fn least_error(products: &[f64], count: usize) -> Vec<f32> {
    let at = |i: usize, j: usize| products[i * count + j];
    let mut weights = vec![0.0; count];
    let Some(first) = (0..count).min_by(|i, j| at(*i, *i).total_cmp(&at(*j, *j))) else {
        return Vec::new();
    };
    weights[first] = 1.0;
    // Half of the gradient of the error.
    let mut slopes: Vec<f64> = (0..count).map(|i| at(i, first)).collect();
    for _ in 0..MOST_MOVES {
        let by_slope = |i: &usize, j: &usize| slopes[*i].total_cmp(&slopes[*j]);
        let to = (0..count).min_by(by_slope).unwrap_or(first);
        let from = (0..count).filter(|i| weights[*i] > 0.0).max_by(by_slope).unwrap_or(first);
        let (steep, curve) = (slopes[from] - slopes[to], at(to, to) + at(from, from) - 2.0 * at(to, from));
        let error: f64 = weights.iter().zip(&slopes).map(|(weight, slope)| weight * slope).sum();
        if steep <= LEAST_GAIN * error || curve <= 0.0 {
            break;
        }
        let moved = (steep / curve).min(weights[from]);
        weights[from] -= moved;
        weights[to] += moved;
        slopes.iter_mut().enumerate().for_each(|(i, slope)| *slope += moved * (at(i, to) - at(i, from)));
    }
    weights.iter_mut().filter(|weight| **weight < LEAST_WEIGHT).for_each(|weight| *weight = 0.0);
    let all: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| (weight / all) as f32).collect()
}

/// `weights` drawn back to the best of the guesses `bases` alone, where `errors` are those of records by weights.
fn drawn_back(
    mut weights: Vec<f32>,
    bases: &[usize],
    trust: f64,
    errors: impl Fn(&[f32]) -> Vec<f64>,
) -> Vec<f32> {
    let alone = |base: usize| -> Vec<f32> {
        (0..weights.len()).map(|place| f32::from(u8::from(place == base))).collect()
    };
    let of_bases = bases.iter().map(|base| (*base, errors(&alone(*base))));
    let least = of_bases.min_by(|a, b| a.1.iter().sum::<f64>().total_cmp(&b.1.iter().sum::<f64>()));
    let Some((base, base_errors)) = least else { return weights };
    let trusted = (trust * kept(&base_errors, &errors(&weights))) as f32;
    weights.iter_mut().for_each(|weight| *weight *= trusted);
    weights[base] += 1.0 - trusted;
    weights
}

/// How much is kept of guesses whose `errors` were seen to be less than those of `other`.
fn kept(other: &[f64], errors: &[f64]) -> f64 {
    let (gain, error) = paired(other, errors);
    if gain > error { 1.0 - (error / gain).powi(2) } else { 0.0 }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.chunks(TOGETHER).zip(b.chunks(TOGETHER)).map(|(a, b)| f64::from(short_dot(a, b))).sum()
}

/// The same of few numbers, in single precision.
fn short_dot(a: &[f32], b: &[f32]) -> f32 {
    let (whole_a, rest_a) = a.as_chunks::<LANES>();
    let (whole_b, rest_b) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in whole_a.iter().zip(whole_b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// How much each of several guesses counts at each output.
pub struct StackingWeights {
    outputs: usize,
    /// [guesses, outputs].
    weights: Vec<f32>,
}

impl StackingWeights {
    /// Whether a guess counts at any output.
    pub fn counts(&self, guess: usize) -> bool {
        self.of(guess).iter().any(|weight| *weight > 0.0)
    }

    /// Adds to `sum` [records, outputs] what a guess counts whose outputs are `values`.
    pub fn put(&self, guess: usize, values: &[f32], sum: &mut [f32]) {
        let weights = self.of(guess);
        let rows = sum.chunks_exact_mut(self.outputs.max(1)).zip(values.chunks_exact(self.outputs.max(1)));
        for (sum, values) in rows {
            for ((sum, value), weight) in sum.iter_mut().zip(values).zip(weights) {
                if *weight > 0.0 {
                    *sum += weight * value;
                }
            }
        }
    }

    /// The mean of `guesses`.
    pub fn mix(&self, guesses: &[&[f32]]) -> Vec<f32> {
        let mut mixed = vec![0.0; guesses.first().map_or(0, |guess| guess.len())];
        for (place, guess) in guesses.iter().enumerate().filter(|(place, _)| self.counts(*place)) {
            self.put(place, guess, &mut mixed);
        }
        mixed
    }

    /// How much each guess counts at the first outputs, on average.
    pub fn shares(&self, outputs: usize) -> Vec<f32> {
        let share = |guess: &[f32]| guess[..outputs].iter().sum::<f32>() / outputs.max(1) as f32;
        self.weights.chunks_exact(self.outputs.max(1)).map(share).collect()
    }

    fn of(&self, guess: usize) -> &[f32] {
        &self.weights[guess * self.outputs..][..self.outputs]
    }
}

/// By how much the `errors` of records are below those of `other` guesses at the same ones on average, and the standard error
/// of that.
pub fn paired(other: &[f64], errors: &[f64]) -> (f64, f64) {
    let count = errors.len().max(1) as f64;
    let gains: Vec<f64> = other.iter().zip(errors).map(|(other, error)| other - error).collect();
    let mean = gains.iter().sum::<f64>() / count;
    let squares: f64 = gains.iter().map(|gain| (gain - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0) / count).sqrt())
}

/// The mean of `guesses` by `weights`.
pub fn mix(guesses: &[&[f32]], weights: &[f32]) -> Vec<f32> {
    let mut mixed = vec![0.0; guesses.first().map_or(0, |guess| guess.len())];
    for (guess, weight) in guesses.iter().zip(weights).filter(|(_, weight)| **weight > 0.0) {
        mixed.iter_mut().zip(*guess).for_each(|(mixed, value)| *mixed += weight * value);
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guesses<'a>(views: &'a [&'a [f32]], truth: &'a [f32], outputs: usize) -> Guesses<'a> {
        Guesses { views, truth, outputs, scored: 1 }
    }

    #[test]
    fn guesses_that_err_apart_are_averaged_and_bad_ones_are_not() {
        let truth = [0.0, 0.0, 0.0, 0.0];
        let (up, down, far) = ([1.0; 4], [-1.0, -1.0, -1.0, -0.9], [5.0; 4]);
        let views: [&[f32]; 3] = [&up, &down, &far];
        let weights = guesses(&views, &truth, 1).stack();
        // By hand: (3 x 2 + 0.9 x 1.9) / (3 x 4 + 1.9 x 1.9).
        assert!((weights[0] - 0.49392).abs() < 1e-4 && weights[2] == 0.0, "{weights:?}");
        assert!((weights[0] + weights[1] - 1.0).abs() < 1e-6);
        assert!(mix(&views, &weights).iter().all(|value| value.abs() < 0.06));
    }

    #[test]
    fn outputs_that_are_not_scored_choose_nothing() {
        let truth = [0.0, 9.0];
        let views: [&[f32]; 2] = [&[0.1, 0.0], &[0.5, 9.0]];
        assert_eq!(guesses(&views, &truth, 2).stack(), [1.0, 0.0]);
    }

    #[test]
    fn what_may_be_chance_is_not_preferred_to_who_knows_less() {
        let truth = [0.0; 6];
        let less = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        // Better by 0.025 on average, with a standard error of 0.08.
        let luck = [0.9, 1.1, 0.9, 1.1, 0.9, 1.0];
        let better = [0.5, 0.6, 0.5, 0.4, 0.5, 0.5];
        let views: [&[f32]; 2] = [&less, &luck];
        assert_eq!(guesses(&views, &truth, 1).stack_beside(&[0], 1.0), [1.0, 0.0]);
        let views: [&[f32]; 2] = [&less, &better];
        let weights = guesses(&views, &truth, 1).stack_beside(&[0], 1.0);
        assert!(weights[1] > 0.95, "{weights:?}");
    }

    /// One output is told, and a guess at it is noise at all others.
    #[test]
    fn one_output_that_is_told_is_kept_where_all_others_are_not() {
        let (records, outputs) = (60, 40);
        let wave = |record: usize, output: usize| ((record * 7 + output * 13) % 11) as f32 / 5.0 - 1.0;
        let mut truth = Vec::new();
        let mut told = Vec::new();
        for record in 0..records {
            for output in 0..outputs {
                truth.push(wave(record, output));
                told.push(match output {
                    0 => 0.9 * wave(record, 0),
                    _ => wave(3 * record + 5, 7 * output),
                });
            }
        }
        let mean = vec![0.0; records * outputs];
        let views: [&[f32]; 2] = [&mean, &told];
        let guesses = Guesses { views: &views, truth: &truth, outputs, scored: outputs };
        let common = guesses.stack_beside(&[0], 1.0);
        assert!(common[1] < 0.2, "{common:?}");
        let blocks: Vec<Range<usize>> = (0..outputs).map(|output| output..output + 1).collect();
        let mixture = guesses.stack_blocks(&blocks, &[0], 1.0);
        let mixed = mixture.mix(&views);
        let missed = |guess: &[f32], output: usize| -> f64 {
            let pairs = guess.iter().zip(&truth).skip(output).step_by(outputs);
            pairs.map(|(guess, truth)| f64::from(guess - truth).powi(2)).sum()
        };
        assert!(missed(&mixed, 0) < 0.05 * missed(&mean, 0), "{}", missed(&mixed, 0));
        let others = |guess: &[f32]| -> f64 { (1..outputs).map(|output| missed(guess, output)).sum() };
        assert!(others(&mixed) <= others(&mix(&views, &common)) + 1e-3);
        assert!(mixture.counts(0) && mixture.counts(1));
        let shares = mixture.shares(outputs);
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{shares:?}");
    }

    #[test]
    fn the_better_of_two_who_know_less_is_drawn_back_to() {
        let truth = [0.0; 4];
        let views: [&[f32]; 3] = [&[2.0, 2.0, 2.0, 2.0], &[1.0, 1.1, 1.0, 1.1], &[1.1, 1.0, 1.1, 1.0]];
        let weights = guesses(&views, &truth, 1).stack_beside(&[0, 1], 1.0);
        assert!(weights[0] == 0.0 && weights[1] > 0.5, "{weights:?}");
    }
}
