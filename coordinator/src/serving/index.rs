//! From ids of the served records to row numbers. Only the coordinator knows both; parties receive row numbers.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use anyhow::{bail, ensure};
use hashvfl_core::records::record_keys::RecordKeys;
use hashvfl_core::text::counted;
use hashvfl_core::{Digest, ServedRow};
use hashvfl_data::{IdSource, IdsSource, Order, TableError, fingerprint};
use tracing::{info, warn};

use super::known_codes::ServedList;
use crate::config::CoordinatorConfig;

const EMPTY: u32 = u32::MAX;

/// The served records' ids, each once, in row order: their texts in one string and a table of row numbers by hash.
pub struct RecordIndex {
    text: String,
    /// Where each id ends in `text`.
    ends: Vec<u64>,
    slots: Vec<u32>,
    hasher: RandomState,
}

impl RecordIndex {
    /// Reads the ids. A record without one is left out, and so is one whose id came before: parties do the same with theirs.
    ///
    /// # Errors
    /// If they cannot be read, or there are none.
    pub fn load(source: &dyn IdSource) -> anyhow::Result<Self> {
        let mut index = Self::empty();
        let mut without = 0_u64;
        source.visit_each(|id| {
            match id {
                Some(id) => index.push(id),
                None => without += 1,
            }
            Ok::<(), TableError>(())
        })?;
        if without > 0 {
            warn!("[serve]: not serving {} without an id", counted(without, "record"));
        }
        index.check_count()?;
        if index.place().is_some() {
            let all = index.records();
            index = index.each_once();
            let repeated = counted(all - index.records(), "record");
            warn!("[serve]: not serving {repeated} whose id an earlier record has");
            index.place();
        }
        Ok(index)
    }

    /// Of the records that `config` serves.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn served(config: &CoordinatorConfig) -> anyhow::Result<Self> {
        let index = match (&config.serve.records, &config.serve.order, &config.order) {
            (Some(records), Some(path), _) => {
                let order = Order::read(path)?;
                order.check(Some(fingerprint(records.files())?), path)?;
                Self::of(&order.ids)
            }
            (Some(records), None, _) => Self::load(records),
            (None, Some(order), _) | (None, None, Some(order)) => Self::of(&Order::read(order)?.ids),
            (None, None, None) => Self::load(&config.labels.ids()),
        }?;
        if let Some(records) = &config.serve.records {
            index.tell_of(records)?;
        }
        Ok(index)
    }

    /// Says how the list of served records was read, in numbers only.
    fn tell_of(&self, source: &IdsSource) -> anyhow::Result<()> {
        let lines = match source {
            IdsSource::Csv(_) => format!(" of a list on {}", counted(source.count_at_most()?, "line")),
            IdsSource::Parquet(_) | IdsSource::Idx(_) => String::new(),
        };
        info!("[serve]: serving {}{lines}", counted(self.records(), "record"));
        source.remarks()?.iter().for_each(|remark| warn!("[serve]: {remark}"));
        Ok(())
    }

    /// Of these ids.
    ///
    /// # Errors
    /// If there are none, or one comes twice.
    pub fn of(ids: &[String]) -> anyhow::Result<Self> {
        let mut index = Self::empty();
        ids.iter().for_each(|id| index.push(id));
        index.check_count()?;
        if let Some([row, other]) = index.place() {
            bail!(
                "[serve]: record {row} has the id of record {other}, counted from 0: every record needs an id of its own"
            );
        }
        Ok(index)
    }

    fn empty() -> Self {
        Self { text: String::new(), ends: Vec::new(), slots: Vec::new(), hasher: RandomState::new() }
    }

    fn push(&mut self, id: &str) {
        self.text.push_str(id);
        self.ends.push(self.text.len() as u64);
    }

    /// The same records, each id where it comes first.
    fn each_once(&self) -> Self {
        let mut once = Self::empty();
        let mut seen = HashSet::with_capacity(self.records());
        self.ids().filter(|id| seen.insert(*id)).for_each(|id| once.push(id));
        once
    }

    fn check_count(&self) -> anyhow::Result<()> {
        let records = self.records();
        ensure!(records > 0, "[serve]: there are no records to serve: name their ids in serve.records");
        ensure!(
            records < EMPTY as usize,
            "[serve]: {records} records are too many: at most {EMPTY} can be served"
        );
        Ok(())
    }

    /// Puts every id in its slot; the first record whose id came before, and the one that it came with, where there is one.
    fn place(&mut self) -> Option<[u32; 2]> {
        let records = self.records();
        self.slots = vec![EMPTY; (records * 2).next_power_of_two()];
        for row in 0..records as u32 {
            let slot = self.slot(self.id(row));
            if self.slots[slot] != EMPTY {
                return Some([row, self.slots[slot]]);
            }
            self.slots[slot] = row;
        }
        None
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.ends.len()
    }

    /// The row of the record `id`.
    pub fn row(&self, id: &str) -> Option<ServedRow> {
        Some(self.slots[self.slot(id)]).filter(|row| *row != EMPTY).map(ServedRow::new)
    }

    /// All ids in row order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        (0..self.records() as u32).map(|row| self.id(row))
    }

    /// Digest over all ids in order: names files about these records.
    pub fn digest(&self) -> Digest {
        let ends: Vec<u8> = self.ends.iter().flat_map(|end| end.to_le_bytes()).collect();
        Digest::of_parts([self.text.as_bytes(), &ends])
    }

    /// What known codes of these records keep of the list.
    pub fn list(&self) -> ServedList {
        let digest = self.digest();
        ServedList { digest, keys: RecordKeys::new(digest.0, self.ids()) }
    }

    fn id(&self, row: u32) -> &str {
        let row = row as usize;
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.text[start..self.ends[row] as usize]
    }

    /// The slot that holds `id`, or the one where it would be put. At least half of all slots are empty.
    fn slot(&self, id: &str) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(id) as usize & mask;
        while self.slots[slot] != EMPTY && self.id(self.slots[slot]) != id {
            slot = (slot + 1) & mask;
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_row_order_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.csv");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            RecordIndex::load(&IdsSource::of_file(&path, "id"))
        };
        let many: String = (0..5000).map(|row| format!("r{row}\n")).collect();
        let index = load(&format!("id\n{many}")).unwrap();
        let row = |number| Some(ServedRow::new(number));
        assert_eq!((index.records(), index.row("r0"), index.row("r4999")), (5000, row(0), row(4999)));
        assert_eq!((index.row("r5000"), index.row("")), (None, None));
        assert!(index.ids().eq((0..5000).map(|row| format!("r{row}"))));
        let ids = ["a", "secret", "b", "secret"].map(str::to_owned);
        let error = RecordIndex::of(&ids).map(drop).unwrap_err().to_string();
        assert!(error.contains("record 3 has the id of record 1") && !error.contains("secret"), "{error}");
        let index = load("id,x\na,1\nb,2\n,3\na,4\nc,5\n").unwrap();
        assert!(index.ids().eq(["a", "b", "c"]), "without an id, and repeated: left out");
        assert_eq!((index.row("c"), index.row("")), (row(2), None));
        assert_ne!(load("id\na\nbc\n").unwrap().digest(), load("id\nab\nc\n").unwrap().digest());
    }
}
