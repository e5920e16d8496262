//! What is known of the served records, one file a party in the state folder: codes, and p-values of the party's own
//! detectors where it sends any. A record that is asked for again costs its parties nothing.

use std::fs;
use std::path::PathBuf;

use hashvfl_core::codes::stored::TableError;
use hashvfl_core::p_value::Grid;
use hashvfl_core::{CodeTable, Digest, PackedCodes};
use hashvfl_files::write_whole;
use tracing::{info, warn};

const MAGIC: &[u8] = b"hashvfl served 1\n";

/// What a party serves: what is known of another revision, or by another grid, is out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedEncoder {
    /// Drawn anew by the party whenever its columns have changed.
    pub revision: Digest,
    /// The p-values that come with its codes.
    pub grid: Option<Grid>,
}

/// What is known of one party's records.
pub struct KnownCodes {
    path: PathBuf,
    tables: Tables,
    changed: bool,
}

impl KnownCodes {
    /// What is kept in `path`, whose name tells records and bottom model; nothing where there is no such file.
    pub fn load(path: PathBuf, records: usize, bits: usize) -> Self {
        let stored = path.exists().then(|| Tables::from_bytes(&fs::read(&path).unwrap_or_default()));
        let fits = |tables: &Tables| (tables.codes.records(), tables.codes.bits()) == (records, bits);
        let stored = stored.and_then(|stored| match stored {
            Ok(tables) => Some(tables).filter(fits),
            Err(_) => {
                warn!("{} is damaged or of another version: its codes are asked for again", path.display());
                None
            }
        });
        let nobody = ServedEncoder { revision: Digest([0; 32]), grid: None };
        let tables = stored.unwrap_or_else(|| Tables::new(nobody, records, bits));
        Self { path, tables, changed: false }
    }

    /// The party serves this from now on.
    pub fn serves(&mut self, served: ServedEncoder) {
        if self.tables.served != served {
            if self.tables.served.revision != Digest([0; 32]) {
                info!("columns or detectors have changed: codes known so far are out of date");
            }
            self.tables = Tables::new(served, self.tables.codes.records(), self.tables.codes.bits());
            self.changed = true;
        }
    }

    /// Whether the code of `row` is known.
    pub fn knows(&self, row: u32) -> bool {
        self.tables.codes.knows(row)
    }

    /// Codes of `rows` as row-major signs, zeros for a row that is not known.
    pub fn signs_or_zeros(&self, rows: &[u32]) -> Vec<f32> {
        self.tables.codes.signs_or_zeros(rows)
    }

    /// p-values of `rows`, 1 for a row that is not known; `None` where the party sends none.
    pub fn p_values(&self, rows: &[u32]) -> Option<Vec<f64>> {
        let (grid, table) = (self.tables.served.grid?, self.tables.p_values.as_ref()?);
        Some(grid.p_values(&table.signs_or_zeros(rows)))
    }

    /// The p-values that come with the party's codes.
    pub fn grid(&self) -> Option<Grid> {
        self.tables.served.grid
    }

    /// Keeps what was sent of `rows`, unless something else is served by now.
    pub fn put(
        &mut self,
        served: &ServedEncoder,
        rows: &[u32],
        codes: &PackedCodes,
        p_values: Option<&PackedCodes>,
    ) {
        if self.tables.served != *served {
            return;
        }
        self.tables.codes.put(rows, codes);
        if let (Some(table), Some(p_values)) = (&mut self.tables.p_values, p_values) {
            table.put(rows, p_values);
        }
        self.changed = true;
    }

    /// Erases what is known of `rows`; returns of how many something was.
    pub fn forget(&mut self, rows: &[u32]) -> usize {
        if let Some(p_values) = &mut self.tables.p_values {
            p_values.forget(rows);
        }
        let known = self.tables.codes.forget(rows);
        self.changed |= known > 0;
        known
    }

    /// What is to be written, and where, if anything has changed since the last call.
    pub fn changes(&mut self) -> Option<Changes> {
        let changed = std::mem::take(&mut self.changed);
        changed.then(|| Changes { path: self.path.clone(), tables: self.tables.clone() })
    }
}

/// A file to be written.
pub struct Changes {
    path: PathBuf,
    tables: Tables,
}

impl Changes {
    /// Writes it. A failure costs a question asked again, never an answer.
    pub fn write(&self) {
        if let Err(error) = self.try_write() {
            warn!("known codes are not kept: {error}");
        }
    }

    /// Writes it, or says why not.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn try_write(&self) -> anyhow::Result<()> {
        Ok(write_whole(&self.path, &self.tables.to_bytes())?)
    }
}

/// The content of a file. Where p-values are served, both tables know the same rows.
#[derive(Clone)]
struct Tables {
    served: ServedEncoder,
    codes: CodeTable,
    p_values: Option<CodeTable>,
}

