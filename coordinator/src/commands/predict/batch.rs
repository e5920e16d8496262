//! Requests of a client: as many ids as the coordinator takes, and as many bytes as a message holds. Each id of a file is
//! requested once; repetitions are marked as such in the file of predictions. A record without an id, which is an empty one
//! here, is never asked for: nobody knows it.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use anyhow::ensure;
use hashvfl_core::limits::MAX_REQUEST_BYTES;
use hashvfl_proto::v1::{Outcome, Predictions};

/// Bytes of ids in a request, at most: half of what the coordinator takes.
pub const REQUEST_BYTES: usize = MAX_REQUEST_BYTES / 2;
/// Bytes that a message takes for an id beside its text, at most.
const FRAME_BYTES: usize = 6;

/// Ids in the order of their file, those among them that came before.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// All ids; an empty one is that of a record without any.
    pub ids: Vec<String>,
    /// Which of them are not asked for: they came before, or are empty.
    passed: Vec<bool>,
}

impl Batch {
    /// The ids to ask for; none where all came before.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.ids.iter().zip(&self.passed).filter(|(_, passed)| !**passed);
        asked.map(|(id, _)| id.clone()).collect()
    }

    /// How many they are.
    pub fn count_asked(&self) -> usize {
        self.passed.iter().filter(|passed| !**passed).count()
    }

    /// How many records have no id.
    pub fn count_without_id(&self) -> usize {
        self.ids.iter().filter(|id| id.is_empty()).count()
    }

    /// The coordinator's answer to what was asked, with the outcomes of ids that came before and of records without one. Those
    /// that the coordinator did not know it does not know again; their hashes are in `unknown`.
    ///
    /// # Errors
    /// If the answer is of another length.
    pub fn complete(
        &self,
        answer: &mut Predictions,
        hashes: &Hashes,
        unknown: &mut HashSet<u128>,
    ) -> anyhow::Result<()> {
        ensure!(
            answer.outcomes.len() == self.count_asked(),
            "the coordinator's answer does not match the request: does it run another version?"
        );
        let mut answered = std::mem::take(&mut answer.outcomes).into_iter();
        for (id, passed) in self.ids.iter().zip(&self.passed) {
            let outcome = match passed {
                true if id.is_empty() => Outcome::UnknownId.into(),
                true if unknown.contains(&hashes.of(id)) => Outcome::UnknownId.into(),
                true => Outcome::RepeatedId.into(),
                false => answered.next().unwrap_or_default(),
            };
            if !passed && outcome == i32::from(Outcome::UnknownId) {
                unknown.insert(hashes.of(id));
            }
            answer.outcomes.push(outcome);
        }
        Ok(())
    }
}

/// Hashes of ids, of 128 bits: two ids have one by chance alone, and practically never.
#[derive(Clone, Default)]
pub struct Hashes([RandomState; 2]);

impl Hashes {
    fn of(&self, id: &str) -> u128 {
        let [high, low] = self.0.each_ref().map(|state| u128::from(state.hash_one(id)));
        high << 64 | low
    }
}

/// The batches of a file, the next one in the making.
pub struct Batches {
    ids: Vec<String>,
    passed: Vec<bool>,
    bytes: usize,
    most_ids: usize,
    hashes: Hashes,
    /// Hashes of all ids before.
    seen: HashSet<u128>,
}

impl Batches {
    /// Of `most_ids` at most.
    pub fn new(most_ids: usize, hashes: Hashes) -> Self {
        Self { ids: Vec::new(), passed: Vec::new(), bytes: 0, most_ids, hashes, seen: HashSet::new() }
    }

    /// Adds an id. Where it has no room beside the others, these are handed out first.
    pub fn push(&mut self, id: &str) -> Option<Batch> {
        let bytes = id.len() + FRAME_BYTES;
        let is_full = self.ids.len() >= self.most_ids || self.bytes + bytes > REQUEST_BYTES;
        let full = if is_full { self.take() } else { None };
        self.passed.push(id.is_empty() || !self.seen.insert(self.hashes.of(id)));
        self.ids.push(id.to_owned());
        self.bytes += bytes;
        full
    }

    /// Hands out what is there, if anything is.
    pub fn take(&mut self) -> Option<Batch> {
        self.bytes = 0;
        let (ids, passed) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.passed));
        Some(Batch { ids, passed }).filter(|batch| !batch.ids.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_cut_by_count_and_by_bytes() {
        let mut batches = Batches::new(3, Hashes::default());
        let cut = |batches: &mut Batches, id: &str| batches.push(id).map(|batch| batch.ids.len());
        assert_eq!(["a", "b", "c", "d"].map(|id| cut(&mut batches, id)), [None, None, None, Some(3)]);
        let long = "x".repeat(REQUEST_BYTES / 2);
        assert_eq!([long.as_str(), "e", "f"].map(|id| cut(&mut batches, id)), [None, None, Some(3)]);
        assert_eq!([long.as_str(), long.as_str()].map(|id| cut(&mut batches, id)), [None, Some(2)]);
        assert_eq!((batches.take().unwrap().ids.len(), batches.take()), (1, None));
    }

    #[test]
    fn an_id_is_asked_for_once_and_repeated_ones_are_told_whatever_the_size_of_a_request() {
        let ids = ["k1", "u", "k2", "", "k1", "u", "k3", "", "k1", "k1"];
        let outcomes = |most_ids: usize| {
            let hashes = Hashes::default();
            let (mut batches, mut unknown) = (Batches::new(most_ids, hashes.clone()), HashSet::new());
            let mut all: Vec<Batch> = ids.iter().filter_map(|id| batches.push(id)).collect();
            all.extend(batches.take());
            let mut found = Vec::new();
            for batch in &all {
                let of = |id: &String| if id == "u" { Outcome::UnknownId } else { Outcome::Predicted };
                let outcomes = batch.asked().iter().map(|id| of(id).into()).collect();
                let mut answer = Predictions { outcomes, ..Predictions::default() };
                batch.complete(&mut answer, &hashes, &mut unknown).unwrap();
                found.extend(answer.outcomes);
            }
            assert_eq!(all.iter().map(Batch::count_without_id).sum::<usize>(), 2);
            let wrong = all[0].complete(&mut Predictions::default(), &hashes, &mut unknown);
            assert!(wrong.unwrap_err().to_string().contains("does not match"));
            found
        };
        let [predicted, unknown, repeated] =
            [Outcome::Predicted, Outcome::UnknownId, Outcome::RepeatedId].map(i32::from);
        let expected = [
            predicted, unknown, predicted, unknown, repeated, unknown, predicted, unknown, repeated, repeated,
        ];
        for most_ids in [1, 2, 3, 100] {
            assert_eq!(outcomes(most_ids), expected, "{most_ids}");
        }
    }
}
