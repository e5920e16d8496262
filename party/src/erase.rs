//! Erasing: what a party's transcript holds of some records, and transcripts that are older than they may be.

use std::path::Path;
use std::time::SystemTime;

use anyhow::ensure;
use hashvfl_core::CanonicalId;
use hashvfl_data::read_rows;
use hashvfl_ledger::{RedbStore, forget_answers};
use tracing::info;

use crate::config::PartyConfig;

/// Erases the transcript's rows of the records that the file `list` names, and what the ledger keeps to be sent again of
/// them. Their totals in the ledger stay, since what has left has left.
pub fn erase(config: &PartyConfig, list: &Path) -> anyhow::Result<()> {
    let ids = hashvfl_data::load(&config.columns)?.ids;
    let mut rows = read_rows(list, &ids)?;
    rows.sort_unstable();
    rows.dedup();
    let key_columns = config.columns.ids().key_columns();
    let named: Vec<CanonicalId> =
        rows.iter().map(|row| CanonicalId::of(&ids[*row as usize], key_columns)).collect();
    forget_kept_answers(config, &named)?;
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

/// Forgets what the ledger keeps to be sent again of the records `ids`. Their totals stay.
fn forget_kept_answers(config: &PartyConfig, ids: &[CanonicalId]) -> anyhow::Result<()> {
    if config.ledger.exists() {
        let answers = forget_answers(&mut RedbStore::open(&config.ledger)?, ids)?;
        println!("{answers} answers that were kept to be sent again are forgotten");
    }
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
