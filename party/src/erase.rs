//! Erasing: what a party keeps of some records, and transcripts that are older than they may be.
//!
//! Records are found by the ids that the run keeps, never in today's table: it may be sorted otherwise, or lack the
//! record that asks to be erased.

use std::path::Path;
use std::time::SystemTime;

use anyhow::ensure;
use hashvfl_data::{Names, read_found};
use tracing::info;

use crate::config::PartyConfig;
use crate::state;

/// Erases the transcript's rows of the records that the file `list` names. Their totals in the ledger stay, since
/// what has left has left. Who is killed on the way repeats the command.
///
/// # Errors
/// If a record is not found, or the transcript is about other records: nothing is erased then.
pub fn erase(config: &PartyConfig, list: &Path) -> anyhow::Result<()> {
    let mut records = state::read_records(config)?;
    let names = Names::read(config.order.as_deref())?;
    let mut rows = read_found(list, |id| records.row(names.agreed(id)))?;
    rows.sort_unstable();
    rows.dedup();
    let transcript = config.transcript_path();
    ensure!(transcript.exists(), "{} is not there: nothing is kept of any record", transcript.display());
    let erased = hashvfl_transcript::erase(&transcript, records.digest(), &rows)?;
    records.erase(&rows);
    state::keep_records(config, &records)?;
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
