//! Going on from a checkpoint, writing one, and the end of a run that counts.

use hashvfl_audit::AuditEvent;
use hashvfl_core::Digest;
use hashvfl_core::protocol::message::CheckpointId;
use hashvfl_learning::training::checkpoints::forget_later;
use hashvfl_monitor::{ProcessPhase, RunTotals};
use tracing::{info, warn};

use super::Worker;
use crate::training::checkpoint::{self, SavedParty};
use crate::training::recorder::Recorder;

impl Worker<'_> {
    /// Goes on from a checkpoint, or begins at the beginning; what was said in the run before is said again.
    pub(super) fn go_on_from(&mut self, resume: Option<CheckpointId>) -> anyhow::Result<()> {
        if self.answers.are_some() {
            self.releases.resume(self.run)?;
        }
        self.board.status().run = RunTotals::default();
        // Who begins now has not finished before, whatever this party has written.
        self.state.forget_pending();
        let offered = std::mem::take(&mut self.offered);
        let Some(id) = resume else {
            forget_later(self.state.folder(), None);
            if self.answers.are_some() {
                warn!("no checkpoint is held by all sides: the run starts again from the beginning");
            }
            self.recorder = Recorder::open(self.config, &self.prepared, self.state, None)?;
            return Ok(());
        };
        let (encoder, saved) = checkpoint::take(self.state, id, offered)?;
        self.session.go_on_from(&saved.place)?;
        self.prepared.encoder.load(&encoder)?;
        self.leakage.as_mut().map_or(Ok(()), |leakage| leakage.go_on_from(&encoder))?;
        self.guard.go_on_as(saved.guard, &encoder)?;
        self.answers.go_on_behind(saved.gradient_sha256.as_deref().and_then(Digest::from_hex));
        self.releases.learns(&self.prepared);
        self.released_bits = saved.released_bits;
        self.recorder = Recorder::open(self.config, &self.prepared, self.state, saved.transcript.as_ref())?;
        let (step, released_bits) = (self.session.step(), self.released_bits);
        info!(step, "the run continues from a checkpoint");
        let mut status = self.board.status();
        status.resumes += 1;
        status.run = RunTotals { steps: step, released_bits, ..RunTotals::default() };
        drop(status);
        Ok(self.audit.note(AuditEvent::Resumed { step })?)
    }

    /// Writes down all that this party needs to go on from here.
    pub(super) fn save(&mut self, id: CheckpointId) -> anyhow::Result<()> {
        self.answers.sync()?;
        let saved = SavedParty {
            run: self.answers.run().to_string(),
            place: self.session.place(),
            guard: self.guard.clone(),
            released_bits: self.released_bits,
            transcript: self.recorder.as_mut().map(Recorder::mark).transpose()?,
            gradient_sha256: self.answers.gradient().map(Digest::to_string),
        };
        let mut snapshot = self.prepared.encoder.snapshot();
        self.guard.save(&mut snapshot);
        if let Some(leakage) = &self.leakage {
            leakage.save(&mut snapshot);
        }
        checkpoint::write(self.state, id, snapshot, self.session.step(), &saved)
    }

    /// The model counts.
    pub(super) fn commit(&mut self) -> anyhow::Result<()> {
        self.state.commit()?;
        if self.begun {
            info!(step = self.session.step(), "the run has finished; the model is final");
        } else {
            info!("the run had already finished; the model is final");
            // The model counts, whether this can be written down or not.
            self.audit.note_or_complain(AuditEvent::RunEnded { finished: true, step: 0, why: None });
        }
        self.board.status().phase = ProcessPhase::Finished;
        Ok(())
    }
}
