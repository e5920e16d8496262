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
        fs::create_dir_all(&self.folder)
            .map_err(|reason| AuditError::file("make the folder", &self.folder, reason))?;
        let head = KeptHead::new(told, key, run, at, time::text(now));
        let contradicts = before.iter().any(|kept| contradict(kept, &head));
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

/// Whether a log that had the head `earlier` cannot have `later` now, if it only grows.
fn contradict(earlier: &KeptHead, later: &KeptHead) -> bool {
    let other = earlier.sequence == later.sequence && earlier.entry_sha256 != later.entry_sha256;
    other || later.sequence < earlier.sequence
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
