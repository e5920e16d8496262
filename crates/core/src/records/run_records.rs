//! Which records a run was about: what a side keeps beside its model, so that rows of codes and transcripts are found
//! by id for as long as they are kept, whatever becomes of the table.

use crate::digest::Digest;
use crate::name::RunId;
use crate::records::excluded::ExcludedRecords;
use crate::records::record_keys::{MissingRecords, RecordKeys, RowMapping};
use crate::records::rows::RunRow;
use crate::records::{RecordsDigest, SALT_BYTES};

const MAGIC: &[u8] = b"hashvfl records 1\n";
const TAG_BYTES: usize = 8;

/// A short keyed digest of what a side knew of a record: its label.
type Tag = [u8; TAG_BYTES];

/// Why bytes are no records of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored list of the run's records is truncated or damaged")]
pub struct RunRecordsError;

/// The salt of [`digest_of_run`].
pub fn salt_of_run(run: &RunId) -> [u8; SALT_BYTES] {
    Digest::of_parts([b"hashvfl records of a run".as_slice(), run.as_str().as_bytes()]).0
}

/// Digest of all `ids` of a run in their order: the same at all sides, and what models, codes and transcripts of the
/// run name its records by. Its salt is the run's id, so that two runs on the same records are not told to be so.
pub fn digest_of_run<'a>(run: &RunId, ids: impl IntoIterator<Item = &'a str>) -> Digest {
    RecordsDigest::of(&salt_of_run(run), ids).digest
}

/// The records of a run that has finished.
#[derive(Debug, Clone)]
pub struct RunRecords {
    digest: Digest,
    excluded: ExcludedRecords,
    keys: RecordKeys<RunRow>,
    /// One for each record, or none.
    tags: Vec<Tag>,
}

impl RunRecords {
    /// The records `ids` of `run`, in their order, of which it went on without `excluded`.
    pub fn new(run: &RunId, ids: &[String], excluded: ExcludedRecords) -> Self {
        let ids = || ids.iter().map(String::as_str);
        let digest = digest_of_run(run, ids());
        Self { digest, excluded, keys: RecordKeys::new(digest.0, ids()), tags: Vec::new() }
    }

    /// With each record's label, to be told later whether it is another by then.
    pub fn with_labels<L: AsRef<[u8]>>(mut self, labels: impl IntoIterator<Item = L>) -> Self {
        self.tags =
            labels.into_iter().zip(0..).map(|(label, row)| self.tag(RunRow::new(row), &label)).collect();
        self
    }

    /// Digest of all ids in order, those included that were erased since: [`digest_of_run`].
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Number of records, those included that were erased or left out.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// The row of the record `id`, also if it was erased; `None` where it is none of the run's.
    pub fn row(&self, id: &str) -> Option<RunRow> {
        self.keys.row(id)
    }

