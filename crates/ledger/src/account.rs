//! One record's account: what left about it, and which releases are known. Pure arithmetic.

use hashvfl_core::Digest;

use crate::epsilon::Epsilon;

/// What one release costs a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Bits that are sent: a capacity, not a privacy guarantee.
    pub bits: u32,
    /// Epsilon of the noise on them; `None` without noise: no finite epsilon holds then.
    pub epsilon: Option<Epsilon>,
}

/// What turned a record's columns into what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderIdentity {
    /// Names its exact state.
    pub digest: Digest,
    /// Whether it is fixed, so that the same record gives the same bytes again.
    pub frozen: bool,
}

/// The first 16 bytes of SHA-256 over an encoder's digest and what it made of a record; zeros for none.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ReleaseDigest([u8; 16]);

impl ReleaseDigest {
    /// Digest of `bytes` by `encoder`.
    pub fn of(encoder: &EncoderIdentity, bytes: &[u8]) -> Self {
        let digest = Digest::of_parts([encoder.digest.0.as_slice(), bytes]);
        let mut short = [0; 16];
        short.copy_from_slice(&digest.0[..16]);
        Self(short)
    }
}

// It tells whether a guessed code is right: it never reaches a log.
impl std::fmt::Debug for ReleaseDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReleaseDigest(..)")
    }
}

/// What has been released of one record, in its life.
///
/// Two releases are known again: the last by an encoder that learns and the last by a frozen one, so that
/// training does not make a frozen encoder's codes count twice. Older ones are forgotten: they count again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// Bits.
    pub bits: u64,
    /// Releases that differ, by bytes or encoder.
    pub encodings: u32,
    /// Those among them without noise, for which no finite epsilon holds.
    pub without_noise: u32,
    /// Sum over the others.
    pub epsilon: Epsilon,
    learning: ReleaseDigest,
    frozen: ReleaseDigest,
    frozen_by: [u8; 8],
}

impl Account {
    /// Bytes of an account in a store.
    pub const BYTES: usize = 64;

    /// Adds so many releases.
    pub fn charge(&mut self, cost: Cost, times: u32) {
        self.bits = self.bits.saturating_add(u64::from(cost.bits) * u64::from(times));
        self.encodings = self.encodings.saturating_add(times);
        match cost.epsilon {
            Some(epsilon) => self.epsilon = (0..times).fold(self.epsilon, |sum, _| sum.plus(epsilon)),
            None => self.without_noise = self.without_noise.saturating_add(times),
        }
    }

    /// Takes back a release that was charged and did not happen.
    pub fn refund(&mut self, cost: Cost) {
        self.bits = self.bits.saturating_sub(u64::from(cost.bits));
        self.encodings = self.encodings.saturating_sub(1);
        match cost.epsilon {
            Some(epsilon) => self.epsilon = self.epsilon.minus(epsilon),
            None => self.without_noise = self.without_noise.saturating_sub(1),
        }
    }

    /// The sum of epsilons; `None` once a release went out without noise.
    pub fn total_epsilon(&self) -> Option<Epsilon> {
        (self.without_noise == 0).then_some(self.epsilon)
    }

    /// Whether a release by `encoder` was exactly this one.
    pub fn knows(&self, encoder: &EncoderIdentity, release: ReleaseDigest) -> bool {
        let last = if encoder.frozen { self.frozen } else { self.learning };
        last == release && release != ReleaseDigest::default()
    }

    /// Whether `encoder` is frozen and gave the last release by a frozen one: what it gives now is then, as far
    /// as can be told before computing it, the same.
    pub fn expects(&self, encoder: &EncoderIdentity) -> bool {
        encoder.frozen && self.frozen != ReleaseDigest::default() && self.frozen_by == tag(encoder)
    }

    /// Remembers a release.
    pub fn remember(&mut self, encoder: &EncoderIdentity, release: ReleaseDigest) {
        if encoder.frozen {
            (self.frozen, self.frozen_by) = (release, tag(encoder));
        } else {
            self.learning = release;
        }
    }

    /// As a store keeps it.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.bits.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.encodings.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.without_noise.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.epsilon.units().to_le_bytes());
        bytes[24..40].copy_from_slice(&self.learning.0);
        bytes[40..56].copy_from_slice(&self.frozen.0);
        bytes[56..].copy_from_slice(&self.frozen_by);
        bytes
    }

    /// From what a store kept.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        fn part<const N: usize>(bytes: &[u8; Account::BYTES], start: usize) -> [u8; N] {
            std::array::from_fn(|index| bytes[start + index])
        }
        Self {
            bits: u64::from_le_bytes(part(bytes, 0)),
            encodings: u32::from_le_bytes(part(bytes, 8)),
            without_noise: u32::from_le_bytes(part(bytes, 12)),
            epsilon: Epsilon::from_units(u64::from_le_bytes(part(bytes, 16))),
            learning: ReleaseDigest(part(bytes, 24)),
            frozen: ReleaseDigest(part(bytes, 40)),
            frozen_by: part(bytes, 56),
        }
    }
}

fn tag(encoder: &EncoderIdentity) -> [u8; 8] {
    std::array::from_fn(|index| encoder.digest.0[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAR: Cost = Cost { bits: 16, epsilon: None };

    fn encoder(seed: u8, frozen: bool) -> EncoderIdentity {
        EncoderIdentity { digest: Digest([seed; 32]), frozen }
    }

    #[test]
    fn charges_add_and_refunds_take_back() {
        let noisy = Cost { bits: 8, epsilon: Epsilon::new(0.5) };
        let mut account = Account::default();
        account.charge(noisy, 1);
        account.charge(noisy, 1);
        assert_eq!((account.bits, account.encodings, account.total_epsilon()), (16, 2, Epsilon::new(1.0)));
        account.charge(CLEAR, 1);
        assert_eq!(account.total_epsilon(), None, "a release without noise has no finite epsilon");
        account.refund(CLEAR);
        assert_eq!((account.bits, account.encodings, account.total_epsilon()), (16, 2, Epsilon::new(1.0)));
    }

    #[test]
    fn a_release_is_its_bytes_and_its_encoder() {
        let (learning, frozen) = (encoder(1, false), encoder(2, true));
        let mut account = Account::default();
        assert!(!account.knows(&learning, ReleaseDigest::default()), "no release is none");
        account.remember(&frozen, ReleaseDigest::of(&frozen, b"a"));
        account.remember(&learning, ReleaseDigest::of(&learning, b"a"));
        assert!(account.knows(&learning, ReleaseDigest::of(&learning, b"a")));
        assert!(!account.knows(&learning, ReleaseDigest::of(&learning, b"b")));
        assert!(!account.knows(&learning, ReleaseDigest::of(&encoder(3, false), b"a")));
        assert!(account.expects(&frozen) && !account.expects(&encoder(3, true)));
        assert!(
            account.knows(&frozen, ReleaseDigest::of(&frozen, b"a")),
            "training does not make it forgotten"
        );
    }

    #[test]
    fn bytes_round_trip() {
        let frozen = encoder(7, true);
        let mut account = Account { bits: 1 << 40, encodings: 9, without_noise: 4, ..Account::default() };
        account.epsilon = Epsilon::from_units(12345);
        account.remember(&frozen, ReleaseDigest::of(&frozen, b"a"));
        account.remember(&encoder(8, false), ReleaseDigest::of(&frozen, b"b"));
        assert_eq!(Account::from_bytes(&account.to_bytes()), account);
    }
}
