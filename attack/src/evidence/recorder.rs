//! Records what parties in this process send, in the format of a networked run's transcript.

use hashvfl_core::protocol::message::Command;
use hashvfl_core::{Digest, Gradient, PackedCodes, PartyName, Plan, RowSelection, RunSettings};
use hashvfl_learning::training::backend::{Embedding, PartyBackend, SimulatedFloats};
use hashvfl_learning::training::saved::SavedTraining;
use hashvfl_transcript::{RecordedBatches, RecordedKind, RecordedStep, Transcript};

use crate::attacks::active::steering_server::{PendingBatch, Steer};
use crate::evidence::simulation::RunVariant;

/// Something that can be recorded.
pub trait Recorded: Embedding + Sized {
    /// What a transcript keeps of one batch a party.
    fn recorded(batches: &[Self]) -> RecordedBatches<'_>;
}

impl Recorded for PackedCodes {
    fn recorded(batches: &[Self]) -> RecordedBatches<'_> {
        RecordedBatches::Codes(batches)
    }
}

impl Recorded for SimulatedFloats {
    fn recorded(batches: &[Self]) -> RecordedBatches<'_> {
        RecordedBatches::Floats(batches.iter().map(|batch| batch.0.as_slice()).collect())
    }
}

/// Parties whose every embedding is recorded.
pub struct Recorder<'s, 'm, P> {
    /// The parties.
    pub parties: P,
    names: Vec<PartyName>,
    /// The run's plan.
    pub plan: Plan,
    /// Where it goes.
    pub transcript: Transcript,
    /// Steps so far.
    step: u64,
    /// Whether gradients are recorded too, as the parties get them.
    gradients: bool,
    /// Records and epoch of the batch that waits for its gradient.
    waiting: Option<(Vec<u32>, u32)>,
    /// The run's settings.
    settings: &'s RunSettings,
    /// Who changes a party's gradients, if anybody.
    steer: Option<&'s mut Steer<'m>>,
    /// What a party's last codes were expected to be, where they are codes: for the gradient monitor of the party that is steered.
    pub expected: Option<fn(&P, usize) -> Vec<f32>>,
}

impl<'s, 'm, P> Recorder<'s, 'm, P> {
    /// One that has recorded nothing of a run repeated as `repeat` says.
    pub fn new(
        parties: P,
        plan: Plan,
        repeat: &RunVariant<'s>,
        transcript: Transcript,
        steer: Option<&'s mut Steer<'m>>,
    ) -> Self {
        let (names, gradients) = (repeat.settings.parties.clone(), repeat.gradients);
        Self {
            parties,
            names,
            plan,
            transcript,
            step: 0,
            gradients,
            waiting: None,
            settings: repeat.settings,
            steer,
            expected: None,
        }
    }
}

impl<P: PartyBackend> PartyBackend for Recorder<'_, '_, P>
where
    P::Embedding: Recorded,
    anyhow::Error: From<P::Error>,
{
    type Embedding = P::Embedding;
    type Error = anyhow::Error;

    fn encode(&mut self, rows: RowSelection, count: usize) -> anyhow::Result<Vec<P::Embedding>> {
        self.step += 1;
        let batches = self.parties.encode(rows, count)?;
        let numbers = self.plan.rows(rows)?;
        let step = RecordedStep { number: self.step, kind: RecordedKind::of(rows) };
        self.transcript.record(step, &numbers, &self.names, &P::Embedding::recorded(&batches))?;
        if let (RowSelection::Batch { .. }, Some(steer)) = (rows, &mut self.steer) {
            let codes = batches[steer.victim()].to_floats();
            let expected = self.expected.map(|expected| expected(&self.parties, steer.victim()));
            let begins_cycle = rows.begins_cycle(self.settings);
            steer.saw(PendingBatch { begins_cycle, rows: numbers.clone(), codes, expected });
        }
        self.waiting = match rows {
            RowSelection::Batch { epoch, .. } if self.gradients => Some((numbers, epoch)),
            _ => None,
        };
        Ok(batches)
    }

    fn encode_synthetic(&mut self, chunk: u32) -> anyhow::Result<Vec<P::Embedding>> {
        Ok(self.parties.encode_synthetic(chunk)?)
    }

    fn learn(&mut self, mut gradients: Vec<Gradient>) -> anyhow::Result<()> {
        if let Some(steer) = &mut self.steer {
            let honest = &mut gradients[steer.victim()];
            *honest = steer.turn(std::mem::replace(honest, Gradient::F32(Vec::new())));
        }
        if let Some((numbers, epoch)) = self.waiting.take() {
            let values: Vec<Vec<f32>> = gradients.iter().map(Gradient::decode).collect();
            self.step += 1;
            let step = RecordedStep { number: self.step, kind: RecordedKind::Gradient { epoch } };
            let values = RecordedBatches::Floats(values.iter().map(Vec::as_slice).collect());
            self.transcript.record(step, &numbers, &self.names, &values)?;
        }
        Ok(self.parties.learn(gradients)?)
    }

    fn is_time_to_save(&self, ended: bool) -> bool {
        self.parties.is_time_to_save(ended)
    }

    fn save(&mut self, saved: SavedTraining) -> anyhow::Result<()> {
        Ok(self.parties.save(saved)?)
    }

    fn carry_out(&mut self, command: Command) -> anyhow::Result<()> {
        self.step += 1;
        Ok(self.parties.carry_out(command)?)
    }

    fn freeze(&mut self) -> anyhow::Result<Vec<Digest>> {
        self.step += 1;
        Ok(self.parties.freeze()?)
    }
}
