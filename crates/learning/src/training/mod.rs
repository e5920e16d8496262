//! The training loop of a run: epochs over batches, early stopping, freeze, fit on stored codes, test.
//!
//! ```text
//!  joint phase (the cohort)                      after the freeze
//!  for each epoch:                               encode every other part once, keep the codes
//!    for each batch: encode, step, learn   -->   refit the top model on them (where the run refits)
//!    evaluate on cohort validation               evaluate on test records, once
//! ```
//!
//! One function serves a networked run and the baselines in one process: they differ in [`PartyBackend`] alone.

pub mod backend;
pub mod in_process;
pub mod schedule;

use std::time::Instant;

use hashvfl_core::protocol::message::{CheckpointLabel, Command};
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::{Digest, Gradient, Part, Plan, RowSelection, RunSettings};
use serde::{Deserialize, Serialize};

use crate::snapshot::SnapshotError;
use crate::top::classifier::Classifier;
use crate::top::loss::Evaluation;
use crate::training::backend::{Embedding, PartyBackend};

/// One epoch of the joint phase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Mean training loss over the epoch's batches.
    pub train_loss: f64,
    /// Evaluation on the cohort's validation records; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub validation: Option<Evaluation>,
    /// Seconds of the epoch's batches, without the evaluation.
    pub train_seconds: f64,
}

/// What is reported as progress.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
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

/// Judges training records by what all parties sent of them. The coordinator alone knows of it: parties send what they
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

/// When training records are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScreeningPoint {
    /// After so many epochs of the joint phase.
    Epoch(u32),
    /// Before the fit on stored codes.
    Refit,
}

/// Bits that each party released of a record, by group of records.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Released {
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
pub struct Outcome<E: Embedding> {
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
    pub released: Released,
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
        "epoch {epoch}: the loss is not finite: lower run.learning_rate, or look for extreme values in the columns"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
    },
}

