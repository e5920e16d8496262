//! `party encode`: codes of records by the trained model, into a file.

use std::path::Path;

use anyhow::{Context, ensure};
use hashvfl_audit::{AuditEvent, Release};
use hashvfl_core::codes::randomised_response::Place;
use hashvfl_core::protocol::serving_party::granted;
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::records::record_keys::Places;
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::{CodeTable, Part, Plan, RunRow, StoredCodes, TableRow};
use hashvfl_files::{read_whole, say, write_whole};
use hashvfl_ledger::RowBlock;
use tracing::{info, warn};

use crate::config::PartyConfig;
use crate::noise::AskedRecords;
use crate::prepare::Prepared;
use crate::releases::Releases;
use crate::{leakage, state};

/// Encodes a part of the run's records and writes a codes file. Records are found in today's table by the ids that the
/// run keeps; those that were left out of the run or erased since are not encoded.
pub fn encode(config: &PartyConfig, part: Part, out: &Path) -> anyhow::Result<()> {
    if out.exists() {
        let is_ours = read_whole(out).is_ok_and(|bytes| StoredCodes::from_bytes(&bytes).is_ok());
        ensure!(
            is_ours,
            "{} is there already and holds no codes: name another file with --out",
            out.display()
        );
    }
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
    let plan = plan.context("without the records that were left out or erased")?;
    let all: Vec<RunRow> = plan.part(part).iter().copied().map(RunRow::new).collect();
    let encoder = prepared.digest();
    let mut releases = Releases::open_to_encode(config, &prepared)?;
    leakage::check_frozen("codes", &prepared, &mut releases)?;
    let audit = releases.audit_trail(config)?;
    let wanted = all.len();
    let rows = match config.run.on_refusal {
        OnRefusal::End => all,
        OnRefusal::LeaveOut => without_refused(all, &places, &prepared, &releases)?,
    };
    let withheld = wanted - rows.len();
    let in_table = numbers(&places.of(&rows));
    releases.reserve(&in_table, RowBlock::once(&in_table))?;
    let mut table = CodeTable::new(records.count(), config.code_form().bits());
    for (chunk, rows) in (0..).zip(rows.chunks(CHUNK_ROWS)) {
        let place = Place::File { run: &config.run_id, part, chunk };
        let asked = AskedRecords { place, rows: &numbers(&places.of(rows)) };
        let of_run: Vec<u32> = rows.iter().map(|row| row.number()).collect();
        table.put(&of_run, &releases.answer(&prepared, &asked, None)?.codes);
    }
    write_whole(out, &StoredCodes { encoder, records: records.digest(), table }.to_bytes())?;
    releases.settle()?;
    audit.note(AuditEvent::Released(Release {
        from: config.name.to_string(),
        to: "file".to_string(),
        what: "codes".to_string(),
        records: rows.len() as u64,
        bits: (rows.len() * config.code_form().bits()) as u64,
        withheld: withheld as u64,
    }))?;
    audit.note_counted(releases.counted());
    say!(
        "{} records encoded into {}: this file holds codes, hand it to nobody but the coordinator",
        rows.len(),
        out.display()
    );
    Ok(())
}

fn numbers(rows: &[TableRow]) -> Vec<u32> {
    rows.iter().map(|row| row.number()).collect()
}

/// Those of `rows` that the policy allows a code of.
fn without_refused(
    mut rows: Vec<RunRow>,
    places: &Places<RunRow>,
    prepared: &Prepared,
    releases: &Releases,
) -> anyhow::Result<Vec<RunRow>> {
    let refused = releases.refused(prepared, &numbers(&places.of(&rows)))?;
    if let Some(refusal) = &refused.refusal {
        warn!("{refusal}: they are left out");
    }
    rows.retain(granted(&refused.positions));
    Ok(rows)
}
