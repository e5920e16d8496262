//! What the training loop needs of parties and of what they send, whether they are across a network or in this process.

use hashvfl_core::protocol::message::Command;
use hashvfl_core::{CodeTable, Digest, Gradient, PackedCodes, RowSelection};

use crate::training::saved::SavedTraining;

/// What a party sends for a batch of records.
pub trait Embedding {
    /// Embeddings kept by record.
    type Table;

    /// An empty table for `records` records of `bits` values.
    fn table(records: usize, bits: usize) -> Self::Table;
    /// Keeps this batch, whose records are `rows`.
    fn keep(&self, table: &mut Self::Table, rows: &[u32]);
    /// Kept values of `rows`, row-major; `None` where one is not there.
    fn gather(table: &Self::Table, rows: &[u32]) -> Option<Vec<f32>>;
    /// This batch's values, row-major.
    fn to_floats(&self) -> Vec<f32>;
}

impl Embedding for PackedCodes {
    type Table = CodeTable;

    fn table(records: usize, bits: usize) -> CodeTable {
        CodeTable::new(records, bits)
    }

    fn keep(&self, table: &mut CodeTable, rows: &[u32]) {
        table.put(rows, self);
    }

    fn gather(table: &CodeTable, rows: &[u32]) -> Option<Vec<f32>> {
        table.signs(rows).ok()
    }

    fn to_floats(&self) -> Vec<f32> {
        self.to_signs()
    }
}

/// Float embeddings of a baseline in one process. They have no form on the wire.
pub struct SimulatedFloats(pub Vec<f32>);

impl Embedding for SimulatedFloats {
    type Table = (usize, Vec<f32>);

    fn table(records: usize, bits: usize) -> Self::Table {
        (bits, vec![f32::NAN; records * bits])
    }

    fn keep(&self, (bits, table): &mut Self::Table, rows: &[u32]) {
        for (row, values) in rows.iter().zip(self.0.chunks_exact(*bits)) {
            table[*row as usize * *bits..][..*bits].copy_from_slice(values);
        }
    }

    fn gather((bits, table): &Self::Table, rows: &[u32]) -> Option<Vec<f32>> {
        let values: Vec<f32> =
            rows.iter().flat_map(|row| &table[*row as usize * bits..][..*bits]).copied().collect();
        values.iter().all(|v| !v.is_nan()).then_some(values)
    }

    fn to_floats(&self) -> Vec<f32> {
        self.0.clone()
    }
}

/// All parties of a run, driven step by step.
///
/// Whatever is about records, or is answered with more than that it was done, has a method with its own types; all else
/// is a [`Command`].
pub trait PartyBackend {
    /// What they send.
    type Embedding: Embedding;
    /// How they fail.
    type Error;

    /// Embeddings of `rows` (`count` records), one per party, in the run's order.
    ///
    /// # Errors
    /// If a party fails.
    fn encode(&mut self, rows: RowSelection, count: usize) -> Result<Vec<Self::Embedding>, Self::Error>;
    /// Embeddings of a chunk of synthetic inputs, one per party; none where parties draw none.
    ///
    /// # Errors
    /// If a party fails.
    fn encode_synthetic(&mut self, chunk: u32) -> Result<Vec<Self::Embedding>, Self::Error>;
    /// Gives each party the gradient of its last batch.
    ///
    /// # Errors
    /// If a party fails.
    fn learn(&mut self, gradients: Vec<Gradient>) -> Result<(), Self::Error>;
    /// Each party carries out a command.
    ///
    /// # Errors
    /// If a party fails.
    fn carry_out(&mut self, command: Command) -> Result<(), Self::Error>;
    /// Whether it is time to save where the run is: between two batches, or where an epoch has `ended`.
    fn is_time_to_save(&self, ended: bool) -> bool;
    /// Saves where the run is, at every party and at this side. It is no step of the run.
    ///
    /// # Errors
    /// If a party fails, or this side's disk does.
    fn save(&mut self, saved: SavedTraining) -> Result<(), Self::Error>;
    /// Each party freezes its encoder and tells its digest.
    ///
    /// # Errors
    /// If a party fails.
    fn freeze(&mut self) -> Result<Vec<Digest>, Self::Error>;
}
