//! Host randomness: every draw of a run comes from ChaCha streams named by a seed and a purpose, so that a
//! run is the same on every device and a single draw can be repeated without replaying the others.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use crate::digest::Digest;

/// A generator for one `purpose`; `counters` (an epoch, a step) tell its uses apart.
pub fn stream(seed: u64, purpose: &str, counters: &[u64]) -> ChaCha8Rng {
    let numbers: Vec<u8> = counters.iter().flat_map(|n| n.to_le_bytes()).collect();
    let seed = seed.to_le_bytes();
    ChaCha8Rng::from_seed(Digest::of_parts([seed.as_slice(), purpose.as_bytes(), &numbers]).0)
}

/// A number below `bound`, each as likely as another up to `bound` in 2^32.
pub fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    use rand::Rng;
    ((u64::from(rng.next_u32()) * bound as u64) >> 32) as usize
}

/// A number from 0 to below 1, on a grid of 2^-24.
pub fn uniform(rng: &mut ChaCha8Rng) -> f32 {
    use rand::Rng;
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}

/// Shuffles `rows` in place (Fisher-Yates).
///
/// Written out, since the order is part of the protocol: every party must derive the same one, whatever
/// release of a library it was built with.
pub fn shuffle(rows: &mut [u32], rng: &mut ChaCha8Rng) {
    use rand::Rng;
    for last in (1..rows.len()).rev() {
        let bound = last as u64 + 1;
        // The bias of the multiplication is at most `bound` in 2^64.
        let pick = ((u128::from(rng.next_u64()) * u128::from(bound)) >> 64) as usize;
        rows.swap(last, pick);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffle_is_a_permutation_and_fixed_for_all_time() {
        let mut rows: Vec<u32> = (0..10).collect();
        shuffle(&mut rows, &mut stream(7, "batches", &[1]));
        let again = {
            let mut rows: Vec<u32> = (0..10).collect();
            shuffle(&mut rows, &mut stream(7, "batches", &[1]));
            rows
        };
        assert_eq!(rows, again);
        let mut sorted = rows.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10).collect::<Vec<u32>>());
        let mut other: Vec<u32> = (0..10).collect();
        shuffle(&mut other, &mut stream(7, "batches", &[2]));
        assert_ne!(rows, other);
    }
}
