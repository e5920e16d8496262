//! Records that are looked at, and what has left of them.

use anyhow::Context;
use hashvfl_leakage::check::ReleasedValues;
use hashvfl_learning::Snapshot;
use hashvfl_learning::snapshot::Array;

use crate::prepare::Prepared;

/// Records that are looked at, and what has left of them.
pub(super) struct Watched {
    /// Their rows, in the table of which they are.
    pub rows: Vec<u32>,
    /// [records, columns].
    pub columns: Vec<f32>,
    /// Columns that hold positions of categories.
    pub positions: Vec<usize>,
    /// Of each pass: values of latents [records, latents], zeros of records whose code did not leave.
    pub sent: Vec<Vec<f32>>,
}

impl Watched {
    /// The records `rows` of `prepared`, of which nothing has left.
    pub fn new(rows: Vec<u32>, prepared: &Prepared) -> anyhow::Result<Self> {
        let columns = prepared.columns.gather(&rows)?;
        let positions = prepared.input().categories.iter().map(|categories| categories.column).collect();
        Ok(Self { rows, columns, positions, sent: Vec::new() })
    }

    /// How many they are.
    pub fn records(&self) -> usize {
        self.rows.len()
    }

    /// The columns of some of them, by place.
    pub fn gather(&self, places: &[u32]) -> Vec<f32> {
        let width = self.columns.len() / self.records().max(1);
        places.iter().flat_map(|place| &self.columns[*place as usize * width..][..width]).copied().collect()
    }

    /// All that has left, and the values `next` [records, values].
    pub fn with(&self, next: &[f32]) -> ReleasedValues {
        let passes = || self.sent.iter().map(Vec::as_slice).chain([next]);
        let records = self.records();
        let mut values = Vec::with_capacity(passes().map(<[f32]>::len).sum());
        for record in 0..records {
            for pass in passes() {
                let each = pass.len() / records;
                values.extend_from_slice(&pass[record * each..][..each]);
            }
        }
        let (columns, positions) = (self.columns.clone(), self.positions.clone());
        ReleasedValues { values, columns, positions, records }
    }

    /// Writes down what has left of them, in codes of so many latents.
    pub fn save(&self, name: &str, latents: usize, into: &mut Snapshot) {
        put(name, &self.sent, self.records() * latents, into);
    }

    /// Goes on where `checkpoint` was.
    pub fn go_on_from(&mut self, name: &str, latents: usize, checkpoint: &Snapshot) -> anyhow::Result<()> {
        let width = self.records() * latents;
        let sent = checkpoint.arrays.get(name).filter(|sent| sent.shape.last() == Some(&width));
        let sent = sent.context(
            "the checkpoint does not record which codes of the checked records were sent: its run had no leakage limits in the \
             policy, or an earlier version wrote it. Start over with --fresh, or remove max_explained, max_explained_of \
             and max_reidentified from the policy",
        )?;
        self.sent = sent.values.chunks_exact(width).map(<[f32]>::to_vec).collect();
        Ok(())
    }
}

/// Writes passes of `width` values each under `name`.
pub(super) fn put(name: &str, sent: &[Vec<f32>], width: usize, into: &mut Snapshot) {
    let shape = vec![sent.len(), width];
    into.arrays.insert(name.into(), Array { shape, values: sent.concat() });
}
