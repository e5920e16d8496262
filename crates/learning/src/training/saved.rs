//! Where the joint phase of a run is: all from which it goes on to the same bits.

use serde::{Deserialize, Serialize};

use crate::snapshot::Snapshot;
use crate::top::evaluation::Evaluation;
use crate::training::EpochReport;

/// A place in the joint phase, and what was measured before it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingPlace {
    /// The epoch that goes on, from 0; behind an epoch, the next one.
    pub epoch: u32,
    /// Its next batch, from 0.
    pub batch: u32,
    /// Sum of the losses of its records so far.
    pub loss: f64,
    /// Records in it.
    pub seen: usize,
    /// Seconds of its batches so far.
    pub seconds: f64,
    /// The epochs before it.
    pub curve: Vec<EpochReport>,
    /// The epoch whose models are the best so far, from 1; 0 where none is.
    pub best_epoch: u32,
    /// What was measured of them.
    pub best: Option<Evaluation>,
    /// How often the cohort's validation records were evaluated.
    pub validations: u32,
    /// Whether training has stopped early.
    pub stopped: bool,
}

/// All that the training loop needs to go on; parties keep their own.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedTraining {
    /// Where it is.
    pub place: TrainingPlace,
    /// The top model there, with its optimiser and what its loss remembers.
    pub now: Snapshot,
    /// The best top model so far.
    pub best: Option<Snapshot>,
}
