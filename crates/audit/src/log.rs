//! A log on disk. An entry is written in two steps, so that a line that has its end is on disk as a whole: first the line,
//! synced, then its end, synced. Only then does whoever wrote it go on.
//!
//! So a process that dies in between leaves a last line without its end. Nobody was told that it was written: whoever opens
//! the log next, or writes to it, cuts that line off and says so in an entry of its own.

use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hashvfl_core::{Digest, RunId};
use hashvfl_files::effects::{self, Effect};
use hashvfl_files::{owner_only, owner_only_folder, sync_folder};

use crate::chain::{BytesRead, Links, LogEntry};
use crate::error::AuditError;
use crate::event::AuditEvent;
use crate::head::{Head, Side};
use crate::ledger_totals::LedgerTotals;
use crate::time;

/// A log that is written to. Several processes may write to one log; each entry is written under a lock on the file.
#[derive(Debug)]
pub struct AuditLog {
    file: File,
    path: PathBuf,
    links: Links,
    /// Bytes of the entries so far.
    length: u64,
    known: Known,
}

/// What of the entries is needed for later ones.
#[derive(Debug, Default)]
struct Known {
    /// Whose log it is.
    side: Option<String>,
    /// The policy of the last entry about one: its digest, or that there is none.
    policy: Option<String>,
    /// What the ledger counted at the last entry about that.
    counted: LedgerTotals,
    /// Numbers of the revocation lists of the last entry about them.
    revocation_lists: Option<String>,
    /// The pins of the last entry about them: their digest, or that there are none.
    pins: Option<String>,
}

impl Known {
    fn take(&mut self, entry: &LogEntry) {
        match entry.event() {
            Some(AuditEvent::Opened { side, .. }) if entry.sequence == 1 => self.side = Some(side),
            Some(AuditEvent::PolicyChanged { policy_sha256 }) => self.policy = policy_sha256,
            Some(AuditEvent::Counted { items, bits }) => self.counted = LedgerTotals { items, bits },
            Some(AuditEvent::RevocationsChanged { lists, .. }) => self.revocation_lists = Some(lists),
            Some(AuditEvent::PinsChanged { pins_sha256, .. }) => self.pins = pins_sha256,
            _ => {}
        }
    }
}

