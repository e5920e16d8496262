//! Where a side reads and writes: what is there, and how much room there is.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use hashvfl_core::text::counted;
use serde_json::{Value, json};

/// Folders deeper than this are not looked into.
const DEEPEST: usize = 8;
/// Bytes of a mebibyte.
const MIB: u64 = 1 << 20;

/// A file or folder that the config names.
#[derive(Debug)]
pub struct ExaminedPath {
    what: &'static str,
    path: PathBuf,
    kind: &'static str,
    bytes: u64,
    files: u64,
    owner_only: Option<bool>,
    writable: bool,
    room: Option<Room>,
}

/// What is left of a file system.
#[derive(Debug)]
struct Room {
    free_bytes: u64,
    total_bytes: u64,
    free_files: u64,
}

impl ExaminedPath {
    /// Looks at `path`, which is there to be written to.
    pub fn written(what: &'static str, path: &Path) -> Self {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let writable = hashvfl_files::check_folder(folder).is_ok();
        Self { writable, ..Self::read(what, path) }
    }

    /// Looks at `path`, which is there to be read.
    pub fn read(what: &'static str, path: &Path) -> Self {
        let (kind, owner_only) = match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => ("file", owner_only(&metadata)),
            Ok(metadata) if metadata.is_dir() => ("folder", owner_only(&metadata)),
            Ok(_) => ("other", None),
            Err(_) => ("absent", None),
        };
        let (mut bytes, mut files) = (0, 0);
        measure(path, DEEPEST, &mut bytes, &mut files);
        Self {
            what,
            path: path.to_path_buf(),
            kind,
            bytes,
            files,
            owner_only,
            writable: false,
            room: room(path),
        }
    }

    /// Bytes that are free there.
    pub fn free_bytes(&self) -> Option<u64> {
        self.room.as_ref().filter(|_| self.writable).map(|room| room.free_bytes)
    }

    pub(super) fn to_json(&self) -> Value {
        let Self { what, kind, bytes, files, owner_only, writable, room, .. } = self;
        json!({
            "what": what,
            "is": kind,
            "bytes": bytes,
            "files": files,
            "owner_only": owner_only,
            "writable": writable,
            "free_bytes": room.as_ref().map(|room| room.free_bytes),
            "total_bytes": room.as_ref().map(|room| room.total_bytes),
            "free_files": room.as_ref().map(|room| room.free_files),
        })
    }
}

impl fmt::Display for ExaminedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, path, kind, bytes, .. } = self;
        write!(f, "{what}: {} ({kind}, {} KiB)", path.display(), bytes.div_ceil(1024))?;
        if let Some(room) = &self.room {
            write!(f, ", {} MiB free", room.free_bytes / MIB)?;
        }
        if self.owner_only == Some(false) && self.writable {
            let verb = if *kind == "folder" { "list" } else { "read" };
            write!(f, "; others than its owner can {verb} it")?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn owner_only(metadata: &fs::Metadata) -> Option<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(metadata.permissions().mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn owner_only(_: &fs::Metadata) -> Option<bool> {
    None
}

/// Adds up what is at `path` and below; what cannot be read is passed over.
fn measure(path: &Path, depth: usize, bytes: &mut u64, files: &mut u64) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if metadata.is_file() {
        (*bytes, *files) = (*bytes + metadata.len(), *files + 1);
    } else if metadata.is_dir() && depth > 0 {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            measure(&entry.path(), depth - 1, bytes, files);
        }
    }
}

/// What is left of the file system on which `path` is, or would be.
#[cfg(unix)]
fn room(path: &Path) -> Option<Room> {
    let there = path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let found = rustix::fs::statvfs(there).ok()?;
    Some(Room {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        free_files: found.f_favail,
    })
}

#[cfg(not(unix))]
fn room(_: &Path) -> Option<Room> {
    None
}

/// What a run will write at most, as far as records and settings tell.
#[derive(Debug, Default)]
pub struct Forecast {
    /// Records of the run; absent: they could not be counted.
    pub records: Option<u64>,
    /// Bytes by what they are for.
    pub bytes: Vec<(&'static str, u64)>,
}

impl Forecast {
    fn total(&self) -> u64 {
        self.bytes.iter().map(|(_, bytes)| bytes).sum()
    }

    pub(super) fn to_json(&self, room: Option<u64>) -> Value {
        let by_what: serde_json::Map<String, Value> =
            self.bytes.iter().map(|(what, bytes)| (what.to_string(), json!(bytes))).collect();
        json!({
            "records": self.records,
            "forecast_bytes": by_what,
            "forecast_total_bytes": self.records.map(|_| self.total()),
            "least_free_bytes": room,
            "fits": self.records.and(room).map(|room| room > self.total()),
        })
    }

    pub(super) fn in_words(&self, room: Option<u64>) -> String {
        let Some(records) = self.records else {
            return "the records cannot be counted, so a run's disk space cannot be estimated: `--check` says why"
                .to_string();
        };
        let total = self.total();
        let needs =
            format!("a run with {} writes up to {} MiB", counted(records, "record"), total.div_ceil(MIB));
        match room {
            Some(room) if room <= total => {
                format!(
                    "{needs}, but only {} MiB are free: free disk space before the run starts",
                    room / MIB
                )
            }
            Some(room) => format!("{needs}, and {} MiB are free", room / MIB),
            None => format!("{needs}; how much is free is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_measured_without_its_path() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("s3cret")).unwrap();
        fs::write(folder.path().join("s3cret/one"), [0; 700]).unwrap();
        fs::write(folder.path().join("two"), [0; 300]).unwrap();
        let place = ExaminedPath::written("state", folder.path());
        let found = place.to_json();
        assert_eq!((&found["bytes"], &found["files"]), (&json!(1000), &json!(2)));
        assert!(place.free_bytes().unwrap() > 0 && found["writable"] == true);
        assert!(!found.to_string().contains(&folder.path().display().to_string()), "{found}");
        let absent = ExaminedPath::read("columns", &folder.path().join("none/none"));
        assert!(absent.to_json()["is"] == "absent" && absent.free_bytes().is_none());
    }

    #[test]
    fn a_run_that_does_not_fit_is_said() {
        let forecast = Forecast { records: Some(10), bytes: vec![("ledger", MIB), ("transcript", MIB)] };
        assert!(forecast.in_words(Some(MIB)).contains("free disk space"));
        assert_eq!(forecast.to_json(Some(3 * MIB))["fits"], true);
        assert_eq!(forecast.to_json(Some(2 * MIB))["fits"], false);
        assert!(Forecast::default().to_json(Some(1))["fits"].is_null());
    }
}
