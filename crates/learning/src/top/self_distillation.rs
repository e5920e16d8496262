//! Self-distillation: the top model's predictions of training records in earlier cycles are part of their targets.
//!
//! The mean of its predictions in the last epochs of each cycle is less noisy than a label and than any one of the
//! models was (temporal ensembling, Laine and Aila 2017; the cycles are those of snapshot ensembles, Huang et al.
//! 2017). It stays with the coordinator: parties see gradients of another target, and nothing more of anybody's labels.

/// Epochs at the end of a cycle whose predictions are kept.
const KEPT_EPOCHS: u32 = 2;

/// The predictions of each record.
pub struct SelfDistillation {
    share: f32,
    width: usize,
    pub(super) keeps: bool,
    /// Sums of predictions, [records, width].
    pub(super) sums: Vec<f32>,
    /// How many predictions were added up, per record.
    pub(super) counts: Vec<u32>,
    /// Means over the cycles that have ended; empty before.
    pub(super) means: Vec<f32>,
}

impl SelfDistillation {
    /// A memory of `width` values of each of `records` records, which are the `share` of their targets.
    pub fn new(share: f32, records: usize, width: usize) -> Self {
        let (sums, counts) = (vec![0.0; records * width], vec![0; records]);
        Self { share, width, keeps: false, sums, counts, means: Vec::new() }
    }

    /// Another epoch begins, `epoch` (from 0) of a cycle of `of`.
    pub fn begin_epoch(&mut self, epoch: u32, of: u32) {
        if epoch == 0 {
            self.end_cycle();
        }
        self.keeps = epoch + KEPT_EPOCHS >= of;
    }

    /// Predictions so far are part of the targets from here on, and nothing is kept before another epoch begins.
    pub fn end_cycle(&mut self) {
        self.keeps = false;
        if self.counts.iter().any(|count| *count > 0) {
            let sums = self.sums.chunks_exact(self.width).zip(&self.counts);
            self.means =
                sums.flat_map(|(sums, count)| sums.iter().map(|sum| sum / (*count).max(1) as f32)).collect();
        }
    }

    /// Whether predictions of this epoch are to be kept.
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// Keeps the `predictions` [rows, width] of a batch, where the epoch's are to be kept.
    pub fn keep(&mut self, predictions: &[f32], rows: &[u32]) {
        if !self.keeps {
            return;
        }
        for (said, row) in predictions.chunks_exact(self.width).zip(rows) {
            let row = *row as usize;
            self.counts[row] += 1;
            let sums = &mut self.sums[row * self.width..(row + 1) * self.width];
            sums.iter_mut().zip(said).for_each(|(sum, value)| *sum += value);
        }
    }

    /// The target of value `at` of a record whose label says `label`.
    pub fn target(&self, row: u32, at: usize, label: f32) -> f32 {
        let row = row as usize;
        match self.means.get(row * self.width + at) {
            Some(mean) if self.counts[row] > 0 => label + self.share * (mean - label),
            _ => label,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_epochs_of_ended_cycles_are_part_of_the_target() {
        let mut self_distillation = SelfDistillation::new(0.5, 3, 1);
        for (epoch, said) in [100.0, 1.0, 3.0].into_iter().enumerate() {
            self_distillation.begin_epoch(epoch as u32, 3);
            self_distillation.keep(&[said, said + 1.0], &[2, 0]);
            assert_eq!(self_distillation.target(2, 0, 0.0), 0.0, "within the first cycle");
        }
        self_distillation.begin_epoch(0, 3);
        self_distillation.keep(&[100.0, 100.0], &[2, 0]);
        assert_eq!(self_distillation.target(2, 0, 0.0), 1.0);
        assert_eq!(self_distillation.target(0, 0, 1.0), 2.0);
        assert_eq!(self_distillation.target(1, 0, 7.0), 7.0, "nothing was said of it");
        self_distillation.begin_epoch(1, 3);
        self_distillation.keep(&[5.0, 9.0], &[2, 0]);
        assert_eq!(self_distillation.target(2, 0, 0.0), 1.0, "within the second cycle");
        self_distillation.end_cycle();
        assert_eq!(self_distillation.target(2, 0, 0.0), 1.5);
        self_distillation.keep(&[100.0], &[2]);
        self_distillation.end_cycle();
        assert_eq!(self_distillation.target(2, 0, 0.0), 1.5, "stored codes are not recalled");
    }
}
