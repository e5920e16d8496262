//! Events that are too frequent for one entry each: they are counted and written from time to time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hashvfl_core::PartyName;
use hashvfl_identity::Identity;

use crate::event::{AuditEvent, Service};
use crate::head::Side;

/// Shortest time between two entries about the same.
const WINDOW: Duration = Duration::from_secs(60);

/// Who was refused, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusee {
    /// Somebody without a name that counts.
    Stranger,
    /// One of the run's parties, or a holder of the alignment.
    Party(PartyName),
    /// Anybody else, by a certificate that an authority has signed.
    Certified(Identity),
}

/// What happens again and again, counted by what it is about. The first time is told at once; those that follow are told
/// together, a minute after the last entry, so that what happens a thousand times a second fills no disk.
#[derive(Debug)]
pub struct Tally<K, L> {
    /// The entry about so many events about the same, of which the last was like this.
    entry: fn(&K, &L, u64) -> AuditEvent,
    waiting: BTreeMap<K, PendingCount<L>>,
}

#[derive(Debug)]
struct PendingCount<L> {
    told: Instant,
    count: u64,
    last: L,
}

impl<K: Ord, L> Tally<K, L> {
    fn new(entry: fn(&K, &L, u64) -> AuditEvent) -> Self {
        Self { entry, waiting: BTreeMap::new() }
    }

    /// Counts one more about `key`, which was like `last`: the entry that is due, if one is.
    pub fn count(&mut self, key: K, last: L, now: Instant) -> Option<AuditEvent> {
        let Some(waiting) = self.waiting.get_mut(&key) else {
            let event = (self.entry)(&key, &last, 1);
            self.waiting.insert(key, PendingCount { told: now, count: 0, last });
            return Some(event);
        };
        waiting.count += 1;
        waiting.last = last;
        if now.duration_since(waiting.told) < WINDOW {
            return None;
        }
        waiting.told = now;
        Some((self.entry)(&key, &waiting.last, std::mem::take(&mut waiting.count)))
    }

    /// The entry about `key` could not be written: the next time is told at once.
    pub fn forget(&mut self, key: &K) {
        self.waiting.remove(key);
    }

    /// The entries about what was counted and has waited for a minute; what has not happened again since its last entry is
    /// forgotten.
    pub fn due(&mut self, now: Instant) -> Vec<AuditEvent> {
        let (entry, mut due) = (self.entry, Vec::new());
        self.waiting.retain(|key, waiting| {
            if now.duration_since(waiting.told) < WINDOW {
                return true;
            }
            if waiting.count == 0 {
                return false;
            }
            due.push(entry(key, &waiting.last, std::mem::take(&mut waiting.count)));
            waiting.told = now;
            true
        });
        due
    }

    /// Entries about all that was counted and not told.
    pub fn rest(&mut self) -> Vec<AuditEvent> {
        let mut rest = Vec::new();
        for (key, waiting) in &mut self.waiting {
            let count = std::mem::take(&mut waiting.count);
            if count > 0 {
                rest.push((self.entry)(key, &waiting.last, count));
            }
        }
        rest
    }
}

