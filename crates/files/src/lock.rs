//! A folder that one process at a time works in.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Why a folder cannot be worked in.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process does.
    #[error("another process works in {path}: wait until it has ended, or end it; nothing was changed")]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("cannot lock {path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A folder that this process alone works in, until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock(#[allow(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl FolderLock {
    /// Locks the folder at `path`, which must exist.
    ///
    /// # Errors
    /// If another process has it, or the file system knows no locks.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_path_buf(), source };
        let folder = File::open(path).map_err(failed)?;
        match folder.try_lock() {
            Ok(()) => Ok(Self(folder)),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken { path: path.to_path_buf() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_until_its_lock_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        assert!(matches!(FolderLock::take(folder.path()), Err(LockError::Taken { .. })));
        drop(lock);
        FolderLock::take(folder.path()).unwrap();
        assert!(matches!(FolderLock::take(&folder.path().join("none")), Err(LockError::Io { .. })));
    }
}
