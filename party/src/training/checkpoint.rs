//! A party's checkpoints from which a run goes on: all that its process knows between two batches.

use anyhow::Context;
use hashvfl_core::Digest;
use hashvfl_core::protocol::message::CheckpointId;
use hashvfl_core::protocol::party::{PartyError, SavedPlace};
use hashvfl_learning::Snapshot;
use hashvfl_learning::training::checkpoints;
use hashvfl_transcript::TranscriptMark;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::state::StateFolder;
use crate::training::gradient_monitor::GradientGuard;

/// The entry of a checkpoint's file that holds all but the encoder.
const KEY: &str = "party";

/// What a checkpoint holds beside the encoder.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedParty {
    /// Names the run, as [`run_name`].
    pub run: String,
    /// Where the run is.
    pub place: SavedPlace,
    /// The gradient monitor.
    pub guard: GradientGuard,
    /// Bits that had left in the run.
    pub released_bits: u64,
    /// How much of the transcript there was, where there is one.
    pub transcript: Option<TranscriptMark>,
}

/// Names a run as this party sees it: all that decides what it says, from its seed and columns to the program's version.
///
/// # Errors
/// If settings cannot be written as text.
pub fn run_name(config: &PartyConfig, prepared: &Prepared) -> anyhow::Result<Digest> {
    let own = serde_json::to_vec(&config.encoder).context("the encoder's settings")?;
    let mut hasher = vec![
        config.run_id.as_str().as_bytes().to_vec(),
        config.name.as_str().as_bytes().to_vec(),
        config.run.to_settings().digest().0.to_vec(),
        own,
        vec![u8::from(config.on_alarm.monitors()), u8::from(config.transcript)],
        prepared.learning_digest().0.to_vec(),
        env!("CARGO_PKG_VERSION").as_bytes().to_vec(),
    ];
    hasher.extend(prepared.ids.iter().map(|id| id.as_bytes().to_vec()));
    hasher.extend(prepared.contents.iter().map(|content| content.0.to_vec()));
    Ok(Digest::of_parts(hasher.iter().map(Vec::as_slice)))
}

/// Writes the checkpoint `id` of a party that is at `saved`.
///
/// # Errors
/// If the disk is full or fails.
pub fn write(
    state: &StateFolder,
    id: CheckpointId,
    mut encoder: Snapshot,
    step: u64,
    saved: &SavedParty,
) -> anyhow::Result<()> {
    encoder.text.insert(KEY.into(), serde_json::to_string(saved).context("the checkpoint")?);
    Ok(checkpoints::write(state.folder(), step, id, &encoder)?)
}

/// Reads the checkpoint `id` of the run of that name; what was written after it goes.
///
/// # Errors
/// If it is not there, damaged, or of another run.
pub fn take(state: &StateFolder, id: CheckpointId, run: &Digest) -> anyhow::Result<(Snapshot, SavedParty)> {
    let found = checkpoints::list(state.folder()).into_iter().find(|found| found.id == id);
    // A coordinator that names one that was not offered is not to be followed.
    let found = found.ok_or(PartyError::OtherPlace)?;
    let mut encoder = Snapshot::read(&found.path)?;
    let text = encoder.text.remove(KEY).unwrap_or_default();
    let saved: SavedParty = serde_json::from_str(&text).map_err(|_| PartyError::OtherPlace)?;
    if saved.run != run.to_string() {
        return Err(PartyError::OtherPlace.into());
    }
    checkpoints::forget_later(state.folder(), Some(found.step));
    Ok((encoder, saved))
}

/// The checkpoints from which the run of that name can go on. One that is damaged is passed over, with a warning.
pub fn usable(state: &StateFolder, run: &Digest) -> Vec<CheckpointId> {
    let mut usable = Vec::new();
    for found in checkpoints::list(state.folder()) {
        let path = found.path.display();
        match Snapshot::read(&found.path) {
            Ok(snapshot) if is_of(&snapshot, run) => usable.push(found.id),
            Ok(_) => warn!("{path} is a checkpoint of another run, and is not used"),
            Err(error) => warn!("{error}: the run goes on from an earlier checkpoint"),
        }
    }
    usable
}

fn is_of(snapshot: &Snapshot, run: &Digest) -> bool {
    let saved = snapshot.text.get(KEY).and_then(|text| serde_json::from_str::<SavedParty>(text).ok());
    saved.is_some_and(|saved| saved.run == run.to_string())
}
