//! Gradients that make codes tell records apart, by a coordinator that knows no column: each record's code is drawn towards
//! its own codes of earlier epochs and away from those of the other records in its batch.

use std::collections::{HashMap, VecDeque};

/// To what of its earlier codes a record is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// The last one.
    Last,
    /// The one of so many times ago: 1 is the last one.
    Lag(usize),
    /// The mean of all.
    Mean,
    /// The mean of all but the last so many.
    MeanBut(usize),
}

impl Memory {
    /// How often a record must have come before there is something to draw it to.
    pub fn needs(self) -> usize {
        self.skips() + 1
    }

    /// The latest codes that it leaves out.
    fn skips(self) -> usize {
        match self {
            Self::Last | Self::Mean => 0,
            Self::Lag(lag) => lag.saturating_sub(1),
            Self::MeanBut(count) => count,
        }
    }

    fn is_mean(self) -> bool {
        matches!(self, Self::Mean | Self::MeanBut(_))
    }
}

/// What is kept of a record's codes.
#[derive(Default)]
struct Kept {
    /// The latest codes, the oldest first: the record is not drawn to them yet.
    skipped: VecDeque<Vec<f32>>,
    /// The sum of those before, or the last of them.
    sums: Vec<f32>,
    count: f32,
}

/// The gradient of InfoNCE (van den Oord, Li and Vinyals 2018) with a record's own earlier codes as the positive example and
/// those of the others in its batch as negative ones (instance discrimination by a memory bank: Wu, Xiong, Yu and Lin 2018).
pub struct Contrastive {
    memory: Memory,
    temperature: f32,
    codes: HashMap<u32, Kept>,
}

impl Contrastive {
    /// One that has seen no code. A smaller `temperature`, from 0.05 to 1, drives records apart that are alike.
    pub fn new(memory: Memory, temperature: f32) -> Self {
        Self { memory, temperature, codes: HashMap::new() }
    }

    /// Returns the positions in the batch `rows` whose records were seen often enough before, and the gradient for their codes,
    /// [positions, latents]. Remembers the batch's `codes` [rows, latents].
    pub fn pull(&mut self, rows: &[u32], codes: &[f32], latents: usize) -> (Vec<usize>, Vec<f32>) {
        let comes_again = |row: &u32| self.codes.get(row).is_some_and(|kept| kept.count > 0.0);
        let places: Vec<usize> = (0..rows.len()).filter(|at| comes_again(&rows[*at])).collect();
        let before: Vec<Vec<f32>> = places.iter().map(|at| self.before(rows[*at])).collect();
        let mut gradient = Vec::with_capacity(places.len() * latents);
        for (own, at) in places.iter().enumerate() {
            let code = &codes[at * latents..][..latents];
            let similar = |other: &Vec<f32>| code.iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
            let logits: Vec<f32> =
                before.iter().map(|other| similar(other) / latents as f32 / self.temperature).collect();
            let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weights: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
            let sum: f32 = weights.iter().sum();
            let mut pull: Vec<f32> = before[own].iter().map(|value| -value).collect();
            for (other, weight) in before.iter().zip(&weights) {
                pull.iter_mut().zip(other).for_each(|(pull, value)| *pull += weight / sum * value);
            }
            gradient.extend(pull);
        }
        for (row, code) in rows.iter().zip(codes.chunks_exact(latents)) {
            self.keep(*row, code);
        }
        (places, gradient)
    }

    fn before(&self, row: u32) -> Vec<f32> {
        let Kept { sums, count, .. } = &self.codes[&row];
        sums.iter().map(|sum| sum / count).collect()
    }

    fn keep(&mut self, row: u32, code: &[f32]) {
        let kept = self.codes.entry(row).or_default();
        kept.skipped.push_back(code.to_vec());
        if kept.skipped.len() <= self.memory.skips() {
            return;
        }
        let Some(code) = kept.skipped.pop_front() else { return };
        if kept.sums.is_empty() || !self.memory.is_mean() {
            (kept.sums, kept.count) = (code, 1.0);
            return;
        }
        kept.count += 1.0;
        kept.sums.iter_mut().zip(code).for_each(|(sum, value)| *sum += value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_drawn_to_its_own_code_and_away_from_the_others() {
        for memory in [Memory::Last, Memory::Mean] {
            let mut contrastive = Contrastive::new(memory, 0.5);
            assert_eq!(
                contrastive.pull(&[3, 7], &[1.0, 1.0, 1.0, -1.0], 2),
                (vec![], vec![]),
                "nothing came before"
            );
            let (places, pull) = contrastive.pull(&[5, 3, 7], &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 2);
            assert_eq!(places, [1, 2]);
            // Both have the first value in common, and the second tells them apart.
            assert!(pull[0].abs() < 1e-6 && pull[2].abs() < 1e-6, "{pull:?}");
            assert!(
                pull[1] < 0.0 && pull[3] > 0.0,
                "a step against the gradient goes towards its own code: {pull:?}"
            );
        }
    }

    #[test]
    fn the_latest_codes_can_be_skipped() {
        // The codes, by when they came, that a record is drawn to when it comes for the fifth time.
        let cases: [(Memory, &[usize]); 6] = [
            (Memory::Last, &[3]),
            (Memory::Lag(1), &[3]),
            (Memory::Lag(2), &[2]),
            (Memory::Mean, &[0, 1, 2, 3]),
            (Memory::MeanBut(1), &[0, 1, 2]),
            (Memory::MeanBut(3), &[0]),
        ];
        for (memory, expected) in cases {
            let mut contrastive = Contrastive::new(memory, 0.2);
            for time in 0..4 {
                let mut code = [0.0_f32; 4];
                code[time] = 1.0;
                let (places, _) = contrastive.pull(&[6], &code, 4);
                assert_eq!(places.is_empty(), time < memory.needs(), "{memory:?}, time {time}");
            }
            let before = contrastive.before(6);
            for (time, value) in before.iter().enumerate() {
                let share = if expected.contains(&time) { 1.0 / expected.len() as f32 } else { 0.0 };
                assert!((value - share).abs() < 1e-6, "{memory:?}: {before:?}");
            }
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let before = [[1.0, -0.5, 0.25], [-1.0, 0.5, 0.75], [0.5, 0.5, -1.0]];
        let code = [0.3_f32, -0.2, 0.6];
        let loss = |code: &[f32]| {
            let logit =
                |other: &[f32; 3]| other.iter().zip(code).map(|(a, b)| a * b).sum::<f32>() / 3.0 / 0.2;
            before.iter().map(|other| logit(other).exp()).sum::<f32>().ln() - logit(&before[0])
        };
        let mut contrastive = Contrastive::new(Memory::Last, 0.2);
        contrastive.pull(&[0, 1, 2], before.as_flattened(), 3);
        let batch = [code, [0.0; 3], [0.0; 3]];
        let (_, pull) = contrastive.pull(&[0, 1, 2], batch.as_flattened(), 3);
        for at in 0..3 {
            let mut moved = code;
            moved[at] += 1e-2;
            let up = loss(&moved);
            moved[at] -= 2e-2;
            let slope = (up - loss(&moved)) / 2e-2;
            // Up to the constant of similarities and temperature, which weights make good for.
            assert!((pull[at] / 3.0 / 0.2 - slope).abs() < 1e-2, "{at}: {} and {slope}", pull[at]);
        }
    }
}
