//! What a run's training loop needs of parties and of what they send, whether they are across a network or in this
//! process.

use hashvfl_core::protocol::message::CheckpointLabel;
use hashvfl_core::{CodeTable, Digest, Gradient, PackedCodes, RowSelection};

/// What a party sends of a batch of records.
pub trait Embedding {
    /// Embeddings kept by record.
    type Table;

    /// An empty table for `records` records of `bits` values.
    fn table(records: usize, bits: usize) -> Self::Table;
    /// Keeps this batch, which is of `rows`.
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

/// Float embeddings of a baseline; these have no wire type.
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
pub trait PartyBackend {
    /// What they send.
    type Embedding: Embedding;
    /// How they fail.
    type Error;

    /// Embeddings of `rows` (`count` records), one a party, in the run's order.
    fn encode(&mut self, rows: RowSelection, count: usize) -> Result<Vec<Self::Embedding>, Self::Error>;
    /// Embeddings of inputs that each party draws, a chunk of them; none from parties that draw none.
    fn encode_synthetic(&mut self, _chunk: u32) -> Result<Vec<Self::Embedding>, Self::Error> {
        Ok(Vec::new())
    }
    /// Gives each party the gradient of its last batch.
    fn learn(&mut self, gradients: Vec<Gradient>) -> Result<(), Self::Error>;
    /// Each party writes a checkpoint.
    fn checkpoint(&mut self, label: CheckpointLabel) -> Result<(), Self::Error>;
    /// Each party goes back to a checkpoint.
    fn restore(&mut self, label: CheckpointLabel) -> Result<(), Self::Error>;
    /// Each party freezes its encoder and tells its digest.
    fn freeze(&mut self) -> Result<Vec<Digest>, Self::Error>;
}
