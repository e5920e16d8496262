//! Which record each row of a list was, kept for when the table is gone or comes in another order: row numbers are
//! stored longer than a table stays as it was.
//!
//! Ids are kept as keyed digests, under a salt that lies beside them: enough to find a record that is named, and no
//! list of ids. Whoever has the file can still test a guessed id, so it is as private as the table's ids. Keys of
//! erased records stay, as the ledger's do: who asks again is told that nothing is left.

use std::collections::HashMap;
use std::marker::PhantomData;

use crate::digest::Digest;
use crate::records::rows::{Row, TableRow};

/// Bytes of a salt.
pub const SALT_BYTES: usize = 32;
const KEY_BYTES: usize = 16;

type Key = [u8; KEY_BYTES];

/// The records of a list, in its order.
#[derive(Clone)]
pub struct RecordKeys<R> {
    salt: [u8; SALT_BYTES],
    keys: Vec<Key>,
    rows: HashMap<Key, u32>,
    erased: Vec<bool>,
    kind: PhantomData<R>,
}

/// Records of a list that a table lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the table lacks {lacking} of the run's {records} records: restore them, or erase what is kept about them"
)]
pub struct MissingRecords {
    /// How many.
    pub lacking: usize,
    /// Records of the list, without those that were erased.
    pub records: usize,
}

/// Where each row of a list is in a table as it is today.
pub struct RowMapping<R> {
    places: Vec<Option<TableRow>>,
    kind: PhantomData<R>,
}

impl<R: Row> RowMapping<R> {
    /// Where the record of `row` is; `None` for one that was erased.
    pub fn get(&self, row: R) -> Option<TableRow> {
        self.places.get(row.number() as usize).copied().flatten()
    }

    /// Where the records of `rows` are. All must be there: rows of erased records are in no plan.
    ///
    /// # Panics
    /// If one of them was erased.
    pub fn of(&self, rows: &[R]) -> Vec<TableRow> {
        let place = |row: &R| self.places[row.number() as usize].expect("a record that was not erased");
        rows.iter().map(place).collect()
    }
}

impl<R: Row> RecordKeys<R> {
    /// The records `ids`, in their order, under a salt of the list's own.
    pub fn new<'a>(salt: [u8; SALT_BYTES], ids: impl IntoIterator<Item = &'a str>) -> Self {
        let keys: Vec<Key> = ids.into_iter().map(|id| key(&salt, id)).collect();
        let erased = vec![false; keys.len()];
        Self::of_parts(salt, keys, erased)
    }

    fn of_parts(salt: [u8; SALT_BYTES], keys: Vec<Key>, erased: Vec<bool>) -> Self {
        let rows = keys.iter().copied().zip(0..).collect();
        Self { salt, keys, rows, erased, kind: PhantomData }
    }

    /// Number of records, with those that were erased.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The salt of the keys.
    pub fn salt(&self) -> &[u8; SALT_BYTES] {
        &self.salt
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The row of the record `id`, also if it was erased; `None` where it is none of the list.
    pub fn row(&self, id: &str) -> Option<R> {
        self.rows.get(&key(&self.salt, id)).copied().map(R::new)
    }

    /// Where each record is in a table of these `ids`, each once, `None` for a record that is surely none of the list;
    /// others of the table are passed over.
    ///
    /// # Errors
    /// If the table lacks records.
    pub fn places<'a>(
        &self,
        ids: impl IntoIterator<Item = Option<&'a str>>,
    ) -> Result<RowMapping<R>, MissingRecords> {
        let mut places = vec![None; self.keys.len()];
        for (id, place) in ids.into_iter().zip(0..) {
            if let Some(row) = id.and_then(|id| self.row(id)).filter(|row| !self.is_erased(*row)) {
                places[row.number() as usize] = Some(TableRow::new(place));
            }
        }
        let found = places.iter().flatten().count();
        let records = self.erased.iter().filter(|erased| !**erased).count();
        if found < records {
            return Err(MissingRecords { lacking: records - found, records });
        }
        Ok(RowMapping { places, kind: PhantomData })
    }

    /// Whether the record of `row` was erased.
    pub fn is_erased(&self, row: R) -> bool {
        self.erased[row.number() as usize]
    }

    /// The rows of records that were erased.
    pub fn erased(&self) -> Vec<R> {
        let all = (0..self.keys.len() as u32).map(R::new);
        all.filter(|row| self.is_erased(*row)).collect()
    }

    /// Marks the records of `rows` as erased.
    pub fn erase(&mut self, rows: &[R]) {
        rows.iter().for_each(|row| self.erased[row.number() as usize] = true);
    }

    /// As a file keeps it: the salt, a byte for each record, 1 where it was erased, then a key for each.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.salt.to_vec();
        bytes.extend(self.erased.iter().map(|erased| u8::from(*erased)));
        bytes.extend(self.keys.as_flattened());
        bytes
    }

    /// Length of [`Self::to_bytes`] of so many records, if there can be as many.
    pub fn bytes_of(records: usize) -> Option<usize> {
        records.checked_mul(KEY_BYTES + 1)?.checked_add(SALT_BYTES)
    }

    /// Reads [`Self::to_bytes`] of `records` records; `None` if the bytes are others.
    pub fn from_bytes(bytes: &[u8], records: usize) -> Option<Self> {
        let (salt, bytes) = bytes.split_first_chunk::<SALT_BYTES>()?;
        let (erased, keys) = bytes.split_at_checked(records)?;
        let (keys, rest) = keys.as_chunks::<KEY_BYTES>();
        let fits = rest.is_empty() && keys.len() == records && erased.iter().all(|flag| *flag <= 1);
        let erased = erased.iter().map(|flag| *flag == 1).collect();
        fits.then(|| Self::of_parts(*salt, keys.to_vec(), erased))
    }
}

