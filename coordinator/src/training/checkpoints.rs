//! The coordinator's checkpoints from which a run goes on, and which of them all sides have.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use hashvfl_core::Digest;
use hashvfl_core::protocol::message::CheckpointId;
use hashvfl_learning::Snapshot;
use hashvfl_learning::snapshot::SnapshotError;
use hashvfl_learning::training::checkpoints::{self, CheckpointFile};
use hashvfl_learning::training::saved::{SavedTraining, TrainingPlace};
use hashvfl_transcript::TranscriptMark;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::config::CoordinatorConfig;
use crate::state::StateFolder;
use crate::training::admission::Joined;
use crate::training::traffic::Traffic;

/// The entry of a checkpoint's file that holds all but top models.
const KEY: &str = "coordinator";
/// What names of arrays begin with: of the top model as it is, and of the best so far.
const NOW: &str = "now.";
const BEST: &str = "best.";

/// Where the exchange with the parties is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedNetwork {
    /// The last step.
    pub step: u64,
    /// Bytes so far.
    pub traffic: Traffic,
    /// Records whose codes each party has sent, each as often as it did.
    pub encoded: u64,
    /// Records whose gradients were sent to each party, likewise.
    pub taught: u64,
    /// Batches whose gradients were sent.
    pub batches: u64,
    /// Seconds from the run's first step, over all attempts so far.
    #[serde(default)]
    pub seconds: f64,
}

/// What a checkpoint holds beside top models.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    run: String,
    place: TrainingPlace,
    network: SavedNetwork,
    transcript: Option<TranscriptMark>,
    has_best: bool,
}

/// A checkpoint that was read.
pub struct Resumed {
    /// Its name at all sides.
    pub id: CheckpointId,
    /// The training loop.
    pub training: SavedTraining,
    /// The exchange with the parties.
    pub network: SavedNetwork,
    /// How much of the transcript there was, where there is one.
    pub transcript: Option<TranscriptMark>,
}

/// The checkpoints of a run.
pub struct Checkpoints {
    folder: PathBuf,
    run: Digest,
    /// Least time between two of them; `None`: one at each epoch's end.
    every: Option<Duration>,
    last: Instant,
}

impl Checkpoints {
    /// Those of the run of that name in `state`.
    pub fn new(config: &CoordinatorConfig, state: &StateFolder, run: Digest) -> Self {
        let every = (config.checkpoint_every_s > 0).then(|| Duration::from_secs(config.checkpoint_every_s));
        Self { folder: state.folder().to_path_buf(), run, every, last: Instant::now() }
    }

    /// The run begins now.
    pub fn begin(&mut self) {
        self.last = Instant::now();
    }

    /// Whether another is due, between two batches or where an epoch has `ended`.
    pub fn is_due(&self, ended: bool) -> bool {
        self.every.map_or(ended, |every| self.last.elapsed() >= every)
    }

    /// Writes one, whole or not at all.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn write(
        &mut self,
        id: CheckpointId,
        SavedTraining { place, now, best }: SavedTraining,
        network: SavedNetwork,
        transcript: Option<TranscriptMark>,
    ) -> Result<(), SnapshotError> {
        let (step, has_best) = (network.step, best.is_some());
        let saved = Saved { run: self.run.to_string(), place, network, transcript, has_best };
        let mut whole = Snapshot::default();
        put(&mut whole, NOW, now);
        put(&mut whole, BEST, best.unwrap_or_default());
        // Unwrap safety: numbers, and text without keys that are no strings.
        whole.text.insert(KEY.into(), serde_json::to_string(&saved).expect("plain numbers and text"));
        checkpoints::write(&self.folder, step, id, &whole)?;
        self.last = Instant::now();
        Ok(())
    }

    /// The latest checkpoint that this side and all parties of `joined` have; those behind it go. One that is damaged or of
    /// another run is passed over, with a warning.
    pub fn common(&self, joined: &[Joined]) -> Option<Resumed> {
        for found in checkpoints::list(&self.folder) {
            let all_have_it = joined.iter().all(|one| one.checkpoints.contains(&found.id));
            if !all_have_it {
                continue;
            }
            match self.read(&found) {
                Ok(Some(resumed)) => {
                    checkpoints::forget_later(&self.folder, Some(found.step));
                    return Some(resumed);
                }
                Ok(None) => warn!("{} is a checkpoint of another run, and is not used", found.path.display()),
                Err(error) => warn!("{error:#}: the run continues from an earlier checkpoint"),
            }
        }
        checkpoints::forget_later(&self.folder, None);
        None
    }

    /// A checkpoint; `None` if it is of another run.
    fn read(&self, found: &CheckpointFile) -> anyhow::Result<Option<Resumed>> {
        let mut whole = Snapshot::read(&found.path)?;
        let text = whole.text.remove(KEY).unwrap_or_default();
        let saved: Saved = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged or of another version", found.path.display()))?;
        if saved.run != self.run.to_string() {
            return Ok(None);
        }
        let best = saved.has_best.then(|| take(&whole, BEST));
        let training = SavedTraining { place: saved.place, now: take(&whole, NOW), best };
        let (network, transcript) = (saved.network, saved.transcript);
        Ok(Some(Resumed { id: found.id, training, network, transcript }))
    }
}

/// Puts `model` into `whole`, with `prefix` before each name.
fn put(whole: &mut Snapshot, prefix: &str, model: Snapshot) {
    whole.arrays.extend(model.arrays.into_iter().map(|(name, array)| (format!("{prefix}{name}"), array)));
    whole.text.extend(model.text.into_iter().map(|(name, text)| (format!("{prefix}{name}"), text)));
}

fn take(whole: &Snapshot, prefix: &str) -> Snapshot {
    Snapshot { arrays: named(&whole.arrays, prefix), text: named(&whole.text, prefix) }
}

/// Those whose names begin with `prefix`, without it.
fn named<T: Clone>(all: &BTreeMap<String, T>, prefix: &str) -> BTreeMap<String, T> {
    let named = all.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)));
    named.map(|(name, value)| (name.to_string(), value.clone())).collect()
}

/// Names a run as the coordinator sees it: all that decides what it says, from labels and seed to the program's version.
///
/// # Errors
/// If settings cannot be written as text.
pub fn run_name(config: &CoordinatorConfig, ids: &[String], labels: Digest) -> anyhow::Result<Digest> {
    let top = serde_json::to_vec(&config.top).context("the settings of the top model")?;
    let mut parts = vec![
        config.run_id.as_str().as_bytes().to_vec(),
        config.run.to_settings().digest().0.to_vec(),
        top,
        config.seed.to_le_bytes().to_vec(),
        vec![u8::from(config.transcript)],
        format!("{:?}", config.screening).into_bytes(),
        labels.0.to_vec(),
        env!("CARGO_PKG_VERSION").as_bytes().to_vec(),
    ];
    parts.extend(ids.iter().map(|id| id.as_bytes().to_vec()));
    Ok(Digest::of_parts(parts.iter().map(Vec::as_slice)))
}
