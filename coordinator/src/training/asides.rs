//! What the parties of a run that goes on are told of each other, while nothing is asked of them: whom the run waits for.
//!
//! Each is told as a [`FromCoordinator::Notice`], beside the exchange: who has answered and waits for the next request has nobody here
//! who looks after its line. A word that the network does not take at once is lost.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hashvfl_core::PartyName;
use hashvfl_core::protocol::message::FromCoordinator;
use hashvfl_transport::Aside;
use hashvfl_transport::listen::TrainingStream;

/// The ways to the parties of a run.
#[derive(Default)]
pub struct Asides(Mutex<BTreeMap<PartyName, Aside<FromCoordinator>>>);

impl Asides {
    /// `party` is there on `stream` from now on.
    pub fn is_on(&self, party: &PartyName, stream: &TrainingStream) {
        // The map is whole after each change.
        let mut ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match stream.aside() {
            Some(way) => drop(ways.insert(party.clone(), way)),
            None => drop(ways.remove(party)),
        }
    }

    /// Tells all others `text` about `party`, as far as they take it.
    pub fn tell_others(&self, party: &PartyName, text: &str) {
        let ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (other, way) in ways.iter() {
            if other != party {
                way.say(FromCoordinator::Notice { text: text.to_string() });
            }
        }
    }
}
