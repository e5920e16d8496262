//! Parties in this process whose training batches somebody looks at.

use std::convert::Infallible;

use hashvfl_core::protocol::message::Command;
use hashvfl_core::{Digest, Gradient, PackedCodes, RowSelection};
use hashvfl_learning::training::backend::PartyBackend;
use hashvfl_learning::training::in_process::InProcessParties;
use hashvfl_learning::training::saved::SavedTraining;

/// Who looks at training batches.
pub trait Observer {
    /// The codes of a training batch, of each party, are about to leave.
    fn encoded(&mut self, rows: RowSelection, codes: &[PackedCodes]);
    /// The `parties` are about to learn from the gradients that answer the last batch.
    fn answered(&mut self, parties: &InProcessParties<'_, PackedCodes>, gradients: &[Gradient]);
}

/// Parties that send codes, and who looks at them.
pub struct ObservedParties<'a, O> {
    /// The parties.
    pub parties: InProcessParties<'a, PackedCodes>,
    /// Who looks at them.
    pub observer: O,
}

impl<O: Observer> PartyBackend for ObservedParties<'_, O> {
    type Embedding = PackedCodes;
    type Error = Infallible;

    fn encode(&mut self, rows: RowSelection, count: usize) -> Result<Vec<PackedCodes>, Infallible> {
        let codes = self.parties.encode(rows, count)?;
        if let RowSelection::Batch { .. } = rows {
            self.observer.encoded(rows, &codes);
        }
        Ok(codes)
    }

    fn encode_synthetic(&mut self, chunk: u32) -> Result<Vec<PackedCodes>, Infallible> {
        self.parties.encode_synthetic(chunk)
    }

    fn learn(&mut self, gradients: Vec<Gradient>) -> Result<(), Infallible> {
        self.observer.answered(&self.parties, &gradients);
        self.parties.learn(gradients)
    }

    fn carry_out(&mut self, command: Command) -> Result<(), Infallible> {
        self.parties.carry_out(command)
    }

    fn is_time_to_save(&self, ended: bool) -> bool {
        self.parties.is_time_to_save(ended)
    }

    fn save(&mut self, saved: SavedTraining) -> Result<(), Infallible> {
        self.parties.save(saved)
    }

    fn freeze(&mut self) -> Result<Vec<Digest>, Infallible> {
        self.parties.freeze()
    }
}
