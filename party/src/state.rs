//! The one folder in which a party keeps what it has learned.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use hashvfl_cli::Unfinished;
use hashvfl_core::RunRecords;
use hashvfl_core::protocol::message::CheckpointLabel;
use hashvfl_detectors::{Calibrated, PartyDetector, file};
use hashvfl_files::encryption::check_place;
use hashvfl_files::{
    FolderLock, check_folder, check_owner, claim_folder, owner_only_folder, read_checked, read_whole,
    remove_all, remove_if_there, rename_durably, write_checked, write_whole,
};
use hashvfl_learning::Snapshot;
use hashvfl_learning::training::checkpoints::list;
use hashvfl_ledger::AnswerLog;
use hashvfl_transcript::TranscriptSpool;
use rand::TryRng;

use crate::alarm;
use crate::config::PartyConfig;
use crate::leakage::KeptReleases;

/// Which records a finished run was about.
///
/// # Errors
/// If the file is not there or damaged.
pub fn read_records(config: &PartyConfig) -> anyhow::Result<RunRecords> {
    let path = config.records_path();
    let bytes = read_whole(&path).with_context(|| {
        format!(
            "cannot read {}, which lists the records of the model and the transcript: has a run finished in this \
             folder, with a program version that writes this file?",
            path.display()
        )
    })?;
    RunRecords::from_bytes(&bytes).with_context(|| format!("{}: restore it from a backup", path.display()))
}

/// Keeps which records a run was about.
pub fn keep_records(config: &PartyConfig, records: &RunRecords) -> anyhow::Result<()> {
    Ok(write_whole(&config.records_path(), &records.to_bytes())?)
}

/// What to do about the file at `path`, which an unfinished run needs and which cannot be used.
pub fn way_out(path: &Path) -> String {
    format!("{}: restore it, or start with --fresh to discard the unfinished run", path.display())
}

/// The state folder of a run, in which only this process works.
pub struct StateFolder {
    folder: PathBuf,
    model: PathBuf,
    records: PathBuf,
    transcript: PathBuf,
    detectors: PathBuf,
    released: PathBuf,
    _lock: FolderLock,
}

impl StateFolder {
    /// Makes the folder if need be. What an unfinished run has left in it stays.
    ///
    /// # Errors
    /// If it cannot be made, it is another side's, or another process works in it.
    pub fn open(config: &PartyConfig) -> anyhow::Result<Self> {
        check_folder(&config.state).context("the state folder")?;
        let folder = config.state.clone();
        owner_only_folder()
            .recursive(true)
            .create(&folder)
            .with_context(|| format!("cannot create the state folder {}", folder.display()))?;
        let owner = config.side().file_stem();
        // Before the lock, which another side may hold.
        check_owner(&folder, &owner)?;
        let lock = FolderLock::take(&folder)?;
        claim_folder(&folder, &owner)?;
        let state = Self {
            folder,
            model: config.model_path(),
            records: config.records_path(),
            transcript: config.transcript_path(),
            detectors: config.detectors_path(),
            released: config.released_path(),
            _lock: lock,
        };
        if state.is_finished() {
            // The process that finished was killed before it had tidied up.
            state.remove_unfinished();
        } else if !state.is_in_doubt() {
            // What a run left that did not finish must not be taken for this one's; beside a model in doubt it may count yet.
            remove_all([state.detectors.clone(), state.released.clone()]);
        }
        Ok(state)
    }

    /// Whether [`Self::open`] would do; writes nothing.
    ///
    /// # Errors
    /// If not.
    pub fn check(config: &PartyConfig) -> anyhow::Result<()> {
        check_folder(&config.state).context("the state folder")?;
        check_owner(&config.state, &config.side().file_stem())?;
        Ok(check_place(&config.state, &[])?)
    }

    /// Whether it holds the model of a run that finished: that is never overwritten.
    pub fn is_finished(&self) -> bool {
        self.model.exists()
    }

    /// The seed of the run: that of the config, or one that is drawn when the run is begun and kept until it ends.
    ///
    /// # Errors
    /// If none can be drawn, read or written.
    pub fn seed(&self, config: &PartyConfig) -> anyhow::Result<u64> {
        if let Some(seed) = config.seed {
            return Ok(seed);
        }
        let path = self.seed_path();
        if path.exists() {
            let text = read_checked(&path).with_context(|| way_out(&path))?;
            return String::from_utf8_lossy(&text).trim().parse().with_context(|| way_out(&path));
        }
        let seed =
            rand::rngs::SysRng.try_next_u64().context("cannot draw a seed from the operating system")?;
        write_checked(&path, seed.to_string().as_bytes())?;
        Ok(seed)
    }

