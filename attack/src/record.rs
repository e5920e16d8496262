//! Records what parties in this process send, in the format of a networked run's transcript.

use hashvfl_core::message::CheckpointLabel;
use hashvfl_core::{Digest, Gradient, PackedCodes, PartyName, Plan, Rows};
use hashvfl_learning::cut::{Embedding, Parties, SimulatedFloats};
use hashvfl_transcript::{Kind, Transcript, TranscriptError};

/// Something that can be recorded.
pub trait Recorded: Embedding + Sized {
    /// Adds a step to a transcript.
    fn record(
        transcript: &mut Transcript,
        step: (u64, Kind),
        records: &[u32],
        parties: &[PartyName],
        batches: &[Self],
    ) -> Result<(), TranscriptError>;
}

impl Recorded for PackedCodes {
    fn record(
        transcript: &mut Transcript,
        step: (u64, Kind),
        records: &[u32],
        parties: &[PartyName],
        batches: &[Self],
    ) -> Result<(), TranscriptError> {
        transcript.codes(step, records, parties, batches)
    }
}

impl Recorded for SimulatedFloats {
    fn record(
        transcript: &mut Transcript,
        step: (u64, Kind),
        records: &[u32],
        parties: &[PartyName],
        batches: &[Self],
    ) -> Result<(), TranscriptError> {
        let batches: Vec<Vec<f32>> = batches.iter().map(|batch| batch.0.clone()).collect();
        transcript.floats(step, records, parties, &batches)
    }
}

/// Parties whose every embedding is recorded.
pub struct Recorder<P> {
    /// The parties.
    pub parties: P,
    /// Their names.
    pub names: Vec<PartyName>,
    /// The run's plan.
    pub plan: Plan,
    /// Where it goes.
    pub transcript: Transcript,
    /// Steps so far.
    pub step: u64,
}

impl<P: Parties> Parties for Recorder<P>
where
    P::Embedding: Recorded,
    anyhow::Error: From<P::Error>,
{
    type Embedding = P::Embedding;
    type Error = anyhow::Error;

    fn encode(&mut self, rows: Rows, count: usize) -> anyhow::Result<Vec<P::Embedding>> {
        self.step += 1;
        let batches = self.parties.encode(rows, count)?;
        let numbers = self.plan.rows(rows)?;
        let step = (self.step, Kind::of(rows));
        P::Embedding::record(&mut self.transcript, step, &numbers, &self.names, &batches)?;
        Ok(batches)
    }

    fn learn(&mut self, gradients: Vec<Gradient>) -> anyhow::Result<()> {
        Ok(self.parties.learn(gradients)?)
    }

    fn checkpoint(&mut self, label: CheckpointLabel) -> anyhow::Result<()> {
        self.step += 1;
        Ok(self.parties.checkpoint(label)?)
    }

    fn restore(&mut self, label: CheckpointLabel) -> anyhow::Result<()> {
        self.step += 1;
        Ok(self.parties.restore(label)?)
    }

    fn freeze(&mut self) -> anyhow::Result<Vec<Digest>> {
        self.step += 1;
        Ok(self.parties.freeze()?)
    }
}
