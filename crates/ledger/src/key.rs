//! Under which key a record is kept: its id is never stored.

use hashvfl_core::Digest;

/// The holder's secret, drawn when a ledger is made. Without it a guessed id cannot be looked up in a ledger.
pub type Salt = [u8; 32];

/// The first 16 bytes of SHA-256 over salt and id: the same for a record across runs, coordinators and restarts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(pub [u8; 16]);

impl RecordKey {
    /// The key of the record `id` in the ledger with that salt.
    pub fn of(salt: &Salt, id: &str) -> Self {
        let digest = Digest::of_parts([b"hashvfl.v1 ledger".as_slice(), salt, id.as_bytes()]);
        let mut key = [0; 16];
        key.copy_from_slice(&digest.0[..16]);
        Self(key)
    }

    /// As 32 hex digits, for the holder's own export.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
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
        let key = RecordKey::of(&[1; 32], "r1");
        assert_eq!(key, RecordKey::of(&[1; 32], "r1"));
        assert_ne!(key, RecordKey::of(&[1; 32], "r2"));
        assert_ne!(key, RecordKey::of(&[2; 32], "r1"));
        assert_eq!(format!("{key:?}"), "RecordKey(..)");
        assert_eq!(key.to_hex().len(), 32);
    }
}
