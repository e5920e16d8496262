//! The ledger at work: reserve before computing, release before sending.

mod totals;

use std::collections::{BTreeMap, HashMap};

use hashvfl_core::{Digest, TableIds};

use crate::account::{Account, Cost, EncoderIdentity, ReleaseDigest};
use crate::answer::{AnswerKey, AnswerName, KeptAnswer};
use crate::content::ContentKey;
use crate::epsilon::Epsilon;
use crate::error::LedgerError;
use crate::flow::{Flow, Volume};
use crate::key::{RecordKey, Salt};
use crate::policy::{Policy, PolicyRefusal};
use crate::row_block::RowBlock;
use crate::store::{LedgerWrite, Store, StoreError};

mod counted;

/// What a ledger is opened for.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// What is allowed.
    pub policy: Policy,
    /// Who gets releases, at least one, and what one release of a record costs there.
    pub flows: Vec<(Flow, Cost)>,
}

/// The accounts of a table's records. Rows are numbered as in the table; rows whose ids differ only in spelling share an
/// account.
pub struct Ledger<S> {
    store: S,
    terms: LedgerOptions,
    /// In the order of keys, as stores want them.
    accounts: Vec<Entry>,
    /// Of each row, where its account is.
    places: Vec<u32>,
    /// Of each row, its columns; empty where nobody told.
    contents: Vec<ContentKey>,
    /// Places that differ from what the store holds, some of them more than once.
    changed: Vec<u32>,
    flows: BTreeMap<Flow, Volume>,
    /// Answers that the next durable write keeps.
    answers: Vec<(AnswerKey, Vec<u8>)>,
}

/// What of a request the policy refuses.
#[derive(Debug, Default)]
pub struct Refused {
    /// Positions in the request, in order.
    pub positions: Vec<u32>,
    /// By which rule; absent where nothing is refused.
    pub refusal: Option<PolicyRefusal>,
}

struct Entry {
    key: RecordKey,
    account: Account,
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
    /// Opens the accounts of a table's records. `columns` are digests of what the table holds of each, in row order, or
    /// none. What an earlier version kept under an id's spelling in this table is folded into its account, durably.
    pub fn open(
        store: S,
        ids: TableIds,
        columns: &[Digest],
        terms: LedgerOptions,
    ) -> Result<Self, StoreError> {
        let salt = store.salt();
        let keys: Vec<RecordKey> = ids.canonical().map(|id| RecordKey::of(&salt, &id)).collect();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let place = |key: &RecordKey| sorted.binary_search(key).unwrap_or_default() as u32;
        let places: Vec<u32> = keys.iter().map(place).collect();
        let respelt = respelt(&salt, ids, &keys, &places);
        let fresh = |key| Entry { key, account: Account::default(), reserved: 0 };
        let mut accounts: Vec<Entry> = sorted.into_iter().map(fresh).collect();
        let (mut next, mut folded) = (0, BTreeMap::new());
        store.scan(&mut |key, account| {
            while accounts.get(next).is_some_and(|entry| entry.key < key) {
                next += 1;
            }
            if let Some(entry) = accounts.get_mut(next).filter(|entry| entry.key == key) {
                entry.account.fold(&account);
            } else if let Some(place) = respelt.get(&key) {
                folded.insert(key, (*place, account));
            }
        })?;
        let contents = columns.iter().map(|columns| ContentKey::of(&salt, columns)).collect();
        let (changed, answers, flows) = (Vec::new(), Vec::new(), store.flows()?);
        let mut ledger = Self { store, terms, accounts, places, contents, changed, flows, answers };
        ledger.fold(folded)?;
        Ok(ledger)
    }

