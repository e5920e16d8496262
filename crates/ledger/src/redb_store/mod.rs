//! The store on disk: redb, an embedded database in one file.

mod encrypted;
mod file;
mod layout;
mod locks;
mod rehearsal;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hashvfl_files::effects::{self, Effect};
use redb::{Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, ReadableTable, StorageBackend};

use crate::account::Account;
use crate::answer::AnswerKey;
use crate::flow::{Flow, FlowKind, Volume, refusals};
use crate::key::{RecordKey, Salt};
use crate::store::{Accounts, LedgerWrite, Store, StoreError};
use layout::{ANSWERS, BUCKETS, FLOWS, Layout, Meta};

/// A ledger file. It is locked while it is open.
pub struct RedbStore {
    database: Database,
    path: PathBuf,
    salt: Salt,
    layout: Layout,
}

/// A ledger file that is looked at and never changed.
pub struct LedgerView {
    database: ReadOnlyDatabase,
    path: PathBuf,
    salt: Salt,
    layout: Layout,
}

impl LedgerView {
    /// Opens a ledger that is there.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = file::open_to_read(path)?;
        let (salt, layout) = meta(&database, path)?;
        Ok(Self { database, path: path.to_path_buf(), salt, layout })
    }

    /// How often the run of that name was refused for what its codes tell, and how often all runs were.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn refusals(&self, run: &str) -> Result<(u64, u64), StoreError> {
        let flows = flows(&self.database).map_err(|error| failed("read", &self.path, error))?;
        Ok(refusals(&flows, Some(run)))
    }

    /// All that it counts, of all runs.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn total(&self) -> Result<Volume, StoreError> {
        let flows = flows(&self.database).map_err(|error| failed("read", &self.path, error))?;
        Ok(flows.values().fold(Volume::default(), |total, volume| total.plus(*volume)))
    }
}

impl Accounts for LedgerView {
    fn salt(&self) -> Salt {
        self.salt
    }

    fn scan(&self, each: &mut dyn FnMut(RecordKey, Account)) -> Result<(), StoreError> {
        scan(&self.database, self.layout, &self.path, each)
    }
}

impl RedbStore {
    /// Opens a ledger, or makes one that only its owner can read.
    pub fn open_or_create(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            file::make(path)?;
        }
        Self::open(path)
    }

    /// Opens a ledger that is there.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing(path.to_path_buf()));
        }
        let database = file::open_to_write(path)?;
        let (salt, layout) = meta(&database, path)?;
        Ok(Self { database, path: path.to_path_buf(), salt, layout })
    }

    /// A ledger on `storage` in place of a file; where that is empty, a new one with this salt.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn on(storage: impl StorageBackend, salt: Salt) -> Result<Self, StoreError> {
        let path = PathBuf::from("a ledger that is no file");
        let is_new = storage.len().map_err(|error| io("read", &path, error))? == 0;
        let database = file::builder().create_with_backend(storage).map_err(|error| opening(&path, error))?;
        if is_new {
            file::lay_out(&database, &salt).map_err(|error| failed("make", &path, error))?;
        }
        let (salt, layout) = meta(&database, &path)?;
        Ok(Self { database, path, salt, layout })
    }

    /// Whether [`Self::open_or_create`] would do, all of the file read and checked as it does; nothing is written.
    pub fn check(path: &Path) -> Result<(), StoreError> {
        if !path.exists() {
            return hashvfl_files::check_file(path).map_err(|error| io("make", path, error.reason));
        }
        let writable = std::fs::OpenOptions::new().read(true).write(true).open(path);
        writable.map_err(|error| io("open", path, error))?;
        // Closed again first: it holds a lock.
        match LedgerView::open(path).map(drop) {
            Ok(()) | Err(StoreError::NotClosed(_)) => meta(&file::rehearse(path)?, path).map(drop),
            Err(error) => Err(error),
        }
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.path.metadata().map_or(0, |metadata| metadata.len())
    }
}

