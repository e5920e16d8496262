//! Where accounts are kept: a trait, and its form in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::account::Account;
use crate::flow::{Flow, Volume};
use crate::key::{RecordKey, Salt};

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error(
        "the ledger {0} is in use by another process: one at a time, so that every release is counted once"
    )]
    Locked(PathBuf),
    /// It is not there.
    #[error("there is no ledger {0}: a party makes it when it joins its first run")]
    Missing(PathBuf),
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

/// Accounts by record key, and totals by recipient.
pub trait Store {
    /// The salt of record keys: drawn when the store was made, the same ever after.
    fn salt(&self) -> Salt;

    /// Hands every account to `each`, in the order of keys.
    fn scan(&self, each: &mut dyn FnMut(RecordKey, Account)) -> Result<(), StoreError>;

    /// The totals.
    fn flows(&self) -> Result<BTreeMap<Flow, Volume>, StoreError>;

    /// Replaces accounts, which come in the order of keys, and totals: all of them or none. When this returns
    /// without an error, they outlast a crash of the process and of the machine.
    fn write(
        &mut self,
        accounts: &mut dyn Iterator<Item = (RecordKey, Account)>,
        flows: &BTreeMap<Flow, Volume>,
    ) -> Result<(), StoreError>;
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
}

impl MemoryStore {
    /// An empty store.
    pub fn new(salt: Salt) -> Self {
        Self(Arc::new(Mutex::new(Contents { salt, ..Contents::default() })))
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // A test that panicked has failed already.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn salt(&self) -> Salt {
        self.contents().salt
    }

    fn scan(&self, each: &mut dyn FnMut(RecordKey, Account)) -> Result<(), StoreError> {
        self.contents().accounts.iter().for_each(|(key, account)| each(*key, *account));
        Ok(())
    }

    fn flows(&self) -> Result<BTreeMap<Flow, Volume>, StoreError> {
        Ok(self.contents().flows.clone())
    }

    fn write(
        &mut self,
        accounts: &mut dyn Iterator<Item = (RecordKey, Account)>,
        flows: &BTreeMap<Flow, Volume>,
    ) -> Result<(), StoreError> {
        let mut contents = self.contents();
        contents.accounts.extend(accounts);
        contents.flows.extend(flows.iter().map(|(flow, volume)| (flow.clone(), *volume)));
        Ok(())
    }
}
