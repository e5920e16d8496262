//! The store on disk: redb, an embedded database in one file.
//!
//! Accounts lie in 4,096 buckets by the first 12 bits of their keys, so that a pass over a million records rewrites
//! 4,096 values in order, not a million. Fewer buckets would make small writes slower, more of them small tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::TryRng;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use crate::account::Account;
use crate::flow::{Flow, FlowKind, Volume};
use crate::key::{RecordKey, Salt};
use crate::store::{Store, StoreError};

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("hashvfl.v1 meta");
const BUCKETS: TableDefinition<u16, &[u8]> = TableDefinition::new("accounts");
const FLOWS: TableDefinition<(&str, &str), (u64, u64)> = TableDefinition::new("flows");
/// Of pages of the file, in memory.
const CACHE_BYTES: usize = 32 << 20;
const ENTRY_BYTES: usize = 16 + Account::BYTES;

/// A ledger file. It is locked while it is open.
pub struct RedbStore {
    database: Database,
    path: PathBuf,
    salt: Salt,
}

impl RedbStore {
    /// Opens a ledger, or makes one that its owner alone can read.
    pub fn open_or_create(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            make(path)?;
        }
        Self::open(path)
    }

    /// Opens a ledger that is there.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing(path.to_path_buf()));
        }
        let database = builder().open(path);
        Self::with(database.map_err(|error| opening(path, error))?, path)
    }

    fn with(database: Database, path: &Path) -> Result<Self, StoreError> {
        let salt = (|| -> Result<Option<Salt>, redb::Error> {
            let meta = database.begin_read()?.open_table(META)?;
            let salt = meta.get("salt")?;
            Ok(salt.and_then(|salt| salt.value().try_into().ok()))
        })();
        let salt = salt.map_err(|error| failed("read", path, error))?;
        let salt = salt.ok_or_else(|| damaged(path, "its salt is missing"))?;
        Ok(Self { database, path: path.to_path_buf(), salt })
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.path.metadata().map_or(0, |metadata| metadata.len())
    }
}

impl Store for RedbStore {
    fn salt(&self) -> Salt {
        self.salt
    }

    fn scan(&self, each: &mut dyn FnMut(RecordKey, Account)) -> Result<(), StoreError> {
        let mut whole = true;
        let scanned = (|| -> Result<(), redb::Error> {
            let buckets = self.database.begin_read()?.open_table(BUCKETS)?;
            for bucket in buckets.iter()? {
                let (_, bytes) = bucket?;
                let (entries, rest) = bytes.value().as_chunks::<ENTRY_BYTES>();
                whole &= rest.is_empty();
                entries.iter().map(decode).for_each(|(key, account)| each(key, account));
            }
            Ok(())
        })();
        scanned.map_err(|error| failed("read", &self.path, error))?;
        if whole { Ok(()) } else { Err(damaged(&self.path, "an entry is cut off")) }
    }

    fn flows(&self) -> Result<BTreeMap<Flow, Volume>, StoreError> {
        let read = (|| -> Result<BTreeMap<Flow, Volume>, redb::Error> {
            let table = self.database.begin_read()?.open_table(FLOWS)?;
            let mut flows = BTreeMap::new();
            for row in table.iter()? {
                let (name, volume) = row?;
                let ((recipient, kind), (items, bits)) = (name.value(), volume.value());
                if let Some(kind) = FlowKind::from_name(kind) {
                    flows.insert(Flow::new(recipient, kind), Volume { items, bits });
                }
            }
            Ok(flows)
        })();
        read.map_err(|error| failed("read", &self.path, error))
    }

    fn write(
        &mut self,
        accounts: &mut dyn Iterator<Item = (RecordKey, Account)>,
        flows: &BTreeMap<Flow, Volume>,
    ) -> Result<(), StoreError> {
        let written = (|| -> Result<(), redb::Error> {
            // A transaction is durable when its commit returns, redb's default.
            let transaction = self.database.begin_write()?;
            {
                let mut table = transaction.open_table(BUCKETS)?;
                let mut accounts = accounts.peekable();
                let mut changes = Vec::new();
                while let Some((key, _)) = accounts.peek() {
                    let bucket = bucket_of(*key);
                    changes.clear();
                    changes.extend(std::iter::from_fn(|| {
                        accounts.next_if(|(key, _)| bucket_of(*key) == bucket)
                    }));
                    let old = table.get(bucket)?.map(|bytes| bytes.value().to_vec()).unwrap_or_default();
                    table.insert(bucket, merge(&old, &changes).as_slice())?;
                }
                let mut table = transaction.open_table(FLOWS)?;
                for (flow, volume) in flows {
                    table
                        .insert((flow.recipient.as_str(), flow.kind.as_str()), (volume.items, volume.bits))?;
                }
            }
            Ok(transaction.commit()?)
        })();
        written.map_err(|error| failed("write", &self.path, error))
    }
}

