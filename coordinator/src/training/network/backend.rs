//! What the training loop asks of all parties at once.

use futures_util::TryStreamExt;
use futures_util::stream::FuturesUnordered;
use hashvfl_core::protocol::coordinator::PeerAnswer;
use hashvfl_core::protocol::message::{CheckpointId, Command, FromCoordinator, Request};
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::{Digest, Gradient, PackedCodes, Part, RowSelection};
use hashvfl_learning::training::backend::PartyBackend;
use hashvfl_learning::training::saved::SavedTraining;
use hashvfl_transcript::{RecordedBatches, RecordedKind, RecordedStep, TranscriptSpool};
use rand::TryRng;

use super::{NetworkError, NetworkedParties, RunLog, note_sent, unless_ended};
use crate::label_ledger::count_and_say;
use crate::training::checkpoints::SavedNetwork;

impl NetworkedParties<'_> {
    /// Shows what has come of each party.
    fn show(&self, codes: &[PackedCodes]) {
        for (party, codes) in self.parties.iter().zip(codes) {
            self.log.board.look_at_codes(party.as_str(), codes);
            self.log.board.status().party(party).released_bits += (codes.rows() * codes.bits()) as u64;
        }
        self.show_released();
    }

    /// Shows what each party has released in the run, and what the run can ask of it.
    pub(super) fn show_released(&self) {
        let (planned, mut status) = (self.plan.most_releases(), self.log.board.status());
        for (party, form) in self.parties.iter().zip(&self.forms) {
            let (shown, bits) = (status.party(party), form.bits() as u64);
            shown.run_released_bits = Some(self.encoded * bits);
            shown.planned_bits = Some(planned * bits);
        }
    }
}

impl PartyBackend for NetworkedParties<'_> {
    type Embedding = PackedCodes;
    type Error = NetworkError;

    fn encode(&mut self, rows: RowSelection, count: usize) -> Result<Vec<PackedCodes>, NetworkError> {
        let codes = self.ask_for_codes(Request::Encode(rows), count)?;
        self.encoded += count as u64;
        self.show(&codes);
        // Unwrap safety: the training loop asks for rows of the same plan.
        let numbers = self.plan.rows(rows).expect("rows of the plan");
        if let Some(transcript) = &mut self.log.transcript {
            let step = RecordedStep { number: self.step, kind: RecordedKind::of(rows) };
            transcript.record(step, &numbers, &self.parties, &RecordedBatches::Codes(&codes))?;
        }
        if matches!(rows, RowSelection::Batch { .. }) {
            self.traffic.training_records += (count * codes.len()) as u64;
            self.batch = numbers;
        }
        Ok(codes)
    }

    fn encode_synthetic(&mut self, chunk: u32) -> Result<Vec<PackedCodes>, NetworkError> {
        self.ask_for_codes(Request::EncodeSynthetic { chunk }, CHUNK_ROWS)
    }

    fn learn(&mut self, gradients: Vec<Gradient>) -> Result<(), NetworkError> {
        let step = self.step;
        self.spans.phase("gradient");
        let RunLog { gradients: log, label_ledger, .. } = &mut self.log;
        let digests: Vec<Digest> =
            gradients.iter().map(|gradient| Digest::of(&gradient.to_bytes())).collect();
        let mut said: Vec<&[u8]> = digests.iter().map(|digest| digest.0.as_slice()).collect();
        let rows: Vec<u8> = self.batch.iter().flat_map(|row| row.to_le_bytes()).collect();
        if log.holds_requests() {
            said.push(&rows);
        }
        let (said, block) = (Digest::of_parts(said), self.plan.part(Part::CohortTrain));
        count_and_say::<NetworkError>(log, self.batches + 1, &said, || {
            label_ledger.count(&self.batch, block)
        })?;
        self.batches += 1;
        self.taught += self.batch.len() as u64;
        let batch = RowSelection::Batch { epoch: 0, batch: 0 };
        for (peer, gradient) in self.peers.iter_mut().zip(gradients) {
            let gradient = FromCoordinator::Gradient { step, gradient };
            let sent = self.driver.wait(peer.send(step, gradient, self.limits))?;
            note_sent(&self.log.board, peer.session.party(), self.traffic.down(sent, Some(batch)));
            self.driver.flush();
        }
        self.spans.phase("update");
        Ok(())
    }

    fn carry_out(&mut self, command: Command) -> Result<(), NetworkError> {
        self.ask(command.into(), 0).map(drop)
    }

    fn freeze(&mut self) -> Result<Vec<Digest>, NetworkError> {
        self.epoch.end();
        let mut digests = Vec::with_capacity(self.peers.len());
        for answer in self.ask(Request::Freeze, 0)? {
            // The sessions let nothing else through.
            if let PeerAnswer::Frozen(digest) = answer {
                digests.push(digest);
            }
        }
        Ok(digests)
    }

    fn is_time_to_save(&self, ended: bool) -> bool {
        self.ending().is_some() || self.log.checkpoints.is_due(ended)
    }

    fn save(&mut self, saved: SavedTraining) -> Result<(), NetworkError> {
        let (step, limits) = (self.step, self.limits);
        // What is saved is saved between steps.
        self.spans.end();
        let mut id = CheckpointId([0; CheckpointId::BYTES]);
        rand::rngs::SysRng.try_fill_bytes(&mut id.0).map_err(|_| NetworkError::Random)?;
        for peer in &mut self.peers {
            self.driver.wait(peer.send(step, FromCoordinator::Save(id), limits))?;
        }
        let saving = self.peers.iter_mut().map(|peer| peer.saved(step, id, limits));
        let saving: FuturesUnordered<_> = saving.collect();
        let ends = &mut self.ends;
        self.driver.wait(unless_ended(ends, step, saving.try_collect::<Vec<()>>()))?;
        self.log.gradients.sync()?;
        let transcript = self.log.transcript.as_mut().map(TranscriptSpool::mark).transpose()?;
        let (traffic, encoded, taught, batches) = (self.traffic, self.encoded, self.taught, self.batches);
        let seconds = self.seconds();
        let network = SavedNetwork { step, traffic, encoded, taught, batches, seconds };
        // Last, and when all parties have theirs: from here on it counts.
        self.log.checkpoints.write(id, saved, network, transcript)?;
        self.ending().map_or(Ok(()), Err)
    }
}
