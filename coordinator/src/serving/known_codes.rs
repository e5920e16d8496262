//! What is known of the served records, in one file per party in the state folder: codes, and p-values of the party's own
//! detectors where it sends any. A record that is asked for again costs its parties nothing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use hashvfl_core::codes::stored::CodeTableError;
use hashvfl_core::p_value::Grid;
use hashvfl_core::records::record_keys::RecordKeys;
use hashvfl_core::{CodeTable, Digest, PackedCodes, ServedRow};
use hashvfl_files::encryption::EncryptionError;
use hashvfl_files::{read_whole, write_whole};
use tracing::warn;

const MAGIC: &[u8] = b"hashvfl served 2\n";

/// Which records the rows of known codes are: kept with the codes, so that they are found by id when other records are
/// served.
#[derive(Debug, Clone)]
pub struct ServedList {
    /// Over all ids in order.
    pub digest: Digest,
    /// Their keys.
    pub keys: RecordKeys<ServedRow>,
}

/// What a party serves. Codes of another revision, and p-values by another grid, are out of date.
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
    list: Arc<ServedList>,
    tables: Tables,
    changed: bool,
    /// Whether what has changed could not be written the last time.
    failed: bool,
}

impl KnownCodes {
    /// What is kept in `path` about the records of `list`; nothing where there is no such file, or it is damaged.
    ///
    /// # Errors
    /// If it cannot be read, as without its key: it would be written anew.
    pub fn load(path: PathBuf, list: Arc<ServedList>, bits: usize) -> anyhow::Result<Self> {
        let records = list.keys.len();
        let stored = match read_whole(&path) {
            Ok(bytes) => Some(read(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) if is_damaged(&error) => Some(Err(CodeTableError)),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let stored = stored.and_then(|stored| match stored {
            Ok((kept, tables)) => {
                let size = (tables.codes.records(), tables.codes.bits());
                (kept.digest == list.digest && size == (records, bits)).then_some(tables)
            }
            Err(_) => {
                warn!("{} is damaged or of another version: its codes are asked for again", path.display());
                None
            }
        });
        let nobody = ServedEncoder { revision: Digest([0; 32]), grid: None };
        let tables = stored.unwrap_or_else(|| Tables::new(nobody, records, bits));
        Ok(Self { path, list, tables, changed: false, failed: false })
    }

    /// What is kept in `path`, whatever records it is about.
    ///
    /// # Errors
    /// If it is damaged or of another version.
    pub fn open(path: PathBuf) -> anyhow::Result<Self> {
        let bytes = read_whole(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let read = read(&bytes).with_context(|| {
            format!(
                "{} is damaged or of another version, so it is unknown whose codes it holds: remove it; the codes \
                 are requested again when they are needed",
                path.display()
            )
        });
        let (list, tables) = read?;
        Ok(Self { path, list: Arc::new(list), tables, changed: false, failed: false })
    }

    /// The row of the record `id`.
    pub fn row(&self, id: &str) -> Option<ServedRow> {
        self.list.keys.row(id)
    }

    /// The party serves this from now on; whether codes that were known are out of date with that.
    pub fn serves(&mut self, served: ServedEncoder) -> bool {
        if self.tables.served == served {
            return false;
        }
        let knew_others = self.tables.served.revision != Digest([0; 32]);
        self.tables = Tables::new(served, self.tables.codes.records(), self.tables.codes.bits());
        self.changed = true;
        knew_others
    }

    /// Whether the code of `row` is known.
    pub fn knows(&self, row: ServedRow) -> bool {
        self.tables.codes.knows(row.number())
    }

    /// Codes of `rows` as row-major signs, zeros for a row that is not known.
    pub fn signs_or_zeros(&self, rows: &[ServedRow]) -> Vec<f32> {
        self.tables.codes.signs_or_zeros(&numbers(rows))
    }

    /// p-values of `rows`, 1 for a row that is not known; `None` where the party sends none.
    pub fn p_values(&self, rows: &[ServedRow]) -> Option<Vec<f64>> {
        let (grid, table) = (self.tables.served.grid?, self.tables.p_values.as_ref()?);
        Some(grid.p_values(&table.signs_or_zeros(&numbers(rows))))
    }

    /// The p-values that come with the party's codes.
    pub fn grid(&self) -> Option<Grid> {
        self.tables.served.grid
    }

    /// Keeps what was sent of `rows`, unless something else is served by now.
    pub fn put(
        &mut self,
        served: &ServedEncoder,
        rows: &[ServedRow],
        codes: &PackedCodes,
        p_values: Option<&PackedCodes>,
    ) {
        if self.tables.served != *served {
            return;
        }
        let rows = numbers(rows);
        self.tables.codes.put(&rows, codes);
        if let (Some(table), Some(p_values)) = (&mut self.tables.p_values, p_values) {
            table.put(&rows, p_values);
        }
        self.changed = true;
    }

    /// Erases what is known of `rows`; returns for how many of them a code was known.
    pub fn erase(&mut self, rows: &[ServedRow]) -> usize {
        let list = Arc::make_mut(&mut self.list);
        list.keys.erase(rows);
        let rows = numbers(rows);
        if let Some(p_values) = &mut self.tables.p_values {
            p_values.forget(&rows);
        }
        self.changed |= !rows.is_empty();
        self.tables.codes.forget(&rows)
    }

    /// What is to be written, and where, if anything has changed since the last call.
    pub fn changes(&mut self) -> Option<Changes> {
        let changed = std::mem::take(&mut self.changed);
        let Self { path, list, tables, .. } = self;
        changed.then(|| Changes { path: path.clone(), list: Arc::clone(list), tables: tables.clone() })
    }

    /// Notes whether they were `written`. If that fails, codes are written later or asked for again; no answer is wrong. It is said
    /// once until it works again.
    pub fn note_written(&mut self, written: anyhow::Result<()>) {
        let failed_before = std::mem::replace(&mut self.failed, written.is_err());
        if let Err(error) = written {
            self.changed = true;
            if !failed_before {
                warn!(
                    "cannot save the known codes, which is tried again; without them they will be requested again after a \
                     restart: {error:#}"
                );
            }
        }
    }
}

/// A file to be written.
pub struct Changes {
    path: PathBuf,
    list: Arc<ServedList>,
    tables: Tables,
}

impl Changes {
    /// Writes it, or says why not.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn try_write(&self) -> anyhow::Result<()> {
        Ok(write_whole(&self.path, &to_bytes(&self.list, &self.tables))?)
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
}

/// The bytes of a file: a first line, the digest of all ids, the revision, the grid's bits and step (zeros for none),
/// how many records there are and the length of the codes' table, the records' keys, both tables, and a digest of all
/// before it.
fn to_bytes(list: &ServedList, tables: &Tables) -> Vec<u8> {
    let codes = tables.codes.to_bytes();
    let p_values = tables.p_values.as_ref().map(CodeTable::to_bytes).unwrap_or_default();
    let grid = tables.served.grid.map_or([0; 2], |grid| [grid.bits() as u8, grid.step() as u8]);
    let mut bytes = [MAGIC, &list.digest.0, &tables.served.revision.0, &grid].concat();
    for length in [list.keys.len(), codes.len()] {
        bytes.extend((length as u64).to_le_bytes());
    }
    bytes.extend([list.keys.to_bytes(), codes, p_values].concat());
    let digest = Digest::of(&bytes);
    bytes.extend(digest.0);
    bytes
}

/// Reads [`to_bytes`].
fn read(bytes: &[u8]) -> Result<(ServedList, Tables), CodeTableError> {
    let (content, digest) = bytes.split_last_chunk::<32>().ok_or(CodeTableError)?;
    if Digest::of(content).0 != *digest {
        return Err(CodeTableError);
    }
    parse(content).ok_or(CodeTableError)
}

fn parse(content: &[u8]) -> Option<(ServedList, Tables)> {
    let (digest, content) = content.strip_prefix(MAGIC)?.split_first_chunk::<32>()?;
    let (revision, content) = content.split_first_chunk::<32>()?;
    let ([bits, step], content) = content.split_first_chunk::<2>()?;
    let (records, content) = content.split_first_chunk::<8>()?;
    let (length, content) = content.split_first_chunk::<8>()?;
    let records = usize::try_from(u64::from_le_bytes(*records)).ok()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (keys, content) = content.split_at_checked(RecordKeys::<ServedRow>::bytes_of(records)?)?;
    let keys = RecordKeys::from_bytes(keys, records)?;
    let (codes, p_values) = content.split_at_checked(length)?;
    let codes = CodeTable::from_bytes(codes).ok()?;
    let (grid, p_values) = match (*bits, p_values) {
        (0, []) => (None, None),
        (bits, p_values) => {
            let grid = Grid::new(bits.into(), (*step).into()).ok()?;
            let table = CodeTable::from_bytes(p_values).ok()?;
            if (table.records(), table.bits()) != (records, grid.bits()) {
                return None;
            }
            (Some(grid), Some(table))
        }
    };
    if codes.records() != records {
        return None;
    }
    let served = ServedEncoder { revision: Digest(*revision), grid };
    Some((ServedList { digest: Digest(*digest), keys }, Tables { served, codes, p_values }))
}

/// Whether a file cannot be read since it is damaged: other reasons pass, and what it holds is there.
fn is_damaged(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<EncryptionError>());
    inner == Some(&EncryptionError::Damaged)
}

fn numbers(rows: &[ServedRow]) -> Vec<u32> {
    rows.iter().map(|row| row.number()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: ServedEncoder = ServedEncoder { revision: Digest([1; 32]), grid: None };
    const SOME: ServedEncoder = ServedEncoder { revision: Digest([1; 32]), grid: Some(Grid::FINE) };

    /// Records a, b and c.
    fn list() -> Arc<ServedList> {
        let digest = Digest([9; 32]);
        Arc::new(ServedList { digest, keys: RecordKeys::new(digest.0, ["a", "b", "c"]) })
    }

    fn rows(numbers: &[u32]) -> Vec<ServedRow> {
        numbers.iter().map(|number| ServedRow::new(*number)).collect()
    }

    fn row(number: u32) -> ServedRow {
        ServedRow::new(number)
    }

    fn codes() -> PackedCodes {
        PackedCodes::pack(&[1.0, -1.0, 1.0, 1.0], 4).unwrap()
    }

    #[test]
    fn codes_outlast_a_restart_and_not_a_change_of_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.served");
        let load = || KnownCodes::load(path.clone(), list(), 4).unwrap();
        let second = ServedEncoder { revision: Digest([2; 32]), grid: None };
        let mut known = load();
        known.serves(NONE);
        known.put(&NONE, &rows(&[2]), &codes(), None);
        known.put(&second, &rows(&[1]), &codes(), None);
        assert!(known.knows(row(2)) && !known.knows(row(1)) && known.p_values(&rows(&[2])).is_none());
        known.changes().unwrap().try_write().unwrap();
        assert!(known.changes().is_none());
        let mut again = load();
        assert!(again.knows(row(2)));
        assert!(!again.serves(NONE) && again.knows(row(2)));
        assert!(again.serves(second) && !again.knows(row(2)));
        std::fs::write(&path, "no codes").unwrap();
        assert!(!load().knows(row(2)), "what is damaged is asked for again");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        // What cannot be looked at, too, is not taken for nothing.
        std::fs::write(folder.path().join("file"), "").unwrap();
        for path in [path.clone(), folder.path().join("file").join("bank.served")] {
            let error = KnownCodes::load(path, list(), 4).err().unwrap().to_string();
            assert!(error.contains("cannot read") && error.contains("bank.served"), "{error}");
        }
    }

    #[test]
    fn codes_that_could_not_be_written_are_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes").join("bank.served");
        let mut known = KnownCodes::load(path.clone(), list(), 4).unwrap();
        known.serves(NONE);
        known.put(&NONE, &rows(&[2]), &codes(), None);
        for round in 0..2 {
            // There is no such folder.
            let written = known.changes().unwrap_or_else(|| panic!("round {round}")).try_write();
            assert!(written.is_err());
            known.note_written(written);
        }
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let written = known.changes().unwrap().try_write();
        known.note_written(written);
        assert!(known.changes().is_none());
        assert!(KnownCodes::load(path, list(), 4).unwrap().knows(row(2)));
    }

    #[test]
    fn p_values_are_kept_with_their_grid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.served");
        let mut known = KnownCodes::load(path.clone(), list(), 4).unwrap();
        known.serves(SOME);
        let p_values = Grid::FINE.pack(&[0.2]).unwrap();
        known.put(&SOME, &rows(&[2]), &codes(), Some(&p_values));
        // What another stream of the party still sends is not mixed in.
        known.put(&NONE, &rows(&[1]), &codes(), None);
        assert!(!known.knows(row(1)));
        known.changes().unwrap().try_write().unwrap();
        let mut again = KnownCodes::load(path.clone(), list(), 4).unwrap();
        again.serves(SOME);
        assert_eq!((again.p_values(&rows(&[0, 2])), again.grid()), (Some(vec![1.0, 0.25]), Some(Grid::FINE)));
        assert_eq!((again.erase(&rows(&[0, 2])), again.knows(row(2))), (1, false));
        assert_eq!(again.p_values(&rows(&[2])), Some(vec![1.0]), "of what is erased no p-value stays");
        again = KnownCodes::load(path.clone(), list(), 4).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for at in [0, 20, 50, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read(&changed).is_err(), "byte {at}");
        }
        again.serves(NONE);
        assert!(!again.knows(row(2)), "who sends no p-values any more is asked again");
    }
}
