//! Whose a folder is: an empty file in it is called after the side that works there. So two sides that name the same folder
//! hear of it, whenever they work.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::{WriteError, write_whole};

/// How names of such files end.
const ENDING: &str = "owner";

/// What to do where two sides name one state folder.
pub const OWN_FOLDER: &str = "choose another `state` folder; each side needs its own";

/// Why a folder is not one that a side can have.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// It is another side's.
    #[error("state = {path:?} is the state folder of {found}, but this side is {owner}: {OWN_FOLDER}")]
    Another {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who wants it.
        owner: String,
    },
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be marked.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Whether the folder at `path` is nobody's or `owner`'s; writes nothing.
///
/// # Errors
/// If it is another side's, or cannot be read.
pub fn check_owner(path: &Path, owner: &str) -> Result<(), OwnerError> {
    let failed = |source| OwnerError::Read { path: path.to_path_buf(), source };
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let name = PathBuf::from(entry.map_err(failed)?.file_name());
        let stem = name.file_stem().filter(|_| name.extension().is_some_and(|ending| ending == ENDING));
        if let Some(found) =
            stem.map(|stem| stem.to_string_lossy().into_owned()).filter(|found| found != owner)
        {
            return Err(OwnerError::Another { path: path.to_path_buf(), found, owner: owner.to_owned() });
        }
    }
    Ok(())
}

/// Makes the folder at `path`, which must exist, `owner`'s.
///
/// # Errors
/// If it is another side's, or cannot be read or written to.
pub fn claim_folder(path: &Path, owner: &str) -> Result<(), OwnerError> {
    check_owner(path, owner)?;
    let mark = path.join(format!("{owner}.{ENDING}"));
    if !mark.exists() {
        write_whole(&mark, &[])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_side_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert!(check_owner(&path, "coordinator").is_ok(), "nobody's, and not there yet");
        assert!(claim_folder(&path, "coordinator").is_err());
        fs::create_dir(&path).unwrap();
        fs::write(path.join("top.safetensors"), "").unwrap();
        for _ in 0..2 {
            claim_folder(&path, "party-a.b").unwrap();
        }
        check_owner(&path, "party-a.b").unwrap();
        for other in ["coordinator", "party-a"] {
            for refused in [check_owner(&path, other), claim_folder(&path, other)] {
                let error = refused.unwrap_err().to_string();
                assert!(error.contains("is the state folder of party-a.b, but this side is"), "{error}");
                assert!(error.ends_with(OWN_FOLDER), "{error}");
            }
        }
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2, "a refusal leaves nothing");
    }
}
