//! The ledger's file: made, opened, encrypted where its place has a key.

use std::fs::File;
use std::path::{Path, PathBuf};

use hashvfl_files::encryption::BlockCipher;
use rand::TryRng;
use redb::backends::FileBackend;
use redb::{Builder, Database, ReadOnlyDatabase, StorageBackend, WriteTransaction};

use super::encrypted::Encrypted;
use super::rehearsal::Rehearsal;
use super::{damaged, failed, layout, opening};
use crate::key::Salt;
use crate::store::StoreError;

/// Of pages of the file, in memory.
const CACHE_BYTES: usize = 32 << 20;

/// What encrypts the ledger at `path`; `None` where it is in plain text and may be.
fn cipher(path: &Path) -> Result<Option<BlockCipher>, StoreError> {
    BlockCipher::of(path).map_err(|error| super::io("open", path, error))
}

/// The content of an encrypted ledger.
fn content(file: File, cipher: BlockCipher, path: &Path) -> Result<Encrypted<FileBackend>, StoreError> {
    let file = FileBackend::new(file).map_err(|error| opening(path, error))?;
    Ok(Encrypted::new(file, cipher))
}

/// Opens a ledger that is there, to look at it.
pub fn open_to_read(path: &Path) -> Result<ReadOnlyDatabase, StoreError> {
    let database = match cipher(path)? {
        None => builder().open_read_only(path),
        Some(cipher) => {
            let file = File::open(path).map_err(|error| super::io("open", path, error))?;
            builder().open_read_only_with_backend(content(file, cipher, path)?)
        }
    };
    database.map_err(|error| opening(path, error))
}

/// Opens a ledger that is there.
pub fn open_to_write(path: &Path) -> Result<Database, StoreError> {
    let database = match cipher(path)? {
        None => builder().open(path),
        Some(cipher) => {
            let io = |error: std::io::Error| super::io("open", path, error);
            let file = File::options().read(true).write(true).open(path).map_err(io)?;
            let content = content(file, cipher, path)?;
            if content.len().map_err(io)? == 0 {
                return Err(damaged(path, "it is truncated"));
            }
            builder().create_with_backend(content)
        }
    };
    database.map_err(|error| opening(path, error))
}

/// Opens a ledger that is there as [`open_to_write`] does; what that writes is lost.
pub fn rehearse(path: &Path) -> Result<Database, StoreError> {
    let io = |error: std::io::Error| super::io("open", path, error);
    // As a writer, for the lock that redb takes.
    let file = File::options().read(true).write(true).open(path).map_err(io)?;
    let database = match cipher(path)? {
        None => {
            let file = FileBackend::new(file).map_err(|error| opening(path, error))?;
            builder().create_with_backend(Rehearsal::new(file).map_err(io)?)
        }
        Some(cipher) => {
            let content = content(file, cipher, path)?;
            builder().create_with_backend(Rehearsal::new(content).map_err(io)?)
        }
    };
    database.map_err(|error| opening(path, error))
}

/// Makes an empty ledger under another name and gives it its own once it is whole: a process killed here leaves no
/// ledger, never half of one.
pub fn make(path: &Path) -> Result<(), StoreError> {
    let io = |error: std::io::Error| super::io("make", path, error);
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    if new.exists() {
        std::fs::remove_file(&new).map_err(io)?;
    }
    let file = hashvfl_files::owner_only().read(true).write(true).create_new(true).open(&new);
    let mut file = file.map_err(io)?;
    let mut salt = Salt::default();
    rand::rngs::SysRng.try_fill_bytes(&mut salt).map_err(|error| StoreError::Io {
        what: "make",
        path: path.to_path_buf(),
        reason: error.to_string(),
    })?;
    let database = match BlockCipher::begin(path, &mut file).map_err(io)? {
        None => builder().create(&new),
        Some(cipher) => builder().create_with_backend(content(file, cipher, path)?),
    };
    let database = database.map_err(|error| opening(path, error))?;
    lay_out(&database, &salt).map_err(|error| failed("make", path, error))?;
    drop(database);
    // A link, not a new name: it never takes the place of a ledger that another process made meanwhile.
    match std::fs::hard_link(&new, path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(io(error)),
        _ => std::fs::remove_file(&new).map_err(io)?,
    }
    // The file's name must be durable too.
    hashvfl_files::sync_folder(path.parent().unwrap_or(Path::new(""))).map_err(io)
}

pub fn lay_out(database: &Database, salt: &Salt) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    layout::lay_out(&transaction, salt)?;
    commit(database, transaction)
}

/// Makes the changes of `transaction` durable, in both of the file's commits.
///
/// redb keeps the last commit and the one before, and goes back to that one without a word where a process was killed and the
/// last one cannot be read. So a second commit follows that changes nothing: whatever has changed on the disk, what was charged
/// is there, or the ledger is damaged and says so.
pub fn commit(database: &Database, transaction: WriteTransaction) -> Result<(), redb::Error> {
    transaction.commit()?;
    Ok(database.begin_write()?.commit()?)
}

pub fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_check_integrity_on_open(true).set_cache_size(CACHE_BYTES);
    builder
}
