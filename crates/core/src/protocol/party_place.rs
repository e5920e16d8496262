//! Where a run is, as its party sees it: what a checkpoint keeps of a [`PartySession`], and going on from there.

use serde::{Deserialize, Serialize};

use super::{Part, PartyError, PartySession, State};
use crate::digest::Digest;

/// A place between two batches, or behind an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlace {
    step: u64,
    next_batch: (u32, u32),
    /// Chunks of the cohort's validation records that were asked for since the last batch.
    validated: u32,
    checkpoint: Option<u32>,
    /// Names the records that the run goes on without.
    excluded_sha256: String,
}

impl PartySession {
    /// Where the run is now.
    pub fn place(&self) -> SavedPlace {
        SavedPlace {
            step: self.step,
            next_batch: self.next_batch,
            validated: self.next_chunk.get(&Part::CohortValidation).copied().unwrap_or(0),
            checkpoint: self.checkpoint,
            excluded_sha256: Digest::of(self.excluded.as_bytes()).to_string(),
        }
    }

    /// Goes on from `place`, right after the run has begun.
    ///
    /// # Errors
    /// If the place is one of another run: of other records, or beyond the plan.
    pub fn go_on_from(&mut self, place: &SavedPlace) -> Result<(), PartyError> {
        let (epoch, batch) = place.next_batch;
        let fits = self.state == State::Ready
            && self.step == 0
            && place.excluded_sha256 == Digest::of(self.excluded.as_bytes()).to_string()
            && epoch <= self.settings.epochs
            && batch < self.plan.batches()
            && place.validated <= self.plan.chunks(Part::CohortValidation)
            && place.checkpoint.is_none_or(|best| best < epoch);
        if !fits {
            return Err(PartyError::OtherPlace);
        }
        self.step = place.step;
        self.next_batch = place.next_batch;
        self.checkpoint = place.checkpoint;
        self.saved = Some(place.next_batch);
        if place.validated > 0 {
            self.next_chunk.insert(Part::CohortValidation, place.validated);
        }
        Ok(())
    }
}
