//! Which of several guesses are averaged: those that held-out records choose, one after the other, each as often as it
//! helps (Caruana et al. 2004, "Ensemble selection from libraries of models").
//!
//! A guess that is among them is never made worse on held-out records by what stands beside it. So whoever knows more is
//! handed the guesses of whoever knows less, and falls below them by chance alone.

/// Guesses that are averaged at most.
const ROUNDS: usize = 12;
/// Part of the error that one more must take away.
const LEAST_GAIN: f64 = 1e-4;

/// Weights, which sum to one, of the guesses `on_held` [outputs of all rows] at `truth`. Only the first `scored` of each
/// row's `outputs` count.
pub fn choose(on_held: &[&[f32]], truth: &[f32], outputs: usize, scored: usize) -> Vec<f32> {
    let mut counts = vec![0_u32; on_held.len()];
    let mut sum = vec![0.0_f32; truth.len()];
    let mut least = f64::INFINITY;
    for round in 1..=ROUNDS {
        let mut best: Option<(f64, usize)> = None;
        for (number, guess) in on_held.iter().enumerate() {
            let error = error_with(&sum, guess, truth, round as f32, outputs, scored);
            if best.is_none_or(|(least, _)| error < least) {
                best = Some((error, number));
            }
        }
        let Some((error, number)) = best else { break };
        if error > least * (1.0 - LEAST_GAIN) {
            break;
        }
        least = error;
        counts[number] += 1;
        sum.iter_mut().zip(on_held[number]).for_each(|(sum, value)| *sum += value);
    }
    let all: u32 = counts.iter().sum();
    counts.into_iter().map(|count| count as f32 / all.max(1) as f32).collect()
}

/// Squared error of the mean of `count` guesses, all but `guess` summed already.
fn error_with(sum: &[f32], guess: &[f32], truth: &[f32], count: f32, outputs: usize, scored: usize) -> f64 {
    let rows = sum.chunks_exact(outputs).zip(guess.chunks_exact(outputs)).zip(truth.chunks_exact(outputs));
    let mut error = 0.0;
    for ((sum, guess), truth) in rows {
        let mut of_row = 0.0_f32;
        for ((sum, guess), truth) in sum.iter().zip(guess).zip(truth).take(scored) {
            let miss = (sum + guess) / count - truth;
            of_row += miss * miss;
        }
        error += f64::from(of_row);
    }
    error
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

    #[test]
    fn guesses_that_err_apart_are_averaged_and_bad_ones_are_not() {
        let truth = [0.0, 0.0, 0.0, 0.0];
        let (up, down, far) = ([1.0; 4], [-1.0, -1.0, -1.0, -0.9], [5.0; 4]);
        let guesses: [&[f32]; 3] = [&up, &down, &far];
        let weights = choose(&guesses, &truth, 1, 1);
        assert_eq!(weights, [0.5, 0.5, 0.0]);
        assert!(mix(&guesses, &weights).iter().all(|value| value.abs() < 0.06));
    }

    #[test]
    fn outputs_that_are_not_scored_choose_nothing() {
        let truth = [0.0, 9.0];
        let guesses: [&[f32]; 2] = [&[0.1, 0.0], &[0.5, 9.0]];
        assert_eq!(choose(&guesses, &truth, 2, 1), [1.0, 0.0]);
    }
}
