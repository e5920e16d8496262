//! Whoever sees all that leaves the parties, and knows what must have been counted.

use std::collections::{BTreeMap, HashSet};

use hashvfl_core::{CanonicalId, Digest};
use hashvfl_ledger::{Accounts, EncoderIdentity, RecordKey, RedbStore};

use crate::disk::Disk;
use crate::party::BITS;

/// What left of a record: by which encoder, and which code.
type Release = (u32, Digest, bool, Vec<u8>);

#[derive(Default)]
pub struct Observer {
    seen: Vec<HashSet<Release>>,
    /// Bits that left in truth, by party and record.
    bits: Vec<BTreeMap<u32, u64>>,
    /// What was answered at each step.
    answers: BTreeMap<(usize, u64), String>,
    /// The first promise that was broken.
    pub broken: Option<String>,
}

impl Observer {
    pub fn new(parties: usize) -> Self {
        let bits = vec![BTreeMap::new(); parties];
        Self { seen: vec![HashSet::new(); parties], bits, ..Self::default() }
    }

    /// A code leaves.
    pub fn sent(&mut self, party: usize, row: u32, encoder: &EncoderIdentity, code: Vec<u8>) {
        if self.seen[party].insert((row, encoder.digest, encoder.frozen, code)) {
            *self.bits[party].entry(row).or_default() += BITS as u64;
        }
    }

    /// An answer leaves.
    pub fn said(&mut self, party: usize, step: u64, answer: String) {
        let before = self.answers.entry((party, step)).or_insert_with(|| answer.clone());
        if *before != answer {
            self.breaks(format!("party {party} answers step {step} in two ways"));
        }
    }

    pub fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    /// Holds a party's ledger against what left; `more` bits a record are what kills may have added, where that is known.
    pub fn compare(&mut self, party: usize, disk: &Disk, records: usize, more: Option<u64>) {
        let store = match RedbStore::on(disk.copy(), [7; 32]) {
            Ok(store) => store,
            Err(error) => return self.breaks(format!("the ledger of party {party}: {error}")),
        };
        let mut counted = BTreeMap::new();
        store.scan(&mut |key, account| counted.extend([(key, account.bits)])).unwrap();
        for row in 0..records as u32 {
            let sent = self.bits[party].get(&row).copied().unwrap_or(0);
            let key = RecordKey::of(&store.salt(), &CanonicalId::of(&format!("r{row}"), 1));
            let counted = counted.get(&key).copied().unwrap_or(0);
            if counted < sent {
                return self.breaks(format!(
                    "party {party}: {sent} bits of record {row} left, {counted} are counted"
                ));
            }
            if more.is_some_and(|more| counted > sent + more) {
                return self.breaks(format!(
                    "party {party}: {sent} bits of record {row} left, {counted} are counted"
                ));
            }
        }
    }
}
