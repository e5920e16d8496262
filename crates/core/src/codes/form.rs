//! What a code is made of: signs, or levels of latents.
//!
//! A latent of b bits has one of 2^b levels, which travels as a Gray code (Gray 1953), its most significant bit first:
//! neighbouring levels differ in one bit, and where levels are equally common each bit is +1 half the time. A latent of
//! one bit is a sign.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_BITS, MAX_BITS_PER_LATENT};

/// How many latents a code has, and how many bits each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeForm {
    latents: usize,
    bits_per_latent: usize,
}

impl std::fmt::Display for CodeForm {
    /// Latents, and bits of each: `2x3`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.latents, self.bits_per_latent)
    }
}

impl std::str::FromStr for CodeForm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<(usize, usize)> =
            text.split_once('x').and_then(|(latents, bits)| latents.parse().ok().zip(bits.parse().ok()));
        let fits = |(latents, bits): &(usize, usize)| {
            (1..=MAX_BITS_PER_LATENT).contains(bits) && (1..=MAX_BITS / bits).contains(latents)
        };
        let form = numbers.filter(fits).map(|(latents, bits)| Self::new(latents, bits));
        form.ok_or_else(|| {
            format!("expected latents x bits of each, 1 to {MAX_BITS_PER_LATENT}, such as 2x3")
        })
    }
}

impl CodeForm {
    /// `latents` latents of `bits_per_latent` bits each, 1 to [`MAX_BITS_PER_LATENT`].
    pub const fn new(latents: usize, bits_per_latent: usize) -> Self {
        Self { latents, bits_per_latent }
    }

    /// A code of so many signs.
    pub const fn signs(bits: usize) -> Self {
        Self::new(bits, 1)
    }

    /// Whether each latent is one bit.
    pub fn is_signs(self) -> bool {
        self.bits_per_latent == 1
    }

    /// Latents of a code.
    pub fn latents(self) -> usize {
        self.latents
    }

    /// Bits of a latent.
    pub fn bits_per_latent(self) -> usize {
        self.bits_per_latent
    }

    /// Bits of a code.
    pub fn bits(self) -> usize {
        self.latents * self.bits_per_latent
    }

    /// Levels of a latent.
    pub fn levels(self) -> usize {
        1 << self.bits_per_latent
    }

    /// Thresholds between the levels of a latent.
    pub fn thresholds(self) -> usize {
        self.levels() - 1
    }

    /// The value of a level, counted from 0, to a top model. Equally common levels have mean 0 and variance 1, and two of
    /// them are -1 and +1.
    pub fn value(self, level: usize) -> f32 {
        (2.0 * level as f32 - self.thresholds() as f32) * self.half_step()
    }

    /// Half of the distance between the values of neighbouring levels.
    pub fn half_step(self) -> f32 {
        let levels = self.levels() as f32;
        (3.0 / (levels * levels - 1.0)).sqrt()
    }

    /// Writes the Gray code of `level`, counted from 0, into `bits`, one latent's, as +1 and -1.
    pub fn put_level(self, level: usize, bits: &mut [f32]) {
        let gray = level ^ (level >> 1);
        for (bit, place) in bits.iter_mut().zip((0..self.bits_per_latent).rev()) {
            *bit = if gray >> place & 1 == 1 { 1.0 } else { -1.0 };
        }
    }

    /// The level, counted from 0, whose Gray code the signs of `bits` are, one latent's.
    pub fn level(bits: &[f32]) -> usize {
        let (mut level, mut bit) = (0, false);
        for value in bits {
            bit ^= *value >= 0.0;
            level = level << 1 | usize::from(bit);
        }
        level
    }

    /// What codes say to a top model: `signs` [.., bits] of +1 and -1 as values [.., latents]. The zeros of a code that is
    /// left out become zeros.
    pub fn decode(self, signs: &[f32]) -> Cow<'_, [f32]> {
        if self.is_signs() {
            return Cow::Borrowed(signs);
        }
        let values = signs.chunks_exact(self.bits_per_latent).map(|bits| match bits.first() {
            Some(0.0) | None => 0.0,
            Some(_) => self.value(Self::level(bits)),
        });
        Cow::Owned(values.collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::MAX_BITS_PER_LATENT;

    fn gray(form: CodeForm, level: usize) -> Vec<f32> {
        let mut bits = vec![0.0; form.bits_per_latent()];
        form.put_level(level, &mut bits);
        bits
    }

    #[test]
    fn neighbouring_levels_differ_in_one_bit_and_each_bit_is_set_in_half_of_them() {
        for bits_per_latent in 1..=MAX_BITS_PER_LATENT {
            let form = CodeForm::new(1, bits_per_latent);
            let codes: Vec<Vec<f32>> = (0..form.levels()).map(|level| gray(form, level)).collect();
            for pair in codes.windows(2) {
                assert_eq!(pair[0].iter().zip(&pair[1]).filter(|(a, b)| a != b).count(), 1);
            }
            for bit in 0..bits_per_latent {
                assert_eq!(codes.iter().filter(|code| code[bit] > 0.0).count(), form.levels() / 2);
            }
            for (level, code) in codes.iter().enumerate() {
                assert_eq!(CodeForm::level(code), level);
            }
        }
    }

    #[test]
    fn values_of_equally_common_levels_have_mean_0_and_variance_1() {
        for bits_per_latent in 1..=MAX_BITS_PER_LATENT {
            let form = CodeForm::new(1, bits_per_latent);
            let values: Vec<f64> = (0..form.levels()).map(|level| f64::from(form.value(level))).collect();
            let mean =
                |power| values.iter().map(|value| value.powi(power)).sum::<f64>() / values.len() as f64;
            assert!(mean(1).abs() < 1e-6 && (mean(2) - 1.0).abs() < 1e-5);
            assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
        }
        assert_eq!([0, 1].map(|level| CodeForm::signs(3).value(level)), [-1.0, 1.0]);
    }

    #[test]
    fn a_code_that_is_left_out_says_nothing() {
        let form = CodeForm::new(2, 2);
        let signs = [1.0, -1.0, -1.0, -1.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(form.decode(&signs)[..], [form.value(3), form.value(0), 0.0, 0.0]);
        assert_eq!(CodeForm::signs(4).decode(&signs)[..], signs);
    }

    proptest! {
        #[test]
        fn any_signs_are_levels(bits in 1_usize..=MAX_BITS_PER_LATENT, signs in prop::collection::vec(any::<bool>(), 8..64)) {
            let form = CodeForm::new(signs.len() / bits, bits);
            let signs: Vec<f32> = signs[..form.bits()].iter().map(|s| if *s { 1.0 } else { -1.0 }).collect();
            let values = form.decode(&signs);
            prop_assert_eq!(values.len(), form.latents());
            for (code, value) in signs.chunks_exact(bits).zip(values.iter()) {
                let level = CodeForm::level(code);
                prop_assert_eq!(form.value(level), *value);
                prop_assert_eq!(&gray(form, level)[..], code);
            }
        }
    }
}
