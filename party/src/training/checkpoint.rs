//! A party's checkpoints from which a run goes on: all that its process knows between two batches.

use anyhow::Context;
use hashvfl_core::Digest;
use hashvfl_core::protocol::message::CheckpointId;
use hashvfl_core::protocol::party::{PartyError, SavedPlace};
use hashvfl_learning::Snapshot;
use hashvfl_learning::training::checkpoints::{self, CheckpointFile};
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
    /// Names the gradient that had come since the last answer, where one had.
    #[serde(default)]
    pub gradient_sha256: Option<String>,
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

/// A checkpoint from which a run can go on, as it was read.
pub struct UsableCheckpoint {
    /// Its name at all sides.
    pub id: CheckpointId,
    step: u64,
    encoder: Snapshot,
    saved: SavedParty,
}

/// The one of `offered` that is called `id`; what was written after it goes.
///
/// # Errors
/// If it is none of them: a coordinator that names another is not to be followed.
pub fn take(
    state: &StateFolder,
    id: CheckpointId,
    offered: Vec<UsableCheckpoint>,
) -> Result<(Snapshot, SavedParty), PartyError> {
    let found = offered.into_iter().find(|found| found.id == id).ok_or(PartyError::OtherPlace)?;
    checkpoints::forget_later(state.folder(), Some(found.step));
    Ok((found.encoder, found.saved))
}

/// The checkpoints from which the run of that name can go on. One that is damaged is passed over, with a warning.
pub fn usable(state: &StateFolder, run: &Digest) -> Vec<UsableCheckpoint> {
    let mut usable = Vec::new();
    for CheckpointFile { step, id, path } in checkpoints::list(state.folder()) {
        match Snapshot::read(&path) {
            Ok(mut encoder) => match saved_in(&mut encoder, run) {
                Some(saved) => usable.push(UsableCheckpoint { id, step, encoder, saved }),
                None => warn!("{} is a checkpoint of another run, and is not used", path.display()),
            },
            Err(error) => warn!("{error}: the run continues from an earlier checkpoint"),
        }
    }
    usable
}

/// What `snapshot` holds beside the encoder, where it is of that run; it is taken out.
fn saved_in(snapshot: &mut Snapshot, run: &Digest) -> Option<SavedParty> {
    let saved: SavedParty = serde_json::from_str(&snapshot.text.remove(KEY)?).ok()?;
    (saved.run == run.to_string()).then_some(saved)
}
