//! The records of a run. This file: a check that all holders have the same records in the same order, by one salted
//! digest over the whole list of ids.
//!
//! Never a digest per id: ids are guessable, and a list of their hashes is a list of the ids.

pub mod canonical;
pub mod composite_id;
pub mod excluded;
pub mod order;
pub mod plan;
pub mod record_keys;
pub mod rows;
pub mod run_records;

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

/// Bytes of the salt that the coordinator draws for one handshake.
pub const SALT_BYTES: usize = 32;

/// What a holder says of its records: how many, and one digest of all ids in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordsDigest {
    /// Number of records.
    pub count: u64,
    /// SHA-256 over the salt and the length-prefixed ids in row order.
    pub digest: Digest,
}

impl RecordsDigest {
    /// Digests `ids` in their order under `salt`.
    pub fn of<'a>(salt: &[u8; SALT_BYTES], ids: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"hashvfl.v1 records");
        hasher.update(salt);
        let mut count = 0;
        for id in ids {
            hasher.update((id.len() as u64).to_le_bytes());
            hasher.update(id.as_bytes());
            count += 1;
        }
        Self { count, digest: Digest(hasher.finalize().into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_salt_and_boundaries_matter() {
        let salt = [1; SALT_BYTES];
        let base = RecordsDigest::of(&salt, ["ab", "c"]);
        assert_eq!(base, RecordsDigest::of(&salt, ["ab", "c"]));
        assert_ne!(base, RecordsDigest::of(&salt, ["c", "ab"]));
        assert_ne!(base, RecordsDigest::of(&salt, ["a", "bc"]));
        assert_ne!(base.digest, RecordsDigest::of(&[2; SALT_BYTES], ["ab", "c"]).digest);
    }
}
