//! Randomised response on the bits of a code (Warner 1965): each bit is sent flipped with probability
//! `1 / (1 + e^epsilon)`.
//!
//! Where the encoder is fixed independently of a record, a code of d bits then costs at most `d * epsilon` of local
//! differential privacy, and distinct releases of the record add up. In joint training the encoder depends on the
//! record, and so does the batch: there epsilon is conditional on the encoder and no guarantee.
//!
//! Flips are no fresh coins: they come from a pseudo-random function of the party's secret key over the encoder's
//! digest and the record's content, so that asking again, or training again with the same weights, never averages
//! them out. Records of equal content get equal flips.

use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};

use crate::digest::Digest;

/// Bytes of a party's key.
pub const KEY_BYTES: usize = 32;

/// A party's way to flip bits. Its `Debug` shows no key.
#[derive(Clone)]
pub struct Response {
    key: [u8; KEY_BYTES],
    /// A bit is flipped where a draw is below this: at least the probability times 2^32.
    below: u64,
}

impl Response {
    /// Flips with the probability that `epsilon` a bit asks for, above 0.
    pub fn new(key: [u8; KEY_BYTES], epsilon: f64) -> Self {
        let below = (Self::flip_probability(epsilon) * 2_f64.powi(32)).ceil() as u64;
        Self { key, below }
    }

    /// `1 / (1 + e^epsilon)`.
    pub fn flip_probability(epsilon: f64) -> f64 {
        1.0 / (1.0 + epsilon.exp())
    }

    /// What is left of a bit's expected value once flips are drawn: twice the share that is not flipped, less 1.
    pub fn expectation(&self) -> f32 {
        (1.0 - 2.0 * self.below as f64 / 2_f64.powi(32)) as f32
    }

    /// Makes each of a record's `values` the sign that is sent: +1 for 0 or more and -1 for less, or the opposite.
    pub fn respond(&self, values: &mut [f32], content: &[f32], encoder: &Digest) {
        let content: Vec<u8> = content.iter().flat_map(|value| value.to_le_bytes()).collect();
        let parts = [b"hashvfl randomised response".as_slice(), &self.key, &encoder.0, &content];
        let mut draws = ChaCha20Rng::from_seed(Digest::of_parts(parts).0);
        for value in values {
            let flipped = u64::from(draws.next_u32()) < self.below;
            // What is no number stays none, so that nobody takes it for a bit.
            if value.is_nan() {
                continue;
            }
            *value = if (*value >= 0.0) == flipped { -1.0 } else { 1.0 };
        }
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flips(response: &Response, records: usize, encoder: &Digest) -> Vec<bool> {
        let record = |record: usize| {
            let mut values = [1.0_f32, -1.0, 0.0, -0.5, 2.0, -2.0, 1e-9, -1e-9];
            let plain = values;
            response.respond(&mut values, &[record as f32, 0.5], encoder);
            values.iter().zip(plain).map(|(sent, plain)| (*sent > 0.0) != (plain >= 0.0)).collect::<Vec<_>>()
        };
        (0..records).flat_map(record).collect()
    }

    #[test]
    fn flips_happen_as_often_as_defined_and_a_replay_repeats_them() {
        let encoder = Digest::of(b"weights");
        for epsilon in [0.5, 1.0, 2.0, 4.0] {
            let response = Response::new([7; KEY_BYTES], epsilon);
            let flipped = flips(&response, 20_000, &encoder);
            let count = flipped.len() as f64;
            let rate = flipped.iter().filter(|flip| **flip).count() as f64 / count;
            let expected = Response::flip_probability(epsilon);
            let deviation = (expected * (1.0 - expected) / count).sqrt();
            assert!((rate - expected).abs() < 4.0 * deviation, "{epsilon}: {rate} {expected}");
            assert!((f64::from(response.expectation()) - (1.0 - 2.0 * expected)).abs() < 1e-6);
            // The ratio of the two probabilities is what epsilon bounds.
            assert!(((1.0 - expected) / expected).ln() <= epsilon + 1e-9);
            assert_eq!(flipped, flips(&response, 20_000, &encoder));
        }
    }

    #[test]
    fn what_is_no_number_is_not_made_a_bit() {
        let mut values = [f32::NAN, 1.0];
        Response::new([7; KEY_BYTES], 0.1).respond(&mut values, &[0.0], &Digest::of(b"a"));
        assert!(values[0].is_nan() && values[1].abs() == 1.0);
    }

    #[test]
    fn another_encoder_key_or_record_flips_others() {
        let response = Response::new([7; KEY_BYTES], 0.1);
        let one = flips(&response, 100, &Digest::of(b"a"));
        assert_ne!(one, flips(&response, 100, &Digest::of(b"b")));
        assert_ne!(one, flips(&Response::new([8; KEY_BYTES], 0.1), 100, &Digest::of(b"a")));
        assert_ne!(one[..8], one[8..16]);
    }
}
