//! What a record's columns are, as a ledger keeps it: a digest that its salt keys.

use std::collections::HashSet;

use hashvfl_core::{Digest, TableIds};

use crate::key::{RecordKey, Salt, short};
use crate::store::{Accounts, StoreError};

/// The first 16 bytes of SHA-256 over salt and a digest of a record's columns; zeros for none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ContentKey(pub(crate) [u8; 16]);

impl ContentKey {
    /// Of columns with this digest, in the ledger with that salt.
    pub fn of(salt: &Salt, columns: &Digest) -> Self {
        Self(short(&Digest::of_parts([b"hashvfl.v1 content".as_slice(), salt, &columns.0])))
    }
}

// It tells whether guessed columns are right: it never reaches a log.
impl std::fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContentKey(..)")
    }
}

/// Records of a table that have no account, and the same columns as a record that has one under another id. `columns`
/// are digests of the records' columns, in row order.
pub fn known_under_other_ids(
    ledger: &impl Accounts,
    ids: TableIds,
    columns: &[Digest],
) -> Result<usize, StoreError> {
    let (mut accounts, mut contents) = (HashSet::new(), HashSet::new());
    ledger.scan(&mut |key, account| {
        accounts.insert(key);
        contents.extend((account.content != ContentKey::default()).then_some(account.content));
    })?;
    let salt = ledger.salt();
    let records = ids.ids.iter().zip(ids.canonical()).zip(columns);
    let known_elsewhere = records.filter(|((spelt, id), columns)| {
        let has_account = accounts.contains(&RecordKey::of(&salt, id))
            || accounts.contains(&RecordKey::of_spelling(&salt, spelt));
        !has_account && contents.contains(&ContentKey::of(&salt, columns))
    });
    Ok(known_elsewhere.count())
}
