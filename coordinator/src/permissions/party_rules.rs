//! What the permissions file says of parties, as it is now.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use hashvfl_audit::{AuditEvent, AuditTrail};
use hashvfl_core::{Digest, PartyName, RunId};
use hashvfl_files::Stamps;
use tracing::warn;

use super::file::{PartyAction, PermissionsFile};

/// Whether a party is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartyRule {
    /// It is not.
    Never,
    /// At most so often an hour.
    AtMost(u32),
    /// As often as it comes.
    Always,
}

/// What parties may do, and how often.
pub struct PartyRules {
    action: PartyAction,
    limits: BTreeMap<PartyName, u32>,
    /// Where it is written; `None`: what is here stays.
    source: Option<Source>,
}

/// The file, and what it held when it was read last.
struct Source {
    path: PathBuf,
    run: RunId,
    read: Read,
    /// Whether the log says already that the file, as it is now, cannot be read.
    is_told: bool,
    /// What hears that it has changed.
    audit: Option<Arc<AuditTrail>>,
}

struct Read {
    stamps: Stamps,
    file: PermissionsFile,
    sha256: Digest,
}

impl Read {
    /// Reads the file at `path`, and none of those of ids that it names.
    fn of(path: &Path) -> anyhow::Result<Self> {
        // Before it is read: what changes meanwhile is read again.
        let mut stamps = Stamps::default();
        stamps.add(path.to_path_buf());
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = PermissionsFile::parse(&text).with_context(|| path.display().to_string())?;
        Ok(Self { stamps, file, sha256: Digest::of(text.as_bytes()) })
    }

    /// What the audit trail hears of it.
    fn event(&self) -> AuditEvent {
        AuditEvent::PermissionsChanged { sha256: self.sha256.to_string(), ids: None }
    }
}

impl PartyRules {
    /// Every party may do `action`, those in `limits` so often an hour.
    pub fn fixed(action: PartyAction, limits: BTreeMap<PartyName, u32>) -> Self {
        Self { action, limits, source: None }
    }

    /// What the file at `path` says of `action` in `run`; `audit` hears of it, and again when it has changed.
    ///
    /// # Errors
    /// If it cannot be read, does not say what it means, or cannot be written down.
    pub fn follow(
        path: &Path,
        run: &RunId,
        action: PartyAction,
        audit: Option<Arc<AuditTrail>>,
    ) -> anyhow::Result<Self> {
        let (path, run, read) = (path.to_path_buf(), run.clone(), Read::of(path)?);
        if let Some(audit) = &audit {
            audit.note(read.event())?;
        }
        let limits = read.file.per_hour(action);
        Ok(Self { action, limits, source: Some(Source { path, run, read, is_told: false, audit }) })
    }

    /// What the parties do.
    pub fn action(&self) -> PartyAction {
        self.action
    }

    /// Whether any party has a limit.
    pub fn has_limits(&self) -> bool {
        !self.limits.is_empty()
    }

    /// What counts for `party` now.
    pub fn of(&mut self, party: &PartyName) -> PartyRule {
        self.look();
        if let Some(Source { read, run, .. }) = &self.source
            && !read.file.party_may(party, self.action, run)
        {
            return PartyRule::Never;
        }
        self.limits.get(party).map_or(PartyRule::Always, |limit| PartyRule::AtMost(*limit))
    }

    /// Reads the file again if it has changed. One that has become unreadable changes nothing, and the log says why.
    fn look(&mut self) {
        let Some(source) = &mut self.source else { return };
        if source.read.stamps.hold() {
            return;
        }
        match Read::of(&source.path) {
            Ok(now) => {
                if let Some(audit) = source.audit.as_ref().filter(|_| now.sha256 != source.read.sha256) {
                    audit.note_or_complain(now.event());
                }
                self.limits = now.file.per_hour(self.action);
                (source.read, source.is_told) = (now, false);
            }
            Err(failed) => {
                if !source.is_told {
                    warn!(
                        "the changed permissions file is not used, and the previous permissions stay in force: \
                         {failed:#}"
                    );
                }
                source.is_told = true;
            }
        }
    }
}
