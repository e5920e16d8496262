//! Between which values columns lie, so that inputs can be drawn that are no records.

use hashvfl_core::random::uniform;
use rand::rngs::ChaCha8Rng;

/// The least and the largest value of each column of an encoded matrix, over its training rows.
pub struct Ranges(pub(crate) Vec<(f32, f32)>);

impl Ranges {
    /// Of no rows and `width` columns.
    pub fn new(width: usize) -> Self {
        Self(vec![(f32::INFINITY, f32::NEG_INFINITY); width])
    }

    /// Takes in rows, row-major.
    pub fn widen(&mut self, rows: &[f32]) {
        for row in rows.chunks_exact(self.0.len().max(1)) {
            for (range, value) in self.0.iter_mut().zip(row) {
                *range = (range.0.min(*value), range.1.max(*value));
            }
        }
    }

    /// Appends a row that is drawn evenly between them.
    pub fn draw(&self, rng: &mut ChaCha8Rng, into: &mut Vec<f32>) {
        into.extend(self.0.iter().map(|(low, high)| low + uniform(rng) * (high - low)));
    }
}

/// Shows nothing: ranges are values of private data.
impl std::fmt::Debug for Ranges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ranges of {} columns", self.0.len())
    }
}
