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
struct Repeated<K>(BTreeMap<K, Waiting>);

#[derive(Debug)]
struct Waiting {
    told: Instant,
    count: u64,
}

impl<K: Ord + Clone> Repeated<K> {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Counts one more of `key`: the number that an entry is to tell now, if one is.
    fn count(&mut self, key: &K, now: Instant) -> Option<u64> {
        let Some(waiting) = self.0.get_mut(key) else {
            self.0.insert(key.clone(), Waiting { told: now, count: 0 });
            return Some(1);
        };
        waiting.count += 1;
        if now.duration_since(waiting.told) < WINDOW {
            return None;
        }
        waiting.told = now;
        Some(std::mem::take(&mut waiting.count))
    }

    /// The entries, made by `event`, about what was counted and has waited for a minute; what has not happened again since its
    /// last entry is forgotten.
    fn due(&mut self, now: Instant, event: impl Fn(&K, u64) -> AuditEvent) -> Vec<AuditEvent> {
        let mut due = Vec::new();
        self.0.retain(|key, waiting| {
            if now.duration_since(waiting.told) < WINDOW {
                return true;
            }
            if waiting.count == 0 {
                return false;
            }
            due.push(event(key, std::mem::take(&mut waiting.count)));
            waiting.told = now;
            true
        });
        due
    }

    /// The entries, made by `event`, about all that was counted and not told.
    fn rest(&mut self, event: impl Fn(&K, u64) -> AuditEvent) -> Vec<AuditEvent> {
        let mut rest = Vec::new();
        for (key, waiting) in &mut self.0 {
            let count = std::mem::take(&mut waiting.count);
            if count > 0 {
                rest.push(event(key, count));
            }
        }
        rest
    }
}

/// Refusals, counted by whom and why.
#[derive(Debug)]
pub struct RefusalTally {
    service: Service,
    refused: Repeated<(Refusee, &'static str)>,
}

impl RefusalTally {
    /// Of those who want to join `service`.
    pub fn new(service: Service) -> Self {
        Self { service, refused: Repeated::new() }
    }

    /// Counts a refusal of `whom` for the reason `why`: the entry that is due, if one is.
    pub fn count(&mut self, whom: Refusee, why: &'static str, now: Instant) -> Option<AuditEvent> {
        let key = (whom, why);
        let count = self.refused.count(&key, now)?;
        Some(refused(&key.0, self.service, why, count))
    }

    /// The entries that are due by now.
    pub fn due(&mut self, now: Instant) -> Vec<AuditEvent> {
        self.refused.due(now, |(whom, why), count| refused(whom, self.service, why, count))
    }

    /// Entries about all that was counted and not told.
    pub fn rest(&mut self) -> Vec<AuditEvent> {
        self.refused.rest(|(whom, why), count| refused(whom, self.service, why, count))
    }
}

fn refused(whom: &Refusee, service: Service, why: &str, count: u64) -> AuditEvent {
    let (party, who) = match whom {
        Refusee::Stranger => (None, None),
        Refusee::Party(party) => (Some(party.clone()), None),
        Refusee::Certified(who) => (None, Some(who.clone())),
    };
    AuditEvent::Refused { party, who, service, why: why.to_string(), count }
}

/// Parties that were let in, counted by name.
#[derive(Debug)]
pub struct JoinTally {
    service: Service,
    joined: Repeated<PartyName>,
}

impl JoinTally {
    /// Of those who join `service`.
    pub fn new(service: Service) -> Self {
        Self { service, joined: Repeated::new() }
    }

    /// Counts that `party` joins: the entry that is to be written before it hears so, if one is due.
    pub fn count(&mut self, party: &PartyName, now: Instant) -> Option<AuditEvent> {
        let count = self.joined.count(party, now)?;
        Some(joined(party, self.service, count))
    }

    /// The entry about `party` could not be written: the next time it joins is told at once.
    pub fn forget(&mut self, party: &PartyName) {
        self.joined.0.remove(party);
    }

    /// The entries that are due by now.
    pub fn due(&mut self, now: Instant) -> Vec<AuditEvent> {
        self.joined.due(now, |party, count| joined(party, self.service, count))
    }

    /// Entries about all that was counted and not told.
    pub fn rest(&mut self) -> Vec<AuditEvent> {
        self.joined.rest(|party, count| joined(party, self.service, count))
    }
}

fn joined(party: &PartyName, service: Service, count: u64) -> AuditEvent {
    let party = party.clone();
    match count {
        1 => AuditEvent::Joined { party, service },
        count => AuditEvent::JoinedAgain { party, service, count },
    }
}

/// Heads whose signature is not by a key that counts, of parties that come to serve, counted by side.
#[derive(Debug)]
pub(crate) struct SignatureTally {
    bad: Repeated<Side>,
    /// Entries of the last such head of each side.
    last: BTreeMap<Side, u64>,
}

impl SignatureTally {
    pub fn new() -> Self {
        Self { bad: Repeated::new(), last: BTreeMap::new() }
    }

