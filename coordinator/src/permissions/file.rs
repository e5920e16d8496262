//! The text of a permissions file.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use hashvfl_cli::config::check_words;
use hashvfl_core::{PartyName, RunId};
use hashvfl_data::{IdSource, IdsSource, KeyColumns, TableError};
use serde::Deserialize;

use super::ClientPermission;

/// Most decimals to which numbers can be rounded; more are what a 32-bit float has anyway.
const MAX_DECIMALS: u8 = 6;

/// Most times an hour that a limit can allow: one a second.
const MAX_PER_HOUR: u32 = 3600;

/// What a party does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartyAction {
    /// Train.
    Join,
    /// Encode records to be predicted.
    Serve,
    /// Align records.
    Align,
}

impl PartyAction {
    /// How the name of the file ends in which it is counted.
    pub fn count_file(self) -> &'static str {
        match self {
            Self::Join => "parties.json",
            Self::Serve => "serving.json",
            Self::Align => "aligning.json",
        }
    }
}

impl fmt::Display for PartyAction {
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
pub enum AnswerDetail {
    /// Its class and the probability of each, or its value.
    #[default]
    Probabilities,
    /// Only its class; of a regression, its value.
    Classes,
}

/// What an answer says of how strange a record is, where the coordinator has detectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToldFlags {
    /// Nothing.
    Nothing,
    /// Whether it is flagged.
    Flag,
    /// Its p-value, too.
    #[default]
    PValue,
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
    may: Vec<PartyAction>,
    per_hour: Option<u32>,
}

impl Default for PartyTable {
    fn default() -> Self {
        Self {
            runs: vec!["*".to_string()],
            may: vec![PartyAction::Join, PartyAction::Serve, PartyAction::Align],
            per_hour: None,
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
    pub answers: AnswerDetail,
    decimals: Option<u8>,
    flags: Option<ToldFlags>,
    times: bool,
    #[serde(skip)]
    ids: Option<Arc<HashSet<String>>>,
}

impl PermissionsFile {
    /// Parses a file, without the ids that it names.
    ///
    /// # Errors
    /// If it does not say what it means.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        check_words(text)?;
        let file: Self = toml::from_str(text).map_err(|error| anyhow::anyhow!("{}", error.message()))?;
        for (name, party) in file.parties.iter().flatten() {
            ensure!(
                party.per_hour.is_none_or(|limit| (1..=MAX_PER_HOUR).contains(&limit)),
                "[parties.{name}] per_hour: expected 1 to {MAX_PER_HOUR}; to forbid an action, remove it from `may`"
            );
            for pattern in &party.runs {
                let start = pattern.strip_suffix('*').unwrap_or(pattern);
                let fits = start.is_empty() && pattern == "*" || RunId::new(start).is_ok();
                ensure!(
                    fits,
                    "[parties.{name}] runs: {pattern:?} is neither a run id nor the beginning of one followed by `*`"
                );
            }
        }
        for (name, client) in file.clients.iter().flatten() {
            client.check().with_context(|| format!("[clients.{name}]"))?;
        }
        Ok(file)
    }

    /// The files of ids that it names, where relative paths start at `folder`.
    pub fn files_of_ids(&self, folder: &Path) -> Vec<PathBuf> {
        let named = self.clients.iter().flatten().filter_map(|(_, client)| client.records.as_ref());
        named.map(|records| folder.join(records)).collect()
    }

    /// Reads those files.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn read_ids(&mut self, folder: &Path) -> anyhow::Result<()> {
        for (name, client) in self.clients.iter_mut().flatten() {
            client.read_ids(folder).with_context(|| format!("[clients.{name}]"))?;
        }
        Ok(())
    }

    /// How many ids they hold in all; `None` where it names no such file.
    pub fn count_ids(&self) -> Option<u64> {
        let lists = || self.clients.iter().flatten().filter_map(|(_, client)| client.ids.as_ref());
        lists().next()?;
        Some(lists().map(|ids| ids.len() as u64).sum())
    }

    /// Whether its clients may ask for the same ids as those of `other`.
    pub fn has_ids_of(&self, other: &Self) -> bool {
        let lists = |file: &Self| {
            let lists =
                file.clients.iter().flatten().map(|(name, client)| (name.clone(), client.ids.clone()));
            lists.collect::<Vec<_>>()
        };
        lists(self) == lists(other)
    }

    /// How often an hour each party that has a limit may do an action; each action counts by itself.
    pub fn per_hour(&self) -> BTreeMap<PartyName, u32> {
        let limited = |(name, party): (&PartyName, &PartyTable)| Some((name.clone(), party.per_hour?));
        self.parties.iter().flatten().filter_map(limited).collect()
    }

