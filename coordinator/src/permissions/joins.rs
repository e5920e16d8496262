//! Whether a party may join, serve or align now. How often each has done so in the last hour is kept in a file beside the ledger,
//! so that a restart gives nobody a new hour.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use hashvfl_core::PartyName;
use hashvfl_core::text::times;
use hashvfl_transport::handshake::HandshakeError;
use tracing::{error, warn};

use super::count_file::CountFile;
use super::file::PartyAction;
use super::party_rules::{PartyRule, PartyRules};

const HOUR_S: u64 = 60 * 60;
/// What each party gets where the file of what was counted is removed.
const FRESH: &str = "party a new hour";

/// Why a party may not join, serve or align now: one line for it.
#[derive(Debug, thiserror::Error)]
pub enum NotLetIn {
    /// The permissions do not let it, since they were changed.
    #[error("{party} may not {action} here any more: the coordinator's permissions were changed")]
    Withdrawn {
        /// The party.
        party: PartyName,
        /// What it wants to do.
        action: PartyAction,
    },
    /// It has done so as often as it may.
    #[error(
        "{party} may {action} at most {} per hour and has reached that limit: try again in {minutes} min (per_hour in the \
         coordinator's permissions)", times(.limit)
    )]
    Limit {
        /// The party.
        party: PartyName,
        /// What it wants to do.
        action: PartyAction,
        /// Its limit.
        limit: u32,
        /// Minutes to wait.
        minutes: u64,
    },
    /// Nobody can count.
    #[error("the coordinator cannot count who joins: see its log")]
    Uncounted,
}

impl NotLetIn {
    /// The reason as a word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Withdrawn { .. } => "not-permitted",
            Self::Limit { .. } => "too-often",
            Self::Uncounted => "this-side-failed",
        }
    }
}

impl From<NotLetIn> for HandshakeError {
    fn from(error: NotLetIn) -> Self {
        let text = error.to_string();
        match error {
            NotLetIn::Withdrawn { .. } => Self::NotPermitted(text),
            NotLetIn::Limit { .. } => Self::TooOften(text),
            NotLetIn::Uncounted => Self::Failed(text),
        }
    }
}

/// Seconds since 1970 at which each party has joined.
type Times = BTreeMap<PartyName, Vec<u64>>;

/// Which parties may join, serve or align, how often, and when they have done so.
pub struct Joins {
    action: PartyAction,
    file: CountFile,
    rules: Mutex<PartyRules>,
    counted: Mutex<Counted>,
}

struct Counted {
    /// `None` until some party has a limit.
    times: Option<Times>,
    /// When it was first seen that some are more than an hour ahead of the clock.
    ahead_since: Option<u64>,
}

