//! Heads that peers told: a file for each peer, a head a line.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hashvfl_core::RunId;
use hashvfl_core::protocol::message::AuditHead;
use hashvfl_files::write_whole;
use hashvfl_identity::Fingerprint;

use crate::error::AuditError;
use crate::head::{KeptHead, Moment, Side};
use crate::time;

/// The folder of heads that peers told.
#[derive(Debug)]
pub struct HeadBook {
    folder: PathBuf,
}

/// A peer told heads that cannot both be of one log that only grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The peer.
    pub side: Side,
    /// Entries of the head that does not fit.
    pub sequence: u64,
}

impl HeadBook {
    /// In `folder`, which is made with the first head.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The file about the log of `side`.
    pub fn path(&self, side: &Side) -> PathBuf {
        self.folder.join(format!("{}.jsonl", side.file_stem()))
    }

    /// How the log of which `told` is the head now differs from the one of which heads were kept, if it does.
    ///
    /// # Errors
    /// If the file of its heads cannot be read.
    pub fn compare(&self, told: &AuditHead) -> Result<Option<OlderLog>, AuditError> {
        let path = self.path(&Side::from(told.party.clone()));
        if !path.exists() {
            return Ok(None);
        }
        let kept = read_heads(&path)?;
        let is_other = |kept: &&KeptHead| contradict(kept, told.sequence, &told.entry.to_string());
        let kept = kept.iter().filter(is_other).map(|kept| kept.sequence).max();
        Ok(kept.map(|kept| OlderLog { kept, told: told.sequence }))
    }

    /// Puts the heads of `side` aside, under another name, so that its log is taken as it is now; entries of the last one.
    ///
    /// # Errors
    /// If there are none, or their file cannot be read or renamed.
    pub fn put_aside(&self, side: &Side) -> Result<u64, AuditError> {
        let path = self.path(side);
        if !path.exists() {
            return Err(AuditError::NoHeads(side.to_string()));
        }
        let sequence = read_heads(&path)?.iter().map(|head| head.sequence).max().unwrap_or(0);
        let aside = path.with_extension(format!("until-{sequence}.jsonl"));
        fs::rename(&path, &aside).map_err(|reason| AuditError::file("rename", &path, reason))?;
        Ok(sequence)
    }

    /// Keeps a head that its owner told in `run`, durably, with the key that signed it. It is kept also where it contradicts one from before.
    ///
    /// # Errors
    /// If its file cannot be read or written.
    pub fn keep(
        &self,
        told: &AuditHead,
        key: Option<Fingerprint>,
        run: &RunId,
        at: Moment,
        now: SystemTime,
    ) -> Result<Option<Contradiction>, AuditError> {
        let side = Side::from(told.party.clone());
        let path = self.path(&side);
        let before = if path.exists() { read_heads(&path)? } else { Vec::new() };
        let entry = told.entry.to_string();
        let is_kept = |kept: &KeptHead| kept.sequence == told.sequence && kept.entry_sha256 == entry;
        // A party that comes to serve again and again fills no disk.
        if at == Moment::Serve && before.iter().any(is_kept) {
            return Ok(None);
        }
        fs::create_dir_all(&self.folder)
            .map_err(|reason| AuditError::file("make the folder", &self.folder, reason))?;
        let head = KeptHead::new(told, key, run, at, time::text(now));
        let contradicts = before.iter().any(|kept| contradict(kept, head.sequence, &head.entry_sha256));
        let mut lines = Vec::new();
        for head in before.iter().chain([&head]) {
            // Unwrap safety: names, numbers and texts are JSON.
            serde_json::to_writer(&mut lines, head).expect("a head");
            lines.push(b'\n');
        }
        write_whole(&path, &lines)?;
        Ok(contradicts.then_some(Contradiction { side, sequence: told.sequence }))
    }
}

/// That a peer's log is not the one of which a head was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderLog {
    /// Entries of the head that was kept.
    pub kept: u64,
    /// Entries of the log now.
    pub told: u64,
}

/// Whether a log that had the head `earlier` cannot have `sequence` entries now, the last one `entry`, if it only grows.
fn contradict(earlier: &KeptHead, sequence: u64, entry: &str) -> bool {
    let other = earlier.sequence == sequence && earlier.entry_sha256 != entry;
    other || sequence < earlier.sequence
}

/// The heads in a file.
///
/// # Errors
/// If it cannot be read, or a line is no head.
pub fn read_heads(path: &Path) -> Result<Vec<KeptHead>, AuditError> {
    let text = fs::read_to_string(path).map_err(|reason| AuditError::file("read", path, reason))?;
    let mut heads = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let head = serde_json::from_str(line);
        heads.push(head.map_err(|_| AuditError::NoHead { path: path.to_path_buf(), line: number })?);
    }
    Ok(heads)
}
