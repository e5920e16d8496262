//! What comes too often for an entry each: counted, and written now and then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hashvfl_core::PartyName;
use hashvfl_identity::Identity;

use crate::event::{AuditEvent, Service};

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

/// Refusals, counted by whom and why. The first is told at once; those that follow are told together, so that who is
/// refused a thousand times a second fills no disk.
#[derive(Debug)]
pub struct RefusalTally {
    service: Service,
    open: BTreeMap<(Refusee, &'static str), Waiting>,
}

#[derive(Debug)]
struct Waiting {
    told: Instant,
    count: u64,
}

impl RefusalTally {
    /// Of those who want to join `service`.
    pub fn new(service: Service) -> Self {
        Self { service, open: BTreeMap::new() }
    }

    /// Counts a refusal of `whom` for the reason `why`: the entry that is due, if one is.
    pub fn count(&mut self, whom: Refusee, why: &'static str, now: Instant) -> Option<AuditEvent> {
        let key = (whom, why);
        let count = match self.open.get_mut(&key) {
            None => 1,
            Some(waiting) if now.duration_since(waiting.told) < WINDOW => {
                waiting.count += 1;
                return None;
            }
            Some(waiting) => waiting.count + 1,
        };
        let event = refused(&key.0, self.service, why, count);
        self.open.insert(key, Waiting { told: now, count: 0 });
        Some(event)
    }

    /// Entries about what was counted and not told.
    pub fn rest(&mut self) -> Vec<AuditEvent> {
        let mut events = Vec::new();
        for ((whom, why), waiting) in &mut self.open {
            let count = std::mem::take(&mut waiting.count);
            if count > 0 {
                events.push(refused(whom, self.service, why, count));
            }
        }
        events
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
    fn whoever_has_a_name_is_told_by_it() {
        let (mut tally, now) = (RefusalTally::new(Service::Alignment), Instant::now());
        let desk = Refusee::Certified("client/desk".parse().unwrap());
        for (whom, expected) in [
            (Refusee::Stranger, "a stranger refused from alignment, 1 times: revoked"),
            (
                Refusee::Party(PartyName::new("bank").unwrap()),
                "bank refused from alignment, 1 times: revoked",
            ),
            (desk, "client/desk refused from alignment, 1 times: revoked"),
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
