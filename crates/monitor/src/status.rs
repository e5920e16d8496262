//! How a process is, at one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use hashvfl_core::{PartyName, RunId};
use serde::{Deserialize, Serialize};

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It reads its tables.
    Starting,
    /// It waits for others.
    Waiting,
    /// All models learn.
    Training,
    /// Bottom models are measured once more, and learn no longer.
    Freezing,
    /// Records are encoded by bottom models that do not learn.
    Encoding,
    /// The top model learns anew on stored codes.
    Refitting,
    /// The run has ended well.
    Finished,
    /// Predictions are answered.
    Serving,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Starting,
        Self::Waiting,
        Self::Training,
        Self::Freezing,
        Self::Encoding,
        Self::Refitting,
        Self::Finished,
        Self::Serving,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Waiting => "waiting",
            Self::Training => "training",
            Self::Freezing => "freezing",
            Self::Encoding => "encoding",
            Self::Refitting => "refitting",
            Self::Finished => "finished",
            Self::Serving => "serving",
        }
    }
}

/// How a process is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of HashVFL.
    pub version: String,
    /// `coordinator`, or a party's name.
    pub side: String,
    /// The run.
    pub run_id: RunId,
    /// When the work began, in seconds since 1970.
    pub started_s: u64,
    /// What it is doing.
    pub phase: Phase,
    /// Whether predictions are answered: at the coordinator, whether all parties are there.
    pub ready: bool,
    /// Steps of the run so far.
    pub steps: u64,
    /// How far the training is; at the coordinator alone, once it has begun.
    pub epochs: Option<Epochs>,
    /// The coordinator's view of each party.
    pub parties: BTreeMap<PartyName, PartyStatus>,
    /// Bytes between this side and all others; at the coordinator alone.
    pub traffic: TrafficBytes,
    /// What this process has released of its records; at a party alone.
    pub released: ReleasedCodes,
    /// What clients asked for; at the coordinator alone.
    pub predictions: PredictionCounts,
}

/// How far a training is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Epochs {
    /// Epochs that are done.
    pub done: u32,
    /// Epochs at most.
    pub most: u32,
    /// Batches of the present epoch that are done.
    pub batches_done: u32,
    /// Batches of each epoch.
    pub batches: u32,
    /// Mean training loss of the last epoch.
    pub train_loss: Option<f64>,
    /// Loss on validation records after the last epoch.
    pub validation_loss: Option<f64>,
    /// The metric by which epochs are compared: its name, and its value after the last epoch.
    pub metric: Option<(String, f64)>,
}

/// A party, as the coordinator sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PartyStatus {
    /// Whether it is there.
    pub connected: bool,
    /// How often it went away.
    pub departures: u64,
    /// Seconds in which the coordinator waited for its answers.
    pub answer_seconds: f64,
}

/// Bytes of messages with their gRPC frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficBytes {
    /// From all parties.
    pub received_bytes: u64,
    /// To all parties.
    pub sent_bytes: u64,
}

/// What has left a party.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedCodes {
    /// Codes, each as often as it was sent.
    pub codes: u64,
    /// Their bits.
    pub bits: u64,
    /// Records of which a code was asked for and refused.
    pub refused: u64,
}

/// What clients asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictionCounts {
    /// Requests.
    pub requests: u64,
    /// Records that were predicted.
    pub predicted: u64,
    /// Records that have no prediction.
    pub missing: u64,
}

impl Status {
    /// Of a process that starts.
    pub fn new(side: &str, run_id: RunId) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            version: env!("CARGO_PKG_VERSION").to_string(),
            side: side.to_string(),
            run_id,
            started_s: now.as_secs(),
            phase: Phase::Starting,
            ready: false,
            steps: 0,
            epochs: None,
            parties: BTreeMap::new(),
            traffic: TrafficBytes::default(),
            released: ReleasedCodes::default(),
            predictions: PredictionCounts::default(),
        }
    }

    /// The entry of `party`, which is away until somebody says otherwise.
    pub fn party(&mut self, party: &PartyName) -> &mut PartyStatus {
        self.parties.entry(party.clone()).or_default()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} in run {}: {}", self.side, self.run_id, self.phase.name())?;
        if let Some(epochs) = &self.epochs {
            let Epochs { done, most, batches_done, batches, .. } = epochs;
            write!(formatter, "epoch {done} of {most} done, batch {batches_done} of {batches}")?;
            for (name, value) in
                [("training loss", epochs.train_loss), ("validation loss", epochs.validation_loss)]
            {
                if let Some(value) = value {
                    write!(formatter, ", {name} {value:.4}")?;
                }
            }
            if let Some((name, value)) = &epochs.metric {
                write!(formatter, ", {name} {value:.4}")?;
            }
            writeln!(formatter)?;
        }
        for (party, status) in &self.parties {
            let there = if status.connected { "there" } else { "away" };
            let PartyStatus { departures, answer_seconds, .. } = status;
            writeln!(
                formatter,
                "{party}: {there}, went away {departures} times, {answer_seconds:.1} s of waiting"
            )?;
        }
        if self.traffic != TrafficBytes::default() {
            let TrafficBytes { received_bytes, sent_bytes } = self.traffic;
            writeln!(formatter, "bytes: {received_bytes} received, {sent_bytes} sent")?;
        }
        if self.released != ReleasedCodes::default() {
            let ReleasedCodes { codes, bits, refused } = self.released;
            writeln!(formatter, "released: {codes} codes, {bits} bits; {refused} records refused")?;
        }
        if self.phase == Phase::Serving {
            let PredictionCounts { requests, predicted, missing } = self.predictions;
            let ready = if self.ready { "all are there" } else { "not all are there" };
            write!(formatter, "{ready}")?;
            if requests > 0 {
                write!(
                    formatter,
                    "; {requests} requests, {predicted} records predicted, {missing} without a prediction"
                )?;
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}