impl Accounts for RedbStore {
    fn salt(&self) -> Salt {
        self.salt
    }

    fn scan(&self, each: &mut dyn FnMut(RecordKey, Account)) -> Result<(), StoreError> {
        scan(&self.database, self.layout, &self.path, each)
    }
}

impl Store for RedbStore {
    fn flows(&self) -> Result<BTreeMap<Flow, Volume>, StoreError> {
        flows(&self.database).map_err(|error| failed("read", &self.path, error))
    }

    fn answers(&self, keys: &[AnswerKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        if self.layout == Layout::Old {
            return Ok(vec![None; keys.len()]);
        }
        let read = (|| -> Result<Vec<Option<Vec<u8>>>, redb::Error> {
            let table = self.database.begin_read()?.open_table(ANSWERS)?;
            let answer = |key| Ok(table.get(&layout::answer_key(key))?.map(|bytes| bytes.value().to_vec()));
            keys.iter().map(answer).collect()
        })();
        read.map_err(|error| failed("read", &self.path, error))
    }

    fn write(&mut self, changes: LedgerWrite) -> Result<(), StoreError> {
        let layout = self.layout;
        let is_to_be =
            effects::before(Effect::Committed, &self.path).map_err(|error| io("write", &self.path, error))?;
        if !is_to_be {
            return Ok(());
        }
        let written = (|| -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            if layout == Layout::Old {
                layout::modernise(&transaction)?;
            }
            {
                let mut table = transaction.open_table(BUCKETS)?;
                let mut accounts = changes.accounts.peekable();
                let mut of_bucket = Vec::new();
                while let Some((key, _)) = accounts.peek() {
                    let bucket = layout::bucket_of(*key);
                    of_bucket.clear();
                    of_bucket.extend(std::iter::from_fn(|| {
                        accounts.next_if(|(key, _)| layout::bucket_of(*key) == bucket)
                    }));
                    let old = table.get(bucket)?.map(|bytes| bytes.value().to_vec()).unwrap_or_default();
                    table.insert(bucket, layout::merge(&old, &of_bucket).as_slice())?;
                }
                let mut table = transaction.open_table(FLOWS)?;
                for (flow, volume) in changes.flows {
                    table
                        .insert((flow.recipient.as_str(), flow.kind.as_str()), (volume.items, volume.bits))?;
                }
                let mut table = transaction.open_table(ANSWERS)?;
                for (key, bytes) in changes.answers {
                    table.insert(&layout::answer_key(key), bytes.as_slice())?;
                }
            }
            file::commit(&self.database, transaction)
        })();
        written.map_err(|error| failed("write", &self.path, error))?;
        self.layout = Layout::Present;
        Ok(())
    }

    fn forget(&mut self, records: &[RecordKey]) -> Result<u64, StoreError> {
        if self.layout == Layout::Old {
            return Ok(0);
        }
        let forgotten = (|| -> Result<u64, redb::Error> {
            let transaction = self.database.begin_write()?;
            let mut count = 0;
            {
                let mut table = transaction.open_table(ANSWERS)?;
                for record in records {
                    let [first, last] = layout::answers_of(*record);
                    table.retain_in::<&[u8; 32], _>(&first..=&last, |_, _| {
                        count += 1;
                        false
                    })?;
                }
            }
            file::commit(&self.database, transaction)?;
            Ok(count)
        })();
        forgotten.map_err(|error| failed("write", &self.path, error))
    }
}

fn meta(database: &impl ReadableDatabase, path: &Path) -> Result<(Salt, Layout), StoreError> {
    match layout::meta(database) {
        Ok(Meta::Ledger(salt, layout)) => Ok((salt, layout)),
        Ok(Meta::Unknown(reason)) => Err(damaged(path, reason)),
        Err(redb::Error::TableDoesNotExist(_) | redb::Error::TableTypeMismatch { .. }) => {
            Err(damaged(path, "it was written by another program, or by another version of this one"))
        }
        Err(error) => Err(failed("read", path, error)),
    }
}

