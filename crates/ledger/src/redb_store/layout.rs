//! The layout of a ledger file, and how files of earlier versions are read.
//!
//! Accounts lie in 4,096 buckets by the first 12 bits of their keys, so that a pass over a million records rewrites
//! 4,096 values in order, not a million. Fewer buckets would make small writes slower, more of them small tables. Answers
//! lie by record and name, one by one: they are of unequal length, and a record's are forgotten together.

use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::account::Account;
use crate::answer::{AnswerKey, AnswerName};
use crate::key::{RecordKey, Salt};

pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("hashvfl.v1 meta");
/// Not the first layout's name, so that a program of that version does not take these entries for its own.
pub(super) const BUCKETS: TableDefinition<u16, &[u8]> = TableDefinition::new("accounts 2");
const OLD_BUCKETS: TableDefinition<u16, &[u8]> = TableDefinition::new("accounts");
pub(super) const FLOWS: TableDefinition<(&str, &str), (u64, u64)> = TableDefinition::new("flows");
pub(super) const ANSWERS: TableDefinition<&[u8; ANSWER_KEY_BYTES], &[u8]> = TableDefinition::new("answers");
/// The version of the layout, in the meta table; absent in the first one.
const VERSION: [u8; 1] = [2];
const ANSWER_KEY_BYTES: usize = 32;
const ENTRY_BYTES: usize = 16 + Account::BYTES;
const OLD_ENTRY_BYTES: usize = 16 + Account::OLD_BYTES;

/// Which layout a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// The first one, from when flips were not drawn per request: it is read as it is, and the first write brings it to
    /// the present one.
    Old,
    /// The present one.
    Present,
}

