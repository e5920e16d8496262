//! The joint phase: bottom models and top model learn together, epoch by epoch, until the best is chosen.

use std::time::Instant;

use hashvfl_core::protocol::message::{CheckpointLabel, Command};
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::{CodeForm, Gradient, Part, Plan, RowSelection, RunSettings};

use crate::snapshot::Snapshot;
use crate::top::classifier::Classifier;
use crate::top::evaluation::Evaluation;
use crate::training::backend::{Embedding, PartyBackend};
use crate::training::saved::{SavedTraining, TrainingPlace};
use crate::training::validate::{Validate, is_in_last_cycle};
use crate::training::{
    EpochReport, ScreeningHook, ScreeningPoint, StepObserver, TrainingError, TrainingProgress,
};

/// Codes of an epoch that are kept for screening, one table a party; none where it is not screened.
type Kept<P> = Vec<<<P as PartyBackend>::Embedding as Embedding>::Table>;

/// Who learns together.
pub(super) struct Joint<'a, 'w, P> {
    pub parties: &'a mut P,
    pub settings: &'a RunSettings,
    pub plan: &'a mut Plan,
    pub classifier: &'a mut Classifier,
    pub validates: Validate,
    /// Whether the last epoch is kept, whichever did best.
    pub keeps_last: bool,
    pub observer: Option<&'w mut StepObserver<'w>>,
}

impl<P: PartyBackend> Joint<'_, '_, P> {
    /// Learns from the beginning or from where `from` is; the place at the end.
    pub fn learn(
        &mut self,
        patience: u32,
        mut screen: Option<&mut ScreeningHook<'_>>,
        from: Option<SavedTraining>,
        on_progress: &mut dyn FnMut(TrainingProgress),
    ) -> Result<TrainingPlace, TrainingError<P::Error>> {
        let (mut place, mut best) = self.begin(from)?;
        while place.epoch < self.settings.epochs && !place.stopped {
            let screens = screen.as_ref().is_some_and(|screen| screen.after_epochs == place.epoch + 1);
            let mut kept = self.tables(screens);
            self.train_epoch(&mut place, best.as_ref(), &mut kept, on_progress)?;
            let report = self.end_epoch(&mut place)?;
            if let Some(screen) = screen.as_mut().filter(|_| screens) {
                self.judge(screen, report.epoch, &kept)?;
            }
            let report = self.validate(report, &mut place)?;
            on_progress(TrainingProgress::Epoch(&report));
            place.curve.push(report);
            self.choose(&report, patience, &mut place, &mut best)?;
            if self.parties.is_time_to_save(true) {
                self.save(&place, best.as_ref())?;
            }
        }
        self.go_back_to_best(&mut place, best)?;
        Ok(place)
    }

    /// The beginning, or where `from` is.
    fn begin(
        &mut self,
        from: Option<SavedTraining>,
    ) -> Result<(TrainingPlace, Option<Snapshot>), TrainingError<P::Error>> {
        let Some(SavedTraining { place, now, best }) = from else {
            return Ok((TrainingPlace::default(), None));
        };
        self.classifier.load_with_memory(&now)?;
        Ok((place, best))
    }

    fn save(
        &mut self,
        place: &TrainingPlace,
        best: Option<&Snapshot>,
    ) -> Result<(), TrainingError<P::Error>> {
        let (place, best) = (place.clone(), best.cloned());
        let saved = SavedTraining { place, now: self.classifier.snapshot_with_memory(), best };
        self.parties.save(saved).map_err(TrainingError::Parties)
    }

    fn tables(&self, screens: bool) -> Kept<P> {
        let table = |form: CodeForm| P::Embedding::table(self.plan.records(), form.bits());
        if screens { self.settings.code_forms().map(table).collect() } else { Vec::new() }
    }

    /// The rest of the epoch of `place`, batch by batch.
    fn train_epoch(
        &mut self,
        place: &mut TrainingPlace,
        best: Option<&Snapshot>,
        kept: &mut Kept<P>,
        on_progress: &mut dyn FnMut(TrainingProgress),
    ) -> Result<(), TrainingError<P::Error>> {
        let (epoch, cycle) = (place.epoch, self.settings.cycle_epochs());
        if place.batch == 0 {
            self.classifier.begin_epoch(epoch % cycle, cycle);
        }
        let (start, before) = (Instant::now(), place.seconds);
        for batch in place.batch..self.plan.batches() {
            self.train_batch(place, batch, kept)?;
            place.batch = batch + 1;
            place.seconds = before + start.elapsed().as_secs_f64();
            on_progress(TrainingProgress::Batch { epoch, batch });
            // Codes that are kept for screening would be lost, and behind its last batch an epoch is not over yet.
            let is_within = kept.is_empty() && place.batch < self.plan.batches();
            if is_within && self.parties.is_time_to_save(false) {
                self.save(place, best)?;
            }
        }
        Ok(())
    }

