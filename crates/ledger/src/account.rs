//! One record's account: what left about it, and which releases are known. Pure arithmetic.

use hashvfl_core::Digest;
use hashvfl_core::codes::randomised_response::DrawName;

use crate::content::ContentKey;
use crate::epsilon::Epsilon;
use crate::key::short;

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

/// The first 16 bytes of SHA-256 over what names a release: the encoder's digest and what it made of a record, and with
/// randomised response the draw of its flips; zeros for none.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ReleaseDigest([u8; 16]);

impl ReleaseDigest {
    /// Digest of `bytes` by `encoder`.
    pub fn of(encoder: &EncoderIdentity, bytes: &[u8]) -> Self {
        Self(short(&Digest::of_parts([encoder.digest.0.as_slice(), bytes])))
    }

    /// Digest of `bytes` by `encoder` whose flips are of `draw`: the same bytes by another draw are another release.
    pub fn of_draw(encoder: &EncoderIdentity, draw: &DrawName, bytes: &[u8]) -> Self {
        Self(short(&Digest::of_parts([encoder.digest.0.as_slice(), draw.as_bytes(), bytes])))
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
/// The account recognises two earlier releases: the last one by a learning encoder and the last one by a frozen encoder, so
/// that training in between does not make a frozen encoder's codes count twice. Older releases are not recognised and count
/// again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// Bits.
    pub bits: u64,
    /// Releases that differ, by bytes or encoder.
    pub encodings: u32,
    /// Those among them without noise, for which no finite epsilon holds.
    pub without_noise: u32,
    /// The formal sum over the others: a guarantee only where [`Self::total_epsilon`] says so.
    pub epsilon: Epsilon,
    /// Whether a bottom model or its preprocessing was fitted on the record in a run with randomised response.
    pub learned_from: bool,
    /// Whether flips were drawn the old way, from content alone, for some of its releases.
    pub old_draw: bool,
    /// Of its columns when something of it was released last.
    pub content: ContentKey,
    learning: ReleaseDigest,
    frozen: ReleaseDigest,
    frozen_by: [u8; 8],
}

/// The most that any of some records has released; each figure may be another record's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MostReleased {
    /// Bits.
    pub bits: u64,
    /// Releases.
    pub encodings: u32,
    /// The sum of epsilons, of records for which a finite one holds.
    pub epsilon: Epsilon,
    /// How many records have no finite epsilon.
    pub without_epsilon: usize,
}

impl MostReleased {
    /// Takes another record's account in.
    pub fn take(&mut self, account: &Account) {
        self.bits = self.bits.max(account.bits);
        self.encodings = self.encodings.max(account.encodings);
        match account.total_epsilon() {
            Some(epsilon) => self.epsilon = self.epsilon.max(epsilon),
            None => self.without_epsilon += 1,
        }
    }
}

impl Account {
    /// Bytes of an account in a store.
    pub const BYTES: usize = 96;
    /// Bytes of an account in a store of an earlier version.
    pub const OLD_BYTES: usize = 64;

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

    /// The sum of epsilons; `None` where no finite one holds.
    pub fn total_epsilon(&self) -> Option<Epsilon> {
        (self.without_noise == 0 && !self.learned_from && !self.old_draw).then_some(self.epsilon)
    }

    /// The sum in words: a number, or "none" with the formal sum where there is one.
    pub fn epsilon_in_words(&self) -> String {
        match self.total_epsilon() {
            Some(epsilon) => epsilon.to_string(),
            None if self.epsilon == Epsilon::default() => "none".to_string(),
            None => format!("none (formal sum {})", self.epsilon),
        }
    }

    /// Takes in what another account counted of the same record, under an id that was spelt otherwise.
    pub fn fold(&mut self, other: &Self) {
        self.bits = self.bits.saturating_add(other.bits);
        self.encodings = self.encodings.saturating_add(other.encodings);
        self.without_noise = self.without_noise.saturating_add(other.without_noise);
        self.epsilon = self.epsilon.plus(other.epsilon);
        self.learned_from |= other.learned_from;
        self.old_draw |= other.old_draw;
        if self.content == ContentKey::default() {
            self.content = other.content;
        }
        if self.learning == ReleaseDigest::default() {
            self.learning = other.learning;
        }
        if self.frozen == ReleaseDigest::default() {
            (self.frozen, self.frozen_by) = (other.frozen, other.frozen_by);
        }
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
        bytes[56..64].copy_from_slice(&self.frozen_by);
        bytes[64..80].copy_from_slice(&self.content.0);
        bytes[80] = u8::from(self.learned_from);
        bytes[81] = u8::from(self.old_draw);
        bytes
    }

