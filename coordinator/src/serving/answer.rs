//! The answer to a request for predictions.

use std::time::Duration;

use hashvfl_detectors::DetectorError;
use hashvfl_ledger::StoreError;

use crate::detectors::RequestFlags;

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PredictionOutcome {
    /// It has a prediction.
    Predicted,
    /// Its id is none of the served records'. No party heard of it.
    UnknownId,
    /// Its id occurs earlier in the same request.
    RepeatedId,
    /// A party's policy refuses it.
    Refused,
    /// A party is away.
    PartyAway,
}

/// The answer to a request.
#[derive(Debug, Default)]
pub struct PredictionAnswer {
    /// One for each id.
    pub outcomes: Vec<PredictionOutcome>,
    /// For each predicted record, row by row: probabilities of classes, or the value.
    pub outputs: Vec<f32>,
    /// For each predicted record, which parties' codes are in it: bit k stands for party k.
    pub took_part: Vec<u64>,
    /// What detectors say, where there are any.
    pub flags: Option<RequestFlags>,
    /// Why records were refused, for a person.
    pub text: String,
    /// How long it took to look rows up, to get codes, to predict, and to judge.
    pub times: [Duration; 4],
}

/// Why a request cannot be answered at all.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// Predictions cannot be counted.
    #[error("predictions cannot be counted: {0}")]
    Ledger(#[from] StoreError),
    /// Detectors cannot judge.
    #[error("inputs cannot be judged: {0}")]
    Detectors(#[from] DetectorError),
}
