//! Who may do what at this coordinator: the file that `permissions` in the config names, read again when it changes.
//!
//! A certificate says who somebody is, and this file what they may do. Without it the run's parties may join, serve and
//! align, and every client with a certificate may ask for every served record.

mod count_file;
mod file;
mod followed;
mod joins;
mod party_rules;
mod quota;

use std::collections::HashSet;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::ensure;
use hashvfl_audit::AuditTrail;
use hashvfl_core::PartyName;
use hashvfl_core::text::counted;
use tracing::warn;

use file::ClientTable;
pub use file::{AnswerDetail, PartyAction, ToldFlags};
use followed::{FollowedFile, IdLists};
pub use joins::{Joins, NotLetIn};
use party_rules::PartyRules;
use quota::Quota;

use crate::config::{CoordinatorConfig, OnAbsentParty};

/// What a client may get.
#[derive(Debug, Clone)]
pub struct ClientPermission {
    /// The ids that it may ask for; `None`: all that are served.
    pub records: Option<Arc<HashSet<String>>>,
    /// What an answer says of a record.
    pub answers: AnswerDetail,
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
            answers: AnswerDetail::Probabilities,
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
    file: Mutex<FollowedFile>,
    quota: Mutex<Quota>,
}

impl Permissions {
    /// Reads the file that `config` names, if it names one; the audit trail hears of it when it changes. A party of the run that it
    /// does not let serve is away until it does, where `serve.absent` says what to do then.
    ///
    /// # Errors
    /// If it cannot be read, does not say what it means, or does not let a party serve for which requests wait.
    pub fn load(config: &CoordinatorConfig, audit: Arc<AuditTrail>) -> anyhow::Result<Self> {
        let mut file = FollowedFile::open(config.permissions.as_deref(), IdLists::Read)?;
        for party in &config.run.parties {
            let checked = check(&mut file, config, slice::from_ref(party), PartyAction::Serve);
            let Err(error) = checked else { continue };
            ensure!(
                config.serve.absent != OnAbsentParty::Wait,
                "{error:#}, or serve without it (serve.absent = \"mask\" or \"refuse\")"
            );
            warn!("{error:#}; until then it is away (serve.absent)");
        }
        let file = Mutex::new(file.with_audit(audit)?);
        Ok(Self { file, quota: Mutex::new(Quota::open(&config.ledger)?) })
    }

    fn file(&self) -> MutexGuard<'_, FollowedFile> {
        // What was read is whole.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the files have changed: the audit trail hears of it.
    pub fn look(&self) {
        self.file().current();
    }

    /// What `client` (`None`: in plain text) may get of `count` records that it asks for, which are counted.
    ///
    /// # Errors
    /// If it may not ask, or not for so many.
    pub fn ask(&self, client: Option<&PartyName>, count: usize) -> Result<ClientPermission, Denied> {
        let Some(client) = client else { return Ok(ClientPermission::everything()) };
        let permission = match &self.file().current().clients {
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
        let mut file = self.file();
        let table =
            client.zip(file.current().clients.as_ref()).and_then(|(client, clients)| clients.get(client));
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
    check(&mut FollowedFile::open(config.permissions.as_deref(), IdLists::Read)?, config, parties, action)
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
    let mut file = FollowedFile::open(config.permissions.as_deref(), IdLists::Ignored)?;
    if let Some(audit) = audit {
        file = file.with_audit(audit)?;
    }
    Joins::open(&config.ledger, PartyRules::new(file, config.run_id.clone(), action))
}

fn check(
    file: &mut FollowedFile,
    config: &CoordinatorConfig,
    parties: &[PartyName],
    action: PartyAction,
) -> anyhow::Result<()> {
    let (Some(path), run) = (&config.permissions, &config.run_id) else { return Ok(()) };
    let said = file.current();
    for party in parties {
        ensure!(
            said.party_may(party, action, run),
            "{} does not let {party} {action} in run {run}: add it to [parties.{party}]",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hashvfl_audit::Side;

    use super::*;

    #[test]
    fn a_party_that_may_not_serve_is_away_where_serving_goes_on_without_one_and_an_error_where_it_waits() {
        let place = tempfile::tempdir().unwrap();
        let load = |absent: &str| {
            let text = format!(
                "run_id = \"r\"\nlisten = \"127.0.0.1:0\"\nstate = \"state\"\nidentity = {{ folder = \"identity\" }}\n\
                 permissions = \"permissions.toml\"\nserve = {{ absent = \"{absent}\" }}\naudit = {{ enabled = false }}\n\
                 labels = {{ format = \"csv\", paths = [\"labels.csv\"], id = \"id\", column = \"y\" }}\n\
                 run = {{ parties = [\"bank\", \"telecom\"], task = \"binary\", bits = 16, epochs = 3 }}\n"
            );
            let config = CoordinatorConfig::parse(&text, place.path()).unwrap();
            let audit = AuditTrail::open(&config.audit, Side::Coordinator, &config.run_id, None).unwrap();
            Permissions::load(&config, Arc::new(audit)).map(drop)
        };
        fs::write(
            place.path().join("permissions.toml"),
            "[parties.bank]\n[parties.telecom]\nmay = [\"join\"]\n",
        )
        .unwrap();
        load("mask").unwrap();
        load("refuse").unwrap();
        let error = format!("{:#}", load("wait").unwrap_err());
        assert!(error.contains("does not let telecom serve in run r"), "{error}");
        assert!(error.contains("serve.absent = \"mask\" or \"refuse\""), "{error}");
        fs::write(place.path().join("permissions.toml"), "[parties.bank]\n[parties.telecom]\n").unwrap();
        load("wait").unwrap();
    }
}
