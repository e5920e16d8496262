//! The top model of a config: new, or loaded from its file.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use hashvfl_core::{Digest, Plan, RunSettings};
use hashvfl_learning::device::Device;
use hashvfl_learning::top::loss::Labels;
use hashvfl_learning::{Classifier, Snapshot, threads};

use crate::config::CoordinatorConfig;
use crate::state::StateFolder;

/// A new top model for the labels of a run, its loss fitted to the training records of the cohort.
pub fn new(
    config: &CoordinatorConfig,
    labels: Labels,
    plan: &Plan,
    device: &Device,
) -> anyhow::Result<Classifier> {
    // The top model is a small mlp, fastest on one thread.
    threads::limit(1);
    Classifier::of_run(&config.top, labels, &config.run, plan, config.seed, device).context("[top]")
}

/// Where a finished run keeps its top model.
pub fn path(config: &CoordinatorConfig) -> PathBuf {
    StateFolder::existing(&config.state).top()
}

/// What a top model's file holds: the model, and which bottom models' codes it was trained on.
pub struct TopFile {
    /// Weights and moments.
    pub model: Snapshot,
    /// Digests of the parties' encoders, in the settings' order.
    pub encoders: Vec<Digest>,
    /// Names of the classes, in their order; none for a regression.
    pub classes: Vec<String>,
    /// Digest of the run's records in their order.
    pub records: Digest,
}

impl TopFile {
    /// What `classifier` has learned on the codes of `encoders` about `records`, with what its outputs stand for.
    pub fn of(classifier: &Classifier, encoders: Vec<Digest>, classes: Vec<String>, records: Digest) -> Self {
        let mut model = classifier.snapshot();
        classifier.meaning().put(&mut model);
        Self { model, encoders, classes, records }
    }

    /// As a snapshot, with the digest of the run's settings.
    pub fn to_snapshot(&self, run: &RunSettings) -> Snapshot {
        let mut snapshot = self.model.clone();
        let encoders: Vec<String> = self.encoders.iter().map(Digest::to_string).collect();
        snapshot.text.insert("settings_sha256".into(), run.to_settings().digest().to_string());
        snapshot.text.insert("encoders_sha256".into(), encoders.join(","));
        snapshot.text.insert("classes".into(), serde_json::json!(self.classes).to_string());
        snapshot.text.insert("records_sha256".into(), self.records.to_string());
        snapshot
    }

    /// Reads a file that was written under the same settings.
    pub fn read(path: &Path, run: &RunSettings) -> anyhow::Result<Self> {
        ensure!(
            path.exists(),
            "{} does not exist: the coordinator writes it when a run finishes",
            path.display()
        );
        let model = Snapshot::read(path)?;
        let text = |key: &str| model.text.get(key).cloned().unwrap_or_default();
        let settings = run.check_digest(&text("settings_sha256"));
        settings.with_context(|| format!("the top model {}", path.display()))?;
        let encoders: Option<Vec<Digest>> =
            text("encoders_sha256").split(',').map(Digest::from_hex).collect();
        let encoders =
            encoders.with_context(|| format!("{} is damaged: no encoder digests", path.display()))?;
        let classes = serde_json::from_str(&text("classes"));
        let classes = classes.with_context(|| format!("{} is damaged: no classes", path.display()))?;
        let records = Digest::from_hex(&text("records_sha256")).with_context(|| {
            format!(
                "{} does not say which records it was trained on, because an earlier version wrote it: train again",
                path.display()
            )
        })?;
        Ok(Self { model, encoders, classes, records })
    }
}