/// Runs the whole training loop.
pub fn train<P: PartyBackend>(
    parties: &mut P,
    settings: &RunSettings,
    plan: &mut Plan,
    classifier: &mut Classifier,
    patience: u32,
    mut screen: Option<ScreeningHook<'_>>,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Outcome<P::Embedding>, TrainingError<P::Error>> {
    let joint = learn_jointly(parties, settings, plan, classifier, patience, screen.as_mut(), on_progress)?;
    on_progress(Progress::Phase("freeze"));
    let encoders = parties.freeze().map_err(TrainingError::Parties)?;
    let records = plan.records();
    let mut tables: Vec<_> = encoders.iter().map(|_| P::Embedding::table(records, settings.bits)).collect();
    on_progress(Progress::Phase("encode"));
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
        on_progress(Progress::Phase("refit"));
        refit(classifier, &gather, settings, plan)?;
    }
    let test_rows = plan.part(Part::Test);
    let test = (!test_rows.is_empty()).then(|| classifier.evaluate_stored(&gather, test_rows));
    let released = released(settings, joint.epochs_run, joint.validations);
    Ok(Outcome {
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
    classifier.refit(gather, (train, validation), plan.batch_rows(), settings.task)?;
    let new = classifier.evaluate_stored(gather, validation);
    if !settings.encodes_once() && !validation.is_empty() && !new.is_better(&old, settings.task) {
        classifier.load(&before)
    } else {
        Ok(())
    }
}

struct Joint {
    curve: Vec<EpochReport>,
    best_epoch: u32,
    epochs_run: u32,
    validations: u32,
}

fn learn_jointly<P: PartyBackend>(
    parties: &mut P,
    settings: &RunSettings,
    plan: &mut Plan,
    classifier: &mut Classifier,
    patience: u32,
    mut screen: Option<&mut ScreeningHook<'_>>,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Joint, TrainingError<P::Error>> {
    let mut joint = Joint { curve: Vec::new(), best_epoch: 0, epochs_run: 0, validations: 0 };
    let mut best: Option<(Evaluation, crate::Snapshot)> = None;
    let validates = !plan.part(Part::CohortValidation).is_empty();
    for epoch in 0..settings.epochs {
        classifier.begin_epoch(epoch % settings.cycle_epochs(), settings.cycle_epochs());
        let screens = screen.as_ref().is_some_and(|screen| screen.after_epochs == epoch + 1);
        let mut seen = Vec::new();
        if screens {
            let table = |_| P::Embedding::table(plan.records(), settings.bits);
            seen.extend(settings.parties.iter().map(table));
        }
        let (train_loss, train_seconds) =
            train_epoch(parties, settings, plan, classifier, epoch, on_progress, &mut seen)?;
        joint.epochs_run = epoch + 1;
        let mut report = EpochReport { epoch: epoch + 1, train_loss, validation: None, train_seconds };
        if !train_loss.is_finite() {
            return Err(TrainingError::Diverged { epoch: epoch + 1 });
        }
        if let Some(screen) = screen.as_mut().filter(|_| screens) {
            let rows = plan.part(Part::CohortTrain);
            // Unwrap safety: an epoch holds each of these rows once.
            let gather = |table| P::Embedding::gather(table, rows).expect("a row of the epoch");
            let parts: Vec<Vec<f32>> = seen.iter().map(gather).collect();
            let weights = (screen.judge)(ScreeningPoint::Epoch(epoch + 1), rows, &parts);
            classifier.weigh(rows, &weights.map_err(TrainingError::Screening)?);
        }
        if validates {
            report.validation = Some(evaluate(parties, plan, classifier, Part::CohortValidation)?);
            joint.validations += 1;
        }
        on_progress(Progress::Epoch(&report));
        joint.curve.push(report);
        let in_last_cycle = epoch + settings.cycle_epochs() >= settings.epochs;
        let Some(validation) = report.validation.filter(|_| in_last_cycle) else { continue };
        if best.as_ref().is_none_or(|(best, _)| validation.is_better(best, settings.task)) {
            best = Some((validation, classifier.snapshot()));
            joint.best_epoch = epoch + 1;
            parties.carry_out(Command::Checkpoint(CheckpointLabel::Best)).map_err(TrainingError::Parties)?;
        } else if patience > 0 && epoch + 1 - joint.best_epoch >= patience {
            break;
        }
    }
    match best {
        Some((_, snapshot)) if joint.best_epoch < joint.epochs_run => {
            classifier.load(&snapshot)?;
            parties.carry_out(Command::Restore(CheckpointLabel::Best)).map_err(TrainingError::Parties)?;
        }
        Some(_) => {}
        None => joint.best_epoch = joint.epochs_run,
    }
    Ok(joint)
}

fn train_epoch<P: PartyBackend>(
    parties: &mut P,
    settings: &RunSettings,
    plan: &mut Plan,
    classifier: &mut Classifier,
    epoch: u32,
    on_progress: &mut dyn FnMut(Progress),
    kept: &mut [<P::Embedding as Embedding>::Table],
) -> Result<(f64, f64), TrainingError<P::Error>> {
    let start = Instant::now();
    let (mut loss, mut seen) = (0.0, 0);
    for batch in 0..plan.batches() {
        let rows = RowSelection::Batch { epoch, batch };
        // Unwrap safety: epoch and batch are within the plan.
        let numbers = plan.rows(rows).expect("a batch of the plan");
        let sent = parties.encode(rows, numbers.len()).map_err(TrainingError::Parties)?;
        kept.iter_mut().zip(&sent).for_each(|(table, batch)| batch.keep(table, &numbers));
        let parts: Vec<Vec<f32>> = sent.iter().map(Embedding::to_floats).collect();
        let step = classifier.backward(&parts, &numbers);
        let encode = |gradient| Gradient::encode(gradient, settings.latents(), settings.gradient);
        parties.learn(step.gradients.into_iter().map(encode).collect()).map_err(TrainingError::Parties)?;
        // While parties learn.
        classifier.update();
        loss += step.loss * numbers.len() as f64;
        seen += numbers.len();
        on_progress(Progress::Batch { epoch, batch });
    }
    Ok((loss / seen.max(1) as f64, start.elapsed().as_secs_f64()))
}

fn evaluate<P: PartyBackend>(
    parties: &mut P,
    plan: &mut Plan,
    classifier: &Classifier,
    part: Part,
) -> Result<Evaluation, TrainingError<P::Error>> {
    let all = plan.part(part).to_vec();
    let mut outputs = Vec::new();
    for (chunk, rows) in all.chunks(CHUNK_ROWS).enumerate() {
        let request = RowSelection::Chunk { part, chunk: chunk as u32 };
        let batches = parties.encode(request, rows.len()).map_err(TrainingError::Parties)?;
        let parts: Vec<Vec<f32>> = batches.iter().map(Embedding::to_floats).collect();
        outputs.extend(classifier.predict(&parts, rows.len()));
    }
    Ok(classifier.evaluate(&outputs, &all))
}

/// Bits per record and party: one code per epoch or evaluation, and one after the freeze.
fn released(settings: &RunSettings, epochs: u32, validations: u32) -> Released {
    let bits = settings.bits as u64;
    let stored = if settings.refits() { bits } else { 0 };
    Released {
        cohort_train: u64::from(epochs) * bits + stored,
        cohort_validation: u64::from(validations) * bits + stored,
        others: stored,
        test: bits,
    }
}