fn key(salt: &[u8; SALT_BYTES], id: &str) -> Key {
    let digest = Digest::of_parts([b"hashvfl record".as_slice(), salt, id.as_bytes()]).0;
    std::array::from_fn(|at| digest[at])
}

/// Shows no key.
impl<R> std::fmt::Debug for RecordKeys<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecordKeys({} records)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::rows::RunRow;

    fn numbers(rows: &[TableRow]) -> Vec<u32> {
        rows.iter().map(|row| row.number()).collect()
    }

    #[test]
    fn records_are_found_by_id_wherever_a_table_has_them() {
        let keys: RecordKeys<RunRow> = RecordKeys::new([3; SALT_BYTES], ["a", "b", "c"]);
        let all = [0, 1, 2].map(RunRow::new);
        assert_eq!(keys.row("b"), Some(RunRow::new(1)));
        assert_eq!(keys.row("d"), None);
        let places = |table: &[&str]| {
            keys.places(table.iter().copied().map(Some)).map(|places| numbers(&places.of(&all)))
        };
        assert_eq!(places(&["a", "b", "c"]), Ok(vec![0, 1, 2]));
        assert_eq!(places(&["c", "x", "b", "a"]), Ok(vec![3, 2, 0]), "sorted otherwise, and more of them");
        assert_eq!(places(&["c", "b"]), Err(MissingRecords { lacking: 1, records: 3 }));
        assert_eq!(format!("{keys:?}"), "RecordKeys(3 records)");
    }

    #[test]
    fn an_erased_record_is_not_missed_in_a_table_and_may_be_named_again() {
        let mut keys: RecordKeys<RunRow> = RecordKeys::new([3; SALT_BYTES], ["a", "b", "c"]);
        keys.erase(&[RunRow::new(1)]);
        let keys = RecordKeys::<RunRow>::from_bytes(&keys.to_bytes(), 3).unwrap();
        let row = RunRow::new(1);
        assert_eq!((keys.row("b"), keys.erased(), keys.len()), (Some(row), vec![row], 3));
        let places = keys.places([Some("c"), Some("a")]).unwrap();
        assert_eq!(numbers(&places.of(&[RunRow::new(0), RunRow::new(2)])), [1, 0]);
        assert!(RecordKeys::<RunRow>::from_bytes(&keys.to_bytes(), 2).is_none());
        assert!(RecordKeys::<RunRow>::from_bytes(&keys.to_bytes()[1..], 3).is_none());
    }
}
