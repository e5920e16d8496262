//! All parties in this process: for baselines, benches and for showing that the network changes nothing.

use std::convert::Infallible;

use hashvfl_core::codes::randomised_response::{FlipRequest, RequestPlace, Response};
use hashvfl_core::protocol::message::Command;
use hashvfl_core::{CanonicalId, Digest, Gradient, PackedCodes, Part, Plan, RowSelection, RunId};

use crate::encoder::Encoder;
use crate::snapshot::Snapshot;
use crate::threads::{self, WorkerThread};
use crate::training::backend::{Embedding, PartyBackend, SimulatedFloats};
use crate::training::saved::SavedTraining;

/// A way to columns of rows, row-major, from any thread.
pub type Gather<'a> = Box<dyn Fn(&[u32]) -> Vec<f32> + Send + Sync + 'a>;

/// A party in this process: its encoder and a way to its columns.
pub struct InProcessParty<'a> {
    /// The encoder.
    pub encoder: Encoder,
    /// Columns of rows, row-major.
    pub gather: Gather<'a>,
    /// Its randomised response, where the run has it.
    pub response: Option<LocalResponse>,
}

impl InProcessParty<'_> {
    /// Values of the records `numbers`, which the request for `rows` is about, row-major. Statistics are measured on
    /// `cohort` before, except between batches of an epoch.
    fn encode(&mut self, rows: RowSelection, numbers: &[u32], cohort: &[u32]) -> Vec<f32> {
        let Self { encoder, gather, response } = self;
        if !matches!(rows, RowSelection::Batch { batch: 1.., .. }) {
            encoder.calibrate(cohort, gather);
        }
        let columns = gather(numbers);
        let asked = response.as_ref().map(|_| columns.clone()).unwrap_or_default();
        let mut values = encoder.encode_selected(rows, columns, numbers.len());
        if let Some(response) = response {
            response.respond(encoder, rows, numbers, &asked, &mut values);
        }
        values
    }
}

/// Randomised response of a party in this process, drawn for each request as a party across the network draws it.
pub struct LocalResponse {
    /// The flips.
    pub response: Response,
    /// The run.
    pub run: RunId,
    /// Ids of all records, in row order.
    pub ids: Vec<CanonicalId>,
}

impl LocalResponse {
    fn respond(
        &self,
        encoder: &Encoder,
        rows: RowSelection,
        numbers: &[u32],
        columns: &[f32],
        values: &mut [f32],
    ) {
        let ids: Vec<CanonicalId> = numbers.iter().map(|row| self.ids[*row as usize].clone()).collect();
        let place = RequestPlace::Run { run: &self.run, rows };
        let request = FlipRequest { encoder: encoder.state_digest(), place, ids: &ids, columns };
        self.response.respond(&request, values, encoder.bits());
    }
}

/// Parties in this process, all with the same cut layer, each computing on a thread of its own.
pub struct InProcessParties<'a, E> {
    parties: Vec<InProcessParty<'a>>,
    threads: Vec<WorkerThread>,
    plan: Plan,
    best: Vec<Snapshot>,
    wrap: fn(Vec<f32>, usize) -> E,
}

impl<'a> InProcessParties<'a, PackedCodes> {
    /// Parties that send hash codes.
    pub fn hashed(parties: Vec<InProcessParty<'a>>, plan: Plan) -> Self {
        // Unwrap safety: the plan's batches and the settings' bits are within the limits.
        let wrap = |values: Vec<f32>, bits| PackedCodes::pack(&values, bits).expect("codes within limits");
        Self::new(parties, plan, wrap)
    }
}

impl<'a> InProcessParties<'a, SimulatedFloats> {
    /// A baseline in which parties send floats. Encoders must have been made with
    /// [`SimulatedFloat`](crate::encoder::CutLayer::SimulatedFloat).
    pub fn simulated_floats(parties: Vec<InProcessParty<'a>>, plan: Plan) -> Self {
        Self::new(parties, plan, |values, _| SimulatedFloats(values))
    }
}

impl<'a, E> InProcessParties<'a, E> {
    fn new(parties: Vec<InProcessParty<'a>>, plan: Plan, wrap: fn(Vec<f32>, usize) -> E) -> Self {
        let threads = parties.iter().skip(1).map(|_| WorkerThread::start()).collect();
        Self { parties, threads, plan, best: Vec::new(), wrap }
    }
}

impl<E> InProcessParties<'_, E> {
    /// What the values of a party's codes of the last batch were expected to be ([`Encoder::expected_codes`]), flips included.
    pub fn expected_codes(&self, party: usize) -> Vec<f32> {
        let InProcessParty { encoder, response, .. } = &self.parties[party];
        let left = response.as_ref().map_or(1.0, |response| response.response.expectation());
        encoder.expected_codes().into_iter().map(|value| value * left).collect()
    }

    /// The parties' encoders, in order.
    pub fn into_encoders(self) -> Vec<Encoder> {
        self.parties.into_iter().map(|party| party.encoder).collect()
    }
}

impl<E: Embedding> PartyBackend for InProcessParties<'_, E> {
    type Embedding = E;
    type Error = Infallible;

    fn encode(&mut self, rows: RowSelection, _count: usize) -> Result<Vec<E>, Infallible> {
        // Unwrap safety: the training loop asks for rows of the same plan.
        let numbers = self.plan.rows(rows).expect("rows of the plan");
        let cohort = self.plan.part(Part::CohortTrain);
        let values =
            threads::for_each(&self.threads, &mut self.parties, |party| party.encode(rows, &numbers, cohort));
        let bits = self.parties.iter().map(|party| party.encoder.bits());
        Ok(values.into_iter().zip(bits).map(|(values, bits)| (self.wrap)(values, bits)).collect())
    }

    /// None: the columns' ranges are not known here.
    fn encode_synthetic(&mut self, _chunk: u32) -> Result<Vec<E>, Infallible> {
        Ok(Vec::new())
    }

    fn learn(&mut self, gradients: Vec<Gradient>) -> Result<(), Infallible> {
        threads::for_each(&self.threads, self.parties.iter_mut().zip(gradients), |(party, gradient)| {
            party.encoder.learn(gradient.decode());
        });
        Ok(())
    }

    fn carry_out(&mut self, command: Command) -> Result<(), Infallible> {
        match command {
            // One label is in use at a time.
            Command::Checkpoint(_) => {
                self.best = self.parties.iter().map(|party| party.encoder.snapshot()).collect();
            }
            Command::Restore(_) => {
                for (party, snapshot) in self.parties.iter_mut().zip(&self.best) {
                    // Unwrap safety: the snapshot was taken of this very encoder.
                    party.encoder.load(snapshot).expect("a snapshot of this encoder");
                }
            }
        }
        Ok(())
    }

    /// Never: who dies here dies with all parties.
    fn is_time_to_save(&self, _ended: bool) -> bool {
        false
    }

    fn save(&mut self, _saved: SavedTraining) -> Result<(), Infallible> {
        Ok(())
    }

    fn freeze(&mut self) -> Result<Vec<Digest>, Infallible> {
        let rows = self.plan.part(Part::CohortTrain);
        threads::for_each(&self.threads, &mut self.parties, |party| {
            party.encoder.freeze(rows, &party.gather);
        });
        Ok(self.parties.iter().map(|party| party.encoder.digest()).collect())
    }
}