impl Tables {
    fn new(served: ServedEncoder, records: usize, bits: usize) -> Self {
        let p_values = served.grid.map(|grid| CodeTable::new(records, grid.bits()));
        Self { served, codes: CodeTable::new(records, bits), p_values }
    }

    /// A first line, the revision, the grid's bits and step (zeros for none), the length of the codes' table, both
    /// tables, and a digest of all before it.
    fn to_bytes(&self) -> Vec<u8> {
        let codes = self.codes.to_bytes();
        let p_values = self.p_values.as_ref().map(CodeTable::to_bytes).unwrap_or_default();
        let grid = self.served.grid.map_or([0; 2], |grid| [grid.bits() as u8, grid.step() as u8]);
        let length = (codes.len() as u64).to_le_bytes();
        let mut bytes = [MAGIC, &self.served.revision.0, &grid, &length, &codes, &p_values].concat();
        let digest = Digest::of(&bytes);
        bytes.extend(digest.0);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, TableError> {
        let (content, digest) = bytes.split_last_chunk::<32>().ok_or(TableError)?;
        if Digest::of(content).0 != *digest {
            return Err(TableError);
        }
        let content = content.strip_prefix(MAGIC).ok_or(TableError)?;
        let (revision, content) = content.split_first_chunk::<32>().ok_or(TableError)?;
        let ([bits, step], content) = content.split_first_chunk::<2>().ok_or(TableError)?;
        let (length, content) = content.split_first_chunk::<8>().ok_or(TableError)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| TableError)?;
        let (codes, p_values) = content.split_at_checked(length).ok_or(TableError)?;
        let codes = CodeTable::from_bytes(codes)?;
        let (grid, p_values) = match (*bits, p_values) {
            (0, []) => (None, None),
            (bits, p_values) => {
                let grid = Grid::new(bits.into(), (*step).into()).map_err(|_| TableError)?;
                let table = CodeTable::from_bytes(p_values)?;
                if (table.records(), table.bits()) != (codes.records(), grid.bits()) {
                    return Err(TableError);
                }
                (Some(grid), Some(table))
            }
        };
        Ok(Self { served: ServedEncoder { revision: Digest(*revision), grid }, codes, p_values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: ServedEncoder = ServedEncoder { revision: Digest([1; 32]), grid: None };
    const SOME: ServedEncoder = ServedEncoder { revision: Digest([1; 32]), grid: Some(Grid::FINE) };

    fn codes() -> PackedCodes {
        PackedCodes::pack(&[1.0, -1.0, 1.0, 1.0], 4).unwrap()
    }

    #[test]
    fn codes_outlast_a_restart_and_not_a_change_of_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.served");
        let load = || KnownCodes::load(path.clone(), 3, 4);
        let second = ServedEncoder { revision: Digest([2; 32]), grid: None };
        let mut known = load();
        known.serves(NONE);
        known.put(&NONE, &[2], &codes(), None);
        known.put(&second, &[1], &codes(), None);
        assert!(known.knows(2) && !known.knows(1) && known.p_values(&[2]).is_none());
        known.changes().unwrap().write();
        assert!(known.changes().is_none());
        let mut again = load();
        assert!(again.knows(2));
        again.serves(NONE);
        assert!(again.knows(2));
        again.serves(second);
        assert!(!again.knows(2));
        std::fs::write(&path, "no codes").unwrap();
        assert!(!load().knows(2));
    }

    #[test]
    fn p_values_are_kept_with_their_grid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.served");
        let mut known = KnownCodes::load(path.clone(), 3, 4);
        known.serves(SOME);
        let p_values = Grid::FINE.pack(&[0.2]).unwrap();
        known.put(&SOME, &[2], &codes(), Some(&p_values));
        // What another stream of the party still sends is not mixed in.
        known.put(&NONE, &[1], &codes(), None);
        assert!(!known.knows(1));
        known.changes().unwrap().write();
        let mut again = KnownCodes::load(path.clone(), 3, 4);
        again.serves(SOME);
        assert_eq!((again.p_values(&[0, 2]), again.grid()), (Some(vec![1.0, 0.25]), Some(Grid::FINE)));
        assert_eq!((again.forget(&[0, 2]), again.knows(2)), (1, false));
        assert_eq!(again.p_values(&[2]), Some(vec![1.0]), "of what is erased no p-value stays");
        again = KnownCodes::load(path.clone(), 3, 4);
        let bytes = std::fs::read(&path).unwrap();
        for at in [0, 20, 50, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Tables::from_bytes(&changed).is_err(), "byte {at}");
        }
        again.serves(NONE);
        assert!(!again.knows(2), "who sends no p-values any more is asked again");
    }
}
