//! The permissions file, read again when it changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use hashvfl_audit::{AuditEvent, AuditTrail};
use hashvfl_core::Digest;
use hashvfl_files::Stamps;
use tracing::warn;

use super::file::PermissionsFile;

/// A file that cannot be read and does not change is tried again so often: a file of ids that it names may have come.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether the files of ids that a permissions file names are read, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdLists {
    /// They are.
    Read,
    /// Nobody asks for ids.
    Ignored,
}

/// The permissions file as it is now. Where it has become unreadable, what it said before stays in force, the log says why, and
/// it is tried again.
pub struct FollowedFile {
    /// `None`: there is no file, so everybody may do everything.
    path: Option<PathBuf>,
    ids: IdLists,
    last: LastRead,
    /// Why `last` is not the file of now, if it has changed since.
    failed: Option<FailedRead>,
    /// What hears that it has changed.
    audit: Option<Arc<AuditTrail>>,
}

/// What was read last.
#[derive(Default)]
struct LastRead {
    stamps: Stamps,
    file: PermissionsFile,
    sha256: Option<Digest>,
}

/// A reading in vain.
struct FailedRead {
    at: Instant,
    /// Of the permissions file, before it was read.
    stamps: Stamps,
}

impl LastRead {
    /// Reads the file at `path`.
    fn of(path: &Path, ids: IdLists) -> anyhow::Result<Self> {
        // Before they are read: what changes meanwhile is read again.
        let mut stamps = stamps_of(path);
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut file = PermissionsFile::parse(&text).with_context(|| path.display().to_string())?;
        if ids == IdLists::Read {
            let folder = path.parent().unwrap_or(Path::new(""));
            file.files_of_ids(folder).into_iter().for_each(|list| stamps.add(list));
            file.read_ids(folder).with_context(|| path.display().to_string())?;
        }
        Ok(Self { stamps, file, sha256: Some(Digest::of(text.as_bytes())) })
    }

    /// What the audit trail hears of it; nothing where there is no file.
    fn event(&self) -> Option<AuditEvent> {
        let sha256 = self.sha256?.to_string();
        // No digest of ids: a short list can be guessed.
        Some(AuditEvent::PermissionsChanged { sha256, ids: self.file.count_ids() })
    }
}

impl FailedRead {
    /// Whether it is too early to read again.
    fn holds(&self) -> bool {
        self.stamps.hold() && self.at.elapsed() < AGAIN
    }
}

impl FollowedFile {
    /// Reads the file at `path`, if there is one.
    ///
    /// # Errors
    /// If it cannot be read, or does not say what it means.
    pub fn open(path: Option<&Path>, ids: IdLists) -> anyhow::Result<Self> {
        let last = path.map(|path| LastRead::of(path, ids)).transpose()?.unwrap_or_default();
        Ok(Self { path: path.map(Path::to_path_buf), ids, last, failed: None, audit: None })
    }

    /// The same file, of which `audit` hears, and again whenever it has changed.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn with_audit(mut self, audit: Arc<AuditTrail>) -> anyhow::Result<Self> {
        if let Some(event) = self.last.event() {
            audit.note(event)?;
        }
        self.audit = Some(audit);
        Ok(self)
    }

    /// What it says now.
    pub fn current(&mut self) -> &PermissionsFile {
        self.look();
        &self.last.file
    }

    /// Reads it again if it has changed.
    fn look(&mut self) {
        let Some(path) = &self.path else { return };
        if self.last.stamps.hold() || self.failed.as_ref().is_some_and(FailedRead::holds) {
            return;
        }
        let stamps = stamps_of(path);
        match LastRead::of(path, self.ids) {
            Ok(now) => {
                let has_changed = now.sha256 != self.last.sha256 || !now.file.has_ids_of(&self.last.file);
                (self.last, self.failed) = (now, None);
                if let (Some(audit), Some(event)) = (&self.audit, self.last.event())
                    && has_changed
                {
                    audit.note_or_complain(event);
                }
            }
            Err(failed) => {
                // Said once for each time that it becomes unreadable.
                if self.failed.is_none() {
                    warn!(
                        "the changed permissions file is not used, and the previous permissions stay in force: \
                         {failed:#}"
                    );
                }
                self.failed = Some(FailedRead { at: Instant::now(), stamps });
            }
        }
    }
}

fn stamps_of(path: &Path) -> Stamps {
    let mut stamps = Stamps::default();
    stamps.add(path.to_path_buf());
    stamps
}

#[cfg(test)]
mod tests {
    use hashvfl_core::{PartyName, RunId};

    use super::*;
    use crate::permissions::file::PartyAction;

    fn lets_in(file: &mut FollowedFile, party: &str) -> bool {
        let (party, run) = (PartyName::new(party).unwrap(), RunId::new("spring").unwrap());
        file.current().party_may(&party, PartyAction::Join, &run)
    }

    #[test]
    fn what_cannot_be_read_changes_nothing_and_what_is_mended_counts_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("permissions.toml");
        let write = |text: &str| fs::write(&path, text).unwrap();
        assert!(FollowedFile::open(Some(&path), IdLists::Ignored).is_err(), "it is not there");
        write("[parties.bank]\n");
        let mut file = FollowedFile::open(Some(&path), IdLists::Ignored).unwrap();
        assert!(lets_in(&mut file, "bank") && !lets_in(&mut file, "telecom"));
        write("[parties");
        for _ in 0..2 {
            assert!(lets_in(&mut file, "bank") && !lets_in(&mut file, "telecom"));
        }
        write("[parties.telecom]\n");
        assert!(!lets_in(&mut file, "bank") && lets_in(&mut file, "telecom"));
    }

    #[test]
    fn a_list_of_ids_counts_as_part_of_the_file_where_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, list) = (folder.path().join("permissions.toml"), folder.path().join("desk.csv"));
        fs::write(&path, "[clients.desk]\nrecords = \"desk.csv\"\n").unwrap();
        assert!(FollowedFile::open(Some(&path), IdLists::Read).is_err(), "the list is not there");
        assert!(FollowedFile::open(Some(&path), IdLists::Ignored).is_ok());
        fs::write(&list, "id\nr1\n").unwrap();
        let mut file = FollowedFile::open(Some(&path), IdLists::Read).unwrap();
        assert_eq!(file.current().count_ids(), Some(1));
        fs::write(&list, "id\nr1\nr2\n").unwrap();
        assert_eq!(file.current().count_ids(), Some(2));
    }

    #[test]
    fn without_a_file_everybody_may() {
        let mut file = FollowedFile::open(None, IdLists::Read).unwrap();
        assert!(lets_in(&mut file, "bank") && file.current().clients.is_none());
    }
}
