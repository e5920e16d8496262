//! What comes too often for an entry each: counted, and written now and then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hashvfl_core::PartyName;

use crate::event::{AuditEvent, Service};

/// Shortest time between two entries about the same.
const WINDOW: Duration = Duration::from_secs(60);

/// Refusals, counted by party and reason. The first is told at once; those that follow are told together, so that who is
/// refused a thousand times a second fills no disk.
#[derive(Debug)]
pub struct RefusalTally {
    service: Service,
    open: BTreeMap<(Option<PartyName>, &'static str), Waiting>,
}

#[derive(Debug)]
struct Waiting {
    told: Instant,
    count: u64,
}

impl RefusalTally {
    /// Of parties that want to join `service`.
    pub fn new(service: Service) -> Self {
        Self { service, open: BTreeMap::new() }
    }

    /// Counts a refusal of `party`, where it is one of the run's, for the reason `why`: the entry that is due, if one is.
    pub fn count(&mut self, party: Option<PartyName>, why: &'static str, now: Instant) -> Option<AuditEvent> {
        let key = (party.clone(), why);
        let count = match self.open.get_mut(&key) {
            None => 1,
            Some(waiting) if now.duration_since(waiting.told) < WINDOW => {
                waiting.count += 1;
                return None;
            }
            Some(waiting) => waiting.count + 1,
        };
        self.open.insert(key, Waiting { told: now, count: 0 });
        Some(AuditEvent::Refused { party, service: self.service, why: why.to_string(), count })
    }

    /// Entries about what was counted and not told.
    pub fn rest(&mut self) -> Vec<AuditEvent> {
        let mut events = Vec::new();
        for ((party, why), waiting) in &mut self.open {
            let count = std::mem::take(&mut waiting.count);
            if count > 0 {
                let (party, why) = (party.clone(), why.to_string());
                events.push(AuditEvent::Refused { party, service: self.service, why, count });
            }
        }
        events
    }
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
                told.extend(tally.count(None, "settings", start + Duration::from_secs(second)));
            }
        }
        told.extend(tally.rest());
        assert_eq!(counts(&told), [1, 6_000, 2_999]);
        assert_eq!(counts(&tally.rest()), Vec::<u64>::new());
        let bank = PartyName::new("bank").unwrap();
        assert_eq!(counts(tally.count(Some(bank), "settings", start).as_slice()), [1], "another party's");
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
