//! `party encode`: codes of records by the trained model, into a file.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, ensure};
use hashvfl_audit::{AuditEvent, ReleaseTotals};
use hashvfl_cli::Unfinished;
use hashvfl_core::codes::randomised_response::RequestPlace;
use hashvfl_core::protocol::serving_party::granted;
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::records::record_keys::RowMapping;
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::text::counted;
use hashvfl_core::{CodeTable, Part, Plan, RunRow, StoredCodes, TableRow};
use hashvfl_files::{check_file, read_whole, say, write_whole};
use hashvfl_ledger::RowBlock;
use hashvfl_transport::stop::{Stop, Stopped};
use tracing::{info, warn};

use crate::config::PartyConfig;
use crate::leakage::{FrozenModel, KeptReleases};
use crate::noise::AskedRecords;
use crate::prepare::Prepared;
use crate::releases::ReleaseLedger;
use crate::state;

/// Encodes a part of the run's records and writes a codes file. Records are found in today's table by the ids that the
/// run keeps; those that were left out of the run or erased since are not encoded.
pub fn encode(config: &PartyConfig, part: Part, out: &Path) -> anyhow::Result<()> {
    if out.exists() {
        let is_ours = read_whole(out).is_ok_and(|bytes| StoredCodes::from_bytes(&bytes).is_ok());
        ensure!(
            is_ours,
            "{} already exists and is not a file of codes: choose another file with --out",
            out.display()
        );
    }
    // Before anything is charged.
    check_file(out)?;
    let (model, records) = (config.read_model()?, state::read_records(config)?);
    ensure!(
        model.text.get("records_sha256") == Some(&records.digest().to_string()),
        "{} and {} are not of one run: restore both from one backup",
        config.model_path().display(),
        config.records_path().display()
    );
    let prepared = Prepared::load_trained(config, &model)?;
    info!("read: {}", prepared.reading(&config.trained_on())?);
    let ids = prepared.ids.iter().map(|id| Some(id.as_str()));
    let places = records.places(ids).context("[columns]")?;
    let plan = Plan::new(&config.run, records.count())?.without(&records.gone());
    let plan = plan.context("without the records that were excluded or erased")?;
    let all: Vec<RunRow> = plan.part(part).iter().copied().map(RunRow::new).collect();
    let encoder = prepared.digest();
    let mut releases = ReleaseLedger::open_to_encode(config, &prepared)?;
    let frozen = FrozenModel { trained: &prepared, scorer: None };
    frozen.check("codes", &mut releases)?;
    if let Some(kept) = KeptReleases::of_model(config, &model, &releases)? {
        let asked: HashSet<RunRow> = all.iter().copied().collect();
        kept.check(&frozen, &records, &asked, config, &mut releases)?;
    }
    let audit = releases.audit_trail(config)?;
    let wanted = all.len();
    let rows = match config.run.on_refusal {
        OnRefusal::End => all,
        OnRefusal::LeaveOut => without_refused(all, &places, &prepared, &releases)?,
    };
    let withheld = wanted - rows.len();
    let in_table = numbers(&places.of(&rows));
    let stop = Stop::listen();
    releases.reserve(&in_table, RowBlock::once(&in_table))?;
    let mut table = CodeTable::new(records.count(), config.code_form().bits());
    let encoded = chunk_by_chunk(&rows, &|| stop.is_asked(), &mut |chunk, rows| {
        let place = RequestPlace::File { run: &config.run_id, part, chunk };
        let asked = AskedRecords { place, rows: &numbers(&places.of(rows)) };
        let of_run: Vec<u32> = rows.iter().map(|row| row.number()).collect();
        table.put(&of_run, &releases.answer(&prepared, &asked, None)?.codes);
        Ok(())
    });
    let stored = StoredCodes { encoder, records: records.digest(), table };
    let written = encoded.and_then(|()| Ok(write_whole(out, &stored.to_bytes())?));
    // However it ended: what was not encoded is given back, and what was is free the next time.
    releases.settle()?;
    if written.is_err() {
        audit.note_counted(releases.counted());
    }
    written?;
    audit.note(AuditEvent::Released(ReleaseTotals {
        from: config.name.to_string(),
        to: "file".to_string(),
        what: "codes".to_string(),
        records: rows.len() as u64,
        bits: (rows.len() * config.code_form().bits()) as u64,
        withheld: withheld as u64,
    }))?;
    audit.note_counted(releases.counted());
    say!(
        "wrote the codes of {} to {}: give this file to the coordinator only",
        counted(rows.len(), "record"),
        out.display()
    );
    Ok(())
}

/// Hands `rows` to `each`, one chunk after the other with its number, until this process is asked to end.
///
/// # Errors
/// If it is, or `each` fails.
fn chunk_by_chunk(
    rows: &[RunRow],
    is_asked: &dyn Fn() -> bool,
    each: &mut dyn FnMut(u32, &[RunRow]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for (chunk, rows) in (0..).zip(rows.chunks(CHUNK_ROWS)) {
        if is_asked() {
            let what =
                "no codes are written; what was encoded is free when the same command is started again";
            return Err(anyhow::Error::from(Stopped).context(Unfinished::AskedToEnd(what)));
        }
        each(chunk, rows)?;
    }
    Ok(())
}

fn numbers(rows: &[TableRow]) -> Vec<u32> {
    rows.iter().map(|row| row.number()).collect()
}

/// Those of `rows` that the policy allows a code of.
fn without_refused(
    mut rows: Vec<RunRow>,
    places: &RowMapping<RunRow>,
    prepared: &Prepared,
    releases: &ReleaseLedger,
) -> anyhow::Result<Vec<RunRow>> {
    let refused = releases.refused(prepared, &numbers(&places.of(&rows)))?;
    if let Some(refusal) = &refused.refusal {
        warn!("{refusal}: these records are excluded");
    }
    rows.retain(granted(&refused.positions));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn whoever_is_asked_to_end_does_so_between_two_chunks() {
        let rows: Vec<RunRow> = (0..3 * CHUNK_ROWS as u32).map(RunRow::new).collect();
        let encoded = Cell::new(0);
        let mut each = |_: u32, rows: &[RunRow]| -> anyhow::Result<()> {
            encoded.set(encoded.get() + rows.len());
            Ok(())
        };
        chunk_by_chunk(&rows, &|| false, &mut each).unwrap();
        assert_eq!(encoded.replace(0), 3 * CHUNK_ROWS);
        let error = chunk_by_chunk(&rows, &|| encoded.get() > CHUNK_ROWS, &mut each).unwrap_err();
        assert_eq!(encoded.get(), 2 * CHUNK_ROWS);
        assert!(matches!(error.downcast_ref(), Some(Unfinished::AskedToEnd(_))), "exit code 130: {error:#}");
        assert!(error.to_string().contains("when the same command is started again"), "{error:#}");
    }
}
