//! Whose records are digested next: one handshake of a party at a time.
//!
//! A digest over all record ids takes a while, and whoever has a certificate may greet as often as it likes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashvfl_core::PartyName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// After records that did not fit, a party's next handshake waits so many times as long as the digest took: so whoever
/// tries again and again keeps a tenth of a processor busy.
const REST: u32 = 9;

/// The turns of a service's parties. Those whose names may not join must be refused before they take one.
#[derive(Debug, Default)]
pub struct Turns(Mutex<BTreeMap<PartyName, Arc<Semaphore>>>);

impl Turns {
    /// The turn of a handshake of `party`; `None` where others have not ended within `limit`.
    pub(crate) async fn take(&self, party: &PartyName, limit: Duration) -> Option<Turn> {
        let of_party = Arc::clone(
            // The map is whole after each change.
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(party.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(1))),
        );
        let permit = tokio::time::timeout(limit, of_party.acquire_owned()).await.ok()?.ok()?;
        Some(Turn { permit, began: Instant::now() })
    }
}

/// A turn, until it is dropped.
pub(crate) struct Turn {
    permit: OwnedSemaphorePermit,
    began: Instant,
}

impl Turn {
    /// The records did not fit: ends the turn a while later. Must be called within a runtime.
    pub fn rest(self) {
        let Self { permit, began } = self;
        let rest = began.elapsed() * REST;
        tokio::spawn(async move {
            tokio::time::sleep(rest).await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_party_has_one_turn_at_a_time_and_another_has_its_own() {
        let (turns, short, long) = (Turns::default(), Duration::from_millis(20), Duration::from_secs(60));
        let [bank, post] = ["bank", "post"].map(|name| PartyName::new(name).unwrap());
        let turn = turns.take(&bank, long).await.unwrap();
        assert!(turns.take(&bank, short).await.is_none() && turns.take(&post, short).await.is_some());
        drop(turn);
        let turn = turns.take(&bank, long).await.unwrap();
        // As long as a digest may take.
        let began = turn.began;
        tokio::time::sleep(short).await;
        turn.rest();
        assert!(turns.take(&bank, long).await.is_some());
        assert!(began.elapsed() >= short * (1 + REST), "{:?}", began.elapsed());
    }
}
