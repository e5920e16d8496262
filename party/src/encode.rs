//! `party encode`: codes of records by the trained model, into a file.

use std::path::Path;

use hashvfl_core::inference::granted;
use hashvfl_core::plan::CHUNK_ROWS;
use hashvfl_core::response::Place;
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::{CodeTable, Part, StoredCodes};
use hashvfl_files::write_whole;
use tracing::warn;

use crate::config::PartyConfig;
use crate::noise::Asked;
use crate::prepare::Prepared;
use crate::releases::Releases;

/// Encodes a part of the records and writes a codes file.
pub fn encode(config: &PartyConfig, part: Part, out: &Path) -> anyhow::Result<()> {
    let prepared = Prepared::load_trained(config, &config.read_model()?)?;
    let mut table = CodeTable::new(prepared.ids.len(), config.run.bits);
    let all = prepared.plan.part(part);
    let encoder = prepared.digest();
    let mut releases = Releases::open_to_encode(config, &prepared)?;
    let rows = match config.run.on_refusal {
        OnRefusal::End => all.to_vec(),
        OnRefusal::LeaveOut => without_refused(all, &prepared, &releases)?,
    };
    releases.reserve(&rows, (&rows, 1))?;
    for (chunk, rows) in (0..).zip(rows.chunks(CHUNK_ROWS)) {
        let place = Place::File { run: &config.run_id, part, chunk };
        table.put(rows, &releases.answer(&prepared, &Asked { place, rows }, None)?.codes);
    }
    write_whole(out, &StoredCodes { encoder, table }.to_bytes())?;
    releases.settle()?;
    println!(
        "{} records encoded into {}: this file holds codes, hand it to nobody but the coordinator",
        rows.len(),
        out.display()
    );
    Ok(())
}

/// Those of `rows` that the policy allows a code of.
fn without_refused(rows: &[u32], prepared: &Prepared, releases: &Releases) -> anyhow::Result<Vec<u32>> {
    let refused = releases.refused(prepared, rows)?;
    if let Some(refusal) = &refused.refusal {
        warn!("{refusal}: they are left out");
    }
    let mut kept = rows.to_vec();
    kept.retain(granted(&refused.positions));
    Ok(kept)
}
