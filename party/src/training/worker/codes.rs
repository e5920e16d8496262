//! Codes: encoded, charged, and kept for the transcript.

use std::time::Instant;

use hashvfl_core::codes::randomised_response::RequestPlace;
use hashvfl_core::protocol::message::Answer;
use hashvfl_core::protocol::party::EncodeWork;
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::text::PublicReason;
use hashvfl_core::{PackedCodes, Part, RowSelection};
use hashvfl_ledger::RowBlock;
use hashvfl_monitor::{Epochs, ProcessPhase};
use tracing::info;

use super::Worker;
use crate::noise::AskedRecords;
use crate::training::backlog::{Expected, OutgoingCodes};

impl Worker<'_> {
    /// How many passes over a part are reserved at once: several where the part is asked for in each epoch.
    pub(super) fn passes(&self, part: Part) -> u32 {
        match part {
            Part::CohortTrain | Part::CohortValidation => self.passes_ahead.min(self.settings.epochs),
            _ => 1,
        }
    }

    pub(super) fn calibrate(&mut self) -> anyhow::Result<()> {
        self.prepared.measure(|encoder, plan, gather| encoder.calibrate(plan.part(Part::CohortTrain), gather))
    }

    /// Codes of inputs that are no records: no policy knows of them, and no ledger counts them.
    pub(super) fn encode_synthetic(&mut self, chunk: u32) -> anyhow::Result<Answer> {
        let columns = self.prepared.draw(chunk)?;
        let mut values = self.prepared.encoder.encode(columns.clone(), CHUNK_ROWS);
        let asked = AskedRecords { place: RequestPlace::Drawn { run: self.run, chunk }, rows: &[] };
        self.releases.flip(&self.prepared, &asked, &columns, &mut values);
        Ok(Answer::Codes(self.pack(&values)?.into_bytes()))
    }

    pub(super) fn pack(&self, values: &[f32]) -> anyhow::Result<PackedCodes> {
        // A NaN would travel as an innocent bit.
        if !values.iter().all(|value| value.is_finite()) {
            let text = "the bottom model gives values that are not finite: lower run.learning_rate, or look for extreme values in the columns";
            return Err(PublicReason(text.to_string()).into());
        }
        Ok(PackedCodes::pack(values, self.config.code_form().bits())?)
    }

    /// Codes of records, charged before this returns.
    pub(super) fn encode(&mut self, work: &EncodeWork) -> anyhow::Result<Answer> {
        let EncodeWork { selection, ref rows, part, learn, .. } = *work;
        let asked = AskedRecords { place: RequestPlace::Run { run: self.run, rows: selection }, rows };
        if let RowSelection::Batch { epoch, .. } = selection {
            self.epoch.at(epoch + 1);
        }
        if self.releases.keeps_answers() {
            let codes = self.releases.answer(&self.prepared, &asked, None)?.codes;
            self.note(work, &codes)?;
            return Ok(Answer::Codes(codes.into_bytes()));
        }
        if let RowSelection::Batch { epoch, batch } = selection {
            self.look_before(epoch, batch)?;
        }
        if let (RowSelection::Chunk { part: Part::CohortValidation, chunk: 0 }, true) =
            (selection, self.leakage.is_some())
        {
            self.calibrate()?;
            if let Some(leakage) = &mut self.leakage {
                leakage.before_validation(&self.prepared, &mut self.releases)?;
            }
        }
        self.spans.phase("ledger");
        let charged = self.answers.has(work.step);
        if !charged {
            let block = RowBlock { rows: self.prepared.plan.part(part), passes: self.passes(part) };
            self.releases.reserve(rows, block)?;
        }
        self.spans.phase("encode");
        if !learn {
            self.calibrate()?;
        }
        self.tell_progress(work);
        let columns = self.prepared.columns.gather(rows)?;
        let encoder = &mut self.prepared.encoder;
        let mut values = encoder.encode_selected(selection, columns.clone(), rows.len());
        if let Some(leakage) = self.leakage.as_mut().filter(|_| learn) {
            leakage.keep(rows, &values);
        }
        let draws = self.releases.flip(&self.prepared, &asked, &columns, &mut values);
        let codes = self.pack(&values)?;
        self.note(work, &codes)?;
        let bytes = codes.as_bytes().to_vec();
        let expected = (learn && self.guard.looks()).then(|| self.expected(selection));
        self.backlog.sending(OutgoingCodes { rows: rows.clone(), codes, draws, expected, charged });
        // What is reserved cannot be refused any more.
        if !charged && !self.releases.are_reserved(rows) {
            self.backlog.count(&mut self.releases)?;
        }
        Ok(Answer::Codes(bytes))
    }

    /// What is done before a batch of an epoch, both counted from 0, is encoded: statistics are measured at its start, and codes
    /// are held to the policy where it limits what they tell.
    fn look_before(&mut self, epoch: u32, batch: u32) -> anyhow::Result<()> {
        if batch == 0 {
            self.calibrate()?;
        }
        let Some(leakage) = &mut self.leakage else { return Ok(()) };
        match batch {
            0 => leakage.before_epoch(epoch, &self.prepared, &mut self.releases),
            _ => leakage.within_epoch(epoch, batch, &mut self.prepared, &mut self.releases),
        }
    }

    /// Says now and then which epoch it is.
    pub(super) fn tell_progress(&mut self, work: &EncodeWork) {
        if let RowSelection::Batch { epoch, .. } = work.selection
            && self.session.starts_epoch()
            && self.progress.is_due(Instant::now())
        {
            let (released_bits, epochs) = (self.released_bits, self.settings.epochs);
            info!(step = work.step, released_bits, "epoch {} of {epochs}", epoch + 1);
        }
    }

    /// What the codes of the batch `selection`, the last one, were expected to be before noise and flips were drawn.
    fn expected(&self, selection: RowSelection) -> Expected {
        let begins_cycle = selection.begins_cycle(self.settings);
        let left = self.releases.expectation();
        let values = self.prepared.encoder.expected_codes().into_iter().map(|value| value * left).collect();
        Expected { begins_cycle, values }
    }

    /// Keeps what is sent, where the config asks for it, and counts its bits.
    pub(super) fn note(&mut self, work: &EncodeWork, codes: &PackedCodes) -> anyhow::Result<()> {
        if let Some(recorder) = &mut self.recorder {
            recorder.codes(work.step, work.selection, &work.rows, codes)?;
        }
        let rows = work.rows.len();
        self.count_left(rows, rows * self.config.code_form().bits());
        self.board.look_at_codes(self.name.as_str(), codes);
        if let RowSelection::Batch { epoch, batch } = work.selection {
            let mut status = self.board.status();
            status.phase = ProcessPhase::Training;
            status.epochs = Some(Epochs {
                done: epoch,
                most: self.settings.epochs,
                batches_done: batch + 1,
                batches: self.prepared.plan.batches(),
                ..Epochs::default()
            });
        }
        Ok(())
    }
}
