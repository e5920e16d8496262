//! Erasing: what a party's transcript holds of some records, and transcripts that are older than they may be.

use std::path::Path;
use std::time::SystemTime;

use anyhow::ensure;
use hashvfl_data::read_rows;
use tracing::info;

use crate::config::PartyConfig;

/// Erases the transcript's rows of the records that the file `list` names. Their totals in the ledger stay, since
/// what has left has left.
pub fn erase(config: &PartyConfig, list: &Path) -> anyhow::Result<()> {
    let ids = hashvfl_data::load(&config.columns)?.ids;
    let mut rows = read_rows(list, &ids)?;
    rows.sort_unstable();
    rows.dedup();
    let transcript = config.transcript_path();
    ensure!(transcript.exists(), "{} is not there: nothing is kept of any record", transcript.display());
    let erased = hashvfl_transcript::erase(&transcript, &|record| rows.binary_search(&record).is_ok())?;
    println!(
        "{} records: {} rows of the transcript erased, its head is now {}; the ledger keeps its totals",
        rows.len(),
        erased.rows,
        erased.head
    );
    Ok(())
}

/// Removes the transcript if it is older than `transcript_days`.
pub fn expire(config: &PartyConfig) -> anyhow::Result<()> {
    if let Some(days) = config.transcript_days
        && hashvfl_transcript::expire(&config.transcript_path(), days, SystemTime::now())?
    {
        info!("the transcript was older than transcript_days = {days} and has been removed");
    }
    Ok(())
}
