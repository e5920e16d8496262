//! Names of files that outlast a loss of power.

use std::fs;
use std::io;
use std::path::Path;

use crate::effects::{self, Effect};

/// Gives the file `from` the name `to`, in place of a file that has it. When this returns without an error, both outlast a loss
/// of power: whoever is told of it may rely on it.
///
/// # Errors
/// If the file cannot be renamed, or its folder not be forced to the disk.
#[expect(clippy::disallowed_methods, reason = "its folder is forced to the disk here")]
pub fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    if !effects::before(Effect::Renamed, to)? {
        return Ok(());
    }
    fs::rename(from, to)?;
    let folders = [folder_of(to), folder_of(from)];
    sync_folder(folders[0])?;
    if folders[0] == folders[1] { Ok(()) } else { sync_folder(folders[1]) }
}

/// Forces the names in `folder` to the disk.
///
/// # Errors
/// If the disk fails, or the folder is not there.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // The folder of a path without one is where the process works.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    // Elsewhere no program can.
    #[cfg(not(unix))]
    fs::metadata(folder)?;
    Ok(())
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_its_name_in_place_of_another_and_whoever_cannot_sync_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("other")).unwrap();
        for to in ["top", "other/top"] {
            fs::write(path("pending"), to).unwrap();
            fs::write(path(to), "before").unwrap();
            rename_durably(&path("pending"), &path(to)).unwrap();
            assert_eq!(fs::read_to_string(path(to)).unwrap(), to);
            assert!(!path("pending").exists());
        }
        assert!(rename_durably(&path("pending"), &path("top")).is_err(), "there is no such file");
        assert_eq!(fs::read_to_string(path("top")).unwrap(), "top");
        assert_eq!(folder_of(Path::new("top")), Path::new(""));
        sync_folder(Path::new("")).unwrap();
        assert!(sync_folder(&path("none")).is_err());
    }
}
