//! The ledger at work: reserve before computing, release before sending.

use std::collections::BTreeMap;

use crate::account::{Account, Cost, EncoderIdentity, ReleaseDigest};
use crate::epsilon::Epsilon;
use crate::error::LedgerError;
use crate::flow::{Flow, Volume};
use crate::key::RecordKey;
use crate::policy::{Policy, Refusal};
use crate::store::{Store, StoreError};

/// What a ledger is opened for.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What is allowed.
    pub policy: Policy,
    /// What one release of a record costs, at each recipient.
    pub cost: Cost,
    /// Who gets it; at least one.
    pub flows: Vec<Flow>,
}

/// The accounts of a table's records. Rows are numbered as in the table.
pub struct Ledger<S> {
    store: S,
    terms: Terms,
    /// In the order of keys, as stores want them.
    accounts: Vec<Entry>,
    /// Of each row, where its account is.
    places: Vec<u32>,
    /// Places that differ from what the store holds, some of them more than once.
    changed: Vec<u32>,
    flows: BTreeMap<Flow, Volume>,
}

/// What of a request the policy refuses.
#[derive(Debug, Default)]
pub struct Refused {
    /// Positions in the request, in order.
    pub positions: Vec<u32>,
    /// By which rule; absent where nothing is refused.
    pub refusal: Option<Refusal>,
}

struct Entry {
    key: RecordKey,
    account: Account,
    /// Charged, and not released yet.
    /// Releases that are charged and have not left.
    reserved: u32,
}

impl Entry {
    /// Uses up a release that is reserved; whether there was one.
    fn take_reserved(&mut self) -> bool {
        let reserved = self.reserved > 0;
        self.reserved = self.reserved.saturating_sub(1);
        reserved
    }
}

