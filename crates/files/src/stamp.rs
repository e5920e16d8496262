//! What tells that a file may have changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file's state as the file system tells it. One that was replaced, or written to in place under the same time stamp, has
/// another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Which file it is, and when anything of it changed last; zeros where the system does not tell.
    inode: [u64; 2],
    changed: [i64; 2],
}

impl Stamp {
    /// That of the file at `path`; `None` where it cannot be looked at.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let (inode, changed) = identity(&metadata);
        Some(Self { modified: metadata.modified().ok(), bytes: metadata.len(), inode, changed })
    }
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> ([u64; 2], [i64; 2]) {
    use std::os::unix::fs::MetadataExt;
    ([metadata.dev(), metadata.ino()], [metadata.ctime(), metadata.ctime_nsec()])
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> ([u64; 2], [i64; 2]) {
    ([0; 2], [0; 2])
}

/// Several files, as they were when they were looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamps(Vec<(PathBuf, Option<Stamp>)>);

impl Stamps {
    /// Looks at the file at `path`, too.
    pub fn add(&mut self, path: PathBuf) {
        let stamp = Stamp::of(&path);
        self.0.push((path, stamp));
    }

    /// Whether all files are as they were.
    pub fn hold(&self) -> bool {
        self.0.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
    }
}
