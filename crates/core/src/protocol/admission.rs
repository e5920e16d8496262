//! Who may join a run or serve predictions: the coordinator's checks of a party's greeting and records.

use std::collections::BTreeSet;

use crate::name::{PartyName, RunId};
use crate::protocol::message::{Hello, check_version};
use crate::records::RecordsDigest;
use crate::records::excluded::ExcludedRecords;
use crate::settings::{OnRefusal, Settings};

/// Why a party may not join. Each is sent to the party as text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionRefusal {
    /// Another protocol version.
    #[error("{0}")]
    Version(String),
    /// Another run.
    #[error("run_id is {coordinator} at the coordinator but {party} at the party: make them equal")]
    Run {
        /// The party's.
        party: RunId,
        /// The coordinator's.
        coordinator: RunId,
    },
    /// The run has no party of that name.
    #[error("{party} is not among run.parties of run {run}: correct `name`, or add it on all sides")]
    Unknown {
        /// The name.
        party: PartyName,
        /// The run.
        run: RunId,
    },
    /// A party of that name has joined already.
    #[error(
        "a party named {party} has joined run {run} already: each party joins once, under a name of its own"
    )]
    Duplicate {
        /// The name.
        party: PartyName,
        /// The run.
        run: RunId,
    },
    /// The digest of the settings does not fit their pairs.
    #[error("the digest of the settings does not match the settings: the message was damaged or forged")]
    SettingsDigest,
    /// Settings that differ.
    #[error(
        "{key} is {coordinator} at the coordinator but {party} at the party: make them equal in both configs"
    )]
    Settings {
        /// The key.
        key: String,
        /// The coordinator's value.
        coordinator: String,
        /// The party's value.
        party: String,
    },
    /// Another number of records.
    #[error(
        "{party} holds {found} records and the label holder {expected}: align the tables before training"
    )]
    RecordCount {
        /// The party.
        party: PartyName,
        /// Its count.
        found: u64,
        /// The label holder's count.
        expected: u64,
    },
    /// The same number of records, but other ones or in another order.
    #[error(
        "{party} holds other records than the label holder, or in another order: sort both tables by the same id, written alike: 7, 7.0 and 007 are three"
    )]
    RecordOrder {
        /// The party.
        party: PartyName,
    },
    /// It excludes records although the run allows none to be excluded, or names them in a malformed way.
    #[error("{party} cannot exclude records: {reason}")]
    ExcludedRecords {
        /// The party.
        party: PartyName,
        /// Why not.
        reason: String,
    },
}

impl AdmissionRefusal {
    /// The reason as a word, without what a peer said.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Version(_) => "protocol-version",
            Self::Run { .. } => "other-run",
            Self::Unknown { .. } => "unknown-party",
            Self::Duplicate { .. } => "joined-already",
            Self::SettingsDigest => "settings-digest",
            Self::Settings { .. } => "other-settings",
            Self::RecordCount { .. } => "number-of-records",
            Self::RecordOrder { .. } => "other-records",
            Self::ExcludedRecords { .. } => "records-left-out",
        }
    }

    /// What those who wait for the party are told of it, to follow its name: the key of a setting and no value, and nothing of
    /// records; `None` where it is about nobody whom they wait for.
    pub fn for_others(&self) -> Option<String> {
        let what = match self {
            Self::Version(_) => "it speaks another version of the protocol",
            Self::Run { .. } => "its run_id is another",
            Self::SettingsDigest => "its greeting was damaged",
            Self::Settings { key, .. } => {
                return Some(format!("was refused: its {key} is not the coordinator's"));
            }
            Self::RecordCount { .. } | Self::RecordOrder { .. } => {
                "its records differ from the label holder's"
            }
            Self::ExcludedRecords { .. } => "the coordinator's log says why",
            Self::Unknown { .. } | Self::Duplicate { .. } => return None,
        };
        Some(format!("was refused: {what}"))
    }

    /// Whether its text tells nothing about settings, names and records that a stranger did not know.
    pub fn is_for_strangers(&self) -> bool {
        matches!(self, Self::Version(_) | Self::SettingsDigest | Self::Duplicate { .. })
    }
}