    /// Folds accounts of earlier versions into those at their places, and takes them out.
    fn fold(&mut self, folded: BTreeMap<RecordKey, (u32, Account)>) -> Result<(), StoreError> {
        if folded.is_empty() {
            return Ok(());
        }
        let mut changes = BTreeMap::new();
        for (key, (place, account)) in folded {
            let entry = &mut self.accounts[place as usize];
            entry.account.fold(&account);
            changes.extend([(key, None), (entry.key, Some(entry.account))]);
        }
        let accounts = &mut changes.into_iter();
        self.store.write(LedgerWrite { accounts, flows: &self.flows, answers: &[] })
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

    /// The salt of the ledger's keys.
    pub fn salt(&self) -> Salt {
        self.store.salt()
    }

    /// Marks `rows`, durably, as records that bottom models, their preprocessing or detectors are fitted on: no finite
    /// epsilon holds for them, whatever else is released of them ever.
    pub fn learn_from(&mut self, rows: &[u32]) -> Result<(), StoreError> {
        for row in rows {
            let place = self.place(*row);
            if !std::mem::replace(&mut self.accounts[place].account.learned_from, true) {
                self.changed.push(place as u32);
            }
        }
        if self.changed.is_empty() { Ok(()) } else { self.write() }
    }

    /// Which of `rows` may not be asked for: all where they are fewer than the policy's least batch, else those
    /// whose account allows no release more. What `encoder` released before is expected to be the same, and free; so are
    /// those that are `kept` and sent again as they were.
    pub fn refused(&self, rows: &[u32], kept: &[bool], encoder: &EncoderIdentity) -> Refused {
        let all = |refusal| Refused { positions: (0..rows.len() as u32).collect(), refusal: Some(refusal) };
        let LedgerOptions { policy, .. } = &self.terms;
        if let Err(refusal) = policy.check_batch(rows.len()) {
            return all(refusal);
        }
        let (cost, mut wanted) = (self.record_cost(), HashMap::<usize, u32>::new());
        let (mut positions, mut over) = (Vec::new(), Vec::new());
        for ((at, row), kept) in (0..).zip(rows).zip(kept) {
            let place = self.place(*row);
            let Entry { account, reserved, .. } = &self.accounts[place];
            if *kept || account.expects(encoder) {
                continue;
            }
            let wanted = wanted.entry(place).or_default();
            *wanted += 1;
            let Some(others) = wanted.checked_sub(reserved + 1) else { continue };
            // Rows before it may share its account.
            let mut account = *account;
            account.charge(cost, others);
            if policy.check([account].into_iter(), cost, 1).is_err() {
                positions.push(at);
                over.push(account);
            }
        }
        if positions.is_empty() {
            return Refused::default();
        }
        if let Err(refusal) = policy.check_batch(rows.len() - positions.len())
            && positions.len() < rows.len()
        {
            return all(refusal);
        }
        Refused { refusal: policy.check(over.into_iter(), cost, 1).err(), positions }
    }

    /// Rows of `groups` whose account does not allow that many more releases, each counted as new.
    pub fn beyond(&self, groups: &[(&[u32], u32)]) -> Vec<u32> {
        let cost = self.record_cost();
        let (mut beyond, mut wanted) = (Vec::new(), HashMap::<usize, u32>::new());
        for (rows, times) in groups.iter().filter(|(_, times)| *times > 0) {
            for row in *rows {
                let place = self.place(*row);
                let before = wanted.get(&place).copied().unwrap_or_default();
                let account = [self.accounts[place].account].into_iter();
                match self.terms.policy.check(account, cost, before + times) {
                    Ok(()) => drop(wanted.insert(place, before + times)),
                    Err(_) => beyond.push(*row),
                }
            }
        }
        beyond
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
        block: RowBlock<'_>,
        encoder: &EncoderIdentity,
    ) -> Result<(), LedgerError> {
        self.terms.policy.check_batch(rows.len())?;
        self.cover(rows, block, &|account| account.expects(encoder))
    }

    /// Whether all of `rows` are reserved, so that [`Self::release`] of them cannot be refused.
    pub fn is_reserved(&self, rows: &[u32]) -> bool {
        self.uncovered(rows, &|_| false).is_empty()
    }

    /// To be called before an answer about `records` records is computed of which `rows` are drawn anew: `Ok` if
    /// [`Self::keep`] will charge them. Nothing is charged yet.
    pub fn allow(&self, rows: &[u32], records: usize) -> Result<(), PolicyRefusal> {
        self.terms.policy.check_batch(records)?;
        self.check(&self.uncovered(rows, &|_| false), 1)
    }

    /// The answers that are kept about `rows`, each under its name.
    pub fn kept(&self, rows: &[u32], names: &[AnswerName]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let keys: Vec<AnswerKey> =
            rows.iter().zip(names).map(|(row, name)| self.answer_key(*row, *name)).collect();
        self.store.answers(&keys)
    }

    /// To be called before answers of a frozen `encoder` about `rows` are sent that are drawn anew, one for each: charges
    /// and keeps them, in one durable write.
    ///
    /// # Errors
    /// If the policy does not allow it: nothing may be sent then.
    pub fn keep(
        &mut self,
        rows: &[u32],
        encoder: &EncoderIdentity,
        answers: Vec<KeptAnswer>,
    ) -> Result<(), LedgerError> {
        let digests: Vec<ReleaseDigest> = answers.iter().map(|answer| answer.release).collect();
        let kept = rows.iter().zip(answers);
        self.answers =
            kept.map(|(row, KeptAnswer { name, bytes, .. })| (self.answer_key(*row, name), bytes)).collect();
        let released = self.release(rows, encoder, &digests);
        if released.is_err() {
            self.answers.clear();
        }
        released?;
        // Where nothing was charged, nothing has been written yet.
        if self.answers.is_empty() { Ok(()) } else { Ok(self.write()?) }
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
    pub fn spend(&mut self, rows: &[u32], block: RowBlock<'_>) -> Result<(), LedgerError> {
        self.cover(rows, block, &|_| false)?;
        let mut open = Vec::new();
        for row in rows {
            let place = self.place(*row);
            if !self.accounts[place].take_reserved() {
                open.push(*row);
            }
        }
        self.charge(&open, 1)
    }

    /// To be called before something about `rows` is sent that is new in any case and costs `cost` per record, in place of
    /// what a release costs. It leaves what is reserved as it is.
    ///
    /// # Errors
    /// If the policy does not allow it: nothing may be sent then.
    pub fn spend_apart(&mut self, rows: &[u32], cost: Cost) -> Result<(), LedgerError> {
        self.terms.policy.check_batch(rows.len())?;
        let of_releases = self.terms.flows.clone();
        self.terms.flows.iter_mut().for_each(|(_, of_one)| *of_one = cost);
        let charged = self.charge(rows, 1);
        self.terms.flows = of_releases;
        charged
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

    fn answer_key(&self, row: u32, name: AnswerName) -> AnswerKey {
        AnswerKey { record: self.accounts[self.place(row)].key, name }
    }

    /// Those of `rows` that are neither `free` nor covered by what is reserved, of which each uses up one release.
    fn uncovered(&self, rows: &[u32], free: &dyn Fn(&Account) -> bool) -> Vec<u32> {
        let mut used = HashMap::<usize, u32>::new();
        let mut open = Vec::new();
        for row in rows {
            let place = self.place(*row);
            let entry = &self.accounts[place];
            if free(&entry.account) {
                continue;
            }
            let used = used.entry(place).or_default();
            *used += 1;
            if *used > entry.reserved {
                open.push(*row);
            }
        }
        open
    }

    /// Reserves all of a block, in one durable write, unless all of `rows` are covered.
    fn cover(
        &mut self,
        rows: &[u32],
        block: RowBlock<'_>,
        free: &dyn Fn(&Account) -> bool,
    ) -> Result<(), LedgerError> {
        if self.uncovered(rows, free).is_empty() {
            return Ok(());
        }
        let open = self.uncovered(block.rows, free);
        let passes = match self.charge(&open, block.passes) {
            // What does not fit for all of them may fit for one.
            Err(LedgerError::Refused(_)) if block.passes > 1 => self.charge(&open, 1).map(|()| 1),
            charged => charged.map(|()| block.passes),
        }?;
        for row in open {
            let place = self.place(row);
            self.accounts[place].reserved += passes;
        }
        Ok(())
    }

    /// Whether the policy allows each of `rows` so many releases more, those together that share an account.
    fn check(&self, rows: &[u32], times: u32) -> Result<(), PolicyRefusal> {
        let cost = self.record_cost();
        let mut places: Vec<usize> = rows.iter().map(|row| self.place(*row)).collect();
        places.sort_unstable();
        let accounts = places.chunk_by(usize::eq).map(|same| {
            let mut account = self.accounts[same[0]].account;
            account.charge(cost, (same.len() as u32 - 1) * times);
            account
        });
        self.terms.policy.check(accounts, cost, times)
    }

    /// Charges each of `rows` so many releases, durably: the one place where totals grow.
    fn charge(&mut self, rows: &[u32], times: u32) -> Result<(), LedgerError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.check(rows, times)?;
        let cost = self.record_cost();
        for row in rows {
            let place = self.place(*row);
            let content = self.contents.get(*row as usize).copied();
            let entry = &mut self.accounts[place];
            entry.account.charge(cost, times);
            entry.account.content = content.unwrap_or(entry.account.content);
            self.changed.push(place as u32);
        }
        for (flow, cost) in &self.terms.flows {
            let total = self.flows.entry(flow.clone()).or_default();
            *total = total.plus(Volume::of(rows.len() * times as usize, cost.bits));
        }
        Ok(self.write()?)
    }

    fn refund(&mut self, place: usize) {
        let cost = self.record_cost();
        let entry = &mut self.accounts[place];
        entry.account.refund(cost);
        self.changed.push(place as u32);
        for (flow, cost) in &self.terms.flows {
            let total = self.flows.entry(flow.clone()).or_default();
            *total = total.minus(Volume::of(1, cost.bits));
        }
    }

    /// A record's cost over all recipients.
    fn record_cost(&self) -> Cost {
        let mut sum = Cost { bits: 0, epsilon: Some(Epsilon::default()) };
        for (_, Cost { bits, epsilon }) in &self.terms.flows {
            sum.bits = sum.bits.saturating_add(*bits);
            // Where one has no finite epsilon, all together have none.
            sum.epsilon = sum.epsilon.zip(*epsilon).map(|(sum, one)| sum.plus(one));
        }
        sum
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.changed.sort_unstable();
        self.changed.dedup();
        let changed = self.changed.iter().map(|place| &self.accounts[*place as usize]);
        let accounts = &mut changed.map(|entry| (entry.key, Some(entry.account)));
        self.store.write(LedgerWrite { accounts, flows: &self.flows, answers: &self.answers })?;
        self.changed.clear();
        self.answers.clear();
        Ok(())
    }
}

/// The keys under which an earlier version kept the ids of a table that are not written canonically, with the places of
/// their accounts.
fn respelt(salt: &Salt, ids: TableIds, keys: &[RecordKey], places: &[u32]) -> HashMap<RecordKey, u32> {
    let spelt = ids.ids.iter().map(|id| RecordKey::of_spelling(salt, id));
    spelt
        .zip(keys)
        .zip(places)
        .filter(|((spelt, key), _)| spelt != *key)
        .map(|((spelt, _), place)| (spelt, *place))
        .collect()
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
