//! Places that one config names, held against each other: a file that is written must be nobody else's, and a folder that a
//! program has for itself must hold nothing else.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// What a config names a place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathUse {
    /// A file that is read, or a folder of files that are.
    Read,
    /// A file that is written.
    Written,
    /// A folder that nothing else lies in.
    Own,
}

/// A place that a config names.
#[derive(Debug, Clone)]
pub struct NamedPath {
    key: &'static str,
    path: PathBuf,
    usage: PathUse,
}

impl NamedPath {
    /// The place at `path` that the config names by `key`.
    pub fn new(key: &'static str, path: &Path, usage: PathUse) -> Self {
        Self { key, path: path.to_path_buf(), usage }
    }
}

/// Two places that cannot be where the config says.
#[derive(Debug, thiserror::Error)]
pub enum PathConflict {
    /// One lies in a folder that is another's alone.
    #[error(
        "{key} = {path:?} is inside {folder_key} = {folder:?}, a folder that may hold nothing else: choose another \
         path"
    )]
    Inside {
        /// The key of the place.
        key: &'static str,
        /// The place.
        path: PathBuf,
        /// The key of the folder.
        folder_key: &'static str,
        /// The folder.
        folder: PathBuf,
    },
    /// Both are one file, and one of them is written.
    #[error(
        "{key} and {other} name the same file {path:?}, which would be overwritten: choose different files"
    )]
    Same {
        /// The key of the one.
        key: &'static str,
        /// The key of the other.
        other: &'static str,
        /// The file.
        path: PathBuf,
    },
}

/// Whether all of `places` can be where they are.
///
/// # Errors
/// If not: the first two that cannot.
pub fn check_paths(places: &[NamedPath]) -> Result<(), PathConflict> {
    let resolved: Vec<PathBuf> = places.iter().map(|place| resolved(&place.path)).collect();
    for (index, (place, at)) in places.iter().zip(&resolved).enumerate() {
        for (other_index, (other, other_at)) in places.iter().zip(&resolved).enumerate() {
            if index == other_index {
                continue;
            }
            if other.usage == PathUse::Own && at.starts_with(other_at) {
                return Err(PathConflict::Inside {
                    key: place.key,
                    path: place.path.clone(),
                    folder_key: other.key,
                    folder: other.path.clone(),
                });
            }
            if place.usage == PathUse::Written && at == other_at {
                return Err(PathConflict::Same {
                    key: place.key,
                    other: other.key,
                    path: place.path.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Whether both paths lead to the same place.
pub fn is_same_path(one: &Path, other: &Path) -> bool {
    resolved(one) == resolved(other)
}

/// Where a path leads: absolute, links followed as far as it exists, without `.` and `..`.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut found = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(found.pop()),
            part => {
                found.push(part);
                found = fs::canonicalize(&found).unwrap_or(found);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_nobody_elses_and_a_folder_of_ones_own_is_empty_of_others() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path().join("state"), folder.path().join("link")).unwrap();
        let place = |key, path: &str, usage| NamedPath::new(key, &folder.path().join(path), usage);
        let state = || place("state", "state", PathUse::Own);
        let good = [
            state(),
            place("ledger", "ledger.redb", PathUse::Written),
            place("columns", "table.csv", PathUse::Read),
            place("[serve]", "table.csv", PathUse::Read),
            place("alignment.folder", "alignment", PathUse::Own),
        ];
        assert!(check_paths(&good).is_ok());
        for path in ["state/x.csv", "state", "other/../state/x.csv", "./state/deep/x", "link/x"] {
            let error =
                check_paths(&[place("columns", path, PathUse::Read), state()]).unwrap_err().to_string();
            assert!(error.contains("columns = ") && error.contains("is inside state = "), "{path}: {error}");
        }
        for path in [".", "x/.."] {
            let table = place("columns", "table.csv", PathUse::Read);
            let error = check_paths(&[table, place("state", path, PathUse::Own)]).unwrap_err().to_string();
            assert!(error.contains("is inside state"), "{path}: {error}");
        }
        let same =
            [place("columns", "table.csv", PathUse::Read), place("cache", "./table.csv", PathUse::Written)];
        let error = check_paths(&same).unwrap_err().to_string();
        assert!(error.contains("cache and columns name the same file"), "{error}");
    }
}
