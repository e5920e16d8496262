//! The training loop of a run: epochs over batches, early stopping, freeze, fit on stored codes, test.
//!
//! ```text
//!  joint phase (the cohort)                      after the freeze
//!  for each epoch:                               encode every other part once, keep the codes
//!    for each batch: encode, step, learn   -->   refit the top model on them (where the run refits)
//!    evaluate on cohort validation               evaluate on test records, once
//! ```
//!
//! One function serves a networked run and the baselines in one process: they differ only in [`PartyBackend`].
//!
//! Between batches and behind epochs the backend may save where the joint phase is ([`saved::SavedTraining`]), and a run
//! goes on from there to the same bits. What follows the freeze is done anew.

pub mod backend;
pub mod checkpoints;
#[cfg(test)]
mod diverged_tests;
pub mod in_process;
mod joint;
pub mod saved;
mod validate;

use hashvfl_core::{Digest, Part, Plan, RowSelection, RunSettings};
use serde::{Deserialize, Serialize};

use crate::snapshot::SnapshotError;
use crate::top::classifier::{Classifier, TopConfig};
use crate::top::evaluation::Evaluation;
use crate::training::backend::{Embedding, PartyBackend};
use crate::training::joint::Joint;
use crate::training::saved::SavedTraining;

pub use validate::Validate;

/// One epoch of the joint phase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Mean training loss over the epoch's batches.
    pub train_loss: f64,
    /// Evaluation on the cohort's validation records; absent where there are none, and after epochs that are not validated
    /// ([`Validate`]).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub validation: Option<Evaluation>,
    /// Seconds of the epoch's batches, without the evaluation.
    pub train_seconds: f64,
}

/// What is reported as progress.
#[derive(Debug, Clone, Copy)]
pub enum TrainingProgress<'a> {
    /// A batch is done.
    Batch {
        /// Its epoch, from 0.
        epoch: u32,
        /// The batch, from 0.
        batch: u32,
    },
    /// An epoch is done.
    Epoch(&'a EpochReport),
    /// Another phase begins.
    Phase(&'static str),
}

/// Judges training records by what all parties sent of them. Only the coordinator knows of it: parties send what they
/// would have sent anyway.
pub struct ScreeningHook<'a> {
    /// Epochs after which the cohort's training records are judged, by what was sent of them in the last one. Where the
    /// run refits, all training records are judged again before, by what frozen encoders made of them.
    pub after_epochs: u32,
    /// Weights from 0 to 1 of records, from each party's values [rows, bits].
    pub judge: &'a mut ScreeningFn<'a>,
}

/// What [`ScreeningHook::judge`] is, told when it is asked.
pub type ScreeningFn<'a> = dyn FnMut(ScreeningPoint, &[u32], &[Vec<f32>]) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>>
    + 'a;

/// Hears of every batch of the joint phase: the top model as it was when it computed the batch's gradients, the rows of the
/// batch's records, and each party's values [rows, bits].
pub type StepObserver<'a> = dyn FnMut(&Classifier, &[u32], &[Vec<f32>]) + 'a;

/// When training records are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScreeningPoint {
    /// After so many epochs of the joint phase.
    Epoch(u32),
    /// Before the fit on stored codes.
    Refit,
}

/// Bits that each party released of a record, by group of records; where codes differ in length, that of the longest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReleasedBits {
    /// Training records of the cohort (all training records in joint training).
    pub cohort_train: u64,
    /// Validation records of the cohort.
    pub cohort_validation: u64,
    /// Records outside cohort and test part.
    pub others: u64,
    /// Test records, and those on which detectors are fitted and calibrated.
    pub test: u64,
}

/// How a run went.
pub struct TrainingOutcome<E: Embedding> {
    /// Every epoch.
    pub curve: Vec<EpochReport>,
    /// The epoch whose models were kept, from 1.
    pub best_epoch: u32,
    /// On the test records; absent where there are none.
    pub test: Option<Evaluation>,
    /// Codes known at the end, one table per party.
    pub tables: Vec<E::Table>,
    /// Codes of synthetic inputs, a chunk after the other: one part per party, or none.
    pub synthetic: Vec<Vec<E>>,
    /// Digests of the frozen encoders.
    pub encoders: Vec<Digest>,
    /// Bits released.
    pub released: ReleasedBits,
}

/// How a run fails.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError<E> {
    /// A party.
    #[error("{0}")]
    Parties(E),
    /// The coordinator's own state.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Training records cannot be judged.
    #[error("screening of training records: {0}")]
    Screening(Box<dyn std::error::Error + Send + Sync>),
    /// A loss is not finite: training has diverged.
    #[error(
        "epoch {epoch}: the loss is not finite: lower run.learning_rate on all sides, or look for extreme values in \
         the columns"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
    },
}

/// What a run does beside the plain loop.
#[derive(Default)]
pub struct TrainingOptions<'a> {
    /// Epochs without a better validation metric after which training stops; 0 never stops early.
    pub patience: u32,
    /// After which epochs validation records are encoded.
    pub validate: Validate,
    /// What judges training records.
    pub screen: Option<ScreeningHook<'a>>,
    /// Where the run goes on; from its beginning without.
    pub from: Option<SavedTraining>,
    /// What looks on, and changes nothing: an attack that learns along with the run.
    pub observer: Option<&'a mut StepObserver<'a>>,
    /// Whether the models of the last epoch are kept, whatever validation records say: for runs whose coordinator cheats.
    pub keep_last: bool,
}

