//! Erasing: what the coordinator keeps of some records, and transcripts that are older than they may be.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use hashvfl_data::read_found;
use hashvfl_files::write_whole;
use tracing::info;

use crate::config::CoordinatorConfig;
use crate::labels;
use crate::serving::{KnownCodes, RecordIndex};
use crate::state::{StateFolder, read_codes};
use crate::training::screening;

/// Erases the codes and the transcript's rows of the records that the file `list` names. Their totals in the ledger
/// stay, since what has left has left.
pub fn erase(config: &CoordinatorConfig, list: &Path) -> anyhow::Result<()> {
    let ids = labels::load(config)?.ids;
    let (trained, served) = (RecordIndex::of(&ids)?, RecordIndex::served(config)?);
    let found = read_found(list, |id| match (trained.row(id), served.row(id)) {
        (None, None) => None,
        rows => Some(rows),
    })?;
    let distinct = |mut rows: Vec<u32>| {
        rows.sort_unstable();
        rows.dedup();
        rows
    };
    let rows = distinct(found.iter().filter_map(|rows| rows.0).collect());
    let served_rows = distinct(found.iter().filter_map(|rows| rows.1).collect());
    let state = StateFolder::existing(&config.state);
    let mut codes = 0;
    for path in state.all_codes()? {
        let mut stored = read_codes(&path)?;
        let known = stored.table.forget(&rows);
        if known > 0 {
            write_whole(&path, &stored.to_bytes())?;
        }
        codes += known;
    }
    let served_codes = erase_served(config, &state, &served, &served_rows)?;
    println!("{} records: {codes} codes erased; the ledger keeps its totals", rows.len());
    println!("{} served records: {served_codes} codes erased", served_rows.len());
    screening::erase(&state.screened(), &rows.iter().map(|row| ids[*row as usize].as_str()).collect())?;
    let transcript = state.transcript();
    if transcript.exists() {
        let erased = hashvfl_transcript::erase(&transcript, &|record| rows.binary_search(&record).is_ok())?;
        println!("{} rows of the transcript erased; its head is now {}", erased.rows, erased.head);
    }
    Ok(())
}

/// Erases what is known of the served records `rows`. Codes of records that are served no more cannot be told apart by
/// id: those files are removed.
fn erase_served(
    config: &CoordinatorConfig,
    state: &StateFolder,
    served: &RecordIndex,
    rows: &[u32],
) -> anyhow::Result<usize> {
    let current = format!(".{}.served", served.digest().short());
    let mut codes = 0;
    for path in state.all_served()? {
        if !path.to_string_lossy().ends_with(&current) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            continue;
        }
        let mut known = KnownCodes::load(path, served.records(), config.run.bits);
        codes += known.forget(rows);
        known.changes().map_or(Ok(()), |changes| changes.try_write())?;
    }
    Ok(codes)
}

/// Removes the transcript if it is older than `transcript_days`.
pub fn expire(config: &CoordinatorConfig) -> anyhow::Result<()> {
    let transcript = StateFolder::existing(&config.state).transcript();
    if let Some(days) = config.transcript_days
        && hashvfl_transcript::expire(&transcript, days, SystemTime::now())?
    {
        info!("the transcript was older than transcript_days = {days} and has been removed");
    }
    Ok(())
}