impl<S: Store> Ledger<S> {
    /// Opens the accounts of the records `ids`, in row order.
    pub fn open<'a>(
        store: S,
        ids: impl IntoIterator<Item = &'a str>,
        terms: Terms,
    ) -> Result<Self, StoreError> {
        let salt = store.salt();
        let keys: Vec<RecordKey> = ids.into_iter().map(|id| RecordKey::of(&salt, id)).collect();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let place = |key: &RecordKey| sorted.binary_search(key).unwrap_or_default() as u32;
        let places = keys.iter().map(place).collect();
        let fresh = |key| Entry { key, account: Account::default(), reserved: 0 };
        let mut accounts: Vec<Entry> = sorted.into_iter().map(fresh).collect();
        let mut next = 0;
        store.scan(&mut |key, account| {
            while accounts.get(next).is_some_and(|entry| entry.key < key) {
                next += 1;
            }
            if let Some(entry) = accounts.get_mut(next).filter(|entry| entry.key == key) {
                entry.account = account;
            }
        })?;
        let flows = store.flows()?;
        Ok(Self { store, terms, accounts, places, changed: Vec::new(), flows })
    }

    /// What is allowed.
    pub fn policy(&self) -> &Policy {
        &self.terms.policy
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.places.len()
    }

    /// The account of a row.
    pub fn account(&self, row: u32) -> &Account {
        &self.accounts[self.place(row)].account
    }

    /// Which of `rows` may not be asked for: all where they are fewer than the policy's least batch, else those
    /// whose account allows no release more. What `encoder` released before is expected to be the same, and free.
    pub fn refused(&self, rows: &[u32], encoder: &EncoderIdentity) -> Refused {
        let all = |refusal| Refused { positions: (0..rows.len() as u32).collect(), refusal: Some(refusal) };
        let Terms { policy, .. } = &self.terms;
        if let Err(refusal) = policy.check_batch(rows.len()) {
            return all(refusal);
        }
        let cost = self.record_cost();
        let account = |row: u32| {
            let entry = &self.accounts[self.place(row)];
            (entry.reserved == 0 && !entry.account.expects(encoder)).then_some(&entry.account)
        };
        let over = |row: u32| {
            account(row).is_some_and(|account| policy.check([account].into_iter(), cost, 1).is_err())
        };
        let positions: Vec<u32> = (0..).zip(rows).filter(|(_, row)| over(**row)).map(|(at, _)| at).collect();
        if positions.is_empty() {
            return Refused::default();
        }
        if let Err(refusal) = policy.check_batch(rows.len() - positions.len())
            && positions.len() < rows.len()
        {
            return all(refusal);
        }
        let accounts = positions.iter().filter_map(|position| account(rows[*position as usize]));
        Refused { refusal: policy.check(accounts, cost, 1).err(), positions }
    }

    /// Those of `rows` whose account does not allow `times` releases more, each as if it were new.
    pub fn beyond(&self, rows: &[u32], times: u32) -> Vec<u32> {
        let cost = self.record_cost();
        let beyond =
            |row: &u32| self.terms.policy.check([self.account(*row)].into_iter(), cost, times).is_err();
        let some = if times == 0 { &[] } else { rows };
        some.iter().copied().filter(beyond).collect()
    }

    /// To be called before anything is computed of `rows`: `Ok` if what `encoder` makes of them may be sent.
    ///
    /// Where they are not reserved yet, all of a block is, in one durable write: `rows` and those that will be asked for
    /// next, so many times each, or once where the policy does not allow more. What a frozen encoder released before is
    /// expected to be the same again, and free.
    ///
    /// # Errors
    /// If the policy does not allow all of it; nothing is reserved then.
    pub fn reserve(
        &mut self,
        rows: &[u32],
        block: (&[u32], u32),
        encoder: &EncoderIdentity,
    ) -> Result<(), LedgerError> {
        self.terms.policy.check_batch(rows.len())?;
        self.cover(rows, block, &|entry| entry.reserved > 0 || entry.account.expects(encoder))
    }

    /// Whether all of `rows` are reserved, so that [`Self::release`] of them cannot be refused.
    pub fn is_reserved(&self, rows: &[u32]) -> bool {
        rows.iter().all(|row| self.accounts[self.place(*row)].reserved > 0)
    }

    /// To be called before what `encoder` made of `rows` is sent, with a digest for each row: `Ok` if it may be.
    ///
    /// The same bytes by the same encoder are free, and give back what was reserved for them. Others use up what
    /// was reserved; where nothing was, they are charged now, durably. Where all of `rows` are reserved it may be
    /// called after sending: a crash in between over-counts what would have been free.
    ///
    /// # Errors
    /// If the policy does not allow it: nothing may be sent then.
    pub fn release(
        &mut self,
        rows: &[u32],
        encoder: &EncoderIdentity,
        digests: &[ReleaseDigest],
    ) -> Result<(), LedgerError> {
        assert_eq!(rows.len(), digests.len(), "a digest for each row");
        let mut open = Vec::new();
        for (row, digest) in rows.iter().zip(digests) {
            let place = self.place(*row);
            let entry = &mut self.accounts[place];
            let reserved = entry.take_reserved();
            match (entry.account.knows(encoder, *digest), reserved) {
                (true, true) => self.refund(place),
                (true, false) | (false, true) => {}
                (false, false) => open.push(*row),
            }
        }
        self.charge(&open, 1)?;
        for (row, digest) in rows.iter().zip(digests) {
            let place = self.place(*row);
            let entry = &mut self.accounts[place];
            entry.account.remember(encoder, *digest);
            self.changed.push(place as u32);
        }
        Ok(())
    }

    /// To be called before something new in any case is sent about `rows`: reserves a block, so many times, where they
    /// are not reserved yet, and uses up what is.
    ///
    /// # Errors
    /// If the policy does not allow it: nothing may be sent then.
    pub fn spend(&mut self, rows: &[u32], block: (&[u32], u32)) -> Result<(), LedgerError> {
        self.cover(rows, block, &|entry| entry.reserved > 0)?;
        let mut open = Vec::new();
        for row in rows {
            let place = self.place(*row);
            if !self.accounts[place].take_reserved() {
                open.push(*row);
            }
        }
        self.charge(&open, 1)
    }

    /// Counts what goes to a recipient beside records' releases, durably, before it is sent.
    pub fn note(&mut self, flow: &Flow, volume: Volume) -> Result<(), StoreError> {
        let total = self.flows.entry(flow.clone()).or_default();
        *total = total.plus(volume);
        self.write()
    }

    /// Gives back what was noted and not sent.
    pub fn take_back(&mut self, flow: &Flow, volume: Volume) -> Result<(), StoreError> {
        let total = self.flows.entry(flow.clone()).or_default();
        *total = total.minus(volume);
        self.write()
    }

    /// At the end of a run: gives back what was reserved and not released, and keeps the digests of what was.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        for place in 0..self.accounts.len() {
            while self.accounts[place].take_reserved() {
                self.refund(place);
            }
        }
        self.write()
    }

    fn place(&self, row: u32) -> usize {
        self.places[row as usize] as usize
    }

    /// Reserves all of a block, in one durable write, unless all of `rows` are covered.
    fn cover(
        &mut self,
        rows: &[u32],
        (block, passes): (&[u32], u32),
        covered: &dyn Fn(&Entry) -> bool,
    ) -> Result<(), LedgerError> {
        let open = |row: &u32| !covered(&self.accounts[self.place(*row)]);
        if !rows.iter().any(open) {
            return Ok(());
        }
        let open: Vec<u32> = block.iter().copied().filter(open).collect();
        let passes = match self.charge(&open, passes) {
            // What does not fit for all of them may fit for one.
            Err(LedgerError::Refused(_)) if passes > 1 => self.charge(&open, 1).map(|()| 1),
            charged => charged.map(|()| passes),
        }?;
        for row in open {
            let place = self.place(row);
            self.accounts[place].reserved += passes;
        }
        Ok(())
    }

    /// Charges each of `rows` so many releases, durably: the one place where totals grow.
    fn charge(&mut self, rows: &[u32], times: u32) -> Result<(), LedgerError> {
        if rows.is_empty() {
            return Ok(());
        }
        let cost = self.record_cost();
        let accounts = rows.iter().map(|row| &self.accounts[self.place(*row)].account);
        self.terms.policy.check(accounts, cost, times)?;
        for row in rows {
            let place = self.place(*row);
            let entry = &mut self.accounts[place];
            entry.account.charge(cost, times);
            self.changed.push(place as u32);
        }
        let volume = Volume::of(rows.len() * times as usize, self.terms.cost.bits);
        for flow in &self.terms.flows {
            let total = self.flows.entry(flow.clone()).or_default();
            *total = total.plus(volume);
        }
        Ok(self.write()?)
    }

    fn refund(&mut self, place: usize) {
        let cost = self.record_cost();
        let entry = &mut self.accounts[place];
        entry.account.refund(cost);
        self.changed.push(place as u32);
        let volume = Volume::of(1, self.terms.cost.bits);
        for flow in &self.terms.flows {
            let total = self.flows.entry(flow.clone()).or_default();
            *total = total.minus(volume);
        }
    }

    /// A record's cost over all recipients.
    fn record_cost(&self) -> Cost {
        let Cost { bits, epsilon } = self.terms.cost;
        let count = self.terms.flows.len() as u32;
        let epsilon = epsilon.map(|one| (0..count).fold(Epsilon::default(), |sum, _| sum.plus(one)));
        Cost { bits: bits.saturating_mul(count), epsilon }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.changed.sort_unstable();
        self.changed.dedup();
        let changed = self.changed.iter().map(|place| &self.accounts[*place as usize]);
        self.store.write(&mut changed.map(|entry| (entry.key, entry.account)), &self.flows)?;
        self.changed.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::Digest;

    use super::*;
    use crate::{FlowKind, MemoryStore, Rule};

    const IDS: [&str; 4] = ["a", "b", "c", "d"];
    const LEARNING: EncoderIdentity = EncoderIdentity { digest: Digest([1; 32]), frozen: false };
    const FROZEN: EncoderIdentity = EncoderIdentity { digest: Digest([2; 32]), frozen: true };

    fn open(disk: &MemoryStore, policy: &str) -> Ledger<MemoryStore> {
        let policy = Policy::parse(policy).unwrap();
        let (cost, flows) = (Cost { bits: 8, epsilon: None }, vec![Flow::new("spring", FlowKind::Codes)]);
        Ledger::open(disk.clone(), IDS, Terms { policy, cost, flows }).unwrap()
    }

    /// Reserves and releases `rows`, each with the bytes `with`.
    fn send(
        ledger: &mut Ledger<MemoryStore>,
        rows: &[u32],
        encoder: EncoderIdentity,
        with: &[u8],
    ) -> Result<(), LedgerError> {
        ledger.reserve(rows, (rows, 1), &encoder)?;
        let digests: Vec<_> = rows.iter().map(|_| ReleaseDigest::of(&encoder, with)).collect();
        ledger.release(rows, &encoder, &digests)
    }

    fn bits(ledger: &Ledger<MemoryStore>) -> Vec<u64> {
        (0..4).map(|row| ledger.account(row).bits).collect()
    }

    #[test]
    fn the_same_bytes_are_free_and_other_bytes_count() {
        let mut ledger = open(&MemoryStore::default(), "");
        send(&mut ledger, &[0, 1], LEARNING, b"x").unwrap();
        send(&mut ledger, &[0, 1], LEARNING, b"x").unwrap();
        assert_eq!(bits(&ledger), [8, 8, 0, 0], "a replay is free");
        send(&mut ledger, &[0], LEARNING, b"y").unwrap();
        send(&mut ledger, &[1], EncoderIdentity { digest: Digest([9; 32]), ..LEARNING }, b"x").unwrap();
        assert_eq!(bits(&ledger), [16, 16, 0, 0], "other bytes count, and so does another encoder");
    }

    #[test]
    fn a_block_is_on_disk_before_its_first_batch_and_what_is_left_comes_back() {
        let disk = MemoryStore::default();
        let mut ledger = open(&disk, "");
        ledger.reserve(&[0], (&[0, 1, 2], 1), &LEARNING).unwrap();
        assert_eq!(bits(&open(&disk, "")), [8, 8, 8, 0], "what a crash leaves behind");
        ledger.release(&[0], &LEARNING, &[ReleaseDigest::of(&LEARNING, b"x")]).unwrap();
        ledger.reserve(&[1], (&[0, 1, 2], 1), &LEARNING).unwrap();
        assert_eq!(bits(&ledger), [8, 8, 8, 0], "the next batch was reserved with the first");
        ledger.settle().unwrap();
        let mut again = open(&disk, "");
        assert_eq!(bits(&again), [8, 0, 0, 0]);
        assert_eq!(
            disk.flows().unwrap()[&Flow::new("spring", FlowKind::Codes)],
            Volume { items: 1, bits: 8 }
        );
        send(&mut again, &[0], LEARNING, b"x").unwrap();
        assert_eq!(bits(&again), [8, 0, 0, 0], "digests outlast a restart");
    }

    #[test]
    fn passes_are_reserved_ahead_as_far_as_the_policy_goes() {
        let disk = MemoryStore::default();
        let mut ledger = open(&disk, "bits_per_record = 32");
        let pass = |ledger: &mut Ledger<MemoryStore>, with: &[u8]| {
            ledger.reserve(&[0, 1], (&[0, 1], 3), &LEARNING)?;
            ledger.release(&[0, 1], &LEARNING, &[ReleaseDigest::of(&LEARNING, with); 2])
        };
        pass(&mut ledger, b"a").unwrap();
        assert_eq!(bits(&open(&disk, "")), [24, 24, 0, 0], "three passes in one durable write");
        pass(&mut ledger, b"b").unwrap();
        pass(&mut ledger, b"c").unwrap();
        assert_eq!(bits(&ledger), [24, 24, 0, 0]);
        pass(&mut ledger, b"d").unwrap();
        assert_eq!(bits(&ledger), [32, 32, 0, 0], "three more would be too many, one is not");
        let Err(LedgerError::Refused(refusal)) = pass(&mut ledger, b"e") else { panic!("more than allowed") };
        assert_eq!((refusal.rule, refusal.records), (Rule::Bits, 2));
        let mut ledger = open(&disk, "");
        ledger.reserve(&[2], (&[2], 3), &LEARNING).unwrap();
        ledger.release(&[2], &LEARNING, &[ReleaseDigest::of(&LEARNING, b"a")]).unwrap();
        ledger.settle().unwrap();
        assert_eq!(bits(&open(&disk, "")), [32, 32, 8, 0], "what is left over comes back");
    }

    #[test]
    fn records_that_a_whole_run_is_not_allowed_for_are_known_before_it() {
        let mut ledger = open(&MemoryStore::default(), "bits_per_record = 32");
        send(&mut ledger, &[0, 1], LEARNING, b"x").unwrap();
        assert_eq!(ledger.beyond(&[3, 1, 0], 4), [1, 0]);
        assert_eq!(ledger.beyond(&[0, 1, 2, 3], 5), [0, 1, 2, 3]);
        assert!(ledger.beyond(&[0, 1], 3).is_empty() && ledger.beyond(&[0], 0).is_empty());
    }

    #[test]
    fn beyond_the_policy_nothing_is_reserved_and_the_rule_is_named() {
        let mut ledger = open(&MemoryStore::default(), "bits_per_record = 16\nmin_batch = 2");
        send(&mut ledger, &[0, 1], LEARNING, b"x").unwrap();
        send(&mut ledger, &[0, 1], LEARNING, b"y").unwrap();
        let Err(LedgerError::Refused(refusal)) = ledger.reserve(&[2, 3], (&[0, 1, 2, 3], 1), &LEARNING)
        else {
            panic!("more than allowed");
        };
        assert_eq!((refusal.rule, refusal.records), (Rule::Bits, 2));
        assert_eq!(bits(&ledger), [16, 16, 0, 0]);
        let Err(LedgerError::Refused(refusal)) = ledger.reserve(&[2], (&[2, 3], 1), &LEARNING) else {
            panic!("an answer too small");
        };
        assert_eq!((refusal.rule, refusal.records), (Rule::MinBatch, 1));
    }

    #[test]
    fn a_frozen_encoder_repeats_itself_for_free_even_with_no_budget_left() {
        let disk = MemoryStore::default();
        let mut ledger = open(&disk, "bits_per_record = 16");
        send(&mut ledger, &[0, 1], FROZEN, b"x").unwrap();
        send(&mut ledger, &[0, 1], LEARNING, b"x").unwrap();
        ledger.settle().unwrap();
        let mut ledger = open(&disk, "bits_per_record = 16");
        send(&mut ledger, &[0, 1], FROZEN, b"x").unwrap();
        assert_eq!(bits(&ledger), [16, 16, 0, 0]);
        // Another device rounds otherwise: the digest is expected, the bytes are not.
        let Err(LedgerError::Refused(refusal)) = send(&mut ledger, &[0, 1], FROZEN, b"y") else {
            panic!("other bytes than before");
        };
        assert_eq!((refusal.rule, refusal.records), (Rule::Bits, 2));
    }

    #[test]
    fn what_is_over_the_policy_is_told_row_by_row() {
        let mut ledger = open(&MemoryStore::default(), "bits_per_record = 8\nmin_batch = 2");
        send(&mut ledger, &[0, 1], FROZEN, b"x").unwrap();
        assert!(ledger.refused(&[0, 1, 2], &FROZEN).positions.is_empty(), "what was released before is free");
        let refused = ledger.refused(&[0, 1, 2, 3], &LEARNING);
        let refusal = refused.refusal.unwrap();
        assert_eq!((refused.positions, refusal.rule, refusal.records), (vec![0, 1], Rule::Bits, 2));
        let refused = ledger.refused(&[0, 2], &LEARNING);
        assert_eq!((refused.positions, refused.refusal.unwrap().rule), (vec![0, 1], Rule::MinBatch));
        assert_eq!(ledger.refused(&[2], &FROZEN).refusal.unwrap().rule, Rule::MinBatch);
        assert_eq!(bits(&ledger), [8, 8, 0, 0], "nothing is charged by asking");
    }

    #[test]
    fn what_is_new_in_any_case_is_charged_with_or_without_a_block() {
        let mut ledger = open(&MemoryStore::default(), "");
        ledger.spend(&[0], (&[0, 1], 1)).unwrap();
        ledger.spend(&[1], (&[0, 1], 1)).unwrap();
        assert_eq!(bits(&ledger), [8, 8, 0, 0]);
        ledger.spend(&[1, 2], (&[1], 1)).unwrap();
        assert_eq!(bits(&ledger), [8, 16, 8, 0], "also rows that are missing in their block");
    }

    #[test]
    fn two_recipients_cost_twice() {
        let flows = ["bank", "telecom"].map(|name| Flow::new(name, FlowKind::Gradients)).to_vec();
        let cost = Cost { bits: 8, epsilon: Epsilon::new(0.5) };
        let disk = MemoryStore::default();
        let terms = Terms { policy: Policy::default(), cost, flows: flows.clone() };
        let mut ledger = Ledger::open(disk.clone(), IDS, terms).unwrap();
        send(&mut ledger, &[3], LEARNING, b"x").unwrap();
        let account = ledger.account(3);
        assert_eq!((account.bits, account.total_epsilon()), (16, Epsilon::new(1.0)));
        ledger.note(&Flow::new("operator", FlowKind::Losses), Volume::of(3, 64)).unwrap();
        let totals = disk.flows().unwrap();
        assert_eq!((totals[&flows[0]], totals[&flows[1]]), (Volume::of(1, 8), Volume::of(1, 8)));
        assert_eq!(totals[&Flow::new("operator", FlowKind::Losses)].bits, 192);
        ledger.take_back(&Flow::new("operator", FlowKind::Losses), Volume::of(1, 64)).unwrap();
        assert_eq!(disk.flows().unwrap()[&Flow::new("operator", FlowKind::Losses)], Volume::of(2, 64));
    }
}
