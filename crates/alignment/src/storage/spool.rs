//! A holder's records on their way in: ids are normalised, digested under the settings and sorted by digest, on disk.

use hashvfl_core::Digest;
use hashvfl_files::write_whole;

use crate::error::AlignmentError;
use crate::key;
use crate::settings::AlignmentSettings;
use crate::storage::files::Whole;
use crate::storage::folder::Folder;
use crate::storage::sort::Sorter;

/// A record's digest, and where its id lies in the file of ids.
pub const RECORD_BYTES: usize = 40;

/// Takes a table's ids, one by one, in any order.
pub struct Spool<'a> {
    folder: &'a Folder,
    settings: &'a AlignmentSettings,
    digest: Digest,
    ids: Whole,
    offset: u64,
    sorter: Sorter<RECORD_BYTES>,
    count: u64,
}

impl<'a> Spool<'a> {
    /// Begins; sorting uses at most `memory_bytes`.
    pub fn new(
        folder: &'a Folder,
        settings: &'a AlignmentSettings,
        memory_bytes: usize,
    ) -> Result<Self, AlignmentError> {
        let ids = Whole::plain(&folder.file("ids"))?;
        let sorter = Sorter::new(folder.path(), memory_bytes);
        Ok(Self { folder, settings, digest: settings.digest(), ids, offset: 0, sorter, count: 0 })
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
        let key = key::normalise(self.settings, id).ok_or(AlignmentError::NoId { row: self.count })?;
        let mut record = [0; RECORD_BYTES];
        record[..32].copy_from_slice(&key::digest(&self.digest, &key).0);
        record[32..].copy_from_slice(&self.offset.to_be_bytes());
        self.sorter.push(record)?;
        let length = u32::try_from(id.len()).map_err(|_| AlignmentError::NoId { row: self.count })?;
        self.ids.put(&length.to_le_bytes())?;
        self.ids.put(id.as_bytes())?;
        self.offset += 4 + u64::from(length);
        Ok(())
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
        let print = fingerprint.map_or("-".to_string(), |digest| digest.to_string());
        write_whole(&self.folder.file("fingerprint"), print.as_bytes())?;
        let mut records = Whole::create(&self.folder.file("records"), self.count)?;
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
