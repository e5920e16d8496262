//! A holder's records on their way in: ids are normalised, digested under the settings and sorted by digest, on disk.

use hashvfl_core::Digest;

use crate::error::AlignmentError;
use crate::key;
use crate::settings::AlignmentSettings;
use crate::storage::files::WholeItems;
use crate::storage::folder::AlignmentFolder;
use crate::storage::ids::WholeIds;
use crate::storage::sort::Sorter;

/// A record's digest, and where its id lies in the file of ids.
pub const RECORD_BYTES: usize = 40;

/// Takes a table's ids, one by one, in any order.
pub struct Spool<'a> {
    folder: &'a AlignmentFolder,
    settings: &'a AlignmentSettings,
    digest: Digest,
    ids: WholeIds,
    sorter: Sorter<RECORD_BYTES>,
    count: u64,
}

impl<'a> Spool<'a> {
    /// Begins; sorting uses at most `memory_bytes`.
    pub fn new(
        folder: &'a AlignmentFolder,
        settings: &'a AlignmentSettings,
        memory_bytes: usize,
    ) -> Result<Self, AlignmentError> {
        let ids = WholeIds::create(&folder.file("ids"))?;
        let sorter = Sorter::new(folder.path(), memory_bytes);
        Ok(Self { folder, settings, digest: settings.digest(), ids, sorter, count: 0 })
    }

    /// Adds a record by its id, as the table has it; several columns as
    /// [`hashvfl_core::records::composite_id::join`] makes one text of them.
    ///
    /// # Errors
    /// When nothing is left of it after normalisation, or the table is larger than agreed.
    pub fn push(&mut self, id: &str) -> Result<(), AlignmentError> {
        self.count += 1;
        let most = self.settings.most_records;
        if self.count > most {
            return Err(AlignmentError::TooMany { most });
        }
        let no_id = AlignmentError::NoId { row: self.count };
        let Some(key) = key::normalise(self.settings, id) else { return Err(no_id) };
        let Some(place) = self.ids.put(id)? else { return Err(no_id) };
        let mut record = [0; RECORD_BYTES];
        record[..32].copy_from_slice(&key::digest(&self.digest, &key).0);
        record[32..].copy_from_slice(&place.to_be_bytes());
        self.sorter.push(record)
    }

    /// Sorts what was added. `fingerprint` is of the files that the ids came from, for training to compare.
    ///
    /// # Errors
    /// When ids occur twice: says how many, never which.
    pub fn finish(self, fingerprint: Option<Digest>) -> Result<(), AlignmentError> {
        if self.count == 0 {
            return Err(AlignmentError::Empty);
        }
        self.ids.finish()?;
        self.folder.keep_fingerprint(fingerprint)?;
        let mut records = WholeItems::create(&self.folder.file("records"), RECORD_BYTES, self.count)?;
        let (mut last, mut twice) = ([0; 32], 0);
        self.sorter.finish::<AlignmentError>(|record| {
            twice += u64::from(record[..32] == last);
            last.copy_from_slice(&record[..32]);
            records.put(&record)
        })?;
        if twice > 0 {
            return Err(AlignmentError::Duplicates { count: twice });
        }
        records.finish()
    }
}
