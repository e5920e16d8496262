//! What a side said at each step of a run, by digest. It never goes back, whatever checkpoint the run goes on from.
//!
//! A run that continues from a checkpoint asks once more for what was said since. The same answer is sent again and costs
//! nothing, because it was charged before it was first sent. A different answer would be another release of the same records,
//! which an attacker could obtain by pretending to have lost a checkpoint. So it is refused.
//!
//! The file is `HVFLSAY2 | name of the run, 32 bytes | 24 bytes for each step`: 16 of a digest of what was said and of what was
//! asked for, and 8 by which a change on the disk is found. An entry is written before its answer is sent. It is not forced to
//! the disk: where a machine loses power, answers may count as new once more, and are charged again.
//!
//! A log that an earlier version has begun (`HVFLSAY1`) goes on as it is: entries are the 16 bytes alone, and of what was said
//! alone.

use std::io::Read;
use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use hashvfl_files::encryption::{GrowingFile, GrowingReader};

const MAGIC: [u8; 8] = *b"HVFLSAY2";
const OLD_MAGIC: [u8; 8] = *b"HVFLSAY1";
const HEADER_BYTES: usize = 40;
const SAID_BYTES: usize = 16;
const CHECK_BYTES: usize = 8;

/// Why an answer may not be given, or cannot be written down.
#[derive(Debug, thiserror::Error)]
pub enum AnswerLogError {
    /// The file system said no.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It belongs to another run, or is no such file.
    #[error(
        "{path} is damaged, or belongs to another run (other settings, records, columns, seed or program version): \
         restore the config, tables and program of that run, or start with --fresh to discard the unfinished run"
    )]
    OtherRun {
        /// The file.
        path: PathBuf,
    },
    /// An entry is not what was written.
    #[error(
        "{path} is damaged: its entry for step {step} changed after it was written. Restore the file, or start with \
         --fresh to discard the unfinished run"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The step.
        step: u64,
    },
    /// Something else was said at this step before. It names no file: the other side hears it.
    #[error(
        "step {step}: the run went back to a checkpoint, and this request or answer differs from the one recorded at \
         this step: the same records are never answered in two ways. Ask the other side what it changed, or start \
         with --fresh, which charges the ledger again"
    )]
    Differs {
        /// The step.
        step: u64,
    },
    /// A step is missing.
    #[error(
        "step {step}: {path} has no entry for the step before: start with --fresh to discard the unfinished run"
    )]
    Gap {
        /// The step.
        step: u64,
        /// The file.
        path: PathBuf,
    },
}

/// Whether an answer was given before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerStatus {
    /// It is new.
    New,
    /// The very same was.
    Before,
}

/// What a log begins with.
struct AnswerLogHeader {
    bytes: Vec<u8>,
    is_old: bool,
}

impl AnswerLogHeader {
    /// That of a new log of the run of that name.
    fn new(run: &Digest) -> Self {
        Self { bytes: [MAGIC.as_slice(), &run.0].concat(), is_old: false }
    }

    /// The one that a file begins with; also a part of one, whose writer was killed. `None` for another file.
    fn of(bytes: Vec<u8>) -> Option<Self> {
        let start = &bytes[..bytes.len().min(MAGIC.len())];
        let is_old = OLD_MAGIC.starts_with(start) && !MAGIC.starts_with(start);
        (is_old || MAGIC.starts_with(start)).then_some(Self { bytes, is_old })
    }

    fn is_whole(&self) -> bool {
        self.bytes.len() == HEADER_BYTES
    }

    fn entry_bytes(&self) -> usize {
        if self.is_old { SAID_BYTES } else { SAID_BYTES + CHECK_BYTES }
    }

    /// The entry with this index.
    fn entry(&self, index: u64, said: &[u8]) -> Vec<u8> {
        let check = Digest::of_parts([self.bytes.as_slice(), &index.to_le_bytes(), said]);
        let mut entry = [said, &check.0[..CHECK_BYTES]].concat();
        entry.truncate(self.entry_bytes());
        entry
    }

    /// What the entry with this index says; `None` where it is not as it was written.
    fn said(&self, index: u64, entry: &[u8]) -> Option<[u8; SAID_BYTES]> {
        let (said, _) = entry.split_first_chunk::<SAID_BYTES>()?;
        (self.entry(index, said) == entry).then_some(*said)
    }
}

