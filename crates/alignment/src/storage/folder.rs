//! The folder of one alignment: what it holds says how far it has come, so that a killed process goes on.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use hashvfl_files::write_whole;
use zeroize::Zeroize;

use crate::curve::Secret;
use crate::error::AlignmentError;
use crate::protocol::route::{Load, Map, Route};
use crate::settings::AlignmentSettings;
use crate::storage::files::Items;
use crate::storage::spool::RECORD_BYTES;

/// What came of an alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Records of this holder.
    pub records: u64,
    /// Records that all holders have.
    pub common: u64,
}

/// The folder of an alignment, locked for this process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

/// What stays of an alignment that is over.
const KEPT: [&str; 4] = ["settings", "finished", "order.csv", "lock"];
/// What goes then.
const PASSING: [&str; 5] = ["records", "ids", "fingerprint", "scalar", "ordered"];
/// Likewise, each with the number of a holder behind it.
const OF_SETS: [&str; 7] = ["points", "sorted", "places", "placed", "tags", "verdict", "mask"];

/// Whether a file is called as one that an alignment writes, or as one of these in the making.
fn is_of_alignment(name: &str) -> bool {
    // What sorts has files without names, which some file systems call so for a moment.
    if name.starts_with(".tmp") {
        return true;
    }
    let name = name.strip_prefix('.').and_then(|rest| rest.rsplit_once('.')).map_or(name, |(name, _)| name);
    let of_set = |(what, set): (&str, &str)| OF_SETS.contains(&what) && set.parse::<usize>().is_ok();
    KEPT.contains(&name) || PASSING.contains(&name) || name.split_once('-').is_some_and(of_set)
}

