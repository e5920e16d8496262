//! `summary.json`: what a run gave, for people and programs. Every field is described in docs/reference/summary.md, and a
//! test keeps that list complete.

use std::collections::BTreeMap;

use hashvfl_core::{Part, PartyName, Plan, RunId};
use hashvfl_detectors::screening::ScreeningAction;
use hashvfl_learning::metrics::Balance;
use hashvfl_learning::top::evaluation::Evaluation;
use hashvfl_learning::training::{EpochReport, ReleasedBits};
use hashvfl_monitor::FinishedRun;
use serde::{Deserialize, Serialize};

/// A run's summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of HashVFL.
    pub version: String,
    /// The run.
    pub run_id: RunId,
    /// The agreed settings, canonical.
    pub settings: BTreeMap<String, String>,
    /// Their SHA-256.
    pub settings_sha256: String,
    /// SHA-256 of each party's frozen bottom model.
    pub encoders_sha256: BTreeMap<PartyName, String>,
    /// Head of the transcript's chain of SHA-256, which tells whether it was changed since; absent without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transcript_head: Option<String>,
    /// The device of the top model.
    pub device: String,
    /// Records of each part.
    pub records: RecordCounts,
    /// Records that each party excluded since its policy does not allow the run for them; they are in none of the parts.
    /// Summaries of earlier versions call them `left_out`.
    #[serde(default, alias = "left_out")]
    pub excluded: BTreeMap<PartyName, usize>,
    /// The epoch whose models were kept, from 1.
    pub best_epoch: u32,
    /// Every epoch.
    pub epochs: Vec<EpochReport>,
    /// Name of the metric by which epochs are compared: AUC, accuracy or R2.
    pub metric: String,
    /// On the test records; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub test: Option<Evaluation>,
    /// The same without each party's codes, as if it were away: what it contributes.
    #[serde(default)]
    pub without: BTreeMap<PartyName, Evaluation>,
    /// Flags of abnormal inputs on test records; absent where the run has no detectors.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flags: Option<FlagSummary>,
    /// What screening of training records found, each time; empty where it is off.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub screening: Vec<ScreeningSummary>,
    /// Bits that each party released of a record, by group of records.
    pub bits_released_per_record: ReleasedBits,
    /// Balance of each party's bits on test records.
    pub balance: BTreeMap<PartyName, Balance>,
    /// Bytes between the coordinator and all parties.
    pub bytes: Bytes,
    /// Where the time went.
    pub seconds: Seconds,
}

/// Flags of abnormal inputs, as far as the run could tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlagSummary {
    /// The level: of records exchangeable with the calibration records, at most this fraction is flagged on average.
    pub level: f64,
    /// Calibration records; none of them fitted a model or a detector.
    pub calibration: usize,
    /// Test records that were judged.
    pub judged: usize,
    /// Fraction of the test records that were flagged, ties broken at random. Summaries of earlier versions call it
    /// `flagged_share`.
    #[serde(alias = "flagged_share")]
    pub flagged_fraction: f64,
    /// The interval in which that fraction is with probability 0.99 if test records are exchangeable with calibration
    /// records.
    pub interval_99: [f64; 2],
}

/// What screening of training records found at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScreeningSummary {
    /// Behind what it took place: `epoch N`, or `freeze`.
    pub after: String,
    /// What was done with flagged records.
    pub action: ScreeningAction,
    /// A record is flagged where its p-value is this or less.
    pub level: f64,
    /// Training records that were judged.
    pub judged: usize,
    /// Those that were flagged.
    pub flagged: usize,
    /// Mean weight of the judged records in the loss from there on, 0 to 1. Summaries of earlier versions call it
    /// `weight_share`.
    #[serde(alias = "weight_share")]
    pub mean_weight: f64,
}

/// Records of each part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RecordCounts {
    /// All training records.
    pub train: usize,
    /// All validation records.
    pub validation: usize,
    /// Test records.
    pub test: usize,
    /// Records on which detectors of abnormal inputs were fitted and calibrated.
    #[serde(default)]
    pub calibration: usize,
    /// Training records on which the bottom models learned.
    pub cohort_train: usize,
    /// Validation records used meanwhile.
    pub cohort_validation: usize,
}

impl Summary {
    /// The figures by which runs that finished, this one at `finished_s`, are compared.
    pub fn in_a_line(&self, finished_s: u64) -> FinishedRun {
        let RecordCounts { train, validation, test, calibration, .. } = self.records;
        FinishedRun {
            run_id: self.run_id.clone(),
            finished_s,
            version: self.version.clone(),
            parties: self.encoders_sha256.keys().cloned().collect(),
            records: (train + validation + test + calibration) as u64,
            bits: self.settings.get("run.bits").and_then(|bits| bits.parse().ok()).unwrap_or(0),
            epochs: self.epochs.len() as u32,
            best_epoch: self.best_epoch,
            metric: self.metric.clone(),
            test: self.test.and_then(|test| match self.metric.as_str() {
                "AUC" => test.auc,
                "accuracy" => test.accuracy,
                _ => test.r2,
            }),
            test_loss: self.test.map(|test| test.loss),
            flagged_fraction: self.flags.as_ref().map(|flags| flags.flagged_fraction),
            released_bits_per_record: self.bits_released_per_record.cohort_train,
            received_bytes: self.bytes.up,
            sent_bytes: self.bytes.down,
            seconds: self.seconds.run,
        }
    }
}

impl RecordCounts {
    /// Counts a plan's records.
    pub fn of(plan: &Plan) -> Self {
        let count = |part| plan.part(part).len();
        Self {
            train: count(Part::Train),
            validation: count(Part::Validation),
            test: count(Part::Test),
            calibration: count(Part::Calibration),
            cohort_train: count(Part::CohortTrain),
            cohort_validation: count(Part::CohortValidation),
        }
    }
}

/// Bytes of gRPC messages and their frames, without HTTP/2 and TCP.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bytes {
    /// From all parties, in the whole run after the handshake.
    pub up: u64,
    /// To all parties.
    pub down: u64,
    /// From one party, for one record in one training step.
    pub up_per_record_and_step: f64,
    /// To one party, for one record in one training step.
    pub down_per_record_and_step: f64,
}

/// Seconds of wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Until all parties had joined, for the last time.
    pub waiting: f64,
    /// Training batches of the joint phase, without evaluations.
    pub training: f64,
    /// From the first step to the last, over all attempts: without the time between them, and without what was done again.
    pub run: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_earlier_versions_are_read_and_written_as_today() {
        let before = serde_json::json!({
            "level": 0.01, "calibration": 99, "judged": 80, "flagged_share": 0.025, "interval_99": [0.0, 0.1],
        });
        let flags: FlagSummary = serde_json::from_value(before).unwrap();
        let today = serde_json::to_value(&flags).unwrap();
        assert_eq!((&today["flagged_fraction"], today.get("flagged_share")), (&0.025.into(), None));
        let before = serde_json::json!({
            "after": "freeze", "action": "report", "level": 0.1, "judged": 10, "flagged": 1, "weight_share": 0.75,
        });
        let screening: ScreeningSummary = serde_json::from_value(before).unwrap();
        let today = serde_json::to_value(&screening).unwrap();
        assert_eq!((&today["mean_weight"], today.get("weight_share")), (&0.75.into(), None));
    }
}
