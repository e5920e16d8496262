//! Codes that are known of the served records, one table a party, kept in the state folder, so that a record that is
//! asked for again costs its parties nothing.

use std::path::PathBuf;

use hashvfl_core::{CodeTable, Digest, PackedCodes, StoredCodes};
use hashvfl_learning::snapshot::write_whole;
use tracing::{info, warn};

use crate::state::read_codes;

/// One party's known codes.
pub struct Known {
    path: PathBuf,
    codes: StoredCodes,
    changed: bool,
}

impl Known {
    /// The codes that are kept in `path`, whose name tells records and bottom model; none where there is no such file.
    pub fn load(path: PathBuf, records: usize, bits: usize) -> Self {
        let empty = || StoredCodes { encoder: Digest([0; 32]), table: CodeTable::new(records, bits) };
        let stored = path.exists().then(|| read_codes(&path)).and_then(|stored| match stored {
            Ok(stored) => Some(stored),
            Err(error) => {
                warn!("{error:#}; its codes are asked for again");
                None
            }
        });
        let fits = |stored: &StoredCodes| (stored.table.records(), stored.table.bits()) == (records, bits);
        Self { path, codes: stored.filter(fits).unwrap_or_else(empty), changed: false }
    }

    /// The party serves this revision of its columns: codes of another are out of date.
    pub fn serves(&mut self, revision: Digest) {
        // The file's name tells the bottom model, so this field holds the revision.
        if self.codes.encoder != revision {
            if self.codes.encoder != Digest([0; 32]) {
                info!("the columns have changed: codes known so far are out of date");
            }
            let (records, bits) = (self.codes.table.records(), self.codes.table.bits());
            self.codes = StoredCodes { encoder: revision, table: CodeTable::new(records, bits) };
            self.changed = true;
        }
    }

    /// The table.
    pub fn table(&self) -> &CodeTable {
        &self.codes.table
    }

    /// Keeps codes of `rows` by `revision`, unless another one is served by now.
    pub fn put(&mut self, revision: &Digest, rows: &[u32], codes: &PackedCodes) {
        if self.codes.encoder == *revision {
            self.codes.table.put(rows, codes);
            self.changed = true;
        }
    }

    /// What is to be written, and where, if anything has changed since the last call.
    pub fn changes(&mut self) -> Option<Changes> {
        let changed = std::mem::take(&mut self.changed);
        changed.then(|| Changes { path: self.path.clone(), codes: self.codes.clone() })
    }
}

/// A file to be written.
pub struct Changes {
    path: PathBuf,
    codes: StoredCodes,
}

impl Changes {
    /// Writes it. A failure costs a question asked again, never an answer.
    pub fn write(&self) {
        if let Err(error) = write_whole(&self.path, &self.codes.to_bytes()) {
            warn!("known codes are not kept: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_outlast_a_restart_and_not_a_change_of_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.served");
        let load = || Known::load(path.clone(), 3, 4);
        let (first, second) = (Digest([1; 32]), Digest([2; 32]));
        let codes = PackedCodes::pack(&[1.0, -1.0, 1.0, 1.0], 4).unwrap();
        let mut known = load();
        known.serves(first);
        known.put(&first, &[2], &codes);
        known.put(&second, &[1], &codes);
        assert!(known.table().knows(2) && !known.table().knows(1));
        known.changes().unwrap().write();
        assert!(known.changes().is_none());
        let mut again = load();
        assert!(again.table().knows(2));
        again.serves(first);
        assert!(again.table().knows(2));
        again.serves(second);
        assert!(!again.table().knows(2));
        std::fs::write(&path, "no codes").unwrap();
        assert!(!load().table().knows(2));
    }
}
