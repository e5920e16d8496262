//! How many records each client has asked for today, kept in a file beside the ledger, so that a restart gives nobody a new
//! day.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hashvfl_core::PartyName;
use serde::{Deserialize, Serialize};

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
        // A clock that goes back begins no new day.
        if today > self.counts.day {
            self.counts = Counts { day: today, asked: BTreeMap::new() };
        }
        let asked = self.counts.asked.get(client).copied().unwrap_or(0);
        if asked.saturating_add(count) > per_day {
            return Err(Denied::PerDay { client: client.clone(), per_day, asked, count });
        }
        self.counts.asked.insert(client.clone(), asked + count);
        if self.file.keep(&self.counts) { Ok(()) } else { Err(Denied::Quota) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_restart_gives_no_new_day_and_midnight_does() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.redb");
        let desk = PartyName::new("desk").unwrap();
        let noon = UNIX_EPOCH + Duration::from_secs(20_000 * DAY_S + DAY_S / 2);
        let mut quota = Quota::open(&ledger).unwrap();
        quota.take(&desk, 60, 100, noon).unwrap();
        let error = quota.take(&desk, 41, 100, noon).unwrap_err().to_string();
        assert!(error.contains("100 records a day and has asked for 60"), "{error}");
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
