//! `party encode`: codes of records by the trained model, into a file.

use std::path::Path;

use hashvfl_core::protocol::serving_party::granted;
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::{CodeTable, PackedCodes, Part, StoredCodes};
use hashvfl_files::write_whole;
use tracing::warn;

use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::releases::Releases;

/// Encodes a part of the records and writes a codes file.
pub fn encode(config: &PartyConfig, part: Part, out: &Path) -> anyhow::Result<()> {
    let prepared = Prepared::load_trained(config, &config.read_model()?)?;
    let mut table = CodeTable::new(prepared.ids.len(), config.run.bits);
    let all = prepared.plan.part(part);
    let encoder = prepared.digest();
    let mut releases = Releases::open(config, &prepared)?;
    releases.freeze(encoder);
    let rows = match config.run.on_refusal {
        OnRefusal::End => all.to_vec(),
        OnRefusal::LeaveOut => without_refused(all, &releases),
    };
    releases.reserve(&rows, (&rows, 1))?;
    for chunk in rows.chunks(hashvfl_core::records::plan::CHUNK_ROWS) {
        let columns = prepared.columns.gather(chunk)?;
        let values = prepared.encoder.encode(columns, chunk.len());
        let codes = PackedCodes::pack(&values, config.run.bits)?;
        releases.release(chunk, &codes)?;
        table.put(chunk, &codes);
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
fn without_refused(rows: &[u32], releases: &Releases) -> Vec<u32> {
    let refused = releases.refused(rows);
    if let Some(refusal) = &refused.refusal {
        warn!("{refusal}: they are left out");
    }
    let mut kept = rows.to_vec();
    kept.retain(granted(&refused.positions));
    kept
}
