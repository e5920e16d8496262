//! What a side said at each step of a run, by digest. It never goes back, whatever checkpoint the run goes on from.
//!
//! A run that goes on from a checkpoint asks once more for what was said since. The same is said again, and costs nothing:
//! it was charged before it was said for the first time. Anything else would be another release of the same records, which
//! whoever feigned the loss of a checkpoint could ask for. So it is refused.
//!
//! The file is `magic | name of the run, 32 bytes | 16 bytes for each step`. An entry is written before its answer is sent.
//! It is not forced to the disk: where a machine loses power, answers may count as new once more, and are charged again.

use std::io::Read;
use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use hashvfl_files::encryption::{GrowingFile, GrowingReader};

const MAGIC: [u8; 8] = *b"HVFLSAY1";
const HEADER_BYTES: usize = 40;
const ENTRY_BYTES: usize = 16;

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
        "{path} is damaged, or is about another run than this one (other settings, records, columns or seed): \
         put things back as they were, or start with --fresh to throw the unfinished run away"
    )]
    OtherRun {
        /// The file.
        path: PathBuf,
    },
    /// Something else was said at this step before.
    #[error(
        "step {step}: the run went back to a checkpoint, and the answer now is not the one that was given then: nothing is \
         said twice in two ways; ask the other side, or start with --fresh, which is charged anew"
    )]
    Differs {
        /// The step.
        step: u64,
    },
    /// A step is missing.
    #[error(
        "step {step}: {path} ends before the step before it: start with --fresh to throw the unfinished run away"
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
pub enum Said {
    /// It is new.
    New,
    /// The very same was.
    Before,
}

/// The answers of a run.
pub struct AnswerLog {
    path: PathBuf,
    file: GrowingFile,
    /// Of the steps that were answered before this process began.
    before: Vec<[u8; ENTRY_BYTES]>,
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
        let mut reader = GrowingReader::open(path).map_err(io("open", path))?;
        let header = part(&mut reader, HEADER_BYTES, path)?;
        let is_log = MAGIC.starts_with(&header[..header.len().min(MAGIC.len())]);
        let mut end = reader.end();
        let mut before: Vec<[u8; ENTRY_BYTES]> = Vec::new();
        while let Ok(entry) = part(&mut reader, ENTRY_BYTES, path)?.try_into() {
            before.push(entry);
            end = reader.end();
        }
        let is_whole = header.len() == HEADER_BYTES;
        let of_run = is_whole && header[8..] == run.0;
        match end {
            _ if !is_log => Err(AnswerLogError::OtherRun { path: path.to_path_buf() }),
            // Nothing was answered yet in the run that it is named after.
            _ if !is_whole || (!of_run && before.is_empty()) => Self::begin(path, run),
            Some(end) if of_run => {
                let file = GrowingFile::resume(path, end).map_err(io("shorten", path))?;
                let entries = before.len() as u64;
                Ok(Self { path: path.to_path_buf(), file, before, entries })
            }
            _ => Err(AnswerLogError::OtherRun { path: path.to_path_buf() }),
        }
    }

    fn begin(path: &Path, run: &Digest) -> Result<Self, AnswerLogError> {
        let mut file = GrowingFile::create(path).map_err(io("make", path))?;
        let written = file.append(&[MAGIC.as_slice(), &run.0].concat()).and_then(|()| file.sync());
        written.map_err(io("write", path))?;
        Ok(Self { path: path.to_path_buf(), file, before: Vec::new(), entries: 0 })
    }

    /// Forces what was written to the disk: before a checkpoint that is behind it.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn sync(&mut self) -> Result<(), AnswerLogError> {
        self.file.sync().map_err(io("write", &self.path))
    }

    /// Whether `step` (from 1) was answered before this process began.
    pub fn has(&self, step: u64) -> bool {
        step <= self.before.len() as u64
    }

    /// Writes down, before it is sent, that `answer` is said at `step`.
    ///
    /// # Errors
    /// If another was said before, or it cannot be written: nothing may be sent then.
    pub fn say(&mut self, step: u64, answer: &Digest) -> Result<Said, AnswerLogError> {
        let (index, entry) = (step.saturating_sub(1), &answer.0[..ENTRY_BYTES]);
        if let Some(before) = usize::try_from(index).ok().and_then(|index| self.before.get(index)) {
            return if before == entry { Ok(Said::Before) } else { Err(AnswerLogError::Differs { step }) };
        }
        if index != self.entries {
            return Err(AnswerLogError::Gap { step, path: self.path.clone() });
        }
        let written = self.file.append(entry).and_then(|()| self.file.flush());
        written.map_err(io("write", &self.path))?;
        self.entries += 1;
        Ok(Said::New)
    }
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
    use super::*;

    fn answer(step: u64) -> Digest {
        Digest::of(&step.to_le_bytes())
    }

    #[test]
    fn what_was_said_is_said_again_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (path, run) = (folder.path().join("answers"), Digest([1; 32]));
        let mut log = AnswerLog::open(&path, &run).unwrap();
        (1..=5).for_each(|step| assert_eq!(log.say(step, &answer(step)).unwrap(), Said::New));
        assert!(!log.has(1), "this process has not gone back");
        drop(log);
        let mut log = AnswerLog::open(&path, &run).unwrap();
        assert!(log.has(5) && !log.has(6));
        assert_eq!(log.say(3, &answer(3)).unwrap(), Said::Before);
        assert!(matches!(log.say(4, &answer(9)), Err(AnswerLogError::Differs { step: 4 })));
        assert_eq!(log.say(5, &answer(5)).unwrap(), Said::Before);
        assert_eq!(log.say(6, &answer(6)).unwrap(), Said::New);
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
        let mut log = AnswerLog::open(&path, &run).unwrap();
        (1..=3).for_each(|step| assert_eq!(log.say(step, &answer(step)).unwrap(), Said::New));
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let mut log = AnswerLog::open(&path, &run).unwrap();
            let whole = cut.saturating_sub(HEADER_BYTES) / ENTRY_BYTES;
            assert!(log.has(whole as u64) && !log.has(whole as u64 + 1));
            for step in 1..=4 {
                let said = if step <= whole as u64 { Said::Before } else { Said::New };
                assert_eq!(log.say(step, &answer(step)).unwrap(), said);
            }
        }
    }
}
