//! Erasing: what a party keeps of some records, and transcripts that are older than they may be.
//!
//! Records of the run are found by the ids that it kept, never in today's table: it may be sorted otherwise, or lack the
//! record that asks to be erased. Records of a table that is served are found there by id.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::Context;
use hashvfl_cli::transcripts;
use hashvfl_core::text::counted;
use hashvfl_core::{CanonicalId, RunRow};
use hashvfl_data::{RecordNames, TableError, read_found};
use hashvfl_files::say;
use hashvfl_ledger::{RedbStore, forget_answers};

use crate::config::PartyConfig;
use crate::leakage::KeptReleases;
use crate::state;

/// Removes a transcript that is too old, and erases what is kept of the records that the file `ids` names, if there is one.
///
/// # Errors
/// If a record is not found, a file is about other records, or a transcript cannot be looked at or removed.
pub fn run(config: &PartyConfig, ids: Option<&Path>) -> anyhow::Result<()> {
    expire(config)?;
    match ids {
        Some(list) => erase(config, list),
        None => {
            transcripts::tell_nothing_asked(config.transcript_days);
            Ok(())
        }
    }
}

/// Erases what is kept of the records that the file `list` names: the transcript's rows, what left of them in training where
/// later codes are checked with it, and answers that the ledger keeps to be sent again. Their totals in the ledger stay, since
/// what has left has left. Who is killed on the way repeats the command.
///
/// # Errors
/// If a record is not found, or the transcript is about other records: nothing is erased then.
fn erase(config: &PartyConfig, list: &Path) -> anyhow::Result<()> {
    let audit = config.audit_trail()?;
    let request = fs::read(list).with_context(|| format!("cannot read {}", list.display()))?;
    let mut counts = BTreeMap::new();
    let mut records = state::read_records(config)?;
    let names = RecordNames::read(config.order.as_deref())?;
    let key_columns = config.columns.ids().key_columns();
    let mut ledger = config.ledger.exists().then(|| RedbStore::open(&config.ledger)).transpose()?;
    let served = served_ids(config)?;
    let found = read_found(list, |id| {
        let agreed = names.agreed(id);
        // Answers are kept by canonical id, rows of the run by the id as it is: a record that is written otherwise than in
        // the run is refused, so that its rows do not stay behind unseen.
        let row = records.row(agreed);
        (row.is_some() || served.contains(id)).then(|| (row, CanonicalId::of(agreed, key_columns)))
    })?;
    let mut rows: Vec<RunRow> = found.iter().filter_map(|(row, _)| *row).collect();
    rows.sort_unstable();
    rows.dedup();
    let transcript = config.transcript_path();
    if transcript.exists() {
        let erased = hashvfl_transcript::erase(&transcript, records.digest(), &rows)?;
        counts.insert("rows of the transcript".to_string(), erased.rows as u64);
        say!(
            "{}: erased {} of the transcript, whose head is now {}; the ledger keeps its totals",
            counted(rows.len(), "record"),
            counted(erased.rows, "row"),
            erased.head
        );
    }
    let forgotten = forget_released(config, &rows)?;
    if let Some(forgotten) = forgotten {
        counts.insert("records by which later codes are checked".to_string(), forgotten);
    }
    let named: Vec<CanonicalId> = found.into_iter().map(|(_, canonical)| canonical).collect();
    let answers = ledger.as_mut().map_or(Ok(0), |ledger| forget_answers(ledger, &named))?;
    counts.insert("answers kept to be sent again".to_string(), answers);
    counts.insert("records named".to_string(), named.len() as u64);
    if answers > 0 {
        say!("erased {} kept to be sent again", counted(answers, "answer"));
    }
    if !transcript.exists() && answers == 0 && forgotten.is_none_or(|forgotten| forgotten == 0) {
        say!("{} does not exist: nothing else is kept about these records", transcript.display());
    }
    transcripts::tell_unfinished(&transcript);
    records.erase(&rows);
    state::keep_records(config, &records)?;
    if let Some(receipt) = audit.erased(&request, counts)? {
        say!("the receipt is {}", receipt.display());
    }
    Ok(())
}

/// Forgets what left of the records of `rows` in training, where it is kept; of how many it was.
fn forget_released(config: &PartyConfig, rows: &[RunRow]) -> anyhow::Result<Option<u64>> {
    let path = config.released_path();
    if !path.exists() {
        return Ok(None);
    }
    let mut released = KeptReleases::read(&path)?;
    let forgotten = released.forget(&rows.iter().copied().collect());
    if forgotten > 0 {
        released.write(&path)?;
        let records = counted(forgotten, "record");
        say!("forgot the codes sent of {records} in training, by which later codes are checked");
    }
    Ok(Some(forgotten as u64))
}

/// The ids of records that are served from a table of their own.
fn served_ids(config: &PartyConfig) -> anyhow::Result<HashSet<String>> {
    let mut ids = HashSet::new();
    if let Some(columns) = &config.serve.columns {
        // A record without an id is none that somebody can ask to erase.
        columns.ids().visit_each(|id| {
            ids.extend(id.map(str::to_string));
            Ok::<(), TableError>(())
        })?;
    }
    Ok(ids)
}

/// Removes the transcript if it is older than `transcript_days`, and what an unfinished run has kept of one.
pub fn expire(config: &PartyConfig) -> anyhow::Result<()> {
    transcripts::expire(&config.transcript_path(), &config.state, config.transcript_days)
}
