//! Where accounts are kept: a trait, and its form in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashvfl_core::CanonicalId;

use crate::account::Account;
use crate::answer::AnswerKey;
use crate::flow::{Flow, Volume};
use crate::key::{RecordKey, Salt};

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error(
        "the ledger {0} is in use by another process: only one at a time may use it, so that every release is counted once"
    )]
    Locked(PathBuf),
    /// It is not there.
    #[error("the ledger {0} does not exist: it is created when this side's first run or alignment starts")]
    Missing(PathBuf),
    /// A process that had it open was killed.
    #[error(
        "the ledger {0} was not closed properly: the next run, or another command that writes it, repairs it"
    )]
    NotClosed(PathBuf),
    /// The file is damaged or no ledger.
    #[error(
        "the ledger {path} is damaged or no ledger: {reason}: restore it from a backup; without it nothing is sent"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("cannot {what} the ledger {path}: {reason}")]
    Io {
        /// "make", "open", "read" or "write".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Accounts by record key, to be read.
pub trait Accounts {
    /// The salt of record keys: drawn when the store was made, the same ever after.
    fn salt(&self) -> Salt;

    /// Hands every account to `each`, in the order of keys.
    fn scan(&self, each: &mut dyn FnMut(RecordKey, Account)) -> Result<(), StoreError>;
}

/// What one durable write changes.
pub struct LedgerWrite<'a> {
    /// Accounts, in the order of keys; `None` takes one out.
    pub accounts: &'a mut dyn Iterator<Item = (RecordKey, Option<Account>)>,
    /// Totals.
    pub flows: &'a BTreeMap<Flow, Volume>,
    /// Answers that are kept from now on.
    pub answers: &'a [(AnswerKey, Vec<u8>)],
}

/// Accounts, totals by recipient, and answers that are kept.
pub trait Store: Accounts {
    /// The totals.
    fn flows(&self) -> Result<BTreeMap<Flow, Volume>, StoreError>;

    /// The answers that are kept under `keys`, in their order.
    fn answers(&self, keys: &[AnswerKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Makes all of the changes or none of them. When this returns without an error, they outlast a crash of the process
    /// and of the machine.
    fn write(&mut self, changes: LedgerWrite) -> Result<(), StoreError>;

    /// Forgets all answers about `records`, durably, and tells how many there were.
    fn forget(&mut self, records: &[RecordKey]) -> Result<u64, StoreError>;
}

/// The account of the record `id`, which a table may spell as `spelt`: both, where an earlier version made one of its
/// own under that spelling.
pub fn find(accounts: &impl Accounts, id: &CanonicalId, spelt: &str) -> Result<Option<Account>, StoreError> {
    let salt = accounts.salt();
    let keys = [RecordKey::of(&salt, id), RecordKey::of_spelling(&salt, spelt)];
    let mut found: Option<Account> = None;
    accounts.scan(&mut |key, account| {
        if keys.contains(&key) {
            found.get_or_insert_default().fold(&account);
        }
    })?;
    Ok(found)
}

/// A store that lives as long as its process, for tests and simulations. Clones share what they hold, as
/// openings of one file do.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    salt: Salt,
    accounts: BTreeMap<RecordKey, Account>,
    flows: BTreeMap<Flow, Volume>,
    answers: BTreeMap<AnswerKey, Vec<u8>>,
    /// Writes until one fails.
    left: Option<u64>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(salt: Salt) -> Self {
        Self(Arc::new(Mutex::new(Contents { salt, ..Contents::default() })))
    }

    /// Lets one write fail, as on a full disk: that which follows `writes` others.
    pub fn fail_after(&self, writes: u64) {
        self.contents().left = Some(writes);
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // A test that panicked has failed already.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts for MemoryStore {
    fn salt(&self) -> Salt {
        self.contents().salt
    }

    fn scan(&self, each: &mut dyn FnMut(RecordKey, Account)) -> Result<(), StoreError> {
        self.contents().accounts.iter().for_each(|(key, account)| each(*key, *account));
        Ok(())
    }
}

impl Store for MemoryStore {
    fn flows(&self) -> Result<BTreeMap<Flow, Volume>, StoreError> {
        Ok(self.contents().flows.clone())
    }

    fn answers(&self, keys: &[AnswerKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let contents = self.contents();
        Ok(keys.iter().map(|key| contents.answers.get(key).cloned()).collect())
    }

    fn write(&mut self, changes: LedgerWrite) -> Result<(), StoreError> {
        let mut contents = self.contents();
        let left = contents.left.take();
        if left == Some(0) {
            let reason = "no space is left".to_string();
            return Err(StoreError::Io { what: "write", path: "memory".into(), reason });
        }
        contents.left = left.map(|left| left - 1);
        for (key, account) in changes.accounts {
            match account {
                Some(account) => contents.accounts.insert(key, account),
                None => contents.accounts.remove(&key),
            };
        }
        contents.flows.extend(changes.flows.iter().map(|(flow, volume)| (flow.clone(), *volume)));
        contents.answers.extend(changes.answers.iter().cloned());
        Ok(())
    }

    fn forget(&mut self, records: &[RecordKey]) -> Result<u64, StoreError> {
        let mut contents = self.contents();
        let before = contents.answers.len();
        contents.answers.retain(|key, _| !records.contains(&key.record));
        Ok((before - contents.answers.len()) as u64)
    }
}
