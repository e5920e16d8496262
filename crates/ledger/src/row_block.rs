//! What is reserved in one durable write.

/// Rows that are asked for one batch after the other, and how often: what a ledger reserves in one durable write.
#[derive(Debug, Clone, Copy)]
pub struct RowBlock<'a> {
    /// The rows.
    pub rows: &'a [u32],
    /// How many releases of each are reserved, from 1; one where the policy does not allow more.
    pub passes: u32,
}

impl<'a> RowBlock<'a> {
    /// One release of each of `rows`.
    pub fn once(rows: &'a [u32]) -> Self {
        Self { rows, passes: 1 }
    }
}