fn flows(database: &impl ReadableDatabase) -> Result<BTreeMap<Flow, Volume>, redb::Error> {
    let table = database.begin_read()?.open_table(FLOWS)?;
    let mut flows = BTreeMap::new();
    for row in table.iter()? {
        let (name, volume) = row?;
        let ((recipient, kind), (items, bits)) = (name.value(), volume.value());
        if let Some(kind) = FlowKind::from_name(kind) {
            flows.insert(Flow::new(recipient, kind), Volume { items, bits });
        }
    }
    Ok(flows)
}

fn scan(
    database: &impl ReadableDatabase,
    layout: Layout,
    path: &Path,
    each: &mut dyn FnMut(RecordKey, Account),
) -> Result<(), StoreError> {
    let whole = layout::scan(database, layout, each).map_err(|error| failed("read", path, error))?;
    if whole { Ok(()) } else { Err(damaged(path, "an entry is truncated")) }
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
        DatabaseError::RepairAborted => StoreError::NotClosed(path.to_path_buf()),
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
            let mut accounts = entries.iter().map(|(key, account)| (*key, Some(*account)));
            store.write(LedgerWrite { accounts: &mut accounts, flows: &flows, answers: &[] }).unwrap();
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
        assert!(absent.contains("does not exist: it is created when"), "{absent}");
        let store = RedbStore::open_or_create(&path).unwrap();
        let second = RedbStore::open_or_create(&path).map(drop).unwrap_err();
        assert!(matches!(second, StoreError::Locked(_)), "{second}");
        drop(store);
        assert!(matches!(RedbStore::check(&path), Ok(())));
        std::fs::write(&path, vec![7; 10_000]).unwrap();
        assert!(matches!(RedbStore::check(&path), Err(StoreError::Damaged { .. })));
        let damaged = RedbStore::open_or_create(&path).map(drop).unwrap_err();
        assert!(matches!(damaged, StoreError::Damaged { .. }), "{damaged}");
    }
    fn write(store: &mut RedbStore, entries: &[(RecordKey, Option<Account>)]) {
        let changes =
            LedgerWrite { accounts: &mut entries.iter().copied(), flows: &BTreeMap::new(), answers: &[] };
        store.write(changes).unwrap();
    }

    #[test]
    fn a_ledger_of_before_is_read_as_it_is_and_brought_to_the_present_layout_by_a_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.redb");
        let mut noisy = Account::default();
        noisy.charge(Cost { bits: 4, epsilon: crate::Epsilon::new(2.0) }, 3);
        layout::write_old(&path, &[9; 32], &[(key(1, 5), account(2)), (key(2, 1), noisy)]);
        let before = std::fs::read(&path).unwrap();
        noisy.old_draw = true;
        let old = [(key(1, 5), account(2)), (key(2, 1), noisy)];
        let accounts = |ledger: &dyn Accounts| {
            let mut found = Vec::new();
            ledger.scan(&mut |key, account| found.push((key, account))).unwrap();
            found
        };
        let view = LedgerView::open(&path).unwrap();
        assert_eq!((accounts(&view), view.salt()), (old.to_vec(), [9; 32]));
        drop(view);
        assert_eq!(std::fs::read(&path).unwrap(), before, "looking changes nothing");
        let mut store = RedbStore::open(&path).unwrap();
        assert_eq!((accounts(&store), store.forget(&[key(1, 5)]).unwrap()), (old.to_vec(), 0));
        write(&mut store, &[(key(3, 0), Some(account(1)))]);
        let present = [old.as_slice(), &[(key(3, 0), account(1))]].concat();
        assert_eq!(accounts(&store), present);
        drop(store);
        let mut store = RedbStore::open(&path).unwrap();
        assert_eq!(accounts(&store), present);
        write(&mut store, &[(key(2, 1), None)]);
        assert_eq!(
            all(&store),
            [(key(1, 5), 8), (key(3, 0), 4)],
            "an account that is folded into another is gone"
        );
    }

    #[test]
    fn answers_outlast_the_process_until_their_record_is_erased() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.redb");
        let answer = |record, name| AnswerKey { record, name: crate::AnswerName([name; 16]) };
        let kept = [
            (answer(key(1, 5), 1), vec![7]),
            (answer(key(1, 5), 2), vec![8]),
            (answer(key(1, 6), 1), vec![9]),
        ];
        let mut store = RedbStore::open_or_create(&path).unwrap();
        let changes =
            LedgerWrite { accounts: &mut std::iter::empty(), flows: &BTreeMap::new(), answers: &kept };
        store.write(changes).unwrap();
        drop(store);
        let mut store = RedbStore::open(&path).unwrap();
        let asked = [kept[2].0, kept[1].0, answer(key(1, 6), 2)];
        assert_eq!(store.answers(&asked).unwrap(), [Some(vec![9]), Some(vec![8]), None]);
        assert_eq!(store.forget(&[key(1, 5), key(4, 4)]).unwrap(), 2);
        assert_eq!(store.answers(&asked).unwrap(), [Some(vec![9]), None, None]);
    }

    #[test]
    fn a_ledger_of_a_later_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.redb");
        let store = RedbStore::open_or_create(&path).unwrap();
        let transaction = store.database.begin_write().unwrap();
        transaction.open_table(layout::META).unwrap().insert("version", [3_u8].as_slice()).unwrap();
        transaction.commit().unwrap();
        drop(store);
        let error = RedbStore::open(&path).map(drop).unwrap_err().to_string();
        assert!(error.contains("a later version"), "{error}");
    }

    #[test]
    fn a_check_says_what_opening_would_and_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.redb");
        RedbStore::check(&path).unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        assert!(RedbStore::check(&folder.path().join("none/ledger.redb")).is_err());
        let refused = |path: &Path| RedbStore::check(path).unwrap_err().to_string();
        assert!(refused(folder.path()).contains("cannot open"), "{}", refused(folder.path()));
        std::fs::write(&path, "").unwrap();
        assert!(refused(&path).contains("damaged or no ledger"), "{}", refused(&path));
        std::fs::remove_file(&path).unwrap();
        let other = Database::create(&path).unwrap();
        let transaction = other.begin_write().unwrap();
        transaction.open_table(redb::TableDefinition::<u8, u8>::new("other")).unwrap();
        transaction.commit().unwrap();
        drop(other);
        assert!(refused(&path).contains("by another version"), "{}", refused(&path));
        std::fs::remove_file(&path).unwrap();
        let store = RedbStore::open_or_create(&path).unwrap();
        assert!(refused(&path).contains("in use"), "{}", refused(&path));
        drop(store);
        let before = std::fs::read(&path).unwrap();
        RedbStore::check(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_check_finds_a_ledger_that_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.redb");
        let mut store = RedbStore::open_or_create(&path).unwrap();
        let mut accounts =
            (0..=255).flat_map(|first| (0..40).map(move |rest| (key(first, rest), Some(account(1)))));
        store.write(LedgerWrite { accounts: &mut accounts, flows: &BTreeMap::new(), answers: &[] }).unwrap();
        drop(store);
        RedbStore::check(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for part in [1, 2, 3] {
            let cut = &whole[..whole.len() * part / 4];
            std::fs::write(&path, cut).unwrap();
            // A file is as long as the last one that it held: what is cut off its free end is no loss.
            let opened = folder.path().join("opened.redb");
            std::fs::write(&opened, cut).unwrap();
            let opens = RedbStore::open(&opened).map(drop);
            assert_eq!(RedbStore::check(&path).is_ok(), opens.is_ok(), "{part} of 4: {opens:?}");
            assert!(part > 1 || opens.is_err(), "a quarter of a ledger is none");
            assert_eq!(std::fs::read(&path).unwrap(), cut, "a check writes nothing");
        }
    }
}
