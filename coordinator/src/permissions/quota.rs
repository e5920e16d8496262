//! How many records each client has asked for today, kept in a file beside the ledger, so that a restart gives nobody a new
//! day.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hashvfl_core::PartyName;
use hashvfl_core::text::counted;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::Denied;
use super::count_file::CountFile;

const DAY_S: u64 = 24 * 60 * 60;

/// Counts of a day.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    /// Days since 1970, UTC.
    day: u64,
    /// Records by client.
    asked: BTreeMap<PartyName, u64>,
    /// The day on which it was first seen that `day` is more than one ahead of the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ahead_since: Option<u64>,
}

/// The file and what it holds.
#[derive(Debug)]
pub struct Quota {
    file: CountFile,
    counts: Counts,
}

impl Quota {
    /// The file beside `ledger`; one that is not there has counted nothing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(ledger: &Path) -> anyhow::Result<Self> {
        let file = CountFile::beside(ledger, "clients.json");
        let counts = file.read("client a new day")?;
        Ok(Self { file, counts })
    }

    /// Counts `count` records that `client` asks for, durably, before this returns.
    ///
    /// # Errors
    /// If they are more than are left of `per_day`, or cannot be counted.
    pub fn take(
        &mut self,
        client: &PartyName,
        count: u64,
        per_day: u64,
        now: SystemTime,
    ) -> Result<(), Denied> {
        let today = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / DAY_S);
        self.turn_to(today);
        let asked = self.counts.asked.get(client).copied().unwrap_or(0);
        if asked.saturating_add(count) > per_day {
            return Err(Denied::PerDay { client: client.clone(), per_day, asked, count });
        }
        self.counts.asked.insert(client.clone(), asked + count);
        if self.file.keep(&self.counts) {
            return Ok(());
        }
        // Nothing is answered, however often it asks.
        self.counts.asked.insert(client.clone(), asked);
        Err(Denied::Quota)
    }

    /// Begins a new day where `today` is one. A clock that goes back begins none. One that was ahead for a while keeps nobody out
    /// for longer than until tomorrow.
    fn turn_to(&mut self, today: u64) {
        let Counts { day, ahead_since, .. } = self.counts;
        let is_ahead = day > today.saturating_add(1);
        if today > day || is_ahead && ahead_since.is_some_and(|since| today > since) {
            self.counts = Counts { day: today, ..Counts::default() };
            return;
        }
        let since = is_ahead.then(|| ahead_since.map_or(today, |since| since.min(today)));
        if since == ahead_since {
            return;
        }
        if ahead_since.is_none() {
            warn!(
                "{} is dated {} ahead of this machine's clock, probably from a time when the clock was wrong: \
                 what clients have asked for counts until tomorrow. If the clock is wrong now, correct it",
                self.file.path().display(),
                counted(day - today, "day")
            );
        }
        self.counts.ahead_since = since;
        // Also where nothing more may be counted: a restart must not begin to wait anew. The log says where that fails.
        self.file.keep(&self.counts);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_full_disk_keeps_from_being_counted_uses_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let (desk, now) = (PartyName::new("desk").unwrap(), UNIX_EPOCH);
        let state = folder.path().join("state");
        let mut quota = Quota::open(&state.join("ledger.redb")).unwrap();
        // As on a full disk: no file can be written beside the ledger.
        for _ in 0..3 {
            assert!(matches!(quota.take(&desk, 10, 10, now), Err(Denied::Quota)));
        }
        fs::create_dir(&state).unwrap();
        quota.take(&desk, 10, 10, now).unwrap();
        assert!(matches!(quota.take(&desk, 1, 10, now), Err(Denied::PerDay { asked: 10, .. })));
    }

    #[test]
    fn a_clock_that_was_ahead_keeps_nobody_out_for_longer_than_until_tomorrow() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.redb");
        let desk = PartyName::new("desk").unwrap();
        let on = |day: u64| UNIX_EPOCH + Duration::from_secs(day * DAY_S + 60);
        let mut quota = Quota::open(&ledger).unwrap();
        quota.take(&desk, 100, 100, on(24_000)).unwrap();
        assert!(quota.take(&desk, 1, 100, on(20_000)).is_err());
        let mut quota = Quota::open(&ledger).unwrap();
        assert!(quota.take(&desk, 1, 100, on(20_000)).is_err());
        quota.take(&desk, 100, 100, on(20_001)).unwrap();
        // One that is behind for a while, as before a machine has asked what time it is, begins no new day.
        for day in [20_001, 0, 20_001] {
            assert!(quota.take(&desk, 1, 100, on(day)).is_err(), "{day}");
        }
        quota.take(&desk, 100, 100, on(20_002)).unwrap();
    }

    #[test]
    fn a_restart_gives_no_new_day_and_midnight_does() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.redb");
        let desk = PartyName::new("desk").unwrap();
        let noon = UNIX_EPOCH + Duration::from_secs(20_000 * DAY_S + DAY_S / 2);
        let mut quota = Quota::open(&ledger).unwrap();
        quota.take(&desk, 60, 100, noon).unwrap();
        let error = quota.take(&desk, 41, 100, noon).unwrap_err().to_string();
        assert!(error.contains("100 records per day and has already asked for 60"), "{error}");
        let mut quota = Quota::open(&ledger).unwrap();
        assert!(quota.take(&desk, 41, 100, noon).is_err());
        quota.take(&desk, 40, 100, noon).unwrap();
        let yesterday = noon - Duration::from_secs(DAY_S);
        assert!(quota.take(&desk, 1, 100, yesterday).is_err());
        quota.take(&desk, 100, 100, noon + Duration::from_secs(DAY_S / 2)).unwrap();
        fs::write(ledger.with_extension("clients.json"), "{").unwrap();
        assert!(Quota::open(&ledger).unwrap_err().to_string().contains("is damaged"));
    }
}
