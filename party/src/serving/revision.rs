//! Which revision of its columns a party serves: a random number, drawn anew whenever the records, their columns or the
//! detectors whose p-values are sent have changed. The coordinator keeps codes with it, so that it never answers from codes
//! of columns that have changed since. It learns nothing else from it.

use anyhow::Context;
use hashvfl_core::Digest;
use hashvfl_files::{read_whole, write_whole};
use rand::TryRng;
use serde::{Deserialize, Serialize};

use crate::config::PartyConfig;
use crate::detectors::AnomalyScorer;
use crate::prepare::Prepared;

/// The content of `serving.json` in the state folder: private, since the digest is one of columns.
#[derive(Serialize, Deserialize)]
struct Served {
    content_sha256: String,
    revision: String,
}

/// The revision of what `prepared` holds and `scorer` says of it: the last one if it is the same, else a new one, which is kept.
pub fn current(
    config: &PartyConfig,
    prepared: &Prepared,
    scorer: Option<&AnomalyScorer>,
) -> anyhow::Result<Digest> {
    let path = config.state.join("serving.json");
    let content = content(prepared)?;
    let content = scorer
        .map_or(content, |scorer| Digest::of_parts([content.0.as_slice(), &scorer.digest().0]))
        .to_string();
    let kept = read_whole(&path).ok().and_then(|bytes| serde_json::from_slice::<Served>(&bytes).ok());
    let same = kept.filter(|kept| kept.content_sha256 == content);
    if let Some(revision) = same.and_then(|kept| Digest::from_hex(&kept.revision)) {
        return Ok(revision);
    }
    let mut drawn = [0; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut drawn)
        .context("cannot draw a revision from the operating system")?;
    let revision = Digest(drawn);
    let served = Served { content_sha256: content, revision: revision.to_string() };
    write_whole(&path, &serde_json::to_vec(&served)?)?;
    Ok(revision)
}

fn content(prepared: &Prepared) -> anyhow::Result<Digest> {
    let ids: Vec<Digest> =
        prepared.ids.chunks(1 << 16).map(|ids| Digest::of_parts(ids.iter().map(String::as_bytes))).collect();
    let all: Vec<u32> = (0..prepared.columns.rows() as u32).collect();
    let mut values = Vec::new();
    for records in all.chunks(1 << 12) {
        let columns = prepared.columns.gather(records)?;
        values.push(Digest::of(&columns.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()));
    }
    Ok(Digest::of_parts(ids.iter().chain(&values).map(|digest| digest.0.as_slice())))
}
