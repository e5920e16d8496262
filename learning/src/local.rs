//! All parties in this process: for baselines, benches and for showing that the network changes nothing.

use std::convert::Infallible;

use hashvfl_core::message::CheckpointLabel;
use hashvfl_core::{Digest, Gradient, PackedCodes, Part, Plan, Rows};

use crate::cut::{Embedding, Parties, SimulatedFloats};
use crate::encoder::Encoder;
use crate::snapshot::Snapshot;

/// A party in this process: its encoder and a way to its columns.
pub struct LocalParty<'a> {
    /// The encoder.
    pub encoder: Encoder,
    /// Columns of rows, row-major.
    pub gather: Box<dyn Fn(&[u32]) -> Vec<f32> + 'a>,
}

/// Parties in this process, all with the same cut.
pub struct LocalParties<'a, E> {
    parties: Vec<LocalParty<'a>>,
    plan: Plan,
    best: Vec<Snapshot>,
    wrap: fn(Vec<f32>, usize) -> E,
}

impl<'a> LocalParties<'a, PackedCodes> {
    /// Parties that send hash codes.
    pub fn hashed(parties: Vec<LocalParty<'a>>, plan: Plan) -> Self {
        // Unwrap safety: the plan's batches and the settings' bits are within the limits.
        let wrap = |values: Vec<f32>, bits| PackedCodes::pack(&values, bits).expect("codes within limits");
        Self { parties, plan, best: Vec::new(), wrap }
    }
}

impl<'a> LocalParties<'a, SimulatedFloats> {
    /// A baseline in which parties send floats. Encoders must have been made with
    /// [`SimulatedFloat`](crate::encoder::Cut::SimulatedFloat).
    pub fn simulated_floats(parties: Vec<LocalParty<'a>>, plan: Plan) -> Self {
        Self { parties, plan, best: Vec::new(), wrap: |values, _| SimulatedFloats(values) }
    }
}

impl<E> LocalParties<'_, E> {
    /// The cut that encoders of these parties must have.
    pub fn into_parts(self) -> Vec<Encoder> {
        self.parties.into_iter().map(|party| party.encoder).collect()
    }

    fn calibrate(&mut self) {
        let rows = self.plan.part(Part::CohortTrain);
        for party in &mut self.parties {
            party.encoder.calibrate(rows, &party.gather);
        }
    }
}

impl<E: Embedding> Parties for LocalParties<'_, E> {
    type Embedding = E;
    type Error = Infallible;

    fn encode(&mut self, rows: Rows, count: usize) -> Result<Vec<E>, Infallible> {
        let learn = matches!(rows, Rows::Batch { .. });
        if !learn || matches!(rows, Rows::Batch { batch: 0, .. }) {
            self.calibrate();
        }
        // Unwrap safety: the course asks for rows of the same plan.
        let numbers = self.plan.rows(rows).expect("rows of the plan");
        let embed = |party: &mut LocalParty| {
            let columns = (party.gather)(&numbers);
            let encoder = &mut party.encoder;
            let values =
                if learn { encoder.encode_batch(columns, count) } else { encoder.encode(columns, count) };
            (self.wrap)(values, encoder.bits())
        };
        Ok(self.parties.iter_mut().map(embed).collect())
    }

    fn learn(&mut self, gradients: Vec<Gradient>) -> Result<(), Infallible> {
        self.parties
            .iter_mut()
            .zip(gradients)
            .for_each(|(party, gradient)| party.encoder.learn(gradient.decode()));
        Ok(())
    }

    fn checkpoint(&mut self, _label: CheckpointLabel) -> Result<(), Infallible> {
        self.best = self.parties.iter().map(|party| party.encoder.snapshot()).collect();
        Ok(())
    }

    fn restore(&mut self, _label: CheckpointLabel) -> Result<(), Infallible> {
        for (party, snapshot) in self.parties.iter_mut().zip(&self.best) {
            // Unwrap safety: the snapshot was taken of this very encoder.
            party.encoder.load(snapshot).expect("a snapshot of this encoder");
        }
        Ok(())
    }

    fn freeze(&mut self) -> Result<Vec<Digest>, Infallible> {
        self.calibrate();
        Ok(self.parties.iter().map(|party| party.encoder.digest()).collect())
    }
}
