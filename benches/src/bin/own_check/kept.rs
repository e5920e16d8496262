//! Parties in this process, of one of which every code of training records is kept, as its own check keeps them.

use std::convert::Infallible;

use hashvfl_core::protocol::message::Command;
use hashvfl_core::{CodeForm, Digest, Gradient, PackedCodes, Plan, RowSelection};
use hashvfl_learning::Encoder;
use hashvfl_learning::training::backend::PartyBackend;
use hashvfl_learning::training::in_process::InProcessParties;
use hashvfl_learning::training::saved::SavedTraining;

/// The parties of a run, and what one of them sent.
pub struct KeptCodes<'a> {
    parties: InProcessParties<'a, PackedCodes>,
    plan: Plan,
    /// The party, and what its codes are made of.
    party: (usize, CodeForm),
    /// Of each epoch, the values of latents [records, latents] by row.
    epochs: Vec<Vec<f32>>,
}

impl<'a> KeptCodes<'a> {
    /// Keeps codes of the party at the place `party`, made as `form` says.
    pub fn new(parties: InProcessParties<'a, PackedCodes>, plan: Plan, party: (usize, CodeForm)) -> Self {
        Self { parties, plan, party, epochs: Vec::new() }
    }

    /// Values [rows, epochs x latents] of the first `epochs` codes of each of `rows`, training records all of them.
    pub fn of(&self, rows: &[u32], epochs: usize) -> Vec<f32> {
        let latents = self.party.1.latents();
        let mut values = Vec::with_capacity(rows.len() * epochs * latents);
        for row in rows {
            let at = *row as usize * latents;
            self.epochs[..epochs].iter().for_each(|epoch| values.extend_from_slice(&epoch[at..at + latents]));
        }
        values
    }

    /// The party's encoder.
    pub fn into_encoder(self) -> Encoder {
        self.parties.into_encoders().swap_remove(self.party.0)
    }
}

impl PartyBackend for KeptCodes<'_> {
    type Embedding = PackedCodes;
    type Error = Infallible;

    fn encode(&mut self, rows: RowSelection, count: usize) -> Result<Vec<PackedCodes>, Infallible> {
        let codes = self.parties.encode(rows, count)?;
        if let RowSelection::Batch { epoch, .. } = rows {
            let ((party, form), records) = (self.party, self.plan.records());
            let signs = codes[party].to_signs();
            let values = form.decode(&signs);
            self.epochs.resize(epoch as usize + 1, vec![0.0; records * form.latents()]);
            // Unwrap safety: these very rows were encoded just now.
            let numbers = self.plan.rows(rows).expect("rows of the plan");
            for (row, value) in numbers.iter().zip(values.chunks_exact(form.latents())) {
                let at = *row as usize * form.latents();
                self.epochs[epoch as usize][at..at + form.latents()].copy_from_slice(value);
            }
        }
        Ok(codes)
    }

    fn encode_synthetic(&mut self, chunk: u32) -> Result<Vec<PackedCodes>, Infallible> {
        self.parties.encode_synthetic(chunk)
    }

    fn learn(&mut self, gradients: Vec<Gradient>) -> Result<(), Infallible> {
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