    /// Where each record is in a table of these `ids`, `None` for a record that is surely none of the run's.
    ///
    /// # Errors
    /// If the table lacks records that were not erased.
    pub fn places<'a>(
        &self,
        ids: impl IntoIterator<Item = Option<&'a str>>,
    ) -> Result<RowMapping<RunRow>, MissingRecords> {
        self.keys.places(ids)
    }

    /// Records that the run went on without.
    pub fn excluded(&self) -> &ExcludedRecords {
        &self.excluded
    }

    /// Records that the run went on without, and those that were erased since.
    pub fn gone(&self) -> ExcludedRecords {
        let erased: Vec<u32> = self.keys.erased().into_iter().map(RunRow::number).collect();
        let mut gone = self.excluded.clone();
        gone.add(&ExcludedRecords::of(&erased, self.count()));
        gone
    }

    /// Rows of all records that were not erased.
    pub fn rows(&self) -> Vec<RunRow> {
        let all = (0..self.count() as u32).map(RunRow::new);
        all.filter(|row| !self.keys.is_erased(*row)).collect()
    }

    /// Whether the record of `row` has another label than it had in the run.
    pub fn is_relabelled(&self, row: RunRow, label: impl AsRef<[u8]>) -> bool {
        self.tags.get(row.number() as usize) != Some(&self.tag(row, &label))
    }

    /// Marks the records of `rows` as erased, and forgets their labels.
    pub fn erase(&mut self, rows: &[RunRow]) {
        self.keys.erase(rows);
        for row in rows {
            if let Some(tag) = self.tags.get_mut(row.number() as usize) {
                *tag = [0; TAG_BYTES];
            }
        }
    }

    fn tag(&self, row: RunRow, label: &impl AsRef<[u8]>) -> Tag {
        let row = row.number().to_le_bytes();
        let parts = [b"hashvfl label".as_slice(), self.keys.salt(), &row, label.as_ref()];
        let digest = Digest::of_parts(parts).0;
        std::array::from_fn(|at| digest[at])
    }

    /// The file's bytes: a first line, the digest, how many records, bytes of the set that was left out and labels
    /// there are, these three, and a digest of all before it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let excluded = self.excluded.as_bytes();
        let mut bytes = [MAGIC, &self.digest.0].concat();
        for length in [self.count(), excluded.len(), self.tags.len()] {
            bytes.extend((length as u64).to_le_bytes());
        }
        bytes.extend(excluded);
        bytes.extend(self.tags.as_flattened());
        bytes.extend(self.keys.to_bytes());
        let digest = Digest::of(&bytes);
        bytes.extend(digest.0);
        bytes
    }

    /// Reads [`Self::to_bytes`].
    ///
    /// # Errors
    /// If the bytes are others.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RunRecordsError> {
        Self::parse(bytes).ok_or(RunRecordsError)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (content, digest) = bytes.split_last_chunk::<32>()?;
        if Digest::of(content).0 != *digest {
            return None;
        }
        let (digest, content) = content.strip_prefix(MAGIC)?.split_first_chunk::<32>()?;
        let (lengths, content) = content.split_first_chunk::<24>()?;
        let length = |at: usize| {
            let bytes = std::array::from_fn(|byte| lengths[8 * at + byte]);
            usize::try_from(u64::from_le_bytes(bytes)).ok()
        };
        let (count, excluded, tags) = (length(0)?, length(1)?, length(2)?);
        let (excluded, content) = content.split_at_checked(excluded)?;
        let (tags, keys) = content.split_at_checked(tags.checked_mul(TAG_BYTES)?)?;
        let (excluded, tags) = (ExcludedRecords::from_bytes(excluded.to_vec()), tags.as_chunks().0.to_vec());
        excluded.check(count).ok()?;
        let keys = RecordKeys::from_bytes(keys, count)?;
        let whole = tags.is_empty() || tags.len() == count;
        whole.then_some(Self { digest: Digest(*digest), excluded, keys, tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::rows::TableRow;

    fn ids() -> Vec<String> {
        ["a", "b", "c", "d"].map(String::from).to_vec()
    }

    fn records() -> RunRecords {
        let run = RunId::new("spring").unwrap();
        RunRecords::new(&run, &ids(), ExcludedRecords::of(&[3], 4)).with_labels(["yes", "no", "no", "yes"])
    }

    #[test]
    fn a_run_s_records_outlast_its_table() {
        let records = RunRecords::from_bytes(&records().to_bytes()).unwrap();
        let run = RunId::new("spring").unwrap();
        assert_eq!(records.digest(), digest_of_run(&run, ids().iter().map(String::as_str)));
        assert_ne!(records.digest(), digest_of_run(&run, ["b", "a", "c", "d"]), "order counts");
        assert_ne!(records.digest(), digest_of_run(&RunId::new("fall").unwrap(), ["a", "b", "c", "d"]));
        assert_eq!((records.row("c"), records.row("e")), (Some(RunRow::new(2)), None));
        assert!(records.excluded().contains(3) && records.excluded().count() == 1);
    }

    #[test]
    fn another_label_is_seen() {
        let (records, row) = (records(), RunRow::new(1));
        assert!(!records.is_relabelled(row, "no"));
        assert!(records.is_relabelled(row, "yes"));
        let unlabelled = RunRecords::new(&RunId::new("spring").unwrap(), &ids(), ExcludedRecords::default());
        assert!(unlabelled.is_relabelled(row, "no"), "what is not known is not said to be the same");
    }

    #[test]
    fn an_erased_record_is_marked_and_all_keep_their_rows() {
        let mut records = records();
        let (digest, whole) = (records.digest(), records.to_bytes());
        records.erase(&[RunRow::new(0)]);
        let bytes = records.to_bytes();
        assert_ne!(bytes, whole);
        let records = RunRecords::from_bytes(&bytes).unwrap();
        assert_eq!((records.digest(), records.count()), (digest, 4));
        assert_eq!((records.row("a"), records.row("b")), (Some(RunRow::new(0)), Some(RunRow::new(1))));
        assert_eq!(records.rows(), [1, 2, 3].map(RunRow::new));
        assert_eq!((0..4).filter(|row| records.gone().contains(*row)).collect::<Vec<_>>(), [0, 3]);
        let places = records.places(["d", "c", "b"].map(Some)).unwrap();
        assert_eq!(places.of(&records.rows()), [2, 1, 0].map(TableRow::new));
    }

    #[test]
    fn each_flipped_bit_is_found() {
        let whole = records().to_bytes();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(RunRecords::from_bytes(&bytes).is_err(), "bit {bit}");
        }
        assert!(RunRecords::from_bytes(&whole[..whole.len() - 1]).is_err());
    }
}