/// Refusals, by whom and why: of those who want to join a service.
pub type RefusalTally = Tally<(Refusee, &'static str), Service>;

impl RefusalTally {
    /// None so far.
    pub fn of_refusals() -> Self {
        Self::new(refused)
    }
}

fn refused(whom_and_why: &(Refusee, &'static str), service: &Service, count: u64) -> AuditEvent {
    let (whom, why) = whom_and_why;
    let (party, who) = match whom {
        Refusee::Stranger => (None, None),
        Refusee::Party(party) => (Some(party.clone()), None),
        Refusee::Certified(who) => (None, Some(who.clone())),
    };
    AuditEvent::Refused { party, who, service: *service, why: (*why).to_string(), count }
}

/// Parties that were let in to a service, by name. The entry that is due is to be written before the party hears so.
pub type JoinTally = Tally<PartyName, Service>;

impl JoinTally {
    /// None so far.
    pub fn of_joins() -> Self {
        Self::new(joined)
    }
}

fn joined(party: &PartyName, service: &Service, count: u64) -> AuditEvent {
    let (party, service) = (party.clone(), *service);
    match count {
        1 => AuditEvent::Joined { party, service },
        count => AuditEvent::JoinedAgain { party, service, count },
    }
}

/// Heads whose signature is not by a key that counts, of parties that come to serve, by side: each with its number of entries.
pub(crate) type SignatureTally = Tally<Side, u64>;

impl SignatureTally {
    /// None so far.
    pub fn of_bad_signatures() -> Self {
        Self::new(badly_signed)
    }
}

fn badly_signed(side: &Side, sequence: &u64, count: u64) -> AuditEvent {
    AuditEvent::BadSignature { side: side.file_stem(), sequence: *sequence, count }
}

/// Predictions, counted by client.
#[derive(Debug)]
pub struct PredictionTally {
    told: Instant,
    clients: BTreeMap<String, Predicted>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Predicted {
    requests: u64,
    asked: u64,
    predicted: u64,
    refused: u64,
}

impl PredictionTally {
    /// None so far.
    pub fn new(now: Instant) -> Self {
        Self { told: now, clients: BTreeMap::new() }
    }

    /// Counts a request of `client` about so many records, and how many it got a prediction of, and a refusal.
    pub fn count(&mut self, client: &str, asked: usize, predicted: usize, refused: usize) {
        let counted = self.clients.entry(client.to_string()).or_default();
        counted.requests += 1;
        counted.asked += asked as u64;
        counted.predicted += predicted as u64;
        counted.refused += refused as u64;
    }

    /// The entries that are due by now, one per client.
    pub fn due(&mut self, now: Instant) -> Vec<AuditEvent> {
        if now.duration_since(self.told) < WINDOW {
            return Vec::new();
        }
        self.told = now;
        self.rest()
    }

    /// Entries about all that was counted and not told.
    pub fn rest(&mut self) -> Vec<AuditEvent> {
        let mut events = Vec::new();
        for (client, counted) in std::mem::take(&mut self.clients) {
            let Predicted { requests, asked, predicted, refused } = counted;
            events.push(AuditEvent::Predictions { client, requests, asked, predicted, refused });
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(events: &[AuditEvent]) -> Vec<u64> {
        let mut counts = Vec::new();
        for event in events {
            if let AuditEvent::Refused { count, .. } = event {
                counts.push(*count);
            }
        }
        counts
    }

    #[test]
    fn a_flood_of_refusals_is_a_few_entries_and_none_is_lost() {
        let (mut tally, start) = (RefusalTally::of_refusals(), Instant::now());
        let mut told = Vec::new();
        for second in 0..90 {
            for _ in 0..100 {
                let now = start + Duration::from_secs(second);
                told.extend(tally.count((Refusee::Stranger, "settings"), Service::Training, now));
            }
        }
        told.extend(tally.rest());
        assert_eq!(counts(&told), [1, 6_000, 2_999]);
        assert_eq!(counts(&tally.rest()), Vec::<u64>::new());
        let bank = Refusee::Party(PartyName::new("bank").unwrap());
        let first = tally.count((bank, "settings"), Service::Training, start);
        assert_eq!(counts(first.as_slice()), [1], "another party's");
    }

    #[test]
    fn what_was_counted_is_told_a_minute_later_also_where_nothing_follows() {
        let (mut tally, start) = (RefusalTally::of_refusals(), Instant::now());
        let later = |seconds: u64| start + Duration::from_secs(seconds);
        let stranger = (Refusee::Stranger, "settings");
        for _ in 0..3 {
            tally.count(stranger.clone(), Service::Training, start);
        }
        assert!(tally.due(later(59)).is_empty());
        assert_eq!(counts(&tally.due(later(60))), [2]);
        assert!(tally.due(later(90)).is_empty() && tally.due(later(120)).is_empty());
        assert!(tally.waiting.is_empty(), "what is over takes no memory");
        assert_eq!(counts(tally.count(stranger, Service::Training, later(121)).as_slice()), [1]);
    }

    #[test]
    fn a_party_that_joins_again_and_again_is_a_few_entries() {
        let (mut tally, start) = (JoinTally::of_joins(), Instant::now());
        let (bank, service) = (PartyName::new("bank").unwrap(), Service::Serving);
        let first = tally.count(bank.clone(), service, start).unwrap();
        assert_eq!(first, AuditEvent::Joined { party: bank.clone(), service });
        assert!((0..99).all(|_| tally.count(bank.clone(), service, start).is_none()));
        let due = tally.due(start + WINDOW);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].to_string(), "bank joined serving 99 times more");
        let json = serde_json::to_value(&due[0]).unwrap();
        assert_eq!(serde_json::from_value::<AuditEvent>(json).unwrap(), due[0]);
        assert!(tally.count(bank.clone(), service, start + WINDOW).is_none());
        assert_eq!(tally.rest(), std::slice::from_ref(&first));
        // One whose entry could not be written is told again.
        tally.forget(&bank);
        assert_eq!(tally.count(bank, service, start + WINDOW), Some(first));
    }

    #[test]
    fn heads_that_are_badly_signed_are_told_together() {
        let (mut tally, start) = (SignatureTally::of_bad_signatures(), Instant::now());
        let bank = Side::Party(PartyName::new("bank").unwrap());
        let told = |count, sequence| {
            Some(AuditEvent::BadSignature { side: "party-bank".to_string(), sequence, count })
        };
        assert_eq!(tally.count(bank.clone(), 7, start), told(1, 7));
        assert_eq!(tally.count(bank.clone(), 8, start), None);
        assert_eq!(tally.count(bank.clone(), 9, start + WINDOW), told(2, 9));
        assert_eq!(tally.count(bank, 10, start + WINDOW), None);
        assert_eq!(tally.due(start + 2 * WINDOW).pop(), told(1, 10));
    }

    #[test]
    fn whoever_has_a_name_is_told_by_it() {
        let (mut tally, now) = (RefusalTally::of_refusals(), Instant::now());
        let desk = Refusee::Certified("client/desk".parse().unwrap());
        for (whom, expected) in [
            (Refusee::Stranger, "a stranger refused from alignment: revoked"),
            (Refusee::Party(PartyName::new("bank").unwrap()), "bank refused from alignment: revoked"),
            (desk, "client/desk refused from alignment: revoked"),
        ] {
            let event = tally.count((whom, "revoked"), Service::Alignment, now).unwrap();
            assert_eq!(event.to_string(), expected);
            let json = serde_json::to_value(&event).unwrap();
            assert_eq!(serde_json::from_value::<AuditEvent>(json).unwrap(), event);
        }
    }

    #[test]
    fn predictions_are_told_once_a_minute_by_client() {
        let start = Instant::now();
        let mut tally = PredictionTally::new(start);
        tally.count("clinic", 10, 8, 2);
        tally.count("clinic", 5, 5, 0);
        tally.count("unnamed", 1, 0, 1);
        assert!(tally.due(start + Duration::from_secs(59)).is_empty());
        let due = tally.due(start + Duration::from_secs(60));
        let client = "clinic".to_string();
        let expected = AuditEvent::Predictions { client, requests: 2, asked: 15, predicted: 13, refused: 2 };
        assert_eq!((due.len(), &due[0]), (2, &expected));
        assert!(tally.rest().is_empty());
    }
}
