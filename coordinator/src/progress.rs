//! Progress of a run: log lines for people, with `--json` one object per line for programs, on standard output, and a status
//! board for anyone who asks.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hashvfl_core::text::{counted, figure};
use hashvfl_core::{PartyName, RunId, Task};
use hashvfl_learning::top::evaluation::Evaluation;
use hashvfl_learning::training::{EpochReport, TrainingProgress};
use hashvfl_monitor::{Board, Epochs, Point, ProcessPhase};
use hashvfl_transport::limits::quiet::QuietLogs;
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

/// An event with the run that it is of: a process may hold several.
#[derive(Serialize)]
struct Line<'a> {
    run: &'a RunId,
    #[serde(flatten)]
    event: &'a Event,
}

/// Tells of a run.
pub struct ProgressReporter {
    json: bool,
    run: RunId,
    /// What is trained, where a run is.
    task: Option<Task>,
    board: Arc<Board>,
    /// Lines about parties that come and go.
    lines: QuietLogs,
}

impl ProgressReporter {
    /// Tells people, and programs too with `json`; `board` is for whoever asks.
    pub fn new(json: bool, board: Board) -> Self {
        let run = board.status().run_id.clone();
        Self { json, run, task: None, board: Arc::new(board), lines: QuietLogs::default() }
    }

    /// The same of a run of `task`: an epoch's line says so where a figure of the task is undefined.
    pub fn of_task(json: bool, task: Task, board: Board) -> Self {
        Self { task: Some(task), ..Self::new(json, board) }
    }

    /// Where it is written down how the process is.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    fn tell(&self, event: &Event) {
        if !self.json {
            return;
        }
        if let Ok(line) = serde_json::to_string(&Line { run: &self.run, event }) {
            // A reader of the progress that has gone stops no run.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }

    /// Parties can join.
    pub fn listening(&self, address: SocketAddr) {
        info!("listening for parties on {address}");
        let mut status = self.board.status();
        status.phase = ProcessPhase::Waiting;
        // Nobody has joined yet, also where a run was interrupted before.
        status.parties.values_mut().for_each(|party| party.connected = false);
        drop(status);
        self.tell(&Event::Listening { address });
    }

    /// A party has joined.
    pub fn joined(&self, party: &PartyName) {
        self.note_presence(party, true);
        self.tell(&Event::Joined { party: party.clone() });
    }

    /// A party that served is away.
    pub fn left(&self, party: &PartyName, why: &str) {
        if let Some(more) = self.lines.may_write(party.as_str(), Instant::now()) {
            warn!(%party, "is away: {why}{more}");
        }
        self.note_presence(party, false);
        self.tell(&Event::Left { party: party.clone() });
    }

    /// Training begins.
    pub fn start(&self, epochs: u32, batches: u32) {
        let (most, each) = (counted(epochs, "epoch"), counted(batches, "batch"));
        info!("all parties have joined: training for at most {most} of {each}");
        let mut status = self.board.status();
        status.phase = ProcessPhase::Training;
        status.epochs = Some(Epochs { most: epochs, batches, ..Epochs::default() });
        drop(status);
        self.tell(&Event::Start { epochs, batches });
    }

    /// Training went on from a checkpoint, behind these epochs.
    pub fn went_on(&self, epochs: &[EpochReport]) {
        epochs.iter().for_each(|report| self.note_epoch(report));
    }

    /// Notes and tells what the training loop reports.
    pub fn training_progress(&self, progress: TrainingProgress) {
        match progress {
            TrainingProgress::Batch { batch, .. } => {
                if let Some(epochs) = &mut self.board.status().epochs {
                    epochs.batches_done = batch + 1;
                }
            }
            TrainingProgress::Epoch(report) => {
                info!(epoch = report.epoch, "{}", describe(report, self.task));
                self.note_epoch(report);
                self.tell(&Event::Epoch(*report));
            }
            TrainingProgress::Phase(name) => {
                info!("{name}");
                if let Some(phase) = phase(name) {
                    self.board.status().phase = phase;
                }
                self.tell(&Event::Phase { name: name.to_string() });
            }
        }
    }

    fn note_presence(&self, party: &PartyName, there: bool) {
        self.board.change_ready(|status| {
            let entry = status.party(party);
            entry.connected = there;
            entry.departures += u64::from(!there);
            status.phase == ProcessPhase::Serving && status.parties.values().all(|party| party.connected)
        });
    }

    fn note_epoch(&self, report: &EpochReport) {
        let mut status = self.board.status();
        let Some(epochs) = &mut status.epochs else { return };
        epochs.done = report.epoch;
        epochs.batches_done = 0;
        epochs.train_loss = Some(report.train_loss);
        epochs.validation_loss = report.validation.map(|validation| validation.loss);
        epochs.metric = self.task.and_then(|task| {
            let value = report.validation?.metric(task)?;
            Some((Evaluation::metric_name(task).to_string(), value))
        });
        let point = Point {
            epoch: report.epoch,
            train_loss: report.train_loss,
            validation_loss: epochs.validation_loss,
            metric: epochs.metric.as_ref().map(|(_, value)| *value),
        };
        drop(status);
        self.board.add_epoch(point);
    }

    /// The run is over.
    pub fn finished(&self, summary: &Path) {
        info!("finished; see {}", summary.display());
        self.board.status().phase = ProcessPhase::Finished;
        self.tell(&Event::Finished { summary: summary.display().to_string() });
    }
}

/// The phase that the training loop calls by this name.
fn phase(name: &str) -> Option<ProcessPhase> {
    match name {
        "freeze" => Some(ProcessPhase::Freezing),
        "encode" => Some(ProcessPhase::Encoding),
        "refit" => Some(ProcessPhase::Refitting),
        _ => None,
    }
}

fn describe(report: &EpochReport, task: Option<Task>) -> String {
    let mut line = format!("training loss {}", figure(report.train_loss));
    if let Some(validation) = report.validation {
        line += &format!(", validation loss {}", figure(validation.loss));
        for (name, value) in [
            ("AUC", validation.auc),
            ("accuracy", validation.accuracy),
            ("macro AUC", validation.macro_auc),
            ("R2", validation.r2),
        ] {
            line += &value.map_or(String::new(), |value| format!(", {name} {}", figure(value)));
        }
        if let Some(name) = task.and_then(|task| validation.undefined(task)) {
            line += &format!(", {name} undefined");
        }
    }
    line + &format!(" ({:.1} s)", report.train_seconds)
}

#[cfg(test)]
mod tests {
    use hashvfl_monitor::{BoardConfig, Status};

