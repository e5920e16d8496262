//! The text of a permissions file.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use hashvfl_core::{PartyName, RunId};
use hashvfl_data::{IdSource, IdsSource, KeyColumns, TableError};
use serde::Deserialize;

use super::ClientPermission;

/// Most decimals to which numbers can be rounded; more are what a 32-bit float has anyway.
const MAX_DECIMALS: u8 = 6;

/// Most joins an hour that a limit can allow: one a second.
const MAX_JOINS_PER_HOUR: u32 = 3600;

/// What a party does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Train.
    Join,
    /// Encode records to be predicted.
    Serve,
    /// Align records.
    Align,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Join => "join",
            Self::Serve => "serve",
            Self::Align => "align",
        })
    }
}

/// What an answer says of a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answers {
    /// Its class and the probability of each, or its value.
    #[default]
    Probabilities,
    /// Its class alone; of a regression, its value.
    Classes,
}

/// All of a permissions file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermissionsFile {
    parties: Option<BTreeMap<PartyName, PartyTable>>,
    /// What each client may get; `None`: every client everything.
    pub clients: Option<BTreeMap<PartyName, ClientTable>>,
}

/// What a party may do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PartyTable {
    runs: Vec<String>,
    may: Vec<Action>,
    joins_per_hour: Option<u32>,
}

impl Default for PartyTable {
    fn default() -> Self {
        Self {
            runs: vec!["*".to_string()],
            may: vec![Action::Join, Action::Serve, Action::Align],
            joins_per_hour: None,
        }
    }
}

/// What a client may get.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTable {
    records: Option<PathBuf>,
    id: Option<KeyColumns>,
    per_day: Option<u64>,
    /// What an answer says of a record.
    pub answers: Answers,
    decimals: Option<u8>,
    #[serde(skip)]
    ids: Option<Arc<HashSet<String>>>,
}

impl PermissionsFile {
    /// Parses a file whose relative paths start at `folder`, and reads the ids that it names.
    ///
    /// # Errors
    /// If it does not say what it means, or the ids cannot be read.
    pub fn parse(text: &str, folder: &Path) -> anyhow::Result<Self> {
        let mut file: Self = toml::from_str(text).map_err(|error| anyhow::anyhow!("{}", error.message()))?;
        for (name, party) in file.parties.iter().flatten() {
            ensure!(
                party.joins_per_hour.is_none_or(|limit| (1..=MAX_JOINS_PER_HOUR).contains(&limit)),
                "[parties.{name}] joins_per_hour: expected 1 to {MAX_JOINS_PER_HOUR}; take \"join\" out of `may` if it may not join"
            );
            for pattern in &party.runs {
                let start = pattern.strip_suffix('*').unwrap_or(pattern);
                let fits = start.is_empty() && pattern == "*" || RunId::new(start).is_ok();
                ensure!(
                    fits,
                    "[parties.{name}] runs: {pattern:?} is no run id, nor the beginning of one and a `*`"
                );
            }
        }
        for (name, client) in file.clients.iter_mut().flatten() {
            client.read(folder).with_context(|| format!("[clients.{name}]"))?;
        }
        Ok(file)
    }

    /// How often an hour each party may join that has a limit.
    pub fn joins_per_hour(&self) -> BTreeMap<PartyName, u32> {
        let limited = |(name, party): (&PartyName, &PartyTable)| Some((name.clone(), party.joins_per_hour?));
        self.parties.iter().flatten().filter_map(limited).collect()
    }

    /// Whether `party` may do `action` in `run`.
    pub fn party_may(&self, party: &PartyName, action: Action, run: &RunId) -> bool {
        let Some(parties) = &self.parties else { return true };
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => run.as_str().starts_with(start),
            None => run.as_str() == pattern,
        };
        parties.get(party).is_some_and(|party| party.may.contains(&action) && party.runs.iter().any(fits))
    }
}

impl ClientTable {
    fn read(&mut self, folder: &Path) -> anyhow::Result<()> {
        if let Some(decimals) = self.decimals {
            ensure!(decimals <= MAX_DECIMALS, "decimals = {decimals}: expected 0 to {MAX_DECIMALS}");
        }
        ensure!(self.per_day != Some(0), "per_day = 0: leave the client out if it may not ask");
        ensure!(
            self.records.is_some() || self.id.is_none(),
            "id names the column of the ids in `records`, which is absent"
        );
        let Some(records) = &self.records else { return Ok(()) };
        let key = self.id.clone().unwrap_or_else(|| KeyColumns::from("id"));
        let mut ids = HashSet::new();
        let source: &dyn IdSource = &IdsSource::of_file(&folder.join(records), key);
        source.visit(|id| {
            ids.insert(id.to_string());
            Ok::<(), TableError>(())
        })?;
        self.ids = Some(Arc::new(ids));
        Ok(())
    }

    /// What it may get.
    pub fn permission(&self) -> ClientPermission {
        ClientPermission {
            records: self.ids.clone(),
            answers: self.answers,
            decimals: self.decimals,
            per_day: self.per_day,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<PermissionsFile> {
        PermissionsFile::parse(text, Path::new(""))
    }

    fn may(file: &PermissionsFile, party: &str, action: Action, run: &str) -> bool {
        file.party_may(&PartyName::new(party).unwrap(), action, &RunId::new(run).unwrap())
    }

    #[test]
    fn a_party_may_what_its_table_says_and_others_nothing() {
        let text = "[parties.bank]\nruns = [\"credit-*\"]\nmay = [\"join\"]\n[parties.telecom]\n";
        let file = parse(text).unwrap();
        assert!(may(&file, "bank", Action::Join, "credit-2"));
        assert!(!may(&file, "bank", Action::Serve, "credit-2") && !may(&file, "bank", Action::Join, "fraud"));
        assert!(may(&file, "telecom", Action::Align, "fraud") && !may(&file, "mill", Action::Join, "fraud"));
        assert!(may(&parse("").unwrap(), "mill", Action::Join, "fraud"), "without tables everybody may");
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        for (text, expected) in [
            ("[parties.bank]\nruns = [\"a b\"]", "is no run id"),
            ("[parties.bank]\nmay = [\"look\"]", "unknown variant"),
            ("[parties.bank]\njoins_per_hour = 0", "expected 1 to 3600"),
            ("[clients.desk]\ndecimals = 7", "expected 0 to 6"),
            ("[clients.desk]\nper_day = 0", "leave the client out"),
            ("[clients.desk]\nid = \"id\"", "`records`, which is absent"),
            ("[clients.desk]\nrecords = \"none.csv\"", "none.csv"),
            ("[client.desk]", "unknown field"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
