//! `coordinator export`: the figures of a finished run where machine-learning engineers look at theirs, in TensorBoard or
//! MLflow. What is exported stands in `summary.json`: figures, settings and names of parties, and no value, code, label or id.

mod mlflow;
mod tensorboard;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use hashvfl_files::say;
use hashvfl_learning::top::evaluation::Evaluation;

use crate::config::CoordinatorConfig;
use crate::state::StateFolder;
use crate::summary::Summary;

/// What to export, and where to.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The coordinator's config file. Its run must have finished.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where to export the run to.
    #[arg(long, value_enum, value_name = "TRACKER")]
    to: Tracker,
    /// With `tensorboard`: the log folder, in which the run gets a folder of its own.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// With `mlflow`: where `mlflow server` listens, `http://HOST:PORT`.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// With `mlflow`: the experiment, which is created if it does not exist.
    #[arg(long, value_name = "NAME", default_value = "hashvfl")]
    experiment: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tracker {
    /// Event files in a folder.
    Tensorboard,
    /// An MLflow server, over its REST API.
    Mlflow,
}

/// A figure of a run at one moment.
#[derive(Debug, Clone, PartialEq)]
struct Figure {
    name: String,
    /// The epoch.
    step: u32,
    /// When, since 1970.
    at: Duration,
    value: f64,
}

/// A run as a tracker takes it.
struct Export {
    run_id: String,
    began: Duration,
    ended: Duration,
    settings: Vec<(String, String)>,
    figures: Vec<Figure>,
}

/// Exports the run of a config.
///
/// # Errors
/// If no run has finished there, or the tracker cannot take it.
pub fn export(arguments: &Arguments) -> anyhow::Result<()> {
    let config = CoordinatorConfig::read(&arguments.config)?;
    let state = StateFolder::existing(&config.state);
    let summary = state.read_summary()?;
    // The file got its name when the run had finished.
    let written = std::fs::metadata(state.summary()).and_then(|metadata| metadata.modified());
    let written = written.with_context(|| format!("cannot read {}", state.summary().display()))?;
    let export = Export::of(&summary, written);
    match (arguments.to, &arguments.out, &arguments.server) {
        (Tracker::Tensorboard, Some(out), None) => {
            let path = tensorboard::write(&export, out)?;
            say!("{} figures written to {}", export.figures.len(), path.display());
        }
        (Tracker::Mlflow, None, Some(server)) => {
            let run = mlflow::send(&export, server, &arguments.experiment)?;
            say!("{} figures sent to {server}: run {run}", export.figures.len());
        }
        (Tracker::Tensorboard, ..) => bail!("--to tensorboard needs --out FOLDER, and no --server"),
        (Tracker::Mlflow, ..) => bail!("--to mlflow needs --server http://HOST:PORT, and no --out"),
    }
    Ok(())
}

impl Export {
    /// A run whose summary was written at `written`. Epochs have no time of their own: they are as far apart as their batches
    /// took.
    fn of(summary: &Summary, written: SystemTime) -> Self {
        let ended = written.duration_since(UNIX_EPOCH).unwrap_or_default();
        let began =
            ended.saturating_sub(Duration::try_from_secs_f64(summary.seconds.run).unwrap_or_default());
        let mut export = Self {
            run_id: summary.run_id.to_string(),
            began,
            ended,
            settings: settings(summary),
            figures: Vec::new(),
        };
        export.add_epochs(summary);
        export.add_end(summary);
        export
    }

    fn add_epochs(&mut self, summary: &Summary) {
        let all: f64 = summary.epochs.iter().map(|epoch| epoch.train_seconds).sum();
        let mut passed = 0.0;
        for epoch in &summary.epochs {
            passed += epoch.train_seconds;
            let share = if all > 0.0 { passed / all } else { 1.0 };
            let at = self.began + (self.ended - self.began).mul_f64(share.clamp(0.0, 1.0));
            let mut add = |name: String, value| {
                self.figures.push(Figure { name, step: epoch.epoch, at, value });
            };
            add("train/loss".to_string(), epoch.train_loss);
            add("train/seconds".to_string(), epoch.train_seconds);
            if let Some(validation) = &epoch.validation {
                for (name, value) in measured(validation) {
                    add(format!("validation/{name}"), value);
                }
            }
        }
    }

    /// What was measured once, when the last epoch was over.
    fn add_end(&mut self, summary: &Summary) {
        let (step, at) = (summary.epochs.len() as u32, self.ended);
        let mut add = |name: String, value: f64| self.figures.push(Figure { name, step, at, value });
        for (name, value) in summary.test.iter().flat_map(measured) {
            add(format!("test/{name}"), value);
        }
        for (party, evaluation) in &summary.without {
            for (name, value) in measured(evaluation) {
                add(format!("without/{party}/{name}"), value);
            }
        }
        for (party, balance) in &summary.balance {
            add(format!("balance/{party}/mean_abs_bit_mean"), balance.mean_abs_bit_mean);
            if let Some(correlation) = balance.mean_abs_correlation {
                add(format!("balance/{party}/mean_abs_correlation"), correlation);
            }
        }
        if let Some(flags) = &summary.flags {
            add("flags/flagged_fraction".to_string(), flags.flagged_fraction);
        }
        let released = summary.bits_released_per_record;
        for (name, value) in [
            ("best_epoch", f64::from(summary.best_epoch)),
            ("bits_released_per_record/cohort_train", released.cohort_train as f64),
            ("bits_released_per_record/test", released.test as f64),
            ("bytes/up", summary.bytes.up as f64),
            ("bytes/down", summary.bytes.down as f64),
            ("seconds/waiting", summary.seconds.waiting),
            ("seconds/training", summary.seconds.training),
            ("seconds/run", summary.seconds.run),
        ] {
            add(name.to_string(), value);
        }
    }
}

/// What an evaluation says, by name.
fn measured(evaluation: &Evaluation) -> Vec<(&'static str, f64)> {
    let mut measured = vec![("loss", evaluation.loss)];
    for (name, value) in [
        ("auc", evaluation.auc),
        ("macro_auc", evaluation.macro_auc),
        ("accuracy", evaluation.accuracy),
        ("r2", evaluation.r2),
    ] {
        measured.extend(value.map(|value| (name, value)));
    }
    measured
}

fn settings(summary: &Summary) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> =
        summary.settings.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (name, value) in [
        ("settings_sha256", summary.settings_sha256.clone()),
        ("device", summary.device.clone()),
        ("hashvfl_version", summary.version.clone()),
        ("records_train", summary.records.train.to_string()),
        ("records_validation", summary.records.validation.to_string()),
        ("records_test", summary.records.test.to_string()),
    ] {
        settings.push((name.to_string(), value));
    }
    settings
}