/// Who may join a run, and who has.
#[derive(Debug)]
pub struct Admission {
    run: RunId,
    settings: Settings,
    expected: BTreeSet<PartyName>,
    joined: BTreeSet<PartyName>,
}

impl Admission {
    /// Opens a run to `parties`.
    pub fn new(run: RunId, settings: Settings, parties: impl IntoIterator<Item = PartyName>) -> Self {
        Self { run, settings, expected: parties.into_iter().collect(), joined: BTreeSet::new() }
    }

    /// Checks a greeting. It takes no name: whoever only greets holds nothing.
    ///
    /// # Errors
    /// If version, run, name or settings are not the coordinator's.
    pub fn check(&self, hello: &Hello) -> Result<(), AdmissionRefusal> {
        check_version(hello.protocol, "the party", "the coordinator").map_err(AdmissionRefusal::Version)?;
        if hello.run != self.run {
            return Err(AdmissionRefusal::Run { party: hello.run.clone(), coordinator: self.run.clone() });
        }
        let party = hello.party.clone();
        if !self.expected.contains(&party) {
            return Err(AdmissionRefusal::Unknown { party, run: self.run.clone() });
        }
        if hello.settings.digest() != hello.settings_digest {
            return Err(AdmissionRefusal::SettingsDigest);
        }
        if let Some(difference) = self.settings.difference(&hello.settings) {
            let (key, coordinator, party) = (difference.key, difference.ours, difference.theirs);
            return Err(AdmissionRefusal::Settings { key, coordinator, party });
        }
        Ok(())
    }

    /// Takes the name of a party that was checked, its records included.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn accept(&mut self, party: &PartyName) -> Result<(), AdmissionRefusal> {
        if self.joined.insert(party.clone()) {
            return Ok(());
        }
        Err(AdmissionRefusal::Duplicate { party: party.clone(), run: self.run.clone() })
    }

    /// Frees the name of a party that has left.
    pub fn release(&mut self, party: &PartyName) {
        self.joined.remove(party);
    }

    /// Number of parties that the run has.
    pub fn expected(&self) -> usize {
        self.expected.len()
    }

    /// The parties that have not joined yet.
    pub fn missing(&self) -> Vec<PartyName> {
        self.expected.difference(&self.joined).cloned().collect()
    }
}

/// Compares a party's records with the label holder's.
///
/// # Errors
/// If there are more or fewer of them, or they are others, or in another order.
pub fn check_records(
    party: &PartyName,
    ours: RecordsDigest,
    theirs: RecordsDigest,
) -> Result<(), AdmissionRefusal> {
    if theirs.count != ours.count {
        return Err(AdmissionRefusal::RecordCount {
            party: party.clone(),
            found: theirs.count,
            expected: ours.count,
        });
    }
    if theirs.digest != ours.digest {
        Err(AdmissionRefusal::RecordOrder { party: party.clone() })
    } else {
        Ok(())
    }
}

