//! The one folder in which a party keeps what it has learned.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use hashvfl_core::RunRecords;
use hashvfl_core::protocol::message::CheckpointLabel;
use hashvfl_detectors::{Calibrated, PartyDetector, file};
use hashvfl_files::write_whole;
use hashvfl_learning::Snapshot;

use crate::config::PartyConfig;

/// Which records a finished run was about.
///
/// # Errors
/// If the file is not there or damaged.
pub fn read_records(config: &PartyConfig) -> anyhow::Result<RunRecords> {
    let path = config.records_path();
    let bytes = fs::read(&path).with_context(|| {
        format!(
            "cannot read {}, which says whose rows model and transcript are about: has a run finished there, of a version that keeps it?",
            path.display()
        )
    })?;
    RunRecords::from_bytes(&bytes).with_context(|| format!("{}: restore it from a backup", path.display()))
}

/// Keeps which records a run was about.
pub fn keep_records(config: &PartyConfig, records: &RunRecords) -> anyhow::Result<()> {
    Ok(write_whole(&config.records_path(), &records.to_bytes())?)
}

/// The state folder of a run.
pub struct StateFolder {
    folder: PathBuf,
    model: PathBuf,
    records: PathBuf,
    transcript: PathBuf,
    detectors: PathBuf,
}

impl StateFolder {
    /// Makes the folder if need be.
    ///
    /// # Errors
    /// If it cannot be made, or holds the model of a run that finished: that is never overwritten.
    pub fn open(config: &PartyConfig) -> anyhow::Result<Self> {
        Self::check(config)?;
        let folder = config.state.clone();
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the state folder {}", folder.display()))?;
        let state = Self {
            folder,
            model: config.model_path(),
            records: config.records_path(),
            transcript: config.transcript_path(),
            detectors: config.detectors_path(),
        };
        // What a run left that did not finish must not be taken for this one's.
        state.remove_checkpoints();
        let _ = fs::remove_file(&state.detectors);
        Ok(state)
    }

    /// Whether [`Self::open`] would do; writes nothing.
    ///
    /// # Errors
    /// If not.
    pub fn check(config: &PartyConfig) -> anyhow::Result<()> {
        let model = config.model_path();
        ensure!(
            !model.exists(),
            "{} is there from a finished run: name another `state` folder, or move it away",
            model.display()
        );
        hashvfl_files::check_folder(&config.state).context("the state folder")
    }

    fn model(&self) -> &Path {
        &self.model
    }

    fn checkpoint(&self, label: CheckpointLabel) -> PathBuf {
        self.folder.join(format!("checkpoint-{}.safetensors", label.as_str()))
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

    /// Keeps the trained model with the records that it was trained on, and removes the checkpoints that led to it.
    pub fn finish(&self, model: &Snapshot, records: &RunRecords) -> anyhow::Result<()> {
        write_whole(&self.records, &records.to_bytes())?;
        model.write(self.model())?;
        self.remove_checkpoints();
        Ok(())
    }

    fn remove_checkpoints(&self) {
        for label in [CheckpointLabel::Best, CheckpointLabel::Latest] {
            // Absent where none was asked for.
            let _ = fs::remove_file(self.checkpoint(label));
        }
    }
}
