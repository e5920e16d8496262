//! Files that go. A loss of power may bring back what was removed right before.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::effects::{self, Effect};

/// Removes the file at `path`; whether it was there.
///
/// # Errors
/// If it is there and cannot be removed.
pub fn remove_if_there(path: &Path) -> io::Result<bool> {
    if !path.try_exists()? || !effects::before(Effect::Removed, path)? {
        return Ok(false);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// Removes those of `paths` that are there; what cannot be removed stays. The names of those that went.
pub fn remove_all(paths: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
    let mut names = Vec::new();
    for path in paths {
        if remove_if_there(&path).unwrap_or(false) {
            names.push(path.file_name().unwrap_or_default().display().to_string());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_goes_and_is_named_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("seed"), "7").unwrap();
        fs::write(path("answers"), "").unwrap();
        fs::create_dir(path("codes")).unwrap();
        assert_eq!(remove_all(["answers", "codes", "none", "seed"].map(path)), ["answers", "seed"]);
        assert!(path("codes").exists() && !path("seed").exists());
        assert!(!remove_if_there(&path("seed")).unwrap());
        assert!(remove_if_there(&path("codes")).is_err(), "a folder is no file");
    }
}