/// Whether a party may exclude these of the run's `records` records.
///
/// # Errors
/// If `on_refusal` allows none to be excluded, or `excluded` is malformed.
pub fn check_excluded(
    party: &PartyName,
    excluded: &ExcludedRecords,
    records: usize,
    on_refusal: OnRefusal,
) -> Result<(), AdmissionRefusal> {
    let reason = if on_refusal == OnRefusal::End && !excluded.is_empty() {
        "run.on_refusal is \"end\"".to_string()
    } else {
        match excluded.check(records) {
            Ok(()) => return Ok(()),
            Err(error) => error.to_string(),
        }
    };
    Err(AdmissionRefusal::ExcludedRecords { party: party.clone(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::protocol::message::{OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION};
    use crate::settings::{RunSettings, Task};

    fn name(text: &str) -> PartyName {
        PartyName::new(text).unwrap()
    }

    fn settings() -> RunSettings {
        RunSettings::new(vec![name("a"), name("b")], Task::Binary, 4, 2)
    }

    fn hello(party: &str) -> Hello {
        let settings = settings().to_settings();
        let settings_digest = settings.digest();
        Hello {
            protocol: PROTOCOL_VERSION,
            run: RunId::new("r").unwrap(),
            party: name(party),
            settings,
            settings_digest,
        }
    }

    fn admission() -> Admission {
        Admission::new(RunId::new("r").unwrap(), settings().to_settings(), settings().parties)
    }

    #[test]
    fn only_the_right_greeting_is_admitted() {
        let mut open = admission();
        assert_eq!(open.check(&hello("a")), Ok(()));
        assert_eq!(open.missing(), [name("a"), name("b")], "a greeting takes no name");
        assert_eq!(open.accept(&name("a")), Ok(()));
        assert!(matches!(open.accept(&name("a")), Err(AdmissionRefusal::Duplicate { .. })));
        assert!(matches!(open.check(&hello("c")), Err(AdmissionRefusal::Unknown { .. })));
        let version = |protocol| open.check(&Hello { protocol, ..hello("b") });
        assert_eq!(version(OLDEST_PROTOCOL_VERSION), Ok(()), "the version before is taken");
        let later = version(PROTOCOL_VERSION + 1).unwrap_err().to_string();
        let both = [PROTOCOL_VERSION, PROTOCOL_VERSION + 1].map(|version| version.to_string());
        assert!(both.iter().all(|version| later.contains(version)), "{later}");
        assert!(later.contains("install the party's release at the coordinator"), "{later}");
        let earlier = version(OLDEST_PROTOCOL_VERSION - 1).unwrap_err().to_string();
        assert!(earlier.ends_with(": install the coordinator's release at the party"), "{earlier}");
        let other_run = Hello { run: RunId::new("s").unwrap(), ..hello("b") };
        assert!(matches!(open.check(&other_run), Err(AdmissionRefusal::Run { .. })));
        let forged = Hello { settings_digest: Digest([0; 32]), ..hello("b") };
        assert_eq!(open.check(&forged), Err(AdmissionRefusal::SettingsDigest));
        let other = RunSettings { bits: 8, ..settings() }.to_settings();
        let refusal = open.check(&Hello { settings_digest: other.digest(), settings: other, ..hello("b") });
        let refusal = refusal.unwrap_err();
        let text = refusal.to_string();
        assert!(text.starts_with("run.bits is 4 at the coordinator but 8 at the party"), "{text}");
        let told = refusal.for_others().unwrap();
        assert_eq!(told, "was refused: its run.bits is not the coordinator's", "no value");
        assert_eq!(open.missing(), [name("b")]);
        open.release(&name("a"));
        assert_eq!(open.accept(&name("a")), Ok(()));
    }

    #[test]
    fn records_must_be_the_same_in_the_same_order() {
        let salt = [3; 32];
        let ours = RecordsDigest::of(&salt, ["1", "2"]);
        assert_eq!(check_records(&name("a"), ours, ours), Ok(()));
        let swapped = RecordsDigest::of(&salt, ["2", "1"]);
        assert!(matches!(
            check_records(&name("a"), ours, swapped),
            Err(AdmissionRefusal::RecordOrder { .. })
        ));
        let fewer = RecordsDigest::of(&salt, ["1"]);
        assert!(matches!(check_records(&name("a"), ours, fewer), Err(AdmissionRefusal::RecordCount { .. })));
    }

    #[test]
    fn records_are_left_out_only_where_the_run_goes_on_without_them() {
        let excluded = ExcludedRecords::of(&[1], 9);
        let check = |records, on_refusal| check_excluded(&name("a"), &excluded, records, on_refusal);
        assert_eq!(check(9, OnRefusal::LeaveOut), Ok(()));
        let text = check(9, OnRefusal::End).unwrap_err().to_string();
        assert_eq!(text, "a cannot exclude records: run.on_refusal is \"end\"");
        assert!(matches!(check(40, OnRefusal::LeaveOut), Err(AdmissionRefusal::ExcludedRecords { .. })));
    }
}
