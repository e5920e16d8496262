//! The mean of several guesses that fits best on records which none of them was fitted on: stacking with weights that are
//! not negative and sum to one (Wolpert 1992; Breiman 1996, "Stacked regressions").
//!
//! Whoever knows more is handed the guesses of whoever knows less. The stack is drawn back to the better of these by as much as
//! its gain over that one may be chance, so that more knowledge costs nothing where it brings nothing.

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
/// Numbers that are multiplied before they are summed in double precision.
const TOGETHER: usize = 64;

impl Guesses<'_> {
    /// Squared error of each record, of the guesses' mean by `weights`.
    pub fn errors(&self, weights: &[f32]) -> Vec<f64> {
        let mixed = mix(self.views, weights);
        let rows = mixed.chunks_exact(self.outputs).zip(self.truth.chunks_exact(self.outputs));
        rows.map(|(guess, truth)| {
            let pairs = guess.iter().zip(truth).take(self.scored);
            pairs.map(|(guess, truth)| f64::from((guess - truth).powi(2))).sum()
        })
        .collect()
    }

    /// The weights with the least squared error.
    pub fn stack(&self) -> Vec<f32> {
        let count = self.views.len();
        let products = self.products();
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
            let (steep, curve) =
                (slopes[from] - slopes[to], at(to, to) + at(from, from) - 2.0 * at(to, from));
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

    /// The stack, drawn back to the best of the guesses `bases` alone: all the way if what it gains over that is within one
    /// standard error over the records, and the less the more it is (the positive part of Stein's estimate). What stays is
    /// `trust` of it, from 0 to 1.
    pub fn stack_beside(&self, bases: &[usize], trust: f64) -> Vec<f32> {
        let mut weights = self.stack();
        let alone = |base: usize| -> Vec<f32> {
            (0..weights.len()).map(|place| f32::from(u8::from(place == base))).collect()
        };
        let errors = bases.iter().map(|base| (*base, self.errors(&alone(*base))));
        let least = errors.min_by(|a, b| a.1.iter().sum::<f64>().total_cmp(&b.1.iter().sum::<f64>()));
        let Some((base, base_errors)) = least else { return weights };
        let (gain, error) = paired(&base_errors, &self.errors(&weights));
        let trusted = if gain > error { trust * (1.0 - (error / gain).powi(2)) } else { 0.0 };
        weights.iter_mut().for_each(|weight| *weight *= trusted as f32);
        weights[base] += 1.0 - trusted as f32;
        weights
    }

    /// Products of what each guess misses with what each other one misses [guesses, guesses].
    fn products(&self) -> Vec<f64> {
        let count = self.views.len();
        let mut products = vec![0.0; count * count];
        let mut missed = vec![0.0_f32; count * self.scored];
        for (row, truth) in self.truth.chunks_exact(self.outputs).enumerate() {
            for (view, missed) in self.views.iter().zip(missed.chunks_exact_mut(self.scored.max(1))) {
                let pairs = view[row * self.outputs..].iter().zip(truth);
                missed.iter_mut().zip(pairs).for_each(|(missed, (guess, truth))| *missed = guess - truth);
            }
            for i in 0..count {
                for j in 0..=i {
                    let (a, b) = (&missed[i * self.scored..], &missed[j * self.scored..]);
                    products[i * count + j] += dot(&a[..self.scored], &b[..self.scored]);
                }
            }
        }
        for i in 0..count {
            for j in 0..i {
                products[j * count + i] = products[i * count + j];
            }
        }
        products
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let parts = a.chunks(TOGETHER).zip(b.chunks(TOGETHER));
    parts.map(|(a, b)| f64::from(a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>())).sum()
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

    #[test]
    fn the_better_of_two_who_know_less_is_drawn_back_to() {
        let truth = [0.0; 4];
        let views: [&[f32]; 3] = [&[2.0, 2.0, 2.0, 2.0], &[1.0, 1.1, 1.0, 1.1], &[1.1, 1.0, 1.1, 1.0]];
        let weights = guesses(&views, &truth, 1).stack_beside(&[0, 1], 1.0);
        assert!(weights[0] == 0.0 && weights[1] > 0.5, "{weights:?}");
    }
}