    fn seed_path(&self) -> PathBuf {
        self.folder.join("seed")
    }

    fn model(&self) -> &Path {
        &self.model
    }

    fn pending_model(&self) -> PathBuf {
        self.model.with_extension("pending.safetensors")
    }

    fn checkpoint(&self, label: CheckpointLabel) -> PathBuf {
        self.folder.join(format!("checkpoint-{}.safetensors", label.as_str()))
    }

    /// The folder itself, for checkpoints from which a run goes on.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was said at each step of the run.
    pub fn answers(&self) -> PathBuf {
        self.folder.join("answers.hashvfl")
    }

    /// Records that the run goes on without since this party's policy refuses them.
    pub fn excluded(&self) -> PathBuf {
        self.folder.join("excluded.hashvfl")
    }

    /// The transcript.
    pub fn transcript(&self) -> &Path {
        &self.transcript
    }

    /// Writes a checkpoint.
    pub fn write_checkpoint(&self, label: CheckpointLabel, snapshot: &Snapshot) -> anyhow::Result<()> {
        Ok(snapshot.write(&self.checkpoint(label))?)
    }

    /// Reads a checkpoint.
    pub fn read_checkpoint(&self, label: CheckpointLabel) -> anyhow::Result<Snapshot> {
        Ok(Snapshot::read(&self.checkpoint(label))?)
    }

    /// Keeps this party's detectors.
    pub fn keep_detectors(&self, detectors: &Calibrated<PartyDetector>) -> anyhow::Result<()> {
        Ok(file::write(&self.detectors, detectors)?)
    }

    /// Writes the trained model with the records that it was trained on, and what left of them where codes are checked. It does
    /// not count before [`Self::commit`].
    pub fn prepare(
        &self,
        model: &Snapshot,
        records: &RunRecords,
        released: Option<&KeptReleases>,
    ) -> anyhow::Result<()> {
        write_whole(&self.records, &records.to_bytes())?;
        released.map_or(Ok(()), |released| released.write(&self.released))?;
        Ok(model.write(&self.pending_model())?)
    }

    /// Whether a model waits for the coordinator's word.
    pub fn is_in_doubt(&self) -> bool {
        self.pending_model().exists()
    }

    /// Whether a run has begun in it of which this party does not know yet that it has finished.
    pub fn has_begun(&self) -> bool {
        self.is_in_doubt() || AnswerLog::has_answers(&self.answers())
    }

    /// Forgets a model that waits for the coordinator's word: the run goes on.
    pub fn forget_pending(&self) {
        if remove_if_there(&self.pending_model()).unwrap_or(false) {
            // Absent where the config asks for none.
            remove_all([&self.transcript, &self.detectors, &self.released].map(PathBuf::clone));
        }
    }

    /// The model counts: it gets its name, and what led to it goes. The name is on the disk before this returns, since the
    /// coordinator forgets a party that says so.
    ///
    /// # Errors
    /// If no model was written, or it cannot be renamed.
    pub fn commit(&self) -> anyhow::Result<()> {
        let pending = self.pending_model();
        ensure!(
            pending.exists(),
            "the run has finished, and this party's model is not in {}: it was lost here after it was written; \
             restore the folder from a backup, or train again in other folders, all sides",
            self.folder.display()
        );
        rename_durably(&pending, self.model())
            .with_context(|| format!("cannot rename {} to {}", pending.display(), self.model().display()))?;
        self.remove_unfinished();
        Ok(())
    }

    /// Throws an unfinished run away; the names of its files that were there.
    ///
    /// # Errors
    /// If the run has finished, or may have: its model is never discarded.
    pub fn throw_away(&self) -> anyhow::Result<Vec<String>> {
        ensure!(
            !self.is_finished(),
            "{} is from a finished run, and --fresh discards only unfinished ones: choose another `state` folder, or \
             move the file away",
            self.model.display()
        );
        let pending = self.pending_model();
        ensure!(
            !pending.exists(),
            Unfinished::InDoubt(format!(
                "{} may already be final at the coordinator: start without --fresh, which asks the coordinator. \
                 Remove the file and start with --fresh only if the coordinator's run is lost for good",
                pending.display()
            ))
        );
        Ok(self.remove_unfinished())
    }

    fn remove_unfinished(&self) -> Vec<String> {
        let checkpoints = list(&self.folder).into_iter().map(|found| found.path);
        let others = [
            self.checkpoint(CheckpointLabel::Best),
            TranscriptSpool::unfinished(&self.transcript),
            self.answers(),
            self.excluded(),
            self.seed_path(),
            alarm::path(&self.folder),
        ];
        // Absent where none was written.
        remove_all(checkpoints.chain(others))
    }
}