/// The answers of a run.
pub struct AnswerLog {
    path: PathBuf,
    file: GrowingFile,
    header: AnswerLogHeader,
    /// Of the steps that were answered before this process began.
    before: Vec<[u8; SAID_BYTES]>,
    /// Entries in the file.
    entries: u64,
}

impl AnswerLog {
    /// Opens the log at `path` of the run of that name, or begins it. An entry that was half written is cut off: its answer
    /// was not sent.
    ///
    /// # Errors
    /// If it is of another run, damaged, or cannot be read or written.
    pub fn open(path: &Path, run: &Digest) -> Result<Self, AnswerLogError> {
        if !path.exists() {
            return Self::begin(path, run);
        }
        let other_run = || AnswerLogError::OtherRun { path: path.to_path_buf() };
        let mut reader = GrowingReader::open(path).map_err(io("open", path))?;
        let header = AnswerLogHeader::of(part(&mut reader, HEADER_BYTES, path)?).ok_or_else(other_run)?;
        if !header.is_whole() {
            return Self::begin(path, run);
        }
        let mut end = reader.end();
        let mut before: Vec<[u8; SAID_BYTES]> = Vec::new();
        loop {
            let entry = part(&mut reader, header.entry_bytes(), path)?;
            if entry.len() < header.entry_bytes() {
                break;
            }
            let index = before.len() as u64;
            match header.said(index, &entry) {
                Some(said) => before.push(said),
                None if is_cut_off(&entry, &mut reader, path)? => break,
                None => return Err(AnswerLogError::Damaged { path: path.to_path_buf(), step: index + 1 }),
            }
            end = reader.end();
        }
        match end {
            // Nothing was answered yet in the run that it is named after.
            _ if header.bytes[MAGIC.len()..] != run.0 && before.is_empty() => Self::begin(path, run),
            Some(end) if header.bytes[MAGIC.len()..] == run.0 => {
                let file = GrowingFile::resume(path, end).map_err(io("shorten", path))?;
                let entries = before.len() as u64;
                Ok(Self { path: path.to_path_buf(), file, header, before, entries })
            }
            _ => Err(other_run()),
        }
    }

    /// Whether an answer was written, or begun, in the log at `path`. One that cannot be read has none here: [`Self::open`] says why.
    pub fn has_answers(path: &Path) -> bool {
        let mut begin = Vec::new();
        let read = GrowingReader::open(path)
            .and_then(|reader| reader.take(HEADER_BYTES as u64 + 1).read_to_end(&mut begin));
        read.is_ok() && begin.len() > HEADER_BYTES
    }

    fn begin(path: &Path, run: &Digest) -> Result<Self, AnswerLogError> {
        let mut file = GrowingFile::create(path).map_err(io("make", path))?;
        let header = AnswerLogHeader::new(run);
        let written = file.append(&header.bytes).and_then(|()| file.sync());
        written.map_err(io("write", path))?;
        Ok(Self { path: path.to_path_buf(), file, header, before: Vec::new(), entries: 0 })
    }

    /// Forces what was written to the disk: before a checkpoint that is behind it.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn sync(&mut self) -> Result<(), AnswerLogError> {
        self.file.sync().map_err(io("write", &self.path))
    }

    /// Whether entries are of what was asked for as well as of what was said: not in a log that an earlier version has begun.
    pub fn holds_requests(&self) -> bool {
        !self.header.is_old
    }

    /// Whether `step` (from 1) was answered before this process began.
    pub fn has(&self, step: u64) -> bool {
        step <= self.before.len() as u64
    }

    /// Whether `answer` was said at `step` before this process began. Writes nothing.
    ///
    /// # Errors
    /// If another was said, or a step before it is missing.
    pub fn look(&self, step: u64, answer: &Digest) -> Result<AnswerStatus, AnswerLogError> {
        let index = step.saturating_sub(1);
        match usize::try_from(index).ok().and_then(|index| self.before.get(index)) {
            Some(before) if answer.0.starts_with(before) => Ok(AnswerStatus::Before),
            Some(_) => Err(AnswerLogError::Differs { step }),
            None if index != self.entries => Err(AnswerLogError::Gap { step, path: self.path.clone() }),
            None => Ok(AnswerStatus::New),
        }
    }

    /// Writes down, before it is sent, that `answer` is said at `step`.
    ///
    /// # Errors
    /// If another was said before, or it cannot be written: nothing may be sent then.
    pub fn say(&mut self, step: u64, answer: &Digest) -> Result<AnswerStatus, AnswerLogError> {
        let said = self.look(step, answer)?;
        if said == AnswerStatus::New {
            let entry = self.header.entry(self.entries, &answer.0[..SAID_BYTES]);
            let written = self.file.append(&entry).and_then(|()| self.file.flush());
            written.map_err(io("write", &self.path))?;
            self.entries += 1;
        }
        Ok(said)
    }
}

