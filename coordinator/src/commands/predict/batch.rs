//! Requests of a client: as many ids as the coordinator takes, and as many bytes as a message holds.

use hashvfl_core::limits::MAX_REQUEST_BYTES;

/// Bytes of ids in a request, at most: half of what the coordinator takes.
pub const REQUEST_BYTES: usize = MAX_REQUEST_BYTES / 2;
/// Bytes that a message takes for an id beside its text, at most.
const FRAME_BYTES: usize = 6;

/// The ids of a request in the making.
pub struct Batch {
    ids: Vec<String>,
    bytes: usize,
    most_ids: usize,
}

impl Batch {
    /// An empty one, for `most_ids` at most.
    pub fn new(most_ids: usize) -> Self {
        Self { ids: Vec::new(), bytes: 0, most_ids }
    }

    /// Adds an id. Where it has no room beside the others, these are handed out first.
    pub fn push(&mut self, id: &str) -> Option<Vec<String>> {
        let bytes = id.len() + FRAME_BYTES;
        let is_full = self.ids.len() >= self.most_ids || self.bytes + bytes > REQUEST_BYTES;
        let full = if is_full { self.take() } else { None };
        self.ids.push(id.to_owned());
        self.bytes += bytes;
        full
    }

    /// Hands out what is there, if anything is.
    pub fn take(&mut self) -> Option<Vec<String>> {
        self.bytes = 0;
        Some(std::mem::take(&mut self.ids)).filter(|ids| !ids.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_cut_by_count_and_by_bytes() {
        let mut batch = Batch::new(3);
        let cut = |batch: &mut Batch, id: &str| batch.push(id).map(|ids| ids.len());
        assert_eq!(["a", "b", "c", "d"].map(|id| cut(&mut batch, id)), [None, None, None, Some(3)]);
        let long = "x".repeat(REQUEST_BYTES / 2);
        assert_eq!([long.as_str(), "e", "f"].map(|id| cut(&mut batch, id)), [None, None, Some(3)]);
        assert_eq!([long.as_str(), long.as_str()].map(|id| cut(&mut batch, id)), [None, Some(2)]);
        assert_eq!((batch.take().unwrap().len(), batch.take()), (1, None));
    }
}
