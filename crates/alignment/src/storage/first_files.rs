//! What a holder needs for its first alignment, as `init --align` writes it: a key, a policy and the tables of a config.

use std::path::Path;

use hashvfl_core::text::counted;
use hashvfl_core::{PartyName, RunId};
use hashvfl_files::write_whole;

use crate::error::AlignmentError;
use crate::identity::{PublicKey, SecretKey};
use crate::settings::HOLDERS;

/// A holder of a run's records and its first alignment.
#[derive(Debug, Clone)]
pub struct FirstAlignment {
    /// This holder.
    pub name: PartyName,
    /// The run's parties, in the agreed order.
    pub parties: Vec<PartyName>,
    /// The label holder.
    pub labels: PartyName,
    /// The run.
    pub run: RunId,
    /// Columns of this holder's table that are an id together.
    pub key_columns: usize,
}

impl FirstAlignment {
    /// Checks that the holders' names differ and are not too many.
    ///
    /// # Errors
    /// If not.
    pub fn check(&self) -> Result<(), AlignmentError> {
        let bad = |text: String| Err(AlignmentError::Settings(text));
        if self.parties.contains(&self.labels) {
            return bad(format!(
                "the label holder cannot be called {}, which is a party's name: pass another name with --labels",
                self.labels
            ));
        }
        if !HOLDERS.contains(&(self.parties.len() + 1)) {
            return bad(format!("an alignment needs 2 to 8 holders, not {}", self.parties.len() + 1));
        }
        RunId::new(format!("{}-align{SERVED}", self.run)).map(drop).or_else(|_| {
            bad("the run's id is too long to make alignment ids of it: pass a shorter one with --run-id"
                .into())
        })
    }

    /// The other holders.
    pub fn others(&self) -> impl Iterator<Item = &PartyName> {
        self.parties.iter().chain([&self.labels]).filter(|holder| **holder != self.name)
    }

    /// What is left to do for the alignment, each with its command of `program`, whose config is at `config`.
    pub fn next_steps(&self, program: &str, config: &Path) -> [String; 2] {
        let pins: Vec<String> = self.others().map(|holder| format!("{holder}=KEY")).collect();
        let (pins, config) = (pins.join(" "), config.display());
        [
            format!("pin the other holders' keys:\n  {program} pin --config {config} {pins}"),
            format!("when all sides have done so, align the records:\n  {program} align --config {config}"),
        ]
    }

    /// The file of this holder's key, beside its config.
    pub fn key_file(&self) -> String {
        format!("{}.key", self.name)
    }

    /// The file of its policy.
    pub fn policy_file(&self) -> String {
        format!("{}-policy.toml", self.name)
    }

    /// The order of the training's records.
    pub fn order(&self) -> String {
        format!("{}-align/order.csv", self.name)
    }

    /// The order of the records to be served, where they are others.
    pub fn served_order(&self) -> String {
        format!("{}-align{SERVED}/order.csv", self.name)
    }

    /// The tables of the config. `own_name`: whether the config has no other place for this holder's name.
    pub fn tables(&self, own_name: bool) -> String {
        let Self { name, labels, run, key_columns, .. } = self;
        let holders: Vec<String> =
            self.parties.iter().chain([labels]).map(|holder| format!("\"{holder}\"")).collect();
        let name_line = if own_name { format!("name = \"{name}\"\n") } else { String::new() };
        format!(
            "\n# Private alignment: finds the records that all holders have (docs/how-to/align-records.md).\n\
             [alignment]\n{name_line}folder = \"{name}-align\"\nkey = \"{}\"\n\n\
             # These settings must be equal at all holders.\n\
             [alignment.settings]\nid = \"{run}-align\"\nholders = [{}]\ncomparer = \"{labels}\"\n\
             key_columns = {key_columns}\nmost_records = 10000000\n",
            self.key_file(),
            holders.join(", "),
        )
    }

    /// The policy, without the others' keys, which are pinned later. `released`: bits that the run releases of a
    /// record, where this holder releases codes.
    fn policy(&self, released: Option<u64>) -> String {
        let run = &self.run;
        let bound = released.map(|bits| {
            format!(
                "# The most bits to release per record, over all runs. The run in the config releases up to {} per record.\n\
                 # bits_per_record = {}\n",
                counted(bits, "bit"),
                2 * bits
            )
        });
        format!(
            "# Limits what {} releases, whichever run or coordinator asks, and says with whom its records may be aligned.\n\
             # docs/reference/ledger.md explains every key.\n\n\
             # Runs and alignments that are allowed, by id; `*` stands for any ending.\nruns = [\"{run}*\"]\n{}\n\
             [alignment]\n\
             # The most alignments in total, of training records and of records to predict.\nmost = 10\n\n\
             # Public keys of the other holders; `pin` adds them.\n[alignment.keys]\n",
            self.name,
            bound.unwrap_or_default()
        )
    }

    /// Writes key and policy into `folder`, where they are not there yet; the public key.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn write(&self, folder: &Path, released: Option<u64>) -> Result<PublicKey, AlignmentError> {
        let (key, policy) = (folder.join(self.key_file()), folder.join(self.policy_file()));
        let key = if key.exists() { SecretKey::read(&key)? } else { SecretKey::create(&key)? };
        if !policy.exists() {
            write_whole(&policy, self.policy(released).as_bytes())?;
        }
        Ok(key.public())
    }
}

/// Ends the names of what belongs to the alignment of records to be served.
pub(crate) const SERVED: &str = "-served";

#[cfg(test)]
mod tests {
    use hashvfl_ledger::Policy;

    use super::*;
    use crate::AlignmentConfig;

    fn first(parties: &[&str]) -> FirstAlignment {
        let name = |text: &str| PartyName::new(text).unwrap();
        FirstAlignment {
            name: name("bank"),
            parties: parties.iter().map(|party| name(party)).collect(),
            labels: name("labels"),
            run: RunId::new("first").unwrap(),
            key_columns: 1,
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let first = first(&["bank", "telecom"]);
        first.check().unwrap();
        let key = first.write(folder.path(), Some(480)).unwrap();
        assert_eq!(first.write(folder.path(), None).unwrap(), key, "the key is kept");
        let policy = Policy::read(&folder.path().join("bank-policy.toml")).unwrap();
        assert_eq!((policy.runs, policy.alignment.most), (vec!["first*".to_string()], Some(10)));
        for own_name in [false, true] {
            let table: toml::Table = first.tables(own_name).parse().unwrap();
            let config: AlignmentConfig = table["alignment"].clone().try_into().unwrap();
            config.check(1).unwrap();
            assert_eq!(config.name.is_some(), own_name);
            assert_eq!(config.settings.holders.len(), 3);
            assert_eq!(
                first.served_order(),
                format!("{}/order.csv", config.served().unwrap().folder.display())
            );
        }
        assert_eq!(first.others().map(PartyName::as_str).collect::<Vec<_>>(), ["telecom", "labels"]);
    }

    #[test]
    fn names_that_cannot_be_holders_are_refused() {
        assert!(first(&["bank", "labels"]).check().unwrap_err().to_string().contains("--labels"));
        assert!(first(&["a", "b", "c", "d", "e", "f", "g", "h"]).check().is_err());
        let long = FirstAlignment { run: RunId::new("r".repeat(60)).unwrap(), ..first(&["bank"]) };
        assert!(long.check().unwrap_err().to_string().contains("--run-id"));
    }
}