/// Makes an empty ledger under another name and gives it its own once it is whole: a process killed here leaves no
/// ledger, never half of one.
fn make(path: &Path) -> Result<(), StoreError> {
    let io = |error: std::io::Error| io("make", path, error);
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    if new.exists() {
        std::fs::remove_file(&new).map_err(io)?;
    }
    hashvfl_files::owner_only().read(true).write(true).create_new(true).open(&new).map_err(io)?;
    let mut salt = Salt::default();
    rand::rngs::SysRng.try_fill_bytes(&mut salt).map_err(|error| StoreError::Io {
        what: "make",
        path: path.to_path_buf(),
        reason: error.to_string(),
    })?;
    let database = builder().create(&new).map_err(|error| opening(path, error))?;
    let filled = (|| -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(META)?.insert("salt", salt.as_slice())?;
        transaction.open_table(BUCKETS)?;
        transaction.open_table(FLOWS)?;
        Ok(transaction.commit()?)
    })();
    filled.map_err(|error| failed("make", path, error))?;
    drop(database);
    // A link, not a new name: it never takes the place of a ledger that another process made meanwhile.
    match std::fs::hard_link(&new, path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(io(error)),
        _ => std::fs::remove_file(&new).map_err(io)?,
    }
    // The file's name must be durable too.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    }
    Ok(())
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_check_integrity_on_open(true).set_cache_size(CACHE_BYTES);
    builder
}

fn bucket_of(key: RecordKey) -> u16 {
    u16::from_be_bytes([key.0[0], key.0[1]]) >> 4
}

fn decode(entry: &[u8; ENTRY_BYTES]) -> (RecordKey, Account) {
    let key = RecordKey(std::array::from_fn(|index| entry[index]));
    (key, Account::from_bytes(&std::array::from_fn(|index| entry[16 + index])))
}

/// The entries of `old` with `changes` put in, both in the order of keys.
fn merge(old: &[u8], changes: &[(RecordKey, Account)]) -> Vec<u8> {
    let (kept, _) = old.as_chunks::<ENTRY_BYTES>();
    let mut kept = kept.iter().peekable();
    let mut merged = Vec::with_capacity(old.len() + changes.len() * ENTRY_BYTES);
    for (key, account) in changes {
        while let Some(entry) = kept.next_if(|entry| entry[..16] < key.0[..]) {
            merged.extend(entry);
        }
        kept.next_if(|entry| entry[..16] == key.0[..]);
        merged.extend(key.0);
        merged.extend(account.to_bytes());
    }
    merged.extend(kept.flatten());
    merged
}

fn io(what: &'static str, path: &Path, error: impl ToString) -> StoreError {
    StoreError::Io { what, path: path.to_path_buf(), reason: error.to_string() }
}

fn damaged(path: &Path, reason: impl ToString) -> StoreError {
    StoreError::Damaged { path: path.to_path_buf(), reason: reason.to_string() }
}

fn opening(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::Locked(path.to_path_buf())
        }
        error => failed("open", path, error.into()),
    }
}

fn failed(what: &'static str, path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::Io(ref source) if source.kind() != std::io::ErrorKind::InvalidData => {
            io(what, path, source)
        }
        error => damaged(path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Cost;

    fn key(first: u8, rest: u8) -> RecordKey {
        let mut key = [rest; 16];
        key[..2].copy_from_slice(&[first, 0]);
        RecordKey(key)
    }

    fn account(encodings: u32) -> Account {
        let mut account = Account::default();
        account.charge(Cost { bits: 4, epsilon: None }, encodings);
        account
    }

    fn all(store: &RedbStore) -> Vec<(RecordKey, u64)> {
        let mut found = Vec::new();
        store.scan(&mut |key, account| found.push((key, account.bits))).unwrap();
        found
    }

    #[test]
    fn what_a_process_killed_while_it_made_a_ledger_left_behind_is_no_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.redb");
        std::fs::write(folder.path().join("ledger.redb.new"), [0; 4096]).unwrap();
        assert!(matches!(RedbStore::open(&path), Err(StoreError::Missing(_))));
        let salt = RedbStore::open_or_create(&path).unwrap().salt();
        assert_eq!(RedbStore::open_or_create(&path).unwrap().salt(), salt);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn accounts_outlast_the_process_and_stay_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.redb");
        let mut store = RedbStore::open_or_create(&path).unwrap();
        let salt = store.salt();
        let flow = Flow::new("spring", FlowKind::Codes);
        let write = |store: &mut RedbStore, entries: &[(RecordKey, Account)], items| {
            let flows = BTreeMap::from([(flow.clone(), Volume::of(items, 4))]);
            store.write(&mut entries.iter().copied(), &flows).unwrap();
        };
        write(&mut store, &[(key(1, 5), account(1)), (key(2, 1), account(1))], 2);
        write(&mut store, &[(key(1, 3), account(2)), (key(1, 5), account(3)), (key(1, 9), account(1))], 6);
        drop(store);
        let store = RedbStore::open(&path).unwrap();
        assert_eq!(store.salt(), salt);
        assert_eq!(all(&store), [(key(1, 3), 8), (key(1, 5), 12), (key(1, 9), 4), (key(2, 1), 4)]);
        assert_eq!(store.flows().unwrap()[&flow], Volume { items: 6, bits: 24 });
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_ledger_in_use_absent_or_damaged_is_a_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.redb");
        let absent = RedbStore::open(&path).map(drop).unwrap_err().to_string();
        assert!(absent.contains("there is no ledger"), "{absent}");
        let store = RedbStore::open_or_create(&path).unwrap();
        let second = RedbStore::open_or_create(&path).map(drop).unwrap_err();
        assert!(matches!(second, StoreError::Locked(_)), "{second}");
        drop(store);
        std::fs::write(&path, vec![7; 10_000]).unwrap();
        let damaged = RedbStore::open_or_create(&path).map(drop).unwrap_err();
        assert!(matches!(damaged, StoreError::Damaged { .. }), "{damaged}");
    }
}
