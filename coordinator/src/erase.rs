//! Erasing: what the coordinator keeps of some records, and transcripts that are older than they may be.

use std::path::Path;
use std::time::SystemTime;

use hashvfl_data::read_rows;
use hashvfl_learning::snapshot::write_whole;
use tracing::info;

use crate::config::CoordinatorConfig;
use crate::labels;
use crate::screen;
use crate::state::{StateFolder, read_codes};

/// Erases the codes and the transcript's rows of the records that the file `list` names. Their totals in the ledger
/// stay, since what has left has left.
pub fn erase(config: &CoordinatorConfig, list: &Path) -> anyhow::Result<()> {
    let ids = labels::load(config)?.ids;
    let mut rows = read_rows(list, &ids)?;
    rows.sort_unstable();
    rows.dedup();
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
    println!("{} records: {codes} codes erased; the ledger keeps its totals", rows.len());
    screen::erase(&state.screened(), &rows.iter().map(|row| ids[*row as usize].as_str()).collect())?;
    let transcript = state.transcript();
    if transcript.exists() {
        let erased = hashvfl_transcript::erase(&transcript, &|record| rows.binary_search(&record).is_ok())?;
        println!("{} rows of the transcript erased; its head is now {}", erased.rows, erased.head);
    }
    Ok(())
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
