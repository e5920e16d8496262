//! Heads that peers told: a file for each peer, a head a line.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hashvfl_core::RunId;
use hashvfl_core::protocol::message::AuditHead;
use hashvfl_files::{rename_durably, with_digest, without_digest, write_whole};
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
        rename_durably(&path, &aside).map_err(|reason| AuditError::file("rename", &path, reason))?;
        Ok(sequence)
    }

    /// Keeps a head that its owner told in `run`, durably, with the key that signed it. It is kept also where it contradicts one from before.
    /// Of the heads of one day that a party tells when it comes to serve, the last one stays: so one that comes again and again fills
    /// no disk, and a head of an earlier day still vouches for what was before it.
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
        let mut before = if path.exists() { read_heads(&path)? } else { Vec::new() };
        let entry = told.entry.to_string();
        let is_kept = |kept: &KeptHead| kept.sequence == told.sequence && kept.entry_sha256 == entry;
        if at == Moment::Serve && before.iter().any(is_kept) {
            return Ok(None);
        }
        fs::create_dir_all(&self.folder)
            .map_err(|reason| AuditError::file("make the folder", &self.folder, reason))?;
        let head = KeptHead::new(told, key, run, at, time::text(now));
        let contradicts = before.iter().any(|kept| contradict(kept, head.sequence, &head.entry_sha256));
        if !contradicts && before.last().is_some_and(|last| is_later_of_a_day(&head, last)) {
            before.pop();
        }
        let mut lines = String::new();
        for head in before.iter().chain([&head]) {
            // Unwrap safety: names, numbers and texts are JSON.
            let line = serde_json::to_string(head).expect("a head");
            lines += &with_digest(&line);
            lines.push('\n');
        }
        write_whole(&path, lines.as_bytes())?;
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

/// Whether both heads were told in one run on one day by a party that came to serve.
fn is_later_of_a_day(head: &KeptHead, last: &KeptHead) -> bool {
    let of_serving = |head: &KeptHead| head.at == Moment::Serve;
    // Days are as long in all time stamps.
    let day = |head: &KeptHead| head.time.get(..time::DATE_BYTES).map(str::to_string);
    of_serving(head) && of_serving(last) && head.run == last.run && day(head) == day(last)
}

/// Whether a log that had the head `earlier` cannot have `sequence` entries now, the last one `entry`, if it only grows.
fn contradict(earlier: &KeptHead, sequence: u64, entry: &str) -> bool {
    let other = earlier.sequence == sequence && earlier.entry_sha256 != entry;
    other || sequence < earlier.sequence
}

/// The heads in a file.
///
/// # Errors
/// If it cannot be read, or a line is no head or has changed since it was written.
pub fn read_heads(path: &Path) -> Result<Vec<KeptHead>, AuditError> {
    let text = fs::read_to_string(path).map_err(|reason| AuditError::file("read", path, reason))?;
    let mut heads = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let head = without_digest(line)
            .map_err(|_| AuditError::DamagedHead { path: path.to_path_buf(), line: number })?;
        let head = serde_json::from_str(&head);
        heads.push(head.map_err(|_| AuditError::NoHead { path: path.to_path_buf(), line: number })?);
    }
    Ok(heads)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use hashvfl_core::{Digest, PartyName};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_party_that_comes_to_serve_again_and_again_fills_no_disk() {
        let place = tempfile::tempdir().unwrap();
        let book = HeadBook::new(place.path().join("heads"));
        let bank = PartyName::new("bank").unwrap();
        let run = RunId::new("spring").unwrap();
        let told = |sequence: u64| AuditHead {
            party: Some(bank.clone()),
            sequence,
            entry: Digest::of(&sequence.to_le_bytes()),
            signature: Vec::new(),
        };
        let noon = UNIX_EPOCH + 20_000 * DAY + DAY / 2;
        let keep = |sequence, at, now| book.keep(&told(sequence), None, &run, at, now).unwrap();
        let kept = || {
            let heads = read_heads(&book.path(&Side::Party(bank.clone()))).unwrap();
            heads.iter().map(|head| head.sequence).collect::<Vec<u64>>()
        };
        assert_eq!(keep(3, Moment::Finish, noon), None);
        for sequence in 4..50 {
            assert_eq!(keep(sequence, Moment::Serve, noon), None);
        }
        assert_eq!(kept(), [3, 49], "the last of a day");
        assert_eq!(keep(50, Moment::Serve, noon + DAY), None);
        assert_eq!(keep(51, Moment::Serve, noon + DAY), None);
        assert_eq!(kept(), [3, 49, 51], "the one of the day before still vouches");
        // One that does not fit puts none aside.
        assert_eq!(keep(40, Moment::Serve, noon + DAY).unwrap().sequence, 40);
        assert_eq!(kept(), [3, 49, 51, 40]);
    }
}
