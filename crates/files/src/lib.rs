//! Files that are written atomically and that their owner alone can read; and lines for a person (`say!`, `show_progress`).
//!
//! In places that have a key ([`encryption`]) they are encrypted.
//!
//! On Linux a file has no name before it is whole, and a random name beside its own for a moment then. On file systems that
//! know no such files, and on other systems, it has that from the beginning. A process that is killed meanwhile leaves it
//! behind, for [`FolderLock`] to remove.

mod checked;
mod durable;
pub mod effects;
pub mod encryption;
mod lock;
mod owner;
mod paths;
mod progress;
mod remove;
mod say;
mod stamp;

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;

pub use checked::{Damaged, read_checked, sha256_of_next, with_digest, without_digest, write_checked};
pub use durable::{rename_durably, sync_folder};
use effects::Effect;
use encryption::Sealer;
pub use encryption::{read_up_to, read_whole};
pub use lock::{FolderLock, LockError};
pub use owner::{OWN_FOLDER, OwnerError, check_owner, claim_folder};
pub use paths::{NamedPath, PathConflict, PathUse, check_paths, is_same_path};
pub use progress::{AboveProgress, PROGRESS_WIDTH, can_show_progress, show_progress};
pub use remove::{remove_all, remove_if_there};
pub use say::{complain_line, one_line, say_line};
pub use stamp::Stamps;

/// The last `most` bytes of a file, or all of it: what a page shows of a log that goes on, without a lock.
///
/// # Errors
/// If the file cannot be read.
pub fn last_bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {reason}")]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: io::Error,
}

impl WriteError {
    fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |reason| Self { path: path.to_path_buf(), reason }
    }
}

/// A file in the making, mode 0600. It gets its name by [`Self::finish`]; one that is dropped before leaves nothing, and
/// a file of that name as it was.
pub struct WholeFile {
    file: AtomicWriteFile,
    path: PathBuf,
    sealer: Option<Box<Sealer>>,
}

impl fmt::Debug for WholeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WholeFile({})", self.path.display())
    }
}

impl WholeFile {
    /// Begins the file that will be at `path`, encrypted where that has a key.
    ///
    /// # Errors
    /// If its folder is not there or cannot be written to, or `path` is a folder.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let mut file = Self::create_readable(path)?;
        file.sealer = Sealer::begin(path, &mut file.file).map_err(WriteError::of(path))?.map(Box::new);
        Ok(file)
    }

    /// The same, and not encrypted wherever it is.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_readable(path: &Path) -> Result<Self, WriteError> {
        if path.is_dir() {
            // The library would find out when the file is whole, and leave it under its random name.
            return Err(WriteError::of(path)(io::ErrorKind::IsADirectory.into()));
        }
        let mut options = AtomicWriteFile::options();
        #[cfg(unix)]
        {
            use atomic_write_file::unix::OpenOptionsExt as _;
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600).preserve_mode(false).preserve_owner(false);
        }
        let file = options.open(path).map_err(WriteError::of(path))?;
        Ok(Self { file, path: path.to_path_buf(), sealer: None })
    }

    /// Gives the file its name, in place of one that has it, once all of it is on disk.
    ///
    /// # Errors
    /// If the disk is full or fails; a file of that name is as it was.
    pub fn finish(mut self) -> Result<(), WriteError> {
        if !effects::before(Effect::Whole, &self.path).map_err(WriteError::of(&self.path))? {
            return Ok(());
        }
        if let Some(sealer) = self.sealer.take() {
            sealer.finish(&mut self.file).map_err(WriteError::of(&self.path))?;
        }
        self.file.commit().map_err(WriteError::of(&self.path))
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(sealer) = &mut self.sealer else { return self.file.write(bytes) };
        sealer.write(&mut self.file, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a file of `bytes`, mode 0600, whole or not at all; encrypted where its place has a key.
///
/// # Errors
/// If its folder is not there or the disk is full or fails; a file of that name is as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes).map_err(WriteError::of(path))?;
    file.finish()
}

/// The same, and not encrypted wherever it is: for a file that tells nothing of records, and that other programs read.
///
/// # Errors
/// As [`write_whole`].
pub fn write_readable(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let mut file = WholeFile::create_readable(path)?;
    file.write_all(bytes).map_err(WriteError::of(path))?;
    file.finish()
}

/// Whether a file can be written at `path`; leaves nothing.
///
/// # Errors
/// As [`WholeFile::create`].
pub fn check_file(path: &Path) -> Result<(), WriteError> {
    WholeFile::create(path).map(drop)
}

/// Whether the folder `path` is there, or can be made, and files can be written into it; leaves nothing.
///
/// # Errors
/// If not.
pub fn check_folder(path: &Path) -> Result<(), WriteError> {
    let there = path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Err(WriteError::of(path)(io::ErrorKind::NotADirectory.into()));
    }
    WholeFile::create(&there.join("hashvfl-check"))
        .map(drop)
        .map_err(|error| WriteError::of(path)(error.reason))
}

/// Options for a file that grows in place; one that is made gets mode 0600.
pub fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// What makes folders; one that is made gets mode 0700, and one that is there stays as it is.
pub fn owner_only_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        fs::read_dir(folder).unwrap().map(name).collect()
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"first").unwrap();
        assert!(!path.exists());
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
        write_whole(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(folder.path()), ["model.safetensors"]);
    }

    #[test]
    fn what_is_dropped_leaves_nothing_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        write_whole(&path, b"first").unwrap();
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(&[0; 1 << 20]).unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(folder.path()), ["model.safetensors"]);
    }

    #[test]
    fn an_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/model.safetensors");
        let error = write_whole(&path, b"").unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("none/model.safetensors"), "{error}");
        // A folder has the name.
        fs::create_dir(folder.path().join("taken")).unwrap();
        assert!(write_whole(&folder.path().join("taken"), b"new").is_err());
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    fn a_look_at_a_place_leaves_nothing_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(check_file(&path("new")).is_ok() && check_file(&path("none/new")).is_err());
        assert!(check_folder(folder.path()).is_ok() && check_folder(&path("new/deep")).is_ok());
        fs::write(path("taken"), b"kept").unwrap();
        assert!(check_file(&path("taken")).is_ok() && check_file(folder.path()).is_err());
        for inside in ["taken", "taken/deep"] {
            let error = check_folder(&path(inside)).unwrap_err().to_string();
            assert!(error.contains("cannot write") && error.contains(inside), "{error}");
        }
        assert_eq!(names(folder.path()), ["taken"]);
        assert_eq!(fs::read(path("taken")).unwrap(), b"kept");
    }

    #[cfg(unix)]
    #[test]
    fn its_owner_alone_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        // In place of a file that others can read, too.
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(mode(), 0o600);
        fs::remove_file(&path).unwrap();
        owner_only().write(true).create(true).truncate(true).open(&path).unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_is_made_is_its_owners_alone_and_one_that_was_there_stays_as_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
        fs::create_dir(path("there")).unwrap();
        fs::set_permissions(path("there"), fs::Permissions::from_mode(0o755)).unwrap();
        for made in ["there", "there/deep/state"] {
            owner_only_folder().recursive(true).create(path(made)).unwrap();
        }
        assert_eq!(["there", "there/deep", "there/deep/state"].map(mode), [0o755, 0o700, 0o700]);
    }
}
