//! Who may do what at this coordinator: the file that `permissions` in the config names, read again when it changes.
//!
//! A certificate says who somebody is, and this file what they may do. Without it the run's parties may join, serve and
//! align, and every client with a certificate may ask for every served record.

mod count_file;
mod file;
mod joins;
mod quota;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, ensure};
use hashvfl_audit::{AuditEvent, AuditTrail};
use hashvfl_core::{Digest, PartyName, RunId};
use tracing::warn;

pub use file::{Action, Answers};
use file::{ClientTable, PermissionsFile};
pub use joins::Joins;
use quota::Quota;

use crate::config::CoordinatorConfig;

/// What a client may get.
#[derive(Debug, Clone, Default)]
pub struct ClientPermission {
    /// The ids that it may ask for; `None`: all that are served.
    pub records: Option<Arc<HashSet<String>>>,
    /// What an answer says of a record.
    pub answers: Answers,
    /// Decimals to which numbers are rounded; `None`: as they are.
    pub decimals: Option<u8>,
    per_day: Option<u64>,
}

/// Why a client gets nothing: one line for it.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// It may not ask at all.
    #[error("{0} may not ask for predictions here")]
    Client(PartyName),
    /// It has asked for so many today.
    #[error(
        "{client} may ask for {per_day} records a day and has asked for {asked} today (UTC): {count} more are too many"
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

/// The file as it was read last.
struct Seen {
    stamp: Option<Stamp>,
    file: PermissionsFile,
}

type Stamp = (SystemTime, u64);

impl Permissions {
    /// Reads the file that `config` names, if it names one; the audit trail hears of it when it changes.
    ///
    /// # Errors
    /// If it cannot be read, does not say what it means, or does not let a party of the run serve.
    pub fn load(config: &CoordinatorConfig, audit: Arc<AuditTrail>) -> anyhow::Result<Self> {
        let path = config.permissions.clone();
        let (stamp, file) = match &path {
            None => (None, PermissionsFile::default()),
            Some(path) => {
                let stamp = stamp(path);
                let (file, sha256) = read(path)?;
                check(&file, path, &config.run.parties, Action::Serve, &config.run_id)?;
                audit.note(AuditEvent::PermissionsChanged { sha256: sha256.to_string() })?;
                (stamp, file)
            }
        };
        let quota = Quota::open(&config.ledger)?;
        Ok(Self { path, seen: Mutex::new(Seen { stamp, file }), quota: Mutex::new(quota), audit })
    }

    /// The file as it is now. One that has become unreadable changes nothing, and the log says why.
    fn current(&self) -> MutexGuard<'_, Seen> {
        // What was read is whole.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &self.path else { return seen };
        let now = stamp(path);
        if now == seen.stamp {
            return seen;
        }
        seen.stamp = now;
        match read(path) {
            Ok((file, sha256)) => {
                seen.file = file;
                self.audit.note_or_complain(AuditEvent::PermissionsChanged { sha256: sha256.to_string() });
            }
            Err(failed) => warn!("permissions stay as they were: {failed:#}"),
        }
        seen
    }

    /// What `client` (`None`: in plain text) may get of `count` records that it asks for, which are counted.
    ///
    /// # Errors
    /// If it may not ask, or not for so many.
    pub fn ask(&self, client: Option<&PartyName>, count: usize) -> Result<ClientPermission, Denied> {
        let Some(client) = client else { return Ok(ClientPermission::default()) };
        let permission = match &self.current().file.clients {
            None => return Ok(ClientPermission::default()),
            Some(clients) => clients.get(client).map(ClientTable::permission),
        };
        let permission = permission.ok_or_else(|| Denied::Client(client.clone()))?;
        if let Some(per_day) = permission.per_day {
            let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
            quota.take(client, count as u64, per_day, SystemTime::now())?;
        }
        Ok(permission)
    }

    /// What an answer to `client` says of a record.
    pub fn answers(&self, client: Option<&PartyName>) -> Answers {
        let seen = self.current();
        let table = client.zip(seen.file.clients.as_ref()).and_then(|(client, clients)| clients.get(client));
        table.map_or(Answers::default(), |table| table.answers)
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
    action: Action,
) -> anyhow::Result<()> {
    let Some(path) = &config.permissions else { return Ok(()) };
    let (file, _) = read(path)?;
    check(&file, path, parties, action, &config.run_id)
}

/// How often the parties of the run of `config` may join.
///
/// # Errors
/// If the file of permissions, or that of what was counted before, cannot be read.
pub fn joins(config: &CoordinatorConfig) -> anyhow::Result<Joins> {
    let limits = match &config.permissions {
        None => BTreeMap::new(),
        Some(path) => read(path)?.0.joins_per_hour(),
    };
    Joins::open(&config.ledger, limits)
}

fn check(
    file: &PermissionsFile,
    path: &Path,
    parties: &[PartyName],
    action: Action,
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

fn read(path: &Path) -> anyhow::Result<(PermissionsFile, Digest)> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let file = PermissionsFile::parse(&text, folder).with_context(|| path.display().to_string())?;
    Ok((file, Digest::of(text.as_bytes())))
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
