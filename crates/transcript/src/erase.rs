//! Erasing: a transcript without some records.

use std::collections::BTreeSet;
use std::path::Path;

use hashvfl_core::{Digest, PartyName, RunRow};

use crate::header::Erasure;
use crate::read::{Recording, Step};
use crate::{Transcript, TranscriptError};

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Rows: one per record, party and step.
    pub rows: usize,
    /// The head of the chain of what is left.
    pub head: Digest,
}

/// Erases every row about the `rows` of the run, in place, from the transcript of the run whose records have the digest
/// `records`. What is left is a transcript with a chain of its own, whose header names the head of the one before.
///
/// # Errors
/// If the transcript is refused, is about other records or cannot be written; it stays as it was then.
pub fn erase(path: &Path, records: Digest, rows: &[RunRow]) -> Result<Erased, TranscriptError> {
    let Recording { mut header, head, steps } = Recording::read(path, None)?;
    if !header.is_about(records) {
        return Err(TranscriptError::OtherRecords { path: path.to_path_buf() });
    }
    let gone: BTreeSet<u32> = rows.iter().map(|row| row.number()).collect();
    let rows = steps.iter().map(|step| rows_about(step, &gone)).sum();
    if rows == 0 {
        return Ok(Erased { rows, head });
    }
    header.erasures.push(Erasure { head: head.to_string(), rows: rows as u64 });
    let mut left = Transcript::create(path, &header)?;
    for step in steps {
        let keep: Vec<bool> = step.records.iter().map(|record| !gone.contains(record)).collect();
        let records = kept(&step.records, 1, &keep);
        if records.is_empty() {
            continue;
        }
        let (mut parties, mut batches) = (Vec::new(), Vec::new());
        for (party, bytes) in &step.values {
            parties.push(PartyName::new(party).map_err(|error| TranscriptError::format(path, error))?);
            batches.push(kept(bytes, bytes.len() / step.records.len(), &keep));
        }
        left.keep(step.recorded(), &records, step.encoding, &parties, batches)?;
    }
    let head = left.head();
    left.finish()?;
    Ok(Erased { rows, head })
}

/// Rows of a step about the records that are `gone`.
fn rows_about(step: &Step, gone: &BTreeSet<u32>) -> usize {
    step.records.iter().filter(|record| gone.contains(record)).count() * step.values.len()
}

/// Those of `values`, `width` a record, whose record is kept.
fn kept<T: Clone>(values: &[T], width: usize, keep: &[bool]) -> Vec<T> {
    let records = values.chunks_exact(width.max(1)).zip(keep);
    records.filter(|(_, keep)| **keep).flat_map(|(values, _)| values.iter().cloned()).collect()
}
