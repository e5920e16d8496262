//! What waits for a holder of an alignment, by who has sent it: a sender that never stops fills only its own share.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashvfl_core::PartyName;

/// Bytes that one holder may have waiting for another. An honest one has eight chunks on each of at most 24 routes, 12 MiB, and
/// as many confirmations.
const MOST_BYTES: usize = 24 << 20;
/// Bytes that a frame counts for, at least: so many short ones take memory, too.
const LEAST_BYTES: usize = 24 << 10;
/// Frames of one sender that may wait, at most.
pub const MOST_FRAMES: usize = MOST_BYTES / LEAST_BYTES;

/// Bytes that wait for one holder, by sender.
#[derive(Debug, Default)]
pub struct QueuedBytes(Mutex<BTreeMap<PartyName, usize>>);

impl QueuedBytes {
    /// Counts a frame of `from` as waiting, if there is room for it.
    pub fn take(&self, from: &PartyName, frame: &[u8]) -> bool {
        let mut waiting = self.lock();
        let bytes = waiting.entry(from.clone()).or_default();
        let more = *bytes + frame.len().max(LEAST_BYTES);
        let fits = more <= MOST_BYTES;
        if fits {
            *bytes = more;
        }
        fits
    }

    /// A frame of `from` waits no more.
    pub fn give_back(&self, from: &PartyName, frame: &[u8]) {
        if let Some(bytes) = self.lock().get_mut(from) {
            *bytes = bytes.saturating_sub(frame.len().max(LEAST_BYTES));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PartyName, usize>> {
        // A panic while the lock was held cannot leave a count half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_sends_without_end_fills_its_own_part_alone() {
        let [bank, shop] = ["bank", "shop"].map(|name| PartyName::new(name).unwrap());
        let waiting = QueuedBytes::default();
        let (long, short) = (vec![3; 65_544], vec![3; 10]);
        let taken = (0..10_000).filter(|_| waiting.take(&bank, &long)).count();
        assert_eq!(taken, MOST_BYTES / long.len());
        assert!(taken > 24 * 8, "an honest holder's chunks fit: {taken}");
        assert_eq!((0..10_000).filter(|_| waiting.take(&shop, &short)).count(), MOST_FRAMES);
        waiting.give_back(&bank, &long);
        assert!(waiting.take(&bank, &long) && !waiting.take(&bank, &long));
    }
}
