//! Gradients that make codes tell records apart, by a coordinator that knows no column: each record's code is drawn towards
//! its own codes of earlier epochs and away from those of the other records in its batch.

use std::collections::HashMap;

/// What is kept of a record's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// The last one.
    Last,
    /// The mean of all.
    Mean,
}

/// The gradient of InfoNCE (van den Oord, Li and Vinyals 2018) with a record's own earlier codes as the positive example and
/// those of the others in its batch as negative ones (instance discrimination by a memory bank: Wu, Xiong, Yu and Lin 2018).
pub struct Contrastive {
    memory: Memory,
    temperature: f32,
    /// Sums of codes, and how many.
    codes: HashMap<u32, (Vec<f32>, f32)>,
}

impl Contrastive {
    /// One that has seen no code. A smaller `temperature`, from 0.05 to 1, drives records apart that are alike.
    pub fn new(memory: Memory, temperature: f32) -> Self {
        Self { memory, temperature, codes: HashMap::new() }
    }

    /// Places of the batch `rows` whose records came before, and the gradient for their `codes` [rows, latents]:
    /// [places, latents]. The codes are kept for the next time.
    pub fn pull(&mut self, rows: &[u32], codes: &[f32], latents: usize) -> (Vec<usize>, Vec<f32>) {
        let places: Vec<usize> = (0..rows.len()).filter(|at| self.codes.contains_key(&rows[*at])).collect();
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
        let (sums, count) = &self.codes[&row];
        sums.iter().map(|sum| sum / count).collect()
    }

    fn keep(&mut self, row: u32, code: &[f32]) {
        let (sums, count) = self.codes.entry(row).or_insert_with(|| (vec![0.0; code.len()], 0.0));
        if self.memory == Memory::Last {
            sums.fill(0.0);
            *count = 0.0;
        }
        *count += 1.0;
        sums.iter_mut().zip(code).for_each(|(sum, value)| *sum += value);
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