impl AuditLog {
    /// Opens the log at `path`, or begins it as the log of `side`.
    ///
    /// # Errors
    /// If it cannot be read or written, was changed, or is another side's.
    pub fn open(path: &Path, side: &Side) -> Result<Self, AuditError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        // Only the last one: a place that is misspelt is not made.
        if !folder.as_os_str().is_empty() && !folder.exists() {
            owner_only_folder()
                .create(folder)
                .map_err(|reason| AuditError::file("create the folder", folder, reason))?;
        }
        let file = owner_only()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(|reason| AuditError::file("open the audit log", path, reason))?;
        let mut log = Self {
            file,
            path: path.to_path_buf(),
            links: Links { head: Head::EMPTY },
            length: 0,
            known: Known::default(),
        };
        let side = side.file_stem();
        log.locked(|log| {
            let cut_bytes = log.catch_up()?;
            if log.length == 0 {
                let release = env!("CARGO_PKG_VERSION").to_string();
                log.write(None, &AuditEvent::Opened { side: side.clone(), release }, SystemTime::now())?;
                // The name of a file that was made is on the disk when its folder is.
                sync_folder(folder).map_err(|reason| AuditError::file("sync the folder", folder, reason))?;
            }
            log.note_mended(cut_bytes)
        })?;
        if log.known.side.as_ref() == Some(&side) {
            return Ok(log);
        }
        let found = log.known.side.unwrap_or_else(|| "nobody".to_string());
        Err(AuditError::OtherSide { path: path.to_path_buf(), found, expected: side })
    }

    /// Writes an entry about `run`, durably, as of `at`; the head with it.
    ///
    /// # Errors
    /// If it cannot be written, or somebody changed the log.
    pub fn append(
        &mut self,
        run: Option<&RunId>,
        event: &AuditEvent,
        at: SystemTime,
    ) -> Result<Head, AuditError> {
        self.locked(|log| {
            let cut_bytes = log.catch_up()?;
            log.note_mended(cut_bytes)?;
            log.write(run, event, at)
        })?;
        Ok(self.head())
    }

    /// The head, as far as this process knows the log.
    pub fn head(&self) -> Head {
        self.links.head
    }

    /// The policy of the last entry about one, by digest; `None`: there was none.
    pub fn policy(&self) -> Option<&str> {
        self.known.policy.as_deref()
    }

    /// What the ledger counted at the last entry about that.
    pub fn counted(&self) -> LedgerTotals {
        self.known.counted
    }

    /// The pins of the last entry about them, by digest; `None`: there were none.
    pub fn pins(&self) -> Option<&str> {
        self.known.pins.as_deref()
    }

    /// Numbers of the revocation lists of the last entry about them.
    pub fn revocation_lists(&self) -> Option<&str> {
        self.known.revocation_lists.as_deref()
    }

    /// Does `work` while no other process writes to the log, or to what lies beside it.
    pub(crate) fn locked<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, AuditError>,
    ) -> Result<T, AuditError> {
        self.file.lock().map_err(|reason| AuditError::file("lock the audit log", &self.path, reason))?;
        let done = work(self);
        let unlocked = self.file.unlock();
        let done = done?;
        unlocked.map_err(|reason| AuditError::file("unlock the audit log", &self.path, reason))?;
        Ok(done)
    }

    /// Reads what others have written, and cuts an incomplete last line off; how many bytes it had.
    fn catch_up(&mut self) -> Result<u64, AuditError> {
        let found = self.file.metadata().map_err(|reason| self.cannot("read", reason))?.len();
        if found < self.length {
            return Err(AuditError::Shrunk { path: self.path.clone() });
        }
        self.file.seek(SeekFrom::Start(self.length)).map_err(|reason| self.cannot("read", reason))?;
        let Self { file, path, links, known, .. } = self;
        let read = links.read(BufReader::new(&*file), path, &mut |entry, _| known.take(&entry))?;
        let BytesRead { whole, incomplete: cut_bytes } = read;
        self.length += whole;
        if cut_bytes > 0 {
            self.file.set_len(self.length).map_err(|reason| self.cannot("mend", reason))?;
            self.file.sync_all().map_err(|reason| self.cannot("mend", reason))?;
        }
        Ok(cut_bytes)
    }

    fn note_mended(&mut self, cut_bytes: u64) -> Result<(), AuditError> {
        match cut_bytes {
            0 => Ok(()),
            cut_bytes => self.write(None, &AuditEvent::Mended { cut_bytes }, SystemTime::now()),
        }
    }

    fn write(&mut self, run: Option<&RunId>, event: &AuditEvent, at: SystemTime) -> Result<(), AuditError> {
        let Head { sequence, entry } = self.head();
        let entry = LogEntry {
            sequence: sequence + 1,
            previous_sha256: entry.to_string(),
            time: time::text(at),
            run: run.map(ToString::to_string),
            // Unwrap safety: names, numbers and texts are JSON.
            event: serde_json::to_value(event).expect("an event"),
        };
        // Unwrap safety: as above.
        let line = serde_json::to_vec(&entry).expect("an entry");
        for bytes in [line.as_slice(), b"\n"] {
            self.put(bytes).map_err(|reason| self.cannot("write", reason))?;
        }
        self.links.head = Head { sequence: entry.sequence, entry: Digest::of(&line) };
        self.length += line.len() as u64 + 1;
        self.known.take(&entry);
        Ok(())
    }

    /// Appends `bytes`, durably.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !effects::before(Effect::Grown, &self.path)? {
            return Ok(());
        }
        self.file.write_all(bytes)?;
        if !effects::before(Effect::Synced, &self.path)? {
            return Ok(());
        }
        self.file.sync_data()
    }

    fn cannot(&self, action: &'static str, reason: io::Error) -> AuditError {
        AuditError::file(action, &self.path, reason)
    }
}