    use super::*;

    #[test]
    fn a_macro_auc_is_told_beside_the_accuracy_or_called_undefined() {
        let line = |macro_auc| {
            let accuracy = Some(0.5);
            let validation = Evaluation { rows: 8, loss: 1.0, auc: None, macro_auc, accuracy, r2: None };
            let report =
                EpochReport { epoch: 1, train_loss: 2.0, validation: Some(validation), train_seconds: 0.5 };
            describe(&report, Some(Task::Multiclass))
        };
        let told = line(Some(0.75));
        assert!(
            told.contains("accuracy 0.5000, macro AUC 0.7500 (") && !told.contains("undefined"),
            "{told}"
        );
        assert!(line(None).contains("accuracy 0.5000, macro AUC undefined ("), "{}", line(None));
    }

    #[test]
    fn when_all_have_come_at_once_all_are_there() {
        let status = Status::new("coordinator", RunId::new("spring").unwrap());
        let board = Board::open(BoardConfig::default(), status).unwrap();
        let reporter = &ProgressReporter::new(false, board);
        let parties = ["bank", "shop", "telecom"].map(|name| PartyName::new(name).unwrap());
        reporter.board().status().phase = ProcessPhase::Serving;
        for round in 0..2_000 {
            for party in &parties {
                reporter.board().status().party(party).connected = false;
            }
            std::thread::scope(|scope| {
                for party in &parties {
                    scope.spawn(move || reporter.joined(party));
                }
            });
            assert!(reporter.board().status().ready, "round {round}");
            reporter.left(&parties[round % 3], "of the test");
            assert!(!reporter.board().status().ready, "round {round}");
        }
    }
}
