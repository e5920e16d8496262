//! How a schedule ends: who has its model, who is told so, and who is started again to tidy up.

use hashvfl_core::protocol::message::FromCoordinator;

use super::{SALT, World};
use crate::ground::{COORDINATOR, PARTIES};
use crate::observer::is_kept;
use crate::party_process::Word;

impl World {
    /// The run has finished: tells parties that do not know it.
    pub fn announce(&mut self) {
        for (party, name) in PARTIES.into_iter().enumerate() {
            if is_kept(&self.root, name, "bottom.safetensors") {
                continue;
            }
            self.start(party);
            for message in [FromCoordinator::Welcome { salt: SALT }, FromCoordinator::Commit] {
                self.tell(party, Word::Message(message));
            }
            while self.connections[party].process.is_some() {
                self.tell(party, Word::Gone);
            }
        }
    }

    /// Whether all sides have their models.
    pub fn has_finished(&self) -> bool {
        let all_have = PARTIES.iter().all(|party| is_kept(&self.root, party, "bottom.safetensors"));
        self.observer.broken.is_none() && all_have && is_kept(&self.root, COORDINATOR, "top.safetensors")
    }

    /// Whether nothing follows.
    pub fn is_over(&self) -> bool {
        self.observer.broken.is_some() || self.has_finished()
    }

    /// Holds sides against each other, and ledgers against what has left.
    pub fn compare(&mut self) {
        self.observer.compare(&self.root);
    }

    /// Starts all parties again, as after a kill: whoever has its model tidies up what is left beside it, and ends.
    pub fn start_again(&mut self) {
        for party in 0..PARTIES.len() {
            self.start(party);
            while self.connections[party].process.is_some() {
                self.tell(party, Word::Gone);
            }
        }
    }
}
