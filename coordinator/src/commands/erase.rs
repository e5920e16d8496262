//! Erasing: what the coordinator keeps of some records, and transcripts that are older than they may be.
//!
//! Records are found by the ids that the run and known codes keep, never in today's tables: these may be sorted
//! otherwise, or lack the record that asks to be erased.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use hashvfl_cli::transcripts;
use hashvfl_core::text::counted;
use hashvfl_core::{RunRecords, RunRow, ServedRow};
use hashvfl_data::{RecordNames, read_found};
use hashvfl_files::{say, write_whole};

use crate::config::CoordinatorConfig;
use crate::serving::KnownCodes;
use crate::state::{StateFolder, read_codes};
use crate::training::screening;

/// Where one listed record is.
struct RecordMatch {
    id: String,
    trained: Option<RunRow>,
    /// Of each file of known codes that has it: which file, and the row there.
    served: Vec<(usize, ServedRow)>,
}

/// Removes a transcript that is too old, and erases what is kept of the records that the file `ids` names, if there is one.
///
/// # Errors
/// If a record is not found, a file is about other records, or a transcript cannot be looked at or removed.
pub fn run(config: &CoordinatorConfig, ids: Option<&Path>) -> anyhow::Result<()> {
    expire(config)?;
    match ids {
        Some(list) => erase(config, list),
        None => {
            transcripts::tell_nothing_asked(config.transcript_days);
            Ok(())
        }
    }
}

/// Erases the codes and the transcript's rows of the records that the file `list` names. Their totals in the ledger
/// stay, since what has left has left. Who is killed on the way repeats the command.
///
/// # Errors
/// If a record is not found, a file cannot be told to be about these records, or another process works in the state folder,
/// such as one that serves and would write what it holds in memory once more: nothing is erased then.
fn erase(config: &CoordinatorConfig, list: &Path) -> anyhow::Result<()> {
    let state = StateFolder::alone(&config.state)?;
    let audit = config.audit_trail()?;
    let request = fs::read(list).with_context(|| format!("cannot read {}", list.display()))?;
    let mut counts = BTreeMap::new();
    let mut records = state.read_records()?;
    let mut known =
        state.all_served()?.into_iter().map(KnownCodes::open).collect::<anyhow::Result<Vec<_>>>()?;
    let found = find(config, list, &records, &known)?;
    let mut trained: Vec<RunRow> = found.iter().filter_map(|found| found.trained).collect();
    trained.sort_unstable();
    trained.dedup();

    let mut codes = Vec::new();
    for path in state.all_codes()? {
        let stored = read_codes(&path)?;
        ensure!(
            stored.records == records.digest(),
            "{} holds codes of other records than the run's: move it away",
            path.display()
        );
        codes.push((path, stored));
    }
    let transcript = state.transcript();
    if transcript.exists() {
        let erased = hashvfl_transcript::erase(&transcript, records.digest(), &trained)?;
        counts.insert("rows of the transcript".to_string(), erased.rows as u64);
        say!("{} of the transcript erased; its head is now {}", counted(erased.rows, "row"), erased.head);
    }
    transcripts::tell_unfinished(&transcript);
    let mut erased = 0;
    for (path, mut stored) in codes {
        let here = stored.erase(&trained);
        if here > 0 {
            write_whole(&path, &stored.to_bytes())?;
        }
        erased += here;
    }
    say!(
        "{} of the run: erased {}; the ledger keeps its totals",
        counted(trained.len(), "record"),
        counted(erased, "code")
    );
    counts.insert("codes of the run".to_string(), erased as u64);
    counts.insert("codes of served records".to_string(), erase_known(&mut known, &found)? as u64);
    counts.insert("records named".to_string(), found.len() as u64);
    let ids: HashSet<&str> = found.iter().map(|found| found.id.as_str()).collect();
    screening::erase(&state.screened(), &ids)?;
    records.erase(&trained);
    state.keep_records(&records)?;
    let of_detectors = [state.detectors(), state.references(), state.evidence()];
    for path in of_detectors.iter().filter(|path| path.exists()) {
        say!(
            "{} may hold codes or p-values of calibration records, without ids, so single records cannot be erased \
             from it: remove the file to erase them all",
            path.display()
        );
    }
    if let Some(receipt) = audit.erased(&request, counts)? {
        say!("the receipt is {}", receipt.display());
    }
    Ok(())
}

/// Finds every listed record, by the id that this side's table writes or the one that was agreed on.
fn find(
    config: &CoordinatorConfig,
    list: &Path,
    records: &RunRecords,
    known: &[KnownCodes],
) -> anyhow::Result<Vec<RecordMatch>> {
    let trained_names = RecordNames::read(config.order.as_deref())?;
    let served_names = RecordNames::read(config.serve.order.as_deref().or(config.order.as_deref()))?;
    Ok(read_found(list, |id| {
        let agreed = trained_names.agreed(id);
        let in_file = |(file, known): (usize, &KnownCodes)| Some((file, known.row(served_names.agreed(id))?));
        let trained = records.row(agreed);
        let served: Vec<(usize, ServedRow)> = known.iter().enumerate().filter_map(in_file).collect();
        let nowhere = trained.is_none() && served.is_empty();
        (!nowhere).then(|| RecordMatch { id: agreed.to_string(), trained, served })
    })?)
}

/// Erases what is known of served records; how many codes that was.
fn erase_known(known: &mut [KnownCodes], found: &[RecordMatch]) -> anyhow::Result<usize> {
    let mut erased = 0;
    for (file, known) in known.iter_mut().enumerate() {
        let here = found.iter().flat_map(|found| &found.served).filter(|(of, _)| *of == file);
        let rows: Vec<ServedRow> = here.map(|(_, row)| *row).collect();
        erased += known.erase(&rows);
        known.changes().map_or(Ok(()), |changes| changes.try_write())?;
    }
    let records = found.iter().filter(|found| !found.served.is_empty()).count();
    say!("{}: erased {}", counted(records, "served record"), counted(erased, "code"));
    Ok(erased)
}

/// Removes the transcript if it is older than `transcript_days`, and what an unfinished run has kept of one.
pub fn expire(config: &CoordinatorConfig) -> anyhow::Result<()> {
    transcripts::expire(
        &StateFolder::existing(&config.state).transcript(),
        &config.state,
        config.transcript_days,
    )
}