impl Joins {
    /// As `rules` say, with what was counted in the file beside `ledger`; one that is not there has counted nothing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(ledger: &Path, mut rules: PartyRules) -> anyhow::Result<Self> {
        let action = rules.action();
        let file = CountFile::beside(ledger, action.count_file());
        let times = if rules.has_limits() { Some(file.read(FRESH)?) } else { None };
        let counted = Mutex::new(Counted { times, ahead_since: None });
        Ok(Self { action, file, rules: Mutex::new(rules), counted })
    }

    /// Counts that `party`, which is otherwise let in, does so now, durably, before this returns.
    ///
    /// # Errors
    /// If it may not, has done so too often, or nobody can count.
    pub fn take(&self, party: &PartyName, now: SystemTime) -> Result<(), NotLetIn> {
        // What was read is whole.
        let rule = self.rules.lock().unwrap_or_else(PoisonError::into_inner).of(party);
        let limit = match rule {
            PartyRule::Never => {
                return Err(NotLetIn::Withdrawn { party: party.clone(), action: self.action });
            }
            PartyRule::AtMost(limit) => limit,
            PartyRule::Always => return Ok(()),
        };
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.times.is_none() {
            counted.times = Some(self.read()?);
        }
        let Counted { times, ahead_since } = &mut *counted;
        let times = times.get_or_insert_default();
        let is_ahead = |time: u64| time > now.saturating_add(HOUR_S);
        if times.values().flatten().all(|time| !is_ahead(*time)) {
            *ahead_since = None;
        } else {
            self.warn_of_times_ahead(*ahead_since);
            *ahead_since = Some(ahead_since.map_or(now, |since| since.min(now)));
        }
        let since = ahead_since.unwrap_or(now);
        // A clock that goes back begins no new hour. One that was ahead for a while keeps nobody out for more than two, since this
        // process has seen it: a time up to an hour ahead counts until an hour behind it.
        let until = |time: u64| {
            let counts_from = if is_ahead(time) { since } else { time };
            counts_from.saturating_add(HOUR_S)
        };
        let of_party = times.entry(party.clone()).or_default();
        of_party.retain(|time| now < until(*time));
        if of_party.len() >= limit as usize {
            let first = of_party.iter().map(|time| until(*time)).min().unwrap_or(now);
            let minutes = first.saturating_sub(now).div_ceil(60);
            return Err(NotLetIn::Limit { party: party.clone(), action: self.action, limit, minutes });
        }
        of_party.push(now);
        if self.file.keep(&*times) {
            return Ok(());
        }
        // Who is refused has not joined, however often it tries.
        times.entry(party.clone()).or_default().pop();
        Err(NotLetIn::Uncounted)
    }

    /// What was counted before a party had a limit.
    fn read(&self) -> Result<Times, NotLetIn> {
        self.file.read(FRESH).map_err(|failed| {
            error!("{failed:#}");
            NotLetIn::Uncounted
        })
    }

    /// Some of what was counted is ahead of the clock, which has been known since `known`.
    fn warn_of_times_ahead(&self, known: Option<u64>) {
        if known.is_none() {
            warn!(
                "{} holds times more than an hour ahead of this machine's clock, as of a clock that was wrong for a while: they count for \
                 an hour from now. If the clock is wrong now, set it",
                self.file.path().display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use hashvfl_core::RunId;

    use super::*;
    use crate::permissions::followed::{FollowedFile, IdLists};

    /// What the file at `path` says of `action` in the run `spring`.
    fn rules_of(path: &Path, action: PartyAction) -> PartyRules {
        let file = FollowedFile::open(Some(path), IdLists::Ignored).unwrap();
        PartyRules::new(file, RunId::new("spring").unwrap(), action)
    }

    #[test]
    fn a_restart_gives_no_new_hour_and_an_hour_does() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("label-ledger.redb");
        let [bank, post] = ["bank", "post"].map(|name| PartyName::new(name).unwrap());
        let limited = "[parties.bank]\nper_hour = 2\n[parties.post]\n";
        let rules = |action, text: &str| {
            let path = folder.path().join("permissions.toml");
            fs::write(&path, text).unwrap();
            rules_of(&path, action)
        };
        let open = || Joins::open(&ledger, rules(PartyAction::Join, limited)).unwrap();
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        let joins = open();
        joins.take(&bank, at(0)).unwrap();
        joins.take(&bank, at(1_200)).unwrap();
        let error = joins.take(&bank, at(1_800)).unwrap_err().to_string();
        assert!(
            error.contains("bank may join at most 2 times per hour") && error.contains("in 30 min"),
            "{error}"
        );
        (0..9).for_each(|second| joins.take(&post, at(second)).unwrap());
        let joins = open();
        assert!(joins.take(&bank, at(3_599)).is_err() && joins.take(&bank, at(0)).is_err());
        joins.take(&bank, at(3_600)).unwrap();
        assert!(joins.take(&bank, at(4_799)).is_err());
        joins.take(&bank, at(4_800)).unwrap();
        // A clock that was ahead for a while.
        joins.take(&bank, at(400_000_000)).unwrap();
        joins.take(&bank, at(400_000_000)).unwrap();
        let error = joins.take(&bank, at(10_000)).unwrap_err().to_string();
        assert!(error.contains("in 60 min"), "{error}");
        assert!(joins.take(&bank, at(13_599)).is_err());
        (0..2).for_each(|_| joins.take(&bank, at(13_600)).unwrap());
        assert!(joins.take(&bank, at(13_600)).is_err());
        // Serving is counted apart.
        let serving = Joins::open(&ledger, rules(PartyAction::Serve, limited)).unwrap();
        (0..2).for_each(|second| serving.take(&bank, at(4_800 + second)).unwrap());
        let error = serving.take(&bank, at(4_802)).unwrap_err().to_string();
        assert!(
            error.contains("bank may serve at most 2 times per hour") && error.contains("(per_hour in"),
            "{error}"
        );
        fs::write(ledger.with_extension("parties.json"), "[").unwrap();
        let damaged = Joins::open(&ledger, rules(PartyAction::Join, limited)).err().unwrap();
        assert!(damaged.to_string().contains("is damaged"), "{damaged}");
        Joins::open(&ledger, rules(PartyAction::Join, "")).unwrap();
    }

    #[test]
    fn a_party_whose_permission_was_withdrawn_is_let_in_no_more_and_limits_are_those_of_now() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, path) =
            (folder.path().join("label-ledger.redb"), folder.path().join("permissions.toml"));
        let write = |text: &str| fs::write(&path, text).unwrap();
        let (bank, now) = (PartyName::new("bank").unwrap(), UNIX_EPOCH);
        write("[parties.bank]\n");
        let joins = Joins::open(&ledger, rules_of(&path, PartyAction::Serve)).unwrap();
        (0..3).for_each(|_| joins.take(&bank, now).unwrap());
        for withdrawn in [
            "[parties.telecom]\n",
            "[parties.bank]\nmay = [\"join\"]\n",
            "[parties.bank]\nruns = [\"autumn\"]\n",
        ] {
            write(withdrawn);
            let error = joins.take(&bank, now).unwrap_err();
            assert_eq!(
                (error.reason(), HandshakeError::from(error).reason()),
                ("not-permitted", "not-permitted")
            );
            // What says nothing changes nothing.
            write("[parties");
            let error = joins.take(&bank, now).unwrap_err().to_string();
            assert_eq!(error, "bank may not serve here any more: the coordinator's permissions were changed");
        }
        write("[parties.bank]\nper_hour = 1\n");
        joins.take(&bank, now).unwrap();
        assert_eq!(joins.take(&bank, now).unwrap_err().reason(), "too-often");
        write("");
        joins.take(&bank, now).unwrap();
    }

    #[test]
    fn whom_a_full_disk_keeps_from_being_counted_tries_again() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, path) =
            (folder.path().join("label-ledger.redb"), folder.path().join("permissions.toml"));
        fs::write(&path, "[parties.bank]\nper_hour = 1\n").unwrap();
        let (bank, now) = (PartyName::new("bank").unwrap(), UNIX_EPOCH);
        let joins = Joins::open(&ledger, rules_of(&path, PartyAction::Serve)).unwrap();
        // As on a full disk: no file can be written beside the ledger.
        drop(folder);
        for _ in 0..3 {
            let error = HandshakeError::from(joins.take(&bank, now).unwrap_err());
            assert!(error.is_for_now() && error.reason() == "this-side-failed", "{error}");
        }
    }
}
