//! The folder of one alignment: what it holds says how far it has come, so that a killed process goes on.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use hashvfl_files::{owner_only_folder, read_checked, write_checked, write_whole};
use zeroize::Zeroize;

use crate::curve::Secret;
use crate::error::AlignmentError;
use crate::route::{Load, Map, Route};
use crate::settings::AlignmentSettings;
use crate::storage::files::Items;
use crate::storage::spool::RECORD_BYTES;

/// The result of an alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlignmentResult {
    /// Records of this holder.
    pub records: u64,
    /// Records that all holders have.
    pub common: u64,
}

impl fmt::Display for AlignmentResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.records, self.common)
    }
}

/// The folder of an alignment, locked for this process.
#[derive(Debug)]
pub struct AlignmentFolder {
    path: PathBuf,
    _lock: File,
}

/// Bytes of a scalar; so many of its digest lie behind it.
const SCALAR_BYTES: usize = 32;

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
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
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

/// What is in a small file, if there is one. One that has no digest is given as it is.
fn read_small(path: &Path) -> Result<Option<String>, AlignmentError> {
    let damaged = || AlignmentError::Damaged(path.to_path_buf());
    match read_checked(path) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| damaged()),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Ok(None),
            ErrorKind::InvalidData => Err(damaged()),
            _ => Err(AlignmentError::io("read", path)(error)),
        },
    }
}

/// Whether a folder is known to be of the alignment under these settings; one that says nothing yet may become it.
fn is_known(folder: &Path, settings: &Digest) -> Result<bool, AlignmentError> {
    let path = folder.join("settings");
    let Some(text) = read_small(&path)? else { return Ok(false) };
    if text == settings.to_string() {
        return Ok(true);
    }
    // Digests of an earlier version had none of their own.
    let is_other = text.len() == settings.to_string().len();
    Err(if is_other {
        AlignmentError::OtherAlignment(folder.to_path_buf())
    } else {
        AlignmentError::Damaged(path)
    })
}

/// The digest that is kept with a scalar.
fn digest_of_scalar(scalar: &[u8]) -> Digest {
    Digest::of_parts([b"scalar".as_slice(), scalar])
}

impl AlignmentFolder {
    /// Opens the folder of the alignment under these settings, or makes it.
    ///
    /// # Errors
    /// When it holds another alignment, is in use, or cannot be written.
    pub fn open(path: &Path, settings: &AlignmentSettings) -> Result<Self, AlignmentError> {
        settings.check()?;
        owner_only_folder().recursive(true).create(path).map_err(AlignmentError::io("make", path))?;
        refuse_foreign(path)?;
        let lock = path.join("lock");
        let file = File::create(&lock).map_err(AlignmentError::io("write", &lock))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AlignmentError::InUse(path.to_path_buf())),
            Err(TryLockError::Error(reason)) => return Err(AlignmentError::io("lock", &lock)(reason)),
        }
        let folder = Self { path: path.to_path_buf(), _lock: file };
        let digest = settings.digest();
        if !is_known(path, &digest)? {
            write_checked(&folder.file("settings"), digest.to_string().as_bytes())?;
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
        is_known(path, &settings.digest()).map(drop)
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

    /// Removes an order that may not be used, since fewer than `least` records are common.
    ///
    /// # Errors
    /// If an earlier version wrote how many are: that may have changed on disk, and no order is removed because of it.
    pub(crate) fn forget_order(&self, least: u64) -> Result<(), AlignmentError> {
        let path = self.order();
        if !path.exists() {
            return Ok(());
        }
        match self.finished()? {
            Some((AlignmentResult { common, .. }, false)) => {
                Err(AlignmentError::TooFewUnchecked { order: path, common, least })
            }
            _ => fs::remove_file(&path).map_err(AlignmentError::io("remove", &path)),
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
        let (mut scalar, mut bytes) = (secret.to_bytes(), [0; 2 * SCALAR_BYTES]);
        bytes[..SCALAR_BYTES].copy_from_slice(&scalar);
        bytes[SCALAR_BYTES..].copy_from_slice(&digest_of_scalar(&scalar).0);
        let written = write_whole(&path, &bytes);
        scalar.zeroize();
        bytes.zeroize();
        Ok(written?)
    }

    pub(crate) fn secret(&self) -> Result<Secret, AlignmentError> {
        let path = self.file("scalar");
        let mut bytes = fs::read(&path).map_err(AlignmentError::io("read", &path))?;
        // Nothing of an earlier version's files has a digest, and only that version can go on with them.
        if bytes.len() == SCALAR_BYTES {
            bytes.zeroize();
            return Err(AlignmentError::EarlierVersion(self.path.clone()));
        }
        let secret = bytes.split_first_chunk::<SCALAR_BYTES>().and_then(|(scalar, digest)| {
            let fits = digest_of_scalar(scalar).0 == digest;
            fits.then(|| Secret::from_bytes(*scalar)).flatten()
        });
        bytes.zeroize();
        secret.ok_or(AlignmentError::Damaged(path))
    }

    /// What came of it, if the alignment is over.
    ///
    /// # Errors
    /// If the file that says so has changed, or cannot be read.
    pub fn outcome(&self) -> Result<Option<AlignmentResult>, AlignmentError> {
        Ok(self.finished()?.map(|(outcome, _)| outcome))
    }

    /// The same, and whether it has a digest: that of an earlier version has a line's end in its place.
    fn finished(&self) -> Result<Option<(AlignmentResult, bool)>, AlignmentError> {
        let path = self.file("finished");
        let Some(text) = read_small(&path)? else { return Ok(None) };
        let outcome = text.trim_end().split_once(' ').and_then(|(records, common)| {
            Some(AlignmentResult { records: records.parse().ok()?, common: common.parse().ok()? })
        });
        let outcome = outcome.ok_or_else(|| AlignmentError::Damaged(path.clone()))?;
        let line = outcome.to_string();
        if text != line && text != format!("{line}\n") {
            return Err(AlignmentError::Damaged(path));
        }
        Ok(Some((outcome, text == line)))
    }

    /// Of the files that the records were read from.
    pub(crate) fn fingerprint(&self) -> Result<Option<Digest>, AlignmentError> {
        let path = self.file("fingerprint");
        match read_small(&path)?.as_deref() {
            Some("-") => Ok(None),
            text => text.and_then(Digest::from_hex).map(Some).ok_or(AlignmentError::Damaged(path)),
        }
    }

    /// Keeps that fingerprint.
    pub(crate) fn keep_fingerprint(&self, fingerprint: Option<Digest>) -> Result<(), AlignmentError> {
        let text = fingerprint.map_or("-".to_string(), |digest| digest.to_string());
        Ok(write_checked(&self.file("fingerprint"), text.as_bytes())?)
    }

    /// Says that the alignment is over, and destroys the scalar and all points.
    pub(crate) fn finish(&self, outcome: AlignmentResult) -> Result<(), AlignmentError> {
        write_checked(&self.file("finished"), outcome.to_string().as_bytes())?;
        self.destroy()
    }

    /// Destroys what a finished alignment has no use for; again after a crash in the midst of it.
    pub(crate) fn destroy(&self) -> Result<(), AlignmentError> {
        let scalar = self.file("scalar");
        if scalar.exists() {
            // The name goes last: a file system that writes in place holds zeros by then.
            let zeroed = fs::OpenOptions::new().write(true).open(&scalar).and_then(|mut file| {
                file.write_all(&[0; 2 * SCALAR_BYTES])?;
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
