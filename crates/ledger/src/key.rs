//! Under which key a record is kept: its id is never stored.

use hashvfl_core::hex::hex;
use hashvfl_core::{CanonicalId, Digest};

/// The holder's secret, drawn when a ledger is made. Without it a guessed id cannot be looked up in a ledger.
pub type Salt = [u8; 32];

/// The first 16 bytes of SHA-256 over salt and canonical id: the same for a record across runs, coordinators, restarts and
/// spellings of its id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(pub [u8; 16]);

impl RecordKey {
    /// The key of the record `id` in the ledger with that salt.
    pub fn of(salt: &Salt, id: &CanonicalId) -> Self {
        Self::of_spelling(salt, id.as_str())
    }

    /// The key under which ledgers of earlier versions kept an id that was spelt so.
    pub(crate) fn of_spelling(salt: &Salt, id: &str) -> Self {
        Self(short(&Digest::of_parts([b"hashvfl.v1 ledger".as_slice(), salt, id.as_bytes()])))
    }

    /// As 32 hex digits, for the holder's own export.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }
}

/// The first half of a digest.
pub(crate) fn short(digest: &Digest) -> [u8; 16] {
    std::array::from_fn(|index| digest.0[index])
}

// A key stands for a record: it never reaches a log, not even through a forgotten `{:?}`.
impl std::fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecordKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_depend_on_salt_and_id_and_are_not_shown() {
        let of = |salt, id| RecordKey::of(&[salt; 32], &CanonicalId::of(id, 1));
        let key = of(1, "r1");
        assert_eq!((key, key), (of(1, "r1"), of(1, " R1")));
        assert_ne!(key, of(1, "r2"));
        assert_ne!(key, of(2, "r1"));
        assert_eq!(format!("{key:?}"), "RecordKey(..)");
        assert_eq!(key.to_hex().len(), 32);
    }
}