/// Whether an entry that is not as it was written was never written as a whole: it ends in zeros, and so does the file. That is
/// what a loss of power leaves of what was not forced to the disk, sector by sector; none ends within an entry's last eight bytes.
/// Of an encrypted log the reader gives no such entries.
fn is_cut_off(entry: &[u8], reader: &mut GrowingReader, path: &Path) -> Result<bool, AnswerLogError> {
    let mut rest = entry[entry.len() - CHECK_BYTES..].to_vec();
    reader.read_to_end(&mut rest).map_err(io("read", path))?;
    Ok(rest.iter().all(|byte| *byte == 0))
}

/// The next `count` bytes; fewer at the end.
fn part(reader: &mut GrowingReader, count: usize, path: &Path) -> Result<Vec<u8>, AnswerLogError> {
    let mut bytes = Vec::with_capacity(count);
    reader.take(count as u64).read_to_end(&mut bytes).map_err(io("read", path))?;
    Ok(bytes)
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> AnswerLogError {
    let path = path.to_path_buf();
    move |source| AnswerLogError::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hashvfl_files::encryption::{EncryptionKey, protect};

    use super::*;

    fn answer(step: u64) -> Digest {
        Digest::of(&step.to_le_bytes())
    }

    #[test]
    fn what_was_said_is_said_again_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (path, run) = (folder.path().join("answers"), Digest([1; 32]));
        let mut log = AnswerLog::open(&path, &run).unwrap();
        (1..=5).for_each(|step| assert_eq!(log.say(step, &answer(step)).unwrap(), AnswerStatus::New));
        assert!(!log.has(1), "this process has not gone back");
        drop(log);
        let mut log = AnswerLog::open(&path, &run).unwrap();
        assert!(log.has(5) && !log.has(6));
        assert_eq!(log.say(3, &answer(3)).unwrap(), AnswerStatus::Before);
        assert!(matches!(log.say(4, &answer(9)), Err(AnswerLogError::Differs { step: 4 })));
        assert_eq!(log.say(5, &answer(5)).unwrap(), AnswerStatus::Before);
        assert_eq!(log.say(6, &answer(6)).unwrap(), AnswerStatus::New);
        assert!(matches!(log.say(8, &answer(8)), Err(AnswerLogError::Gap { step: 8, .. })));
        drop(log);
        assert!(AnswerLog::open(&path, &run).unwrap().has(6));
        let other = AnswerLog::open(&path, &Digest([2; 32])).err().unwrap().to_string();
        assert!(other.contains("--fresh"), "{other}");
    }

    #[test]
    fn an_entry_that_was_half_written_was_not_said() {
        let folder = tempfile::tempdir().unwrap();
        let (path, run) = (folder.path().join("answers"), Digest([1; 32]));
        assert!(!AnswerLog::has_answers(&path), "there is none");
        let mut log = AnswerLog::open(&path, &run).unwrap();
        (1..=3).for_each(|step| assert_eq!(log.say(step, &answer(step)).unwrap(), AnswerStatus::New));
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert_eq!(AnswerLog::has_answers(&path), cut > HEADER_BYTES, "{cut}");
            let mut log = AnswerLog::open(&path, &run).unwrap();
            let whole = cut.saturating_sub(HEADER_BYTES) / (SAID_BYTES + CHECK_BYTES);
            assert!(log.has(whole as u64) && !log.has(whole as u64 + 1));
            for step in 1..=4 {
                let said = if step <= whole as u64 { AnswerStatus::Before } else { AnswerStatus::New };
                assert_eq!(log.say(step, &answer(step)).unwrap(), said);
            }
        }
    }
    /// A log of five steps; its bytes.
    fn written(path: &Path, run: &Digest) -> Vec<u8> {
        let mut log = AnswerLog::open(path, run).unwrap();
        (1..=5).for_each(|step| assert_eq!(log.say(step, &answer(step)).unwrap(), AnswerStatus::New));
        drop(log);
        std::fs::read(path).unwrap()
    }

    #[test]
    fn whatever_bit_changes_nothing_else_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let (path, run) = (folder.path().join("answers"), Digest([1; 32]));
        let bytes = written(&path, &run);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &changed).unwrap();
            let error =
                AnswerLog::open(&path, &run).err().unwrap_or_else(|| panic!("bit {bit} is not found"));
            let text = error.to_string();
            assert!(text.contains("answers is damaged") && text.contains("--fresh"), "{text}");
        }
    }

    #[test]
    fn zeros_at_the_end_were_not_said() {
        let folder = tempfile::tempdir().unwrap();
        let (path, run) = (folder.path().join("answers"), Digest([1; 32]));
        let bytes = written(&path, &run);
        let entry = SAID_BYTES + CHECK_BYTES;
        // A loss of power has left the length, and not all that was written.
        for kept in HEADER_BYTES..bytes.len() - CHECK_BYTES {
            let mut torn = bytes.clone();
            torn[kept..].fill(0);
            std::fs::write(&path, &torn).unwrap();
            let whole = ((kept - HEADER_BYTES) / entry) as u64;
            // Of an entry that has lost only a part of its last bytes nobody knows that it was not damaged.
            match AnswerLog::open(&path, &run) {
                Ok(log) => assert!(log.has(whole) && !log.has(whole + 2), "{kept}"),
                Err(error) => {
                    assert!((kept - HEADER_BYTES) % entry > SAID_BYTES, "{kept}: {error}");
                }
            }
        }
    }

    #[test]
    fn zeros_at_the_end_of_an_encrypted_log_were_not_said() {
        let folder = tempfile::tempdir().unwrap();
        let (key, path, run) = (folder.path().join("key"), folder.path().join("answers"), Digest([1; 32]));
        EncryptionKey::draw(&key).unwrap();
        protect(&path, &Arc::new(EncryptionKey::read(&key).unwrap())).unwrap();
        let bytes = written(&path, &run);
        for zeros in [1, 27, 28, 29, 4096] {
            std::fs::write(&path, [bytes.as_slice(), &vec![0; zeros]].concat()).unwrap();
            let mut log = AnswerLog::open(&path, &run).unwrap();
            assert!(log.has(5) && !log.has(6), "{zeros} zeros");
            assert_eq!(log.say(6, &answer(6)).unwrap(), AnswerStatus::New);
            drop(log);
            assert!(AnswerLog::open(&path, &run).unwrap().has(6), "{zeros} zeros");
        }
        // The last entry, and the tag of the one before it.
        let (entry, tag) = (4 + 24 + 16 + SAID_BYTES + CHECK_BYTES, 16);
        let mut torn = bytes.clone();
        torn[bytes.len() - entry - tag..].fill(0);
        std::fs::write(&path, &torn).unwrap();
        let log = AnswerLog::open(&path, &run).unwrap();
        assert!(log.has(3) && !log.has(4));
    }

    #[test]
    fn a_log_of_an_earlier_version_goes_on_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (path, run) = (folder.path().join("answers"), Digest([1; 32]));
        let mut old = [OLD_MAGIC.as_slice(), &run.0].concat();
        (1..=3).for_each(|step| old.extend(&answer(step).0[..SAID_BYTES]));
        std::fs::write(&path, &old).unwrap();
        let mut log = AnswerLog::open(&path, &run).unwrap();
        assert!(log.has(3) && !log.has(4) && !log.holds_requests());
        assert_eq!(log.say(2, &answer(2)).unwrap(), AnswerStatus::Before);
        assert!(matches!(log.look(2, &answer(3)), Err(AnswerLogError::Differs { step: 2 })));
        assert_eq!(log.say(4, &answer(4)).unwrap(), AnswerStatus::New);
        drop(log);
        old.extend(&answer(4).0[..SAID_BYTES]);
        assert_eq!(std::fs::read(&path).unwrap(), old);
        std::fs::remove_file(&path).unwrap();
        assert!(AnswerLog::open(&path, &run).unwrap().holds_requests());
    }
}
