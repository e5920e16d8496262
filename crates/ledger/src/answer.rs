//! Answers that are kept: what a frozen encoder sent of a record with its flips, to be sent again as it was.

use hashvfl_core::{CanonicalId, Digest};

use crate::account::ReleaseDigest;
use crate::error::LedgerError;
use crate::key::{RecordKey, Salt, short};
use crate::store::Store;

/// Names what was asked of a record: its columns, and the frozen encoder. The first 16 bytes of SHA-256 over them and the
/// salt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnswerName(pub(crate) [u8; 16]);

impl AnswerName {
    /// What `encoder` answers about a record with these encoded `columns`, in the ledger with that salt.
    pub fn of(salt: &Salt, encoder: &Digest, columns: &[f32]) -> Self {
        let columns: Vec<u8> = columns.iter().flat_map(|value| value.to_le_bytes()).collect();
        let parts = [b"hashvfl.v1 answer".as_slice(), salt, &encoder.0, &columns];
        Self(short(&Digest::of_parts(parts)))
    }
}

// It tells whether guessed columns are right: it never reaches a log.
impl std::fmt::Debug for AnswerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerName(..)")
    }
}

/// A record's answer to be kept, with the digest of its release.
pub struct KeptAnswer {
    /// What was asked.
    pub name: AnswerName,
    /// Names the release.
    pub release: ReleaseDigest,
    /// What is sent.
    pub bytes: Vec<u8>,
}

/// Where an answer is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnswerKey {
    /// The record.
    pub record: RecordKey,
    /// What was asked.
    pub name: AnswerName,
}

/// Forgets all answers that are kept about the records `ids`, and tells how many there were. Their accounts stay: what has
/// left has left, and whoever asks again gets a fresh draw, which is charged.
pub fn forget_answers(store: &mut impl Store, ids: &[CanonicalId]) -> Result<u64, LedgerError> {
    let salt = store.salt();
    let mut records: Vec<RecordKey> = ids.iter().map(|id| RecordKey::of(&salt, id)).collect();
    records.sort_unstable();
    records.dedup();
    Ok(store.forget(&records)?)
}