    fn train_batch(
        &mut self,
        place: &mut TrainingPlace,
        batch: u32,
        kept: &mut Kept<P>,
    ) -> Result<(), TrainingError<P::Error>> {
        let rows = RowSelection::Batch { epoch: place.epoch, batch };
        // Unwrap safety: epoch and batch are within the plan.
        let numbers = self.plan.rows(rows).expect("a batch of the plan");
        let sent = self.parties.encode(rows, numbers.len()).map_err(TrainingError::Parties)?;
        kept.iter_mut().zip(&sent).for_each(|(table, batch)| batch.keep(table, &numbers));
        let parts: Vec<Vec<f32>> = sent.iter().map(Embedding::to_floats).collect();
        let step = self.classifier.backward(&parts, &numbers);
        let encode = |(gradient, form): (Vec<f32>, CodeForm)| {
            Gradient::encode(gradient, form.latents(), self.settings.gradient)
        };
        let gradients = step.gradients.into_iter().zip(self.settings.code_forms()).map(encode).collect();
        self.parties.learn(gradients).map_err(TrainingError::Parties)?;
        if let Some(observer) = &mut self.observer {
            observer(self.classifier, &numbers, &parts);
        }
        // While parties learn.
        self.classifier.update();
        place.loss += step.loss * numbers.len() as f64;
        place.seen += numbers.len();
        Ok(())
    }

    /// What an epoch gave, without its evaluation; `place` is behind it then.
    fn end_epoch(&self, place: &mut TrainingPlace) -> Result<EpochReport, TrainingError<P::Error>> {
        let (epoch, train_loss) = (place.epoch + 1, place.loss / place.seen.max(1) as f64);
        let report = EpochReport { epoch, train_loss, validation: None, train_seconds: place.seconds };
        if !train_loss.is_finite() {
            return Err(TrainingError::Diverged { epoch });
        }
        (place.epoch, place.batch, place.loss, place.seen, place.seconds) = (epoch, 0, 0.0, 0, 0.0);
        Ok(report)
    }

    fn judge(
        &mut self,
        screen: &mut ScreeningHook<'_>,
        epoch: u32,
        kept: &Kept<P>,
    ) -> Result<(), TrainingError<P::Error>> {
        let rows = self.plan.part(Part::CohortTrain);
        // Unwrap safety: an epoch holds each of these rows once.
        let gather = |table| P::Embedding::gather(table, rows).expect("a row of the epoch");
        let parts: Vec<Vec<f32>> = kept.iter().map(gather).collect();
        let weights = (screen.judge)(ScreeningPoint::Epoch(epoch), rows, &parts);
        self.classifier.weigh(rows, &weights.map_err(TrainingError::Screening)?);
        Ok(())
    }

    fn validate(
        &mut self,
        mut report: EpochReport,
        place: &mut TrainingPlace,
    ) -> Result<EpochReport, TrainingError<P::Error>> {
        let due = self.validates.follows(report.epoch, self.settings);
        if due && !self.plan.part(Part::CohortValidation).is_empty() {
            let validation = self.evaluate(Part::CohortValidation)?;
            // Its figures would be numbers all the same, and the epoch the best of all.
            if !validation.loss.is_finite() {
                return Err(TrainingError::Diverged { epoch: report.epoch });
            }
            report.validation = Some(validation);
            place.validations += 1;
        }
        Ok(report)
    }

    fn evaluate(&mut self, part: Part) -> Result<Evaluation, TrainingError<P::Error>> {
        let all = self.plan.part(part).to_vec();
        let mut outputs = Vec::new();
        for (chunk, rows) in all.chunks(CHUNK_ROWS).enumerate() {
            let request = RowSelection::Chunk { part, chunk: chunk as u32 };
            let batches = self.parties.encode(request, rows.len()).map_err(TrainingError::Parties)?;
            let parts: Vec<Vec<f32>> = batches.iter().map(Embedding::to_floats).collect();
            outputs.extend(self.classifier.predict(&parts, rows.len()));
        }
        Ok(self.classifier.evaluate(&outputs, &all))
    }

    /// Keeps the models of an epoch that did best, and stops where none has for too long.
    fn choose(
        &mut self,
        report: &EpochReport,
        patience: u32,
        place: &mut TrainingPlace,
        best: &mut Option<Snapshot>,
    ) -> Result<(), TrainingError<P::Error>> {
        let settings = self.settings;
        let counts = is_in_last_cycle(report.epoch, settings) && !self.keeps_last;
        let Some(validation) = report.validation.filter(|_| counts) else { return Ok(()) };
        if place.best.is_none_or(|best| validation.is_better(&best, settings.task)) {
            (place.best, place.best_epoch) = (Some(validation), report.epoch);
            *best = Some(self.classifier.snapshot());
            let keep = Command::Checkpoint(CheckpointLabel::Best);
            self.parties.carry_out(keep).map_err(TrainingError::Parties)?;
        } else {
            place.stopped = patience > 0 && report.epoch - place.best_epoch >= patience;
        }
        Ok(())
    }

    fn go_back_to_best(
        &mut self,
        place: &mut TrainingPlace,
        best: Option<Snapshot>,
    ) -> Result<(), TrainingError<P::Error>> {
        match best {
            Some(snapshot) if place.best_epoch < place.epoch => {
                self.classifier.load(&snapshot)?;
                let restore = Command::Restore(CheckpointLabel::Best);
                self.parties.carry_out(restore).map_err(TrainingError::Parties)?;
            }
            Some(_) => {}
            None => place.best_epoch = place.epoch,
        }
        Ok(())
    }
}