    /// Whether `party` may do `action` in `run`.
    pub fn party_may(&self, party: &PartyName, action: PartyAction, run: &RunId) -> bool {
        let Some(parties) = &self.parties else { return true };
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => run.as_str().starts_with(start),
            None => run.as_str() == pattern,
        };
        parties.get(party).is_some_and(|party| party.may.contains(&action) && party.runs.iter().any(fits))
    }
}

impl ClientTable {
    fn check(&self) -> anyhow::Result<()> {
        if let Some(decimals) = self.decimals {
            ensure!(decimals <= MAX_DECIMALS, "decimals = {decimals}: expected 0 to {MAX_DECIMALS}");
        }
        ensure!(self.per_day != Some(0), "per_day = 0: to forbid a client to ask, remove its table");
        ensure!(
            self.records.is_some() || self.id.is_none(),
            "`id` names a column of the file `records`, but `records` is not set"
        );
        Ok(())
    }

    fn read_ids(&mut self, folder: &Path) -> anyhow::Result<()> {
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
            // Whoever gets no probabilities gets no p-values, which tell about as much, unless its table says so.
            flags: self.flags.unwrap_or(match self.answers {
                AnswerDetail::Classes => ToldFlags::Flag,
                AnswerDetail::Probabilities => ToldFlags::PValue,
            }),
            times: self.times,
            per_day: self.per_day,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<PermissionsFile> {
        let mut file = PermissionsFile::parse(text)?;
        file.read_ids(Path::new(""))?;
        Ok(file)
    }

    fn may(file: &PermissionsFile, party: &str, action: PartyAction, run: &str) -> bool {
        file.party_may(&PartyName::new(party).unwrap(), action, &RunId::new(run).unwrap())
    }

    #[test]
    fn a_party_may_what_its_table_says_and_others_nothing() {
        let text = "[parties.bank]\nruns = [\"credit-*\"]\nmay = [\"join\"]\n[parties.telecom]\n";
        let file = parse(text).unwrap();
        assert!(may(&file, "bank", PartyAction::Join, "credit-2"));
        assert!(
            !may(&file, "bank", PartyAction::Serve, "credit-2")
                && !may(&file, "bank", PartyAction::Join, "fraud")
        );
        assert!(
            may(&file, "telecom", PartyAction::Align, "fraud")
                && !may(&file, "mill", PartyAction::Join, "fraud")
        );
        assert!(may(&parse("").unwrap(), "mill", PartyAction::Join, "fraud"), "without tables everybody may");
    }

    #[test]
    fn a_client_without_probabilities_gets_no_p_values_unless_it_is_said() {
        let text = "[clients.app]\nanswers = \"classes\"\n[clients.desk]\n\
                    [clients.lab]\nanswers = \"classes\"\nflags = \"p_value\"\ntimes = true\n\
                    [clients.shop]\nflags = \"nothing\"\n";
        let clients = parse(text).unwrap().clients.unwrap();
        let told = |client: &str| {
            let ClientPermission { flags, times, .. } =
                clients[&PartyName::new(client).unwrap()].permission();
            (flags, times)
        };
        let expected = [
            ("app", ToldFlags::Flag, false),
            ("desk", ToldFlags::PValue, false),
            ("lab", ToldFlags::PValue, true),
            ("shop", ToldFlags::Nothing, false),
        ];
        for (client, flags, times) in expected {
            assert_eq!(told(client), (flags, times), "{client}");
        }
    }

    #[test]
    fn a_rate_is_of_the_party_that_has_one() {
        let file = parse("[parties.bank]\nper_hour = 2\n[parties.telecom]\n").unwrap();
        assert_eq!(file.per_hour(), BTreeMap::from([(PartyName::new("bank").unwrap(), 2)]));
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        for (text, expected) in [
            ("[parties.bank]\nruns = [\"a b\"]", "is neither a run id"),
            ("[parties.bank]\nmay = [\"look\"]", "unknown variant"),
            ("[parties.bank]\nper_hour = 0", "per_hour: expected 1 to 3600"),
            ("[parties.bank]\nper_hour = 3601", "remove it from `may`"),
            (
                "[parties.bank]\njoins_per_hour = 6",
                "parties.bank.joins_per_hour no longer exists (per_hour limits",
            ),
            ("[clients.desk]\nflags = \"all\"", "unknown variant"),
            ("[clients.desk]\ndecimals = 7", "expected 0 to 6"),
            ("[clients.desk]\nper_day = 0", "remove its table"),
            ("[clients.desk]\nid = \"id\"", "but `records` is not set"),
            ("[clients.desk]\nrecords = \"none.csv\"", "none.csv"),
            ("[client.desk]", "unknown field"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
