//! Who may do what at this coordinator: the file that `permissions` in the config names, read again when it changes.
//!
//! A certificate says who somebody is, and this file what they may do. Without it the run's parties may join, serve and
//! align, and every client with a certificate may ask for every served record.

mod count_file;
mod file;
mod joins;
mod party_rules;
mod quota;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use hashvfl_audit::{AuditEvent, AuditTrail};
use hashvfl_core::text::counted;
use hashvfl_core::{Digest, PartyName, RunId};
use hashvfl_files::Stamps;
use tracing::warn;

pub use file::{Answers, PartyAction, ToldFlags};
use file::{ClientTable, PermissionsFile};
pub use joins::{Joins, NotLetIn};
use party_rules::PartyRules;
use quota::Quota;

use crate::config::CoordinatorConfig;

/// Files that cannot be read are tried again so often.
const AGAIN: Duration = Duration::from_secs(1);

/// What a client may get.
#[derive(Debug, Clone)]
pub struct ClientPermission {
    /// The ids that it may ask for; `None`: all that are served.
    pub records: Option<Arc<HashSet<String>>>,
    /// What an answer says of a record.
    pub answers: Answers,
    /// Decimals to which numbers are rounded; `None`: as they are.
    pub decimals: Option<u8>,
    /// What an answer says of how strange a record is.
    pub flags: ToldFlags,
    /// Whether an answer says how long each stage took: who knows that knows whether a record's codes were known.
    pub times: bool,
    per_day: Option<u64>,
}

impl ClientPermission {
    /// Everything: no table says less.
    pub fn everything() -> Self {
        Self {
            records: None,
            answers: Answers::Probabilities,
            decimals: None,
            flags: ToldFlags::PValue,
            times: true,
            per_day: None,
        }
    }
}

/// Why a client gets nothing: one line for it.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// It may not ask at all.
    #[error("{0} may not ask for predictions here")]
    Client(PartyName),
    /// It has asked for so many today.
    #[error(
        "{client} may ask for {} per day and has already asked for {asked} today (UTC): another {count} would exceed \
         the limit", counted(.per_day, "record")
    )]
    PerDay {
        /// The client.
        client: PartyName,
        /// Its limit.
        per_day: u64,
        /// Asked for today.
        asked: u64,
        /// Asked for now.
        count: u64,
    },
    /// Its records cannot be counted.
    #[error("the coordinator cannot count what it answers: see its log")]
    Quota,
}

/// The permissions of clients, while predictions are served.
pub struct Permissions {
    path: Option<PathBuf>,
    seen: Mutex<Seen>,
    quota: Mutex<Quota>,
    audit: Arc<AuditTrail>,
}

/// The file, and those of ids that it names, as they were read last.
#[derive(Default)]
struct Seen {
    stamps: Stamps,
    file: PermissionsFile,
    sha256: Option<Digest>,
    /// When they could not be read, if they have changed since.
    failed: Option<Instant>,
}

impl Seen {
    /// Reads the file at `path`, and those of ids that it names.
    fn read(path: &Path) -> anyhow::Result<Self> {
        // Before they are read: what changes meanwhile is read again.
        let mut stamps = Stamps::default();
        stamps.add(path.to_path_buf());
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut file = PermissionsFile::parse(&text).with_context(|| path.display().to_string())?;
        file.files_of_ids(folder).into_iter().for_each(|ids| stamps.add(ids));
        file.read_ids(folder).with_context(|| path.display().to_string())?;
        Ok(Self { stamps, file, sha256: Some(Digest::of(text.as_bytes())), failed: None })
    }

    /// What the audit trail hears of it; nothing where there is no file.
    fn event(&self) -> Option<AuditEvent> {
        let sha256 = self.sha256?.to_string();
        // No digest of ids: a short list can be guessed.
        Some(AuditEvent::PermissionsChanged { sha256, ids: self.file.count_ids() })
    }
}

