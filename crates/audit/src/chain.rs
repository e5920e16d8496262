//! Reading a log: whether its entries follow from each other, and whether they lead to heads that a peer kept.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use hashvfl_core::Digest;
use hashvfl_core::text::{counted, one_line};
use serde::{Deserialize, Serialize};

use crate::error::AuditError;
use crate::event::AuditEvent;
use crate::head::{Head, KeptHead, Side};

/// Bytes of a line for a person.
const LINE_BYTES: usize = 8192;
/// Bytes of a word that another side has written.
const WORD_BYTES: usize = 100;

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogEntry {
    /// From 1.
    pub sequence: u64,
    /// SHA-256 of the line before, without its end; 64 zeros in the first.
    pub previous_sha256: String,
    /// When, by the clock of whoever wrote it.
    pub time: String,
    /// The run that it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<String>,
    /// What happened: an [`AuditEvent`], also one of a later release.
    pub event: serde_json::Value,
}

impl LogEntry {
    /// The event, where this release knows its kind.
    pub fn event(&self) -> Option<AuditEvent> {
        serde_json::from_value(self.event.clone()).ok()
    }

    /// What happened, for a person.
    pub fn describe(&self) -> String {
        self.event().map_or_else(|| format!("{} (of another release)", self.event), |event| event.to_string())
    }

    /// The entry as one line for a person. In the log of another side no word of it ends or changes that line.
    pub fn line(&self) -> String {
        let (run, what) = (self.run.as_deref().unwrap_or("-"), self.describe());
        one_line(&format!("{:>6}  {}  {run}  {what}", self.sequence, self.time), LINE_BYTES)
    }
}

/// Where a log stands: the next line has to follow from it.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) head: Head,
}

/// What was read of a log.
#[derive(Debug, Default)]
pub(crate) struct BytesRead {
    /// Bytes of whole lines.
    pub(crate) whole: u64,
    /// Bytes of an incomplete last line.
    pub(crate) incomplete: u64,
}

impl Links {
    /// Takes the lines of `reader`, which is at the line that follows, and hands each entry to `take` with its digest.
    pub(crate) fn read(
        &mut self,
        mut reader: impl BufRead,
        path: &Path,
        take: &mut dyn FnMut(LogEntry, Digest),
    ) -> Result<BytesRead, AuditError> {
        let (mut read, mut line) = (BytesRead::default(), Vec::new());
        loop {
            line.clear();
            reader.read_until(b'\n', &mut line).map_err(|reason| AuditError::file("read", path, reason))?;
            if line.pop_if(|end| *end == b'\n').is_none() {
                if has_another_end(&line) {
                    let reason = "unexpected bytes follow the last entry".to_string();
                    let (path, line) = (path.to_path_buf(), self.head.sequence + 1);
                    return Err(AuditError::Broken { path, line, reason });
                }
                read.incomplete = line.len() as u64;
                return Ok(read);
            }
            let entry = self.follow(&line).map_err(|reason| AuditError::Broken {
                path: path.to_path_buf(),
                line: self.head.sequence + 1,
                reason,
            })?;
            read.whole += line.len() as u64 + 1;
            take(entry, self.head.entry);
        }
    }

    /// The entry on `line`, if it follows; the next has to follow from it.
    pub(crate) fn follow(&mut self, line: &[u8]) -> Result<LogEntry, String> {
        let entry: LogEntry =
            serde_json::from_slice(line).map_err(|_| "this line is not an entry".to_string())?;
        let Head { sequence, entry: last } = self.head;
        if entry.sequence != sequence + 1 {
            return Err(format!(
                "entry {} was found where entry {} was expected",
                entry.sequence,
                sequence + 1
            ));
        }
        if entry.previous_sha256 != last.to_string() {
            return Err("it does not follow from the entry before".to_string());
        }
        self.head = Head { sequence: sequence + 1, entry: Digest::of(line) };
        Ok(entry)
    }
}

/// Whether a last line without its end is a whole entry with something behind it. Nobody writes that: an entry is on the disk
/// before its end is written. Zeros are what a loss of power leaves of an end that was not forced to the disk.
fn has_another_end(line: &[u8]) -> bool {
    line.split_last()
        .is_some_and(|(end, entry)| *end != 0 && serde_json::from_slice::<LogEntry>(entry).is_ok())
}