impl TrainingOptions<'_> {
    /// Those of a coordinator with this `[top]` table.
    pub fn of(top: &TopConfig) -> Self {
        Self { patience: top.patience, validate: top.validate, ..Self::default() }
    }
}

/// Runs the whole training loop.
///
/// # Errors
/// If a party fails, training records cannot be judged, or the loss is not finite.
pub fn train<P: PartyBackend>(
    parties: &mut P,
    settings: &RunSettings,
    plan: &mut Plan,
    classifier: &mut Classifier,
    options: TrainingOptions<'_>,
    on_progress: &mut dyn FnMut(TrainingProgress),
) -> Result<TrainingOutcome<P::Embedding>, TrainingError<P::Error>> {
    let TrainingOptions { patience, validate, mut screen, from, observer, keep_last } = options;
    let mut joint = Joint {
        parties: &mut *parties,
        settings,
        plan: &mut *plan,
        classifier: &mut *classifier,
        validates: validate,
        keeps_last: keep_last,
        observer,
    };
    let joint = joint.learn(patience, screen.as_mut(), from, on_progress)?;
    on_progress(TrainingProgress::Phase("freeze"));
    let encoders = parties.freeze().map_err(TrainingError::Parties)?;
    let records = plan.records();
    let mut tables: Vec<_> =
        settings.code_forms().map(|form| P::Embedding::table(records, form.bits())).collect();
    on_progress(TrainingProgress::Phase("encode"));
    if settings.refits() {
        encode_part(parties, plan, Part::Train, &mut tables).map_err(TrainingError::Parties)?;
        encode_part(parties, plan, Part::Validation, &mut tables).map_err(TrainingError::Parties)?;
    }
    encode_part(parties, plan, Part::Calibration, &mut tables).map_err(TrainingError::Parties)?;
    encode_part(parties, plan, Part::Test, &mut tables).map_err(TrainingError::Parties)?;
    let mut synthetic = Vec::new();
    for chunk in 0..plan.synthetic_chunks() {
        synthetic.push(parties.encode_synthetic(chunk).map_err(TrainingError::Parties)?);
    }
    // Unwrap safety: every row that is gathered below was kept above.
    let gather = |rows: &[u32]| -> Vec<Vec<f32>> {
        tables.iter().map(|table| P::Embedding::gather(table, rows).expect("a kept row")).collect()
    };
    if settings.refits() {
        if let Some(screen) = &mut screen {
            let rows = plan.part(Part::Train);
            let weights = (screen.judge)(ScreeningPoint::Refit, rows, &gather(rows));
            classifier.weigh(rows, &weights.map_err(TrainingError::Screening)?);
        }
        on_progress(TrainingProgress::Phase("refit"));
        refit(classifier, &gather, settings, plan)?;
    }
    let test_rows = plan.part(Part::Test);
    let test = (!test_rows.is_empty()).then(|| classifier.evaluate_stored(&gather, test_rows));
    if test.is_some_and(|test| !test.loss.is_finite()) {
        return Err(TrainingError::Diverged { epoch: joint.epoch });
    }
    let released = released(settings, joint.epoch, joint.validations);
    Ok(TrainingOutcome {
        curve: joint.curve,
        best_epoch: joint.best_epoch,
        test,
        tables,
        synthetic,
        encoders,
        released,
    })
}

/// Encodes a part, chunk by chunk, and keeps what each party sends in its table.
fn encode_part<P: PartyBackend>(
    parties: &mut P,
    plan: &mut Plan,
    part: Part,
    tables: &mut [<P::Embedding as Embedding>::Table],
) -> Result<(), P::Error> {
    for chunk in 0..plan.chunks(part) {
        let rows = RowSelection::Chunk { part, chunk };
        let numbers = plan.rows(rows).unwrap_or_default();
        for (table, batch) in tables.iter_mut().zip(parties.encode(rows, numbers.len())?) {
            batch.keep(table, &numbers);
        }
    }
    Ok(())
}

/// Fits the top model anew on stored codes; in joint training, the old one stays where it does as well on the
/// validation records.
fn refit(
    classifier: &mut Classifier,
    gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
    settings: &RunSettings,
    plan: &Plan,
) -> Result<(), SnapshotError> {
    let (train, validation) = (plan.part(Part::Train), plan.part(Part::Validation));
    let before = classifier.snapshot();
    let old = classifier.evaluate_stored(gather, validation);
    classifier.refit(gather, train, validation, plan.batch_rows(), settings.task)?;
    let new = classifier.evaluate_stored(gather, validation);
    if !settings.encodes_once() && !validation.is_empty() && !new.is_better(&old, settings.task) {
        classifier.load(&before)
    } else {
        Ok(())
    }
}

/// Bits per record and party, of the longest codes: one code per epoch or evaluation, and one after the freeze.
fn released(settings: &RunSettings, epochs: u32, validations: u32) -> ReleasedBits {
    let bits = settings.most_bits() as u64;
    let stored = if settings.refits() { bits } else { 0 };
    ReleasedBits {
        cohort_train: u64::from(epochs) * bits + stored,
        cohort_validation: u64::from(validations) * bits + stored,
        others: stored,
        test: bits,
    }
}
