//! All that a top model remembers while it learns, beside its weights: what a run needs to go on to the same bits.

use crate::snapshot::{Snapshot, SnapshotError};
use crate::top::classifier::Classifier;
use crate::top::loss::Loss;
use crate::top::self_distillation::SelfDistillation;

const RECORD_WEIGHTS: &str = "memory.record_weights";

impl Classifier {
    /// [`Self::snapshot`], with weights of records and what was said of them in earlier cycles.
    pub fn snapshot_with_memory(&self) -> Snapshot {
        let mut snapshot = self.snapshot();
        self.loss().put_memory(&mut snapshot);
        snapshot
    }

    /// Goes back to [`Self::snapshot_with_memory`].
    ///
    /// # Errors
    /// If it is of another model.
    pub fn load_with_memory(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        self.load(snapshot)?;
        self.loss_mut().load_memory(snapshot)
    }
}

impl Loss {
    fn put_memory(&self, snapshot: &mut Snapshot) {
        snapshot.put(RECORD_WEIGHTS, self.record_weights.clone());
        if let Some(memory) = &self.self_distillation {
            memory.put(snapshot);
        }
    }

    fn load_memory(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        self.record_weights = vector(snapshot, RECORD_WEIGHTS)?.to_vec();
        if let Some(memory) = &mut self.self_distillation {
            memory.load(snapshot)?;
        }
        Ok(())
    }
}

impl SelfDistillation {
    fn put(&self, snapshot: &mut Snapshot) {
        snapshot.put("memory.sums", self.sums.clone());
        // A record is counted once an epoch: floats are exact up to 16 million of them.
        snapshot.put("memory.counts", self.counts.iter().map(|count| *count as f32).collect());
        snapshot.put("memory.means", self.means.clone());
        snapshot.text.insert("memory.keeps".into(), u8::from(self.keeps).to_string());
    }

    fn load(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        self.sums = snapshot.get("memory.sums", self.sums.len())?.to_vec();
        let counts = snapshot.get("memory.counts", self.counts.len())?;
        self.counts = counts.iter().map(|count| *count as u32).collect();
        self.means = vector(snapshot, "memory.means")?.to_vec();
        self.keeps = snapshot.number("memory.keeps")? == 1;
        Ok(())
    }
}

/// A vector of whatever length it has.
fn vector<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a [f32], SnapshotError> {
    let array = snapshot.arrays.get(name).ok_or_else(|| SnapshotError::Missing(name.to_string()))?;
    Ok(&array.values)
}