    /// Counts such a head of `side`, with so many entries: the entry that is due, if one is.
    pub fn count(&mut self, side: &Side, sequence: u64, now: Instant) -> Option<AuditEvent> {
        self.last.insert(side.clone(), sequence);
        let count = self.bad.count(side, now)?;
        Some(badly_signed(side, &self.last, count))
    }

    /// The entries that are due by now.
    pub fn due(&mut self, now: Instant) -> Vec<AuditEvent> {
        self.bad.due(now, |side, count| badly_signed(side, &self.last, count))
    }

    /// Entries about all that was counted and not told.
    pub fn rest(&mut self) -> Vec<AuditEvent> {
        self.bad.rest(|side, count| badly_signed(side, &self.last, count))
    }
}

/// The event about heads of `side`, where `last` has the entries of the last such head of each side.
fn badly_signed(side: &Side, last: &BTreeMap<Side, u64>, count: u64) -> AuditEvent {
    let sequence = last.get(side).copied().unwrap_or_default();
    AuditEvent::BadSignature { side: side.file_stem(), sequence, count }
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
        let (mut tally, start) = (RefusalTally::new(Service::Training), Instant::now());
        let mut told = Vec::new();
        for second in 0..90 {
            for _ in 0..100 {
                let now = start + Duration::from_secs(second);
                told.extend(tally.count(Refusee::Stranger, "settings", now));
            }
        }
        told.extend(tally.rest());
        assert_eq!(counts(&told), [1, 6_000, 2_999]);
        assert_eq!(counts(&tally.rest()), Vec::<u64>::new());
        let bank = Refusee::Party(PartyName::new("bank").unwrap());
        assert_eq!(counts(tally.count(bank, "settings", start).as_slice()), [1], "another party's");
    }

    #[test]
    fn what_was_counted_is_told_a_minute_later_also_where_nothing_follows() {
        let (mut tally, start) = (RefusalTally::new(Service::Training), Instant::now());
        let later = |seconds: u64| start + Duration::from_secs(seconds);
        for _ in 0..3 {
            tally.count(Refusee::Stranger, "settings", start);
        }
        assert!(tally.due(later(59)).is_empty());
        assert_eq!(counts(&tally.due(later(60))), [2]);
        assert!(tally.due(later(90)).is_empty() && tally.due(later(120)).is_empty());
        assert!(tally.refused.0.is_empty(), "what is over takes no memory");
        assert_eq!(counts(tally.count(Refusee::Stranger, "settings", later(121)).as_slice()), [1]);
    }

    #[test]
    fn a_party_that_joins_again_and_again_is_a_few_entries() {
        let (mut tally, start) = (JoinTally::new(Service::Serving), Instant::now());
        let bank = PartyName::new("bank").unwrap();
        let first = tally.count(&bank, start).unwrap();
        assert_eq!(first, AuditEvent::Joined { party: bank.clone(), service: Service::Serving });
        assert!((0..99).all(|_| tally.count(&bank, start).is_none()));
        let due = tally.due(start + WINDOW);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].to_string(), "bank joined serving 99 times more");
        let json = serde_json::to_value(&due[0]).unwrap();
        assert_eq!(serde_json::from_value::<AuditEvent>(json).unwrap(), due[0]);
        assert!(tally.count(&bank, start + WINDOW).is_none());
        assert_eq!(tally.rest(), std::slice::from_ref(&first));
        // One whose entry could not be written is told again.
        tally.forget(&bank);
        assert_eq!(tally.count(&bank, start + WINDOW), Some(first));
    }

    #[test]
    fn heads_that_are_badly_signed_are_told_together() {
        let (mut tally, start) = (SignatureTally::new(), Instant::now());
        let bank = Side::Party(PartyName::new("bank").unwrap());
        let told = |count, sequence| {
            Some(AuditEvent::BadSignature { side: "party-bank".to_string(), sequence, count })
        };
        assert_eq!(tally.count(&bank, 7, start), told(1, 7));
        assert_eq!(tally.count(&bank, 8, start), None);
        assert_eq!(tally.count(&bank, 9, start + WINDOW), told(2, 9));
        assert_eq!(tally.count(&bank, 10, start + WINDOW), None);
        assert_eq!(tally.due(start + 2 * WINDOW).pop(), told(1, 10));
    }

    #[test]
    fn whoever_has_a_name_is_told_by_it() {
        let (mut tally, now) = (RefusalTally::new(Service::Alignment), Instant::now());
        let desk = Refusee::Certified("client/desk".parse().unwrap());
        for (whom, expected) in [
            (Refusee::Stranger, "a stranger refused from alignment: revoked"),
            (Refusee::Party(PartyName::new("bank").unwrap()), "bank refused from alignment: revoked"),
            (desk, "client/desk refused from alignment: revoked"),
        ] {
            let event = tally.count(whom, "revoked", now).unwrap();
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
