//! A load on its way: how much of it has left or come, and what may follow.

use crate::error::{AlignmentError, PeerFault};
use crate::route::Route;
use crate::storage::files::{Items, Journal, chunks};

/// Chunks that may be under way unconfirmed; the relay holds no more of a route.
pub const WINDOW: u32 = 8;

/// A load to send.
pub struct OutgoingLoad {
    /// Which.
    pub route: Route,
    /// The peer's place.
    pub to: usize,
    /// The file, once it is whole.
    pub items: Option<Items>,
    /// The next chunk to send; `None` until the peer has said what it has.
    next: Option<u32>,
    confirmed: u32,
    /// The peer needs no more of it.
    pub finished: bool,
}

impl OutgoingLoad {
    /// A load that nobody has asked for yet.
    pub fn new(route: Route, to: usize) -> Self {
        Self { route, to, items: None, next: None, confirmed: 0, finished: false }
    }

    /// The session is over; what is under way is lost.
    pub fn reset(&mut self) {
        self.next = None;
    }

    /// The peer has `chunks` on disk.
    pub fn have(&mut self, held: u32) -> Result<(), PeerFault> {
        let total = self.items.as_ref().map(|items| chunks(items.total, self.route.load.item_bytes()));
        let sent = self.next.or(total).unwrap_or(0);
        if held > sent || self.next.is_some() && held < self.confirmed {
            return Err(PeerFault::Unexpected);
        }
        self.next.get_or_insert(held);
        self.confirmed = held;
        self.finished |= total == Some(held);
        Ok(())
    }

    /// The next chunk that may leave.
    pub fn due(&self) -> Option<(u32, u64)> {
        let (items, next) = (self.items.as_ref()?, self.next?);
        let open = next < chunks(items.total, self.route.load.item_bytes()) && next < self.confirmed + WINDOW;
        open.then_some((next, items.total))
    }

    /// Takes the chunk that is due.
    pub fn take(&mut self, index: u32) -> Result<Vec<u8>, AlignmentError> {
        self.next = Some(index + 1);
        self.items.as_mut().map_or_else(|| Ok(Vec::new()), |items| items.chunk(index))
    }
}

/// A load that comes.
pub struct IncomingLoad {
    /// Which.
    pub route: Route,
    /// The peer's place.
    pub from: usize,
    /// What has come.
    pub journal: Option<Journal>,
    /// All of it is here, in so many chunks.
    pub complete: Option<u32>,
}

impl IncomingLoad {
    /// Chunks that are safe.
    pub fn held(&self) -> u32 {
        self.complete.or(self.journal.as_ref().map(|journal| journal.held)).unwrap_or(0)
    }

    /// Checks a chunk against what is due.
    pub fn check(&self, index: u32, total: u64, bytes: &[u8]) -> Result<(), PeerFault> {
        let held = self.held();
        if self.complete.is_some() || index != held {
            return Err(PeerFault::Order { expected: held, found: index });
        }
        let Some(journal) = &self.journal else { return Ok(()) };
        if journal.total != total {
            return Err(PeerFault::Resized);
        }
        let expected = journal.due_bytes();
        if bytes.len() == expected { Ok(()) } else { Err(PeerFault::Length { expected, found: bytes.len() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Load;

    const ROUTE: Route = Route { load: Load::Points, set: 0, hop: 0 };

    #[test]
    fn a_chunk_twice_out_of_turn_cut_or_of_another_set_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(&folder.path().join("points"), 32, 2_500).unwrap();
        journal.append(&[1; 64_000]).unwrap();
        let mut load = IncomingLoad { route: ROUTE, from: 1, journal: Some(journal), complete: None };
        let bytes = [1; 500 * 32];
        assert_eq!(load.check(1, 2_500, &bytes), Ok(()));
        assert_eq!(load.check(0, 2_500, &bytes), Err(PeerFault::Order { expected: 1, found: 0 }));
        assert_eq!(load.check(2, 2_500, &bytes), Err(PeerFault::Order { expected: 1, found: 2 }));
        assert_eq!(load.check(1, 2_501, &bytes), Err(PeerFault::Resized));
        assert_eq!(
            load.check(1, 2_500, &bytes[1..]),
            Err(PeerFault::Length { expected: 16_000, found: 15_999 })
        );
        load.complete = Some(2);
        assert_eq!(load.check(1, 2_500, &bytes), Err(PeerFault::Order { expected: 2, found: 1 }));
    }

    #[test]
    fn a_peer_cannot_have_what_was_not_sent() {
        let mut load = OutgoingLoad::new(ROUTE, 1);
        assert_eq!((load.due(), load.have(1)), (None, Err(PeerFault::Unexpected)));
        assert_eq!(load.have(0), Ok(()));
        assert_eq!(load.have(1), Err(PeerFault::Unexpected));
    }
}