impl Permissions {
    /// Reads the file that `config` names, if it names one; the audit trail hears of it when it changes.
    ///
    /// # Errors
    /// If it cannot be read, does not say what it means, or does not let a party of the run serve.
    pub fn load(config: &CoordinatorConfig, audit: Arc<AuditTrail>) -> anyhow::Result<Self> {
        let path = config.permissions.clone();
        let mut seen = Seen::default();
        if let Some(path) = &path {
            seen = Seen::read(path)?;
            check(&seen.file, path, &config.run.parties, PartyAction::Serve, &config.run_id)?;
        }
        if let Some(event) = seen.event() {
            audit.note(event)?;
        }
        let quota = Quota::open(&config.ledger)?;
        Ok(Self { path, seen: Mutex::new(seen), quota: Mutex::new(quota), audit })
    }

    /// The files as they are now. Where one has become unreadable, all stay as they were, the log says why, and they are
    /// tried again.
    fn current(&self) -> MutexGuard<'_, Seen> {
        // What was read is whole.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &self.path else { return seen };
        if seen.stamps.hold() || seen.failed.is_some_and(|failed| failed.elapsed() < AGAIN) {
            return seen;
        }
        let before = seen.failed.take();
        match Seen::read(path) {
            Ok(now) => {
                let changes = now.sha256 != seen.sha256 || !now.file.has_ids_of(&seen.file);
                *seen = now;
                if let Some(event) = seen.event().filter(|_| changes) {
                    self.audit.note_or_complain(event);
                }
            }
            Err(failed) => {
                seen.failed = Some(Instant::now());
                // Said once for each time that they become unreadable.
                if before.is_none() {
                    warn!(
                        "the changed permissions file is not used, and the previous permissions stay in force: \
                         {failed:#}"
                    );
                }
            }
        }
        seen
    }

    /// Looks whether the files have changed: the audit trail hears of it.
    pub fn look(&self) {
        drop(self.current());
    }

    /// What `client` (`None`: in plain text) may get of `count` records that it asks for, which are counted.
    ///
    /// # Errors
    /// If it may not ask, or not for so many.
    pub fn ask(&self, client: Option<&PartyName>, count: usize) -> Result<ClientPermission, Denied> {
        let Some(client) = client else { return Ok(ClientPermission::everything()) };
        let permission = match &self.current().file.clients {
            None => return Ok(ClientPermission::everything()),
            Some(clients) => clients.get(client).map(ClientTable::permission),
        };
        let permission = permission.ok_or_else(|| Denied::Client(client.clone()))?;
        if let Some(per_day) = permission.per_day {
            let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
            quota.take(client, count as u64, per_day, SystemTime::now())?;
        }
        Ok(permission)
    }

    /// What answers to `client` may say; nothing is counted. One that may not ask hears so when it does.
    pub fn of(&self, client: Option<&PartyName>) -> ClientPermission {
        let seen = self.current();
        let table = client.zip(seen.file.clients.as_ref()).and_then(|(client, clients)| clients.get(client));
        table.map_or_else(ClientPermission::everything, ClientTable::permission)
    }
}

/// Checks that all of `parties` may do `action` in the run of `config`: a run that waits for somebody who is not let in
/// never starts.
///
/// # Errors
/// If one may not, or the file cannot be read.
pub fn check_parties(
    config: &CoordinatorConfig,
    parties: &[PartyName],
    action: PartyAction,
) -> anyhow::Result<()> {
    let Some(path) = &config.permissions else { return Ok(()) };
    check(&Seen::read(path)?.file, path, parties, action, &config.run_id)
}

/// Which parties of `config` may do `action`, and how often. The file is read again when it has changed; `audit` hears of it and of
/// that, where nobody else tells it.
///
/// # Errors
/// If the file of permissions, or that of what was counted before, cannot be read, or the first not be written down.
pub fn joins(
    config: &CoordinatorConfig,
    action: PartyAction,
    audit: Option<Arc<AuditTrail>>,
) -> anyhow::Result<Joins> {
    let rules = match &config.permissions {
        None => PartyRules::fixed(action, BTreeMap::new()),
        Some(path) => PartyRules::follow(path, &config.run_id, action, audit)?,
    };
    Joins::open(&config.ledger, rules)
}

fn check(
    file: &PermissionsFile,
    path: &Path,
    parties: &[PartyName],
    action: PartyAction,
    run: &RunId,
) -> anyhow::Result<()> {
    for party in parties {
        ensure!(
            file.party_may(party, action, run),
            "{} does not let {party} {action} in run {run}: add it to [parties.{party}]",
            path.display()
        );
    }
    Ok(())
}