/// What the meta table says.
pub(super) enum Meta {
    /// All is well.
    Ledger(Salt, Layout),
    /// It says something else.
    Unknown(&'static str),
}

/// Reads the meta table, of a file whose other tables are all there.
pub(super) fn meta(database: &impl ReadableDatabase) -> Result<Meta, redb::Error> {
    let read = database.begin_read()?;
    let meta = read.open_table(META)?;
    let salt: Option<Salt> = meta.get("salt")?.and_then(|salt| salt.value().try_into().ok());
    let version = meta.get("version")?.map(|version| version.value().to_vec());
    let layout = match version.as_deref() {
        None => Layout::Old,
        Some(version) if version == VERSION => Layout::Present,
        Some(_) => return Ok(Meta::Unknown("it was written by a later version of this program")),
    };
    match layout {
        Layout::Old => drop(read.open_table(OLD_BUCKETS)?),
        Layout::Present => {
            read.open_table(BUCKETS)?;
            read.open_table(ANSWERS)?;
        }
    }
    read.open_table(FLOWS)?;
    Ok(salt.map_or(Meta::Unknown("its salt is missing"), |salt| Meta::Ledger(salt, layout)))
}

/// Lays out an empty ledger.
pub(super) fn lay_out(transaction: &WriteTransaction, salt: &Salt) -> Result<(), redb::Error> {
    let mut meta = transaction.open_table(META)?;
    meta.insert("salt", salt.as_slice())?;
    meta.insert("version", VERSION.as_slice())?;
    transaction.open_table(BUCKETS)?;
    transaction.open_table(ANSWERS)?;
    transaction.open_table(FLOWS)?;
    Ok(())
}

/// Brings a file of the first layout to the present one.
pub(super) fn modernise(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    {
        let old = transaction.open_table(OLD_BUCKETS)?;
        let mut buckets = transaction.open_table(BUCKETS)?;
        for bucket in old.iter()? {
            let (bucket, bytes) = bucket?;
            let (entries, _) = bytes.value().as_chunks::<OLD_ENTRY_BYTES>();
            let entries: Vec<u8> =
                entries.iter().map(decode_old).flat_map(|(key, account)| encode(key, account)).collect();
            buckets.insert(bucket.value(), entries.as_slice())?;
        }
        transaction.open_table(ANSWERS)?;
        transaction.open_table(META)?.insert("version", VERSION.as_slice())?;
    }
    transaction.delete_table(OLD_BUCKETS)?;
    Ok(())
}

/// Hands every account to `each`, in the order of keys; false where an entry is cut off.
pub(super) fn scan(
    database: &impl ReadableDatabase,
    layout: Layout,
    each: &mut dyn FnMut(RecordKey, Account),
) -> Result<bool, redb::Error> {
    let table = if layout == Layout::Old { OLD_BUCKETS } else { BUCKETS };
    let mut whole = true;
    for bucket in database.begin_read()?.open_table(table)?.iter()? {
        let (_, bytes) = bucket?;
        let bytes = bytes.value();
        whole &= match layout {
            Layout::Old => hand_on(bytes, decode_old, each),
            Layout::Present => hand_on(bytes, decode, each),
        };
    }
    Ok(whole)
}

fn hand_on<const N: usize>(
    bytes: &[u8],
    decode: fn(&[u8; N]) -> (RecordKey, Account),
    each: &mut dyn FnMut(RecordKey, Account),
) -> bool {
    let (entries, rest) = bytes.as_chunks::<N>();
    entries.iter().map(decode).for_each(|(key, account)| each(key, account));
    rest.is_empty()
}

/// The bucket of a key.
pub(super) fn bucket_of(key: RecordKey) -> u16 {
    u16::from_be_bytes([key.0[0], key.0[1]]) >> 4
}

/// The bytes under which an answer lies.
pub(super) fn answer_key(key: &AnswerKey) -> [u8; ANSWER_KEY_BYTES] {
    std::array::from_fn(|index| if index < 16 { key.record.0[index] } else { key.name.0[index - 16] })
}

/// All keys of answers about a record lie from the first to the second, both included.
pub(super) fn answers_of(record: RecordKey) -> [[u8; ANSWER_KEY_BYTES]; 2] {
    [0, u8::MAX].map(|rest| answer_key(&AnswerKey { record, name: AnswerName([rest; 16]) }))
}

/// The entries of `old` with `changes` put in or taken out, both in the order of keys.
pub(super) fn merge(old: &[u8], changes: &[(RecordKey, Option<Account>)]) -> Vec<u8> {
    let (kept, _) = old.as_chunks::<ENTRY_BYTES>();
    let mut kept = kept.iter().peekable();
    let mut merged = Vec::with_capacity(old.len() + changes.len() * ENTRY_BYTES);
    for (key, account) in changes {
        while let Some(entry) = kept.next_if(|entry| entry[..16] < key.0[..]) {
            merged.extend(entry);
        }
        kept.next_if(|entry| entry[..16] == key.0[..]);
        if let Some(account) = account {
            merged.extend(encode(*key, *account));
        }
    }
    merged.extend(kept.flatten());
    merged
}

fn encode(key: RecordKey, account: Account) -> [u8; ENTRY_BYTES] {
    let account = account.to_bytes();
    std::array::from_fn(|index| if index < 16 { key.0[index] } else { account[index - 16] })
}

fn decode(entry: &[u8; ENTRY_BYTES]) -> (RecordKey, Account) {
    (key_of(entry), Account::from_bytes(&std::array::from_fn(|index| entry[16 + index])))
}

fn decode_old(entry: &[u8; OLD_ENTRY_BYTES]) -> (RecordKey, Account) {
    (key_of(entry), Account::from_old_bytes(&std::array::from_fn(|index| entry[16 + index])))
}

fn key_of(entry: &[u8]) -> RecordKey {
    RecordKey(std::array::from_fn(|index| entry[index]))
}

/// A ledger file in the first layout, for tests.
#[cfg(test)]
pub(super) fn write_old(path: &std::path::Path, salt: &Salt, accounts: &[(RecordKey, Account)]) {
    let database = redb::Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("salt", salt.as_slice()).unwrap();
    transaction.open_table(FLOWS).unwrap();
    {
        let mut buckets = transaction.open_table(OLD_BUCKETS).unwrap();
        for (key, account) in accounts {
            let entry = [key.0.as_slice(), &account.to_bytes()[..Account::OLD_BYTES]].concat();
            buckets.insert(bucket_of(*key), entry.as_slice()).unwrap();
        }
    }
    transaction.commit().unwrap();
}
