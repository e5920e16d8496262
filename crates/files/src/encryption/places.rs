//! Which places have a key.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::error::PlaceError;
use super::header::{EncryptionHeader, HEADER_BYTES};
use super::key::EncryptionKey;

static PLACES: RwLock<Vec<(PathBuf, Arc<EncryptionKey>)>> = RwLock::new(Vec::new());

/// From now on the file `place`, or every file in the folder `place`, is encrypted with `key`.
///
/// # Errors
/// If nobody can say where `place` is.
pub fn protect(place: &Path, key: &Arc<EncryptionKey>) -> io::Result<()> {
    let place = std::path::absolute(place)?;
    let mut places = PLACES.write().unwrap_or_else(PoisonError::into_inner);
    places.retain(|(other, _)| *other != place);
    places.push((place, Arc::clone(key)));
    Ok(())
}

/// Whether files at `path` are encrypted.
pub fn is_protected(path: &Path) -> bool {
    key_of(path).is_some()
}

/// The key of the file at `path`.
pub(super) fn key_of(path: &Path) -> Option<Arc<EncryptionKey>> {
    let path = std::path::absolute(path).ok()?;
    let places = PLACES.read().unwrap_or_else(PoisonError::into_inner);
    let of = places.iter().filter(|(place, _)| path.starts_with(place));
    of.max_by_key(|(place, _)| place.as_os_str().len()).map(|(_, key)| Arc::clone(key))
}

/// Whether all files in `folder` and below are encrypted with its key, or none where it has no key: but for those that are
/// called as in `readable`, and what a killed process left half-written.
///
/// # Errors
/// If not: the first that is otherwise.
pub fn check_place(folder: &Path, readable: &[&str]) -> Result<(), PlaceError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io(folder))?,
    };
    for entry in entries {
        let path = entry.map_err(io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            check_place(&path, readable)?;
        } else if path.is_file() && !name.starts_with('.') && !readable.contains(&&*name) {
            check_file(&path).map_err(io(&path))?;
        }
    }
    Ok(())
}

/// Whether the file at `path` is encrypted where its place has a key, and is not where it has none.
///
/// # Errors
/// If it is otherwise, or cannot be read.
pub fn check_file(path: &Path) -> io::Result<()> {
    let mut start = Vec::new();
    File::open(path)?.take(HEADER_BYTES as u64).read_to_end(&mut start)?;
    let key = key_of(path);
    if start.is_empty() || (key.is_some() && EncryptionHeader::is_half_written(&start)) {
        return Ok(());
    }
    EncryptionHeader::find(&start, key.as_deref())?;
    Ok(())
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    move |reason| PlaceError { path: path.to_path_buf(), reason }
}