/// The files of a folder with their names; none where it is not there.
fn files_in(folder: &Path) -> Result<Vec<(String, PathBuf)>, AlignmentError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(AlignmentError::io("read", folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(AlignmentError::io("read", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push((name, path));
    }
    Ok(found)
}

/// An alignment works in a folder of its own.
fn refuse_foreign(folder: &Path) -> Result<(), AlignmentError> {
    match files_in(folder)?.into_iter().find(|(name, path)| path.is_dir() || !is_of_alignment(name)) {
        Some((_, path)) => Err(AlignmentError::Foreign(path)),
        None => Ok(()),
    }
}

impl Folder {
    /// Opens the folder of the alignment under these settings, or makes it.
    ///
    /// # Errors
    /// When it holds another alignment, is in use, or cannot be written.
    pub fn open(path: &Path, settings: &AlignmentSettings) -> Result<Self, AlignmentError> {
        settings.check()?;
        fs::create_dir_all(path).map_err(AlignmentError::io("make", path))?;
        refuse_foreign(path)?;
        let lock = path.join("lock");
        let file = File::create(&lock).map_err(AlignmentError::io("write", &lock))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AlignmentError::InUse(path.to_path_buf())),
            Err(TryLockError::Error(reason)) => return Err(AlignmentError::io("lock", &lock)(reason)),
        }
        let folder = Self { path: path.to_path_buf(), _lock: file };
        let (digest, kept) = (settings.digest().to_string(), folder.file("settings"));
        match fs::read_to_string(&kept) {
            Ok(text) if text == digest => {}
            Ok(_) => return Err(AlignmentError::OtherAlignment(path.to_path_buf())),
            Err(_) => write_whole(&kept, digest.as_bytes())?,
        }
        Ok(folder)
    }

    /// Whether [`Self::open`] would do; writes nothing.
    ///
    /// # Errors
    /// If it holds another alignment, or cannot be written.
    pub fn check(path: &Path, settings: &AlignmentSettings) -> Result<(), AlignmentError> {
        settings.check()?;
        hashvfl_files::check_folder(path)?;
        refuse_foreign(path)?;
        match fs::read_to_string(path.join("settings")) {
            Ok(text) if text != settings.digest().to_string() => {
                Err(AlignmentError::OtherAlignment(path.to_path_buf()))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The order that training reads.
    pub fn order(&self) -> PathBuf {
        self.file("order.csv")
    }

    /// Whether the records have been read.
    pub fn has_records(&self) -> bool {
        self.has("records")
    }

    /// Records that have been read.
    pub fn records(&self) -> Result<u64, AlignmentError> {
        Ok(Items::open(&self.file("records"), RECORD_BYTES)?.total)
    }

    /// Removes an order that may not be used.
    pub(crate) fn forget_order(&self) -> Result<(), AlignmentError> {
        let path = self.order();
        if path.exists() {
            fs::remove_file(&path).map_err(AlignmentError::io("remove", &path))
        } else {
            Ok(())
        }
    }

    /// Whether the scalar has been drawn: from then on, points may have left.
    pub fn has_begun(&self) -> bool {
        self.has("scalar")
    }

    /// Draws the scalar. To be called once the ledger has counted the alignment.
    pub fn begin(&self) -> Result<(), AlignmentError> {
        let path = self.file("scalar");
        let secret = Secret::draw().map_err(AlignmentError::io("draw a scalar for", &path))?;
        let mut bytes = secret.to_bytes();
        let written = write_whole(&path, &bytes);
        bytes.zeroize();
        Ok(written?)
    }

    pub(crate) fn secret(&self) -> Result<Secret, AlignmentError> {
        let path = self.file("scalar");
        let mut bytes = fs::read(&path).map_err(AlignmentError::io("read", &path))?;
        let secret = <[u8; 32]>::try_from(bytes.as_slice()).ok().and_then(Secret::from_bytes);
        bytes.zeroize();
        secret.ok_or(AlignmentError::Damaged(path))
    }

    /// What came of it, if the alignment is over.
    pub fn outcome(&self) -> Result<Option<Outcome>, AlignmentError> {
        let path = self.file("finished");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [records, common] => Ok(Some(Outcome { records, common })),
            _ => Err(AlignmentError::Damaged(path)),
        }
    }

    /// Says that the alignment is over, and destroys the scalar and all points.
    pub(crate) fn finish(&self, outcome: Outcome) -> Result<(), AlignmentError> {
        write_whole(&self.file("finished"), format!("{} {}\n", outcome.records, outcome.common).as_bytes())?;
        self.destroy()
    }

    /// Destroys what a finished alignment has no use for; again after a crash in the midst of it.
    pub(crate) fn destroy(&self) -> Result<(), AlignmentError> {
        let scalar = self.file("scalar");
        if scalar.exists() {
            // The name goes last: a file system that writes in place holds zeros by then.
            let zeroed = fs::OpenOptions::new().write(true).open(&scalar).and_then(|mut file| {
                std::io::Write::write_all(&mut file, &[0; 32])?;
                file.sync_all()
            });
            zeroed.and_then(|()| fs::remove_file(&scalar)).map_err(AlignmentError::io("destroy", &scalar))?;
        }
        for (name, path) in files_in(&self.path)? {
            if is_of_alignment(&name) && !KEPT.contains(&name.as_str()) {
                fs::remove_file(&path).map_err(AlignmentError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.file(name).exists()
    }

    /// A file about a set.
    pub(crate) fn of(&self, name: &str, set: usize) -> PathBuf {
        self.file(&format!("{name}-{set}"))
    }

    /// Where a load to send lies.
    pub(crate) fn source(&self, route: Route, map: &Map) -> PathBuf {
        let set = usize::from(route.set);
        match route.load {
            Load::Points => self.of("sorted", set),
            Load::Tags => self.of("tags", set),
            Load::Verdict if usize::from(route.hop) + 1 == map.holders => self.of("verdict", set),
            Load::Verdict => self.of("placed", set),
        }
    }

    /// Where a load that comes is put.
    pub(crate) fn target(&self, route: Route) -> PathBuf {
        let set = usize::from(route.set);
        match route.load {
            Load::Points => self.of("points", set),
            Load::Tags => self.of("tags", set),
            Load::Verdict => self.of("mask", set),
        }
    }
}
