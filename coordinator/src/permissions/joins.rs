//! How often each party has joined in the last hour, kept in a file beside the ledger, so that a restart gives nobody a new
//! hour.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use hashvfl_core::PartyName;

use super::count_file::CountFile;

const HOUR_S: u64 = 60 * 60;

/// Why a party may not join now: one line for it.
#[derive(Debug, thiserror::Error)]
pub enum TooOften {
    /// It has joined so often.
    #[error(
        "{party} may join {limit} times an hour, and has: it may again in {minutes} min (joins_per_hour of the coordinator's permissions)"
    )]
    Limit {
        /// The party.
        party: PartyName,
        /// Its limit.
        limit: u32,
        /// Minutes to wait.
        minutes: u64,
    },
    /// Nobody can count.
    #[error("the coordinator cannot count who joins: see its log")]
    Uncounted,
}

/// Seconds since 1970 at which each party has joined.
type Times = BTreeMap<PartyName, Vec<u64>>;

/// The parties' limits, and when they have joined.
#[derive(Debug)]
pub struct Joins {
    file: CountFile,
    limits: BTreeMap<PartyName, u32>,
    times: Mutex<Times>,
}

impl Joins {
    /// Those of the file beside `ledger`; one that is not there has counted nothing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(ledger: &Path, limits: BTreeMap<PartyName, u32>) -> anyhow::Result<Self> {
        let file = CountFile::beside(ledger, "parties.json");
        let times = if limits.is_empty() { Times::default() } else { file.read("party a new hour")? };
        Ok(Self { file, limits, times: Mutex::new(times) })
    }

    /// Counts that `party` joins now, durably, before this returns.
    ///
    /// # Errors
    /// If it has joined too often, or nobody can count.
    pub fn take(&self, party: &PartyName, now: SystemTime) -> Result<(), TooOften> {
        let Some(limit) = self.limits.get(party).copied() else { return Ok(()) };
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let of_party = times.entry(party.clone()).or_default();
        // A clock that goes back begins no new hour.
        of_party.retain(|time| now.saturating_sub(*time) < HOUR_S);
        if of_party.len() >= limit as usize {
            let first = of_party.iter().min().copied().unwrap_or(now);
            let minutes = (first + HOUR_S).saturating_sub(now).div_ceil(60);
            return Err(TooOften::Limit { party: party.clone(), limit, minutes });
        }
        of_party.push(now);
        if self.file.keep(&*times) { Ok(()) } else { Err(TooOften::Uncounted) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_restart_gives_no_new_hour_and_an_hour_does() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("label-ledger.redb");
        let [bank, post] = ["bank", "post"].map(|name| PartyName::new(name).unwrap());
        let limits = BTreeMap::from([(bank.clone(), 2)]);
        let open = || Joins::open(&ledger, limits.clone()).unwrap();
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        let joins = open();
        joins.take(&bank, at(0)).unwrap();
        joins.take(&bank, at(1_200)).unwrap();
        let error = joins.take(&bank, at(1_800)).unwrap_err().to_string();
        assert!(error.contains("bank may join 2 times an hour") && error.contains("in 30 min"), "{error}");
        (0..9).for_each(|second| joins.take(&post, at(second)).unwrap());
        let joins = open();
        assert!(joins.take(&bank, at(3_599)).is_err() && joins.take(&bank, at(0)).is_err());
        joins.take(&bank, at(3_600)).unwrap();
        assert!(joins.take(&bank, at(4_799)).is_err());
        joins.take(&bank, at(4_800)).unwrap();
        fs::write(ledger.with_extension("parties.json"), "[").unwrap();
        assert!(Joins::open(&ledger, limits).unwrap_err().to_string().contains("is damaged"));
        Joins::open(&ledger, BTreeMap::new()).unwrap();
    }
}