    /// From what a store kept.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let old = Self::from_old_bytes(&part(bytes, 0));
        let (learned_from, old_draw) = (bytes[80] != 0, bytes[81] != 0);
        Self { learned_from, old_draw, content: ContentKey(part(bytes, 64)), ..old }
    }

    /// From what a store of an earlier version kept: whatever noise it counts was drawn the old way.
    pub fn from_old_bytes(bytes: &[u8; Self::OLD_BYTES]) -> Self {
        let epsilon = Epsilon::from_units(u64::from_le_bytes(part(bytes, 16)));
        Self {
            bits: u64::from_le_bytes(part(bytes, 0)),
            encodings: u32::from_le_bytes(part(bytes, 8)),
            without_noise: u32::from_le_bytes(part(bytes, 12)),
            epsilon,
            learned_from: false,
            old_draw: epsilon != Epsilon::default(),
            content: ContentKey::default(),
            learning: ReleaseDigest(part(bytes, 24)),
            frozen: ReleaseDigest(part(bytes, 40)),
            frozen_by: part(bytes, 56),
        }
    }
}

/// The `N` bytes from `start`.
fn part<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[start + index])
}

fn tag(encoder: &EncoderIdentity) -> [u8; 8] {
    std::array::from_fn(|index| encoder.digest.0[index])
}

#[cfg(test)]
mod tests {
    use hashvfl_core::CodeForm;
    use hashvfl_core::codes::randomised_response::{FlipRequest, RequestPlace, Response};

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
    fn learned_from_or_of_the_old_draw_no_finite_epsilon_holds_and_the_sum_goes_on() {
        let noisy = Cost { bits: 8, epsilon: Epsilon::new(16.0) };
        let mut account = Account::default();
        account.charge(noisy, 2);
        assert_eq!(account.epsilon_in_words(), "32");
        for flagged in [
            Account { learned_from: true, ..account },
            Account { old_draw: true, ..account },
            Account { without_noise: 1, ..account },
        ] {
            let mut flagged = flagged;
            assert_eq!(flagged.total_epsilon(), None);
            flagged.charge(noisy, 1);
            assert_eq!(flagged.epsilon_in_words(), "none (formal sum 48)");
            flagged.refund(noisy);
            assert_eq!(flagged.epsilon_in_words(), "none (formal sum 32)");
        }
        let mut clear = Account::default();
        clear.charge(CLEAR, 1);
        assert_eq!(clear.epsilon_in_words(), "none");
    }

    #[test]
    fn another_draw_of_the_same_bytes_is_another_release() {
        let frozen = encoder(2, true);
        let draws = |serving: u64| {
            let place = RequestPlace::Serving { process: &[0; 32], draw: serving };
            let request = FlipRequest { encoder: frozen.digest, place, ids: &[], columns: &[1.0] };
            Response::new([1; 32], 1.0, CodeForm::signs(2)).respond(&request, &mut [1.0, 1.0], 2)[0]
        };
        let release = |serving| ReleaseDigest::of_draw(&frozen, &draws(serving), b"a");
        assert_eq!(release(0), release(0));
        assert_ne!(release(0), release(1));
        assert_ne!(release(0), ReleaseDigest::of(&frozen, b"a"));
    }

    #[test]
    fn what_two_spellings_counted_adds_up() {
        let mut one = Account { bits: 8, encodings: 1, without_noise: 1, ..Account::default() };
        let frozen = encoder(7, true);
        let mut other = Account { bits: 16, encodings: 2, learned_from: true, ..Account::default() };
        other.epsilon = Epsilon::from_units(5);
        other.remember(&frozen, ReleaseDigest::of(&frozen, b"a"));
        one.fold(&other);
        assert_eq!((one.bits, one.encodings, one.without_noise, one.epsilon.units()), (24, 3, 1, 5));
        assert!(one.learned_from && one.knows(&frozen, ReleaseDigest::of(&frozen, b"a")));
    }

    #[test]
    fn bytes_round_trip_and_those_of_before_are_read() {
        let frozen = encoder(7, true);
        let mut account = Account { bits: 1 << 40, encodings: 9, without_noise: 4, ..Account::default() };
        account.epsilon = Epsilon::from_units(12345);
        account.remember(&frozen, ReleaseDigest::of(&frozen, b"a"));
        account.remember(&encoder(8, false), ReleaseDigest::of(&frozen, b"b"));
        let old = Account::from_old_bytes(&part(&account.to_bytes(), 0));
        assert_eq!(
            old,
            Account { old_draw: true, ..account },
            "noise that was counted was drawn the old way"
        );
        for (learned_from, old_draw) in [(true, false), (false, true)] {
            let flagged = Account { learned_from, old_draw, content: ContentKey([3; 16]), ..account };
            assert_eq!(Account::from_bytes(&flagged.to_bytes()), flagged);
        }
        let clear = Account { epsilon: Epsilon::default(), ..account };
        assert!(!Account::from_old_bytes(&part(&clear.to_bytes(), 0)).old_draw);
    }
}
