//! Drift as each client sees it: scores of the records that it has asked for, each record once.
//!
//! Clients choose what they ask for. With one monitor for all of them, a client that requests a few strange records again and
//! again would make the monitor report drift to all others.

use std::collections::BTreeMap;

use hashvfl_core::ServedRow;
use hashvfl_detectors::DetectorError;
use hashvfl_detectors::calibration::drift::{DriftMonitor, DriftState};

/// The largest probability that a monitor ever raises a false alarm.
const FALSE_ALARM: f64 = 0.001;
/// Clients that have a monitor of their own, at most: all others share one.
const MOST: usize = 64;
/// The client under whose name they do; none has an empty one.
const OTHERS: &str = "";
/// Records whose bits share a word.
const WORD: usize = u64::BITS as usize;

/// The monitors of all clients.
pub struct ClientDrift {
    /// Scores of normal records: those that give a monitor's intervals, and those to compare with.
    edges: Vec<f64>,
    compared: Vec<f64>,
    level: f64,
    clients: BTreeMap<String, ClientMonitor>,
}

/// What is known of the records that a client has asked for.
pub struct ClientMonitor {
    monitor: DriftMonitor,
    /// Which records it has seen, a bit for each.
    seen: Vec<u64>,
    drifted: bool,
}

impl ClientDrift {
    /// Monitors that flag single records at `level`, given the scores of normal records.
    ///
    /// # Errors
    /// If there are too few of these.
    pub fn new(edges: Vec<f64>, compared: Vec<f64>, level: f64) -> Result<Self, DetectorError> {
        let drift = Self { edges, compared, level, clients: BTreeMap::new() };
        drift.monitor()?;
        Ok(drift)
    }

    fn monitor(&self) -> Result<ClientMonitor, DetectorError> {
        let monitor = DriftMonitor::new(&self.edges, &self.compared, self.level, FALSE_ALARM, 0)?;
        Ok(ClientMonitor { monitor, seen: Vec::new(), drifted: false })
    }

    /// The monitor of `client`.
    ///
    /// # Errors
    /// Never after [`Self::new`], which has tried.
    pub fn of(&mut self, client: &str) -> Result<&mut ClientMonitor, DetectorError> {
        let has_its_own = self.clients.contains_key(client) || self.clients.len() < MOST;
        let name = if has_its_own { client } else { OTHERS };
        if !self.clients.contains_key(name) {
            let monitor = self.monitor()?;
            self.clients.insert(name.to_string(), monitor);
        }
        // Unwrap safety: it is there by now.
        Ok(self.clients.get_mut(name).expect("a monitor"))
    }
}

impl ClientMonitor {
    /// Takes the score of a record, unless it has seen the record before.
    pub fn observe(&mut self, row: ServedRow, score: f64) {
        let (word, bit) = (row.number() as usize / WORD, 1_u64 << (row.number() as usize % WORD));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit == 0 {
            self.seen[word] |= bit;
            self.drifted |= self.monitor.observe(score) == DriftState::Drift;
        }
    }

    /// Whether the records that it has seen differ as a whole from normal ones.
    pub fn has_drifted(&self) -> bool {
        self.drifted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift() -> ClientDrift {
        let scores = |offset: f64| (0..500).map(|at| offset + f64::from(at)).collect();
        ClientDrift::new(scores(0.0), scores(0.5), 0.05).unwrap()
    }

    fn row(number: u32) -> ServedRow {
        ServedRow::new(number)
    }

    #[test]
    fn a_strange_record_that_is_asked_for_again_and_again_is_no_drift() {
        let mut drift = drift();
        for _ in 0..1000 {
            drift.of("app").unwrap().observe(row(70), 1e9);
        }
        assert!(!drift.of("app").unwrap().has_drifted());
        // Many strange records are, for the client that asks for them.
        for number in 0..200 {
            drift.of("app").unwrap().observe(row(number), 1e9);
        }
        assert!(drift.of("app").unwrap().has_drifted() && !drift.of("desk").unwrap().has_drifted());
    }

    #[test]
    fn clients_take_a_bounded_part_of_the_memory() {
        let mut drift = drift();
        for client in 0..3 * MOST {
            drift.of(&client.to_string()).unwrap().observe(row(0), 1.0);
        }
        assert_eq!(drift.clients.len(), MOST + 1);
    }

    #[test]
    fn too_few_normal_records_are_an_error() {
        assert!(ClientDrift::new(vec![0.0, 1.0], vec![0.0; 5], 0.01).is_err());
    }
}
