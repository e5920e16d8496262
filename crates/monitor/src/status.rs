//! The status of a process at one moment.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use hashvfl_core::{PartyName, RunId};
use serde::{Deserialize, Serialize};

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessPhase {
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
    /// A gradient alarm has stopped this party: it sends nothing, and waits for a person.
    Halted,
}

impl ProcessPhase {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Starting,
        Self::Waiting,
        Self::Training,
        Self::Freezing,
        Self::Encoding,
        Self::Refitting,
        Self::Finished,
        Self::Serving,
        Self::Halted,
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
            Self::Halted => "halted",
        }
    }
}

/// How a process is. What counts something, counts in this process, and never less than before; [`RunTotals`] are the run's.
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
    /// When this was told, likewise.
    pub now_s: u64,
    /// What it is doing.
    pub phase: ProcessPhase,
    /// Whether predictions are answered: at the coordinator, whether all parties are there.
    pub ready: bool,
    /// Steps so far.
    pub steps: u64,
    /// How often the run went on from a checkpoint.
    pub resumes: u64,
    /// Parties that were refused, by why; only at the coordinator.
    pub refusals: BTreeMap<String, u64>,
    /// How far the training is.
    pub epochs: Option<Epochs>,
    /// The coordinator's view of each party.
    pub parties: BTreeMap<PartyName, PartyStatus>,
    /// Seconds from the first step to the last answer, without those between two attempts at the run; only at the coordinator.
    pub step_seconds: f64,
    /// Bytes between this side and all others; only at the coordinator.
    pub traffic: TrafficBytes,
    /// What the run has come to, while there is one.
    pub run: RunTotals,
    /// What was released of this side's records; only at a party.
    pub released: ReleasedCodes,
    /// What the coordinator asked for, by kind of request; only at a party.
    pub requests: BTreeMap<String, u64>,
    /// What the policy allows, and what is used up; only at a party.
    pub budget: Option<Budget>,
    /// What the monitor of gradients has seen; at a party that has one.
    pub gradient_monitor: Option<GradientMonitorStatus>,
    /// What clients asked for; only at the coordinator.
    pub predictions: PredictionCounts,
    /// Until when this side's own certificate counts, in seconds since 1970; absent without one.
    pub certificate_end_s: Option<i64>,
    /// Until when the first of its authorities to end counts, likewise.
    pub authority_end_s: Option<i64>,
    /// Until when the first of its revocation lists to end counts, likewise: nobody is let in after that. Absent where none is
    /// asked.
    pub revocation_list_end_s: Option<i64>,
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
    /// Mean training loss of the last epoch; only at the coordinator, as is what follows.
    pub train_loss: Option<f64>,
    /// Loss on validation records after the last epoch.
    pub validation_loss: Option<f64>,
    /// The metric by which epochs are compared: its name, and its value after the last epoch.
    pub metric: Option<(String, f64)>,
}

/// A party, as the coordinator sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PartyStatus {
    /// Whether it is there.
    pub connected: bool,
    /// Where its connection comes from.
    pub address: Option<String>,
    /// When its last message arrived, in seconds since 1970.
    pub heard_s: Option<u64>,
    /// How often it went away while predictions were served.
    pub departures: u64,
    /// How often it came back on another connection in a run.
    pub returns: u64,
    /// Seconds in which the coordinator waited for its answers.
    pub answer_seconds: f64,
    /// By how many seconds its answers came later than those of the fastest party: a mean in which past steps fade.
    pub lag_seconds: f64,
    /// Bytes of messages from it.
    pub received_bytes: u64,
    /// Bytes of messages to it.
    pub sent_bytes: u64,
    /// Bits of the codes that it released to this coordinator.
    pub released_bits: u64,
    /// The same in the whole run; absent while predictions are served.
    pub run_released_bits: Option<u64>,
    /// The most bits that the whole run can ask of it, likewise.
    pub planned_bits: Option<u64>,
    /// Until when its certificate counts, in seconds since 1970; absent without TLS.
    pub certificate_end_s: Option<i64>,
}

/// Bytes of messages with their gRPC frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficBytes {
    /// From all parties.
    pub received_bytes: u64,
    /// To all parties.
    pub sent_bytes: u64,
}

/// What a run has come to since its first step, whichever process did that. What a checkpoint took back does not count, so
/// these fall where a run goes on from one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTotals {
    /// The last step.
    pub steps: u64,
    /// Bytes from all parties; only at the coordinator.
    pub received_bytes: u64,
    /// Bytes to all parties; only at the coordinator.
    pub sent_bytes: u64,
    /// Bits of the codes that left, and of p-values beside them; only at a party.
    pub released_bits: u64,
}

/// What has left a party.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedCodes {
    /// Codes, each as often as it was sent.
    pub codes: u64,
    /// Their bits, and those of p-values beside them.
    pub bits: u64,
    /// Records of which a code was asked for and refused.
    pub refused: u64,
}

/// What a party's policy allows of each record in its life, and the most that any record of the table has used up, over all
/// runs, with what is reserved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Bits.
    pub bits: Spent,
    /// Releases.
    pub encodings: Spent,
    /// Epsilon, of records for which a finite one holds.
    pub epsilon: Spent,
    /// Records without a finite epsilon.
    pub without_epsilon: u64,
}

/// What is used up of what is allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Used up.
    pub used: f64,
    /// Allowed; absent: any.
    pub allowed: Option<f64>,
}

/// A party's monitor of the gradients that it is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct GradientMonitorStatus {
    /// Training batches of the run so far.
    pub batches: u64,
    /// The fraction of the last batch's gradient that follows from this party's own codes.
    pub explained: f64,
    /// The accumulated excess of such fractions.
    pub suspicion: f64,
    /// The sum above which an alarm is raised.
    pub bound: f64,
    /// How far gradients go along with the noise in earlier codes, in standard deviations of what chance does.
    pub earlier_score: f64,
    /// The score above which an alarm is raised.
    pub earlier_bound: f64,
    /// Whether one was raised.
    pub alarm: bool,
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
    /// Predicted records that detectors of abnormal inputs have judged.
    pub judged: u64,
    /// Those that were flagged.
    pub flagged: u64,
    /// Whether inputs as a whole have changed since the calibration, as far as was told last.
    pub drifted: bool,
}

/// Seconds since 1970, by this machine's clock.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Status {
    /// Of a process that starts.
    pub fn new(side: &str, run_id: RunId) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_string(),
            side: side.to_string(),
            run_id,
            started_s: now_s(),
            now_s: now_s(),
            phase: ProcessPhase::Starting,
            ready: false,
            steps: 0,
            resumes: 0,
            refusals: BTreeMap::new(),
            epochs: None,
            parties: BTreeMap::new(),
            step_seconds: 0.0,
            traffic: TrafficBytes::default(),
            run: RunTotals::default(),
            released: ReleasedCodes::default(),
            requests: BTreeMap::new(),
            budget: None,
            gradient_monitor: None,
            predictions: PredictionCounts::default(),
            certificate_end_s: None,
            authority_end_s: None,
            revocation_list_end_s: None,
        }
    }

    /// The entry of `party`, which is away until somebody says otherwise.
    pub fn party(&mut self, party: &PartyName) -> &mut PartyStatus {
        self.parties.entry(party.clone()).or_default()
    }

    /// Counts a request of this kind.
    pub fn count_request(&mut self, kind: &str) {
        match self.requests.get_mut(kind) {
            Some(count) => *count += 1,
            None => drop(self.requests.insert(kind.to_string(), 1)),
        }
    }
}
