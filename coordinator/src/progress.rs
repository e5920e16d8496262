//! Progress of a run: log lines for people, and with `--json` one object per line for programs, on standard output.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use hashvfl_core::{PartyName, Task};
use hashvfl_learning::top::loss::Evaluation;
use hashvfl_learning::training::{EpochReport, Progress};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

/// A line of `coordinator --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// Parties can join at this address.
    Listening {
        /// With the port, also where the config left it open.
        address: SocketAddr,
    },
    /// A party has joined.
    Joined {
        /// Its name.
        party: PartyName,
    },
    /// A party that served is away.
    Left {
        /// Its name.
        party: PartyName,
    },
    /// Training begins.
    Start {
        /// Epochs at most.
        epochs: u32,
        /// Batches of each.
        batches: u32,
    },
    /// An epoch is over.
    Epoch(EpochReport),
    /// Another phase begins: "freeze", "encode", "refit".
    Phase {
        /// Its name.
        name: String,
    },
    /// The run is over and kept.
    Finished {
        /// The summary's file.
        summary: String,
    },
}

/// Tells of a run.
pub struct ProgressReporter {
    json: bool,
    /// What is trained, where a run is.
    task: Option<Task>,
}

impl ProgressReporter {
    /// Tells people, and programs too with `json`.
    pub fn new(json: bool) -> Self {
        Self { json, task: None }
    }

    /// The same of a run of `task`: an epoch's line says so where the task's metric is undefined.
    pub fn of_task(json: bool, task: Task) -> Self {
        Self { json, task: Some(task) }
    }

    fn tell(&self, event: &Event) {
        if !self.json {
            return;
        }
        if let Ok(line) = serde_json::to_string(event) {
            // A reader of the progress that has gone stops no run.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }

    /// Parties can join.
    pub fn listening(&self, address: SocketAddr) {
        info!("listening for parties on {address}");
        self.tell(&Event::Listening { address });
    }

    /// A party has joined.
    pub fn joined(&self, party: &PartyName) {
        self.tell(&Event::Joined { party: party.clone() });
    }

    /// A party that served is away.
    pub fn left(&self, party: &PartyName, why: &str) {
        warn!(%party, "is away: {why}");
        self.tell(&Event::Left { party: party.clone() });
    }

    /// Training begins.
    pub fn start(&self, epochs: u32, batches: u32) {
        info!("all parties are there: {epochs} epochs of {batches} batches");
        self.tell(&Event::Start { epochs, batches });
    }

    /// The course goes on.
    pub fn training_progress(&self, progress: Progress) {
        match progress {
            Progress::Batch { .. } => {}
            Progress::Epoch(report) => {
                info!(epoch = report.epoch, "{}", describe(report, self.task));
                self.tell(&Event::Epoch(*report));
            }
            Progress::Phase(name) => {
                info!("{name}");
                self.tell(&Event::Phase { name: name.to_string() });
            }
        }
    }

    /// The run is over.
    pub fn finished(&self, summary: &Path) {
        info!("finished; see {}", summary.display());
        self.tell(&Event::Finished { summary: summary.display().to_string() });
    }
}

fn describe(report: &EpochReport, task: Option<Task>) -> String {
    let mut line = format!("training loss {:.4}", report.train_loss);
    if let Some(validation) = report.validation {
        line += &format!(", validation loss {:.4}", validation.loss);
        for (name, value) in
            [("AUC", validation.auc), ("accuracy", validation.accuracy), ("R2", validation.r2)]
        {
            line += &value.map_or(String::new(), |value| format!(", {name} {value:.4}"));
        }
        if let Some(task) = task.filter(|task| validation.metric(*task).is_none()) {
            line += &format!(", {} undefined", Evaluation::metric_name(task));
        }
    }
    line + &format!(" ({:.1} s)", report.train_seconds)
}