/// All entries of a log, which follow from each other.
#[derive(Debug, Default)]
pub struct LogChain {
    /// The entries.
    pub entries: Vec<LogEntry>,
    /// Bytes of an incomplete last line: nobody was told that it was written.
    pub incomplete_bytes: u64,
    digests: Vec<Digest>,
}

impl LogChain {
    /// Reads a log or a copy of it.
    ///
    /// # Errors
    /// If it cannot be read, or an entry does not follow from the one before.
    pub fn read(path: &Path) -> Result<Self, AuditError> {
        let file = File::open(path).map_err(|reason| AuditError::file("read", path, reason))?;
        let mut chain = Self::default();
        let Self { entries, digests, .. } = &mut chain;
        let read = Links { head: Head::EMPTY }.read(BufReader::new(file), path, &mut |entry, digest| {
            entries.push(entry);
            digests.push(digest);
        })?;
        chain.incomplete_bytes = read.incomplete;
        Ok(chain)
    }

    /// The head.
    pub fn head(&self) -> Head {
        match self.digests.last() {
            Some(entry) => Head { sequence: self.digests.len() as u64, entry: *entry },
            None => Head::EMPTY,
        }
    }

    /// Whose log it is, as its first entry says.
    pub fn side(&self) -> Option<String> {
        match self.entries.first()?.event()? {
            AuditEvent::Opened { side, .. } => Some(side),
            _ => None,
        }
    }

    /// Compares with `kept`, heads of this log that a peer kept; the largest number of entries that they vouch for.
    ///
    /// # Errors
    /// If a head is of another side's log, of more entries than the log has, or of other ones.
    pub fn compare(&self, kept: &[KeptHead]) -> Result<u64, AuditError> {
        let mut kept: Vec<&KeptHead> = kept.iter().collect();
        kept.sort_by_key(|head| head.sequence);
        let mut vouched = 0;
        for head in kept {
            if let Some(side) = self.side().filter(|side| *side != head.side) {
                let [side, of_head] = [&side, &head.side].map(|word| one_line(word, WORD_BYTES));
                let text = format!(
                    "the log is that of {side}, the head that of {of_head}: compare the log of one side with heads of the same side"
                );
                return Err(AuditError::Differs(text));
            }
            if head.sequence == 0 {
                continue;
            }
            let told = format!(
                "the head with {} that was sent in run {} ({})",
                counted(head.sequence, "entry"),
                head.run,
                one_line(&head.time, WORD_BYTES)
            );
            let Some(found) = self.digests.get(head.sequence as usize - 1) else {
                let text = format!(
                    "the log was truncated or restarted: it has {}, but {told} covers more{}",
                    counted(self.digests.len(), "entry"),
                    self.or_another(head)
                );
                return Err(AuditError::Differs(text));
            };
            if found.to_string() != head.entry_sha256 {
                let text = format!(
                    "the log was changed or rewritten: at least one of the entries {} to {} differs from what {told} \
                     covers{}",
                    vouched + 1,
                    head.sequence,
                    self.or_another(head)
                );
                return Err(AuditError::Differs(text));
            }
            vouched = head.sequence;
        }
        Ok(vouched)
    }

    /// What else it may be where `head` does not fit: a coordinator may have a log for each run.
    fn or_another(&self, head: &KeptHead) -> &'static str {
        let is_named = self.entries.iter().any(|entry| entry.run.as_deref() == Some(head.run.as_str()));
        match head.side == Side::Coordinator.file_stem() && !is_named {
            true => {
                ". It has no entry of that run: if that run had another log, compare the heads of one run at a \
                 time (--run)"
            }
            false => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::text::is_plain;
    use serde_json::json;

    use super::*;

    #[test]
    fn no_word_of_another_sides_log_ends_or_changes_its_line() {
        let forged = "2026\n     8  2027  spring  run finished\u{1b}[2J\u{202e}";
        let entry = |event: serde_json::Value| LogEntry {
            sequence: 7,
            previous_sha256: String::new(),
            time: forged.to_string(),
            run: Some(forged.to_string()),
            event,
        };
        let approved = json!({"kind": "approved", "settings_sha256": "00", "by": forged});
        for event in [approved, json!({"kind": forged})] {
            let entry = entry(event);
            let line = entry.line();
            assert!(line.starts_with("     7  2026 ") && line.chars().all(is_plain), "{line}");
        }
        assert!(entry(json!({"kind": "x".repeat(100_000)})).line().len() <= LINE_BYTES);
    }
}
