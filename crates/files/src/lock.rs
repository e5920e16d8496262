//! A folder that one process at a time works in.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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

/// Longest time in which others only look whether a folder is taken, and how soon it is tried again.
const LOOKING: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A folder that only this process works in, until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock(#[allow(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl FolderLock {
    /// Locks the folder at `path`, which must exist. Removes what killed processes left half-written there and one level
    /// below.
    ///
    /// # Errors
    /// If another process has it, or the file system knows no locks.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_path_buf(), source };
        let (folder, began) = (File::open(path).map_err(failed)?, Instant::now());
        loop {
            match folder.try_lock() {
                Ok(()) => {
                    remove_half_written(path, 1);
                    return Ok(Self(folder));
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            // Whoever only looks whether the folder is taken has it for a moment, and shares it.
            if folder.try_lock_shared().is_err() || began.elapsed() > LOOKING {
                return Err(LockError::Taken { path: path.to_path_buf() });
            }
            folder.unlock().map_err(failed)?;
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Whether a process works in the folder at `path` now; changes nothing there.
    ///
    /// # Errors
    /// If the folder is there and the file system knows no locks.
    pub fn is_taken(path: &Path) -> Result<bool, LockError> {
        let failed = |source| LockError::Io { path: path.to_path_buf(), source };
        let folder = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            folder => folder.map_err(failed)?,
        };
        // Beside another who looks; the lock goes with the file.
        match folder.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// Removes files without a name of their own from a folder that nobody else writes to, and from folders so far below it.
fn remove_half_written(folder: &Path, below: u32) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && below > 0 {
            remove_half_written(&path, below - 1);
        } else if path.is_file() && entry.file_name().to_str().is_some_and(is_half_written) {
            // Whatever stays is passed over.
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether a file is called as one in the making: a dot, the name that it was to get, a dot and six letters and digits, not all
/// of them lower-case letters: so a user's hidden file with a common ending stays, and one in 200 of ours.
fn is_half_written(name: &str) -> bool {
    let parts = name.strip_prefix('.').and_then(|rest| rest.rsplit_once('.'));
    parts.is_some_and(|(name, random)| {
        let is_word = random.bytes().all(|byte| byte.is_ascii_lowercase());
        !name.is_empty()
            && random.len() == 6
            && !is_word
            && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_until_its_lock_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        assert!(matches!(FolderLock::take(folder.path()), Err(LockError::Taken { .. })));
        assert!(FolderLock::is_taken(folder.path()).unwrap());
        drop(lock);
        assert!(!FolderLock::is_taken(folder.path()).unwrap());
        assert!(!FolderLock::is_taken(&folder.path().join("none")).unwrap());
        FolderLock::take(folder.path()).unwrap();
        assert!(matches!(FolderLock::take(&folder.path().join("none")), Err(LockError::Io { .. })));
    }

    #[test]
    fn whoever_only_looks_keeps_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let looks = File::open(folder.path()).unwrap();
        looks.try_lock_shared().unwrap();
        let taken = std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(LOOK_AGAIN * 5);
                drop(looks);
            });
            FolderLock::take(folder.path())
        });
        assert!(taken.is_ok(), "{taken:?}");
        assert!(FolderLock::is_taken(folder.path()).unwrap());
    }

    #[test]
    fn what_killed_processes_left_half_written_goes() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("codes")).unwrap();
        let names = [
            ".top.safetensors.EkJ42j",
            // A user's own.
            ".config.backup",
            "codes/.a.codes.0aZ9bY",
            "top.safetensors",
            ".hidden",
            "codes/a.codes",
        ];
        names.iter().for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        FolderLock::take(folder.path()).unwrap();
        let left: Vec<bool> = names.iter().map(|name| folder.path().join(name).exists()).collect();
        assert_eq!(left, [false, true, false, true, true, true]);
    }
}
