//! Whoever sees all that leaves a side, and knows what must have been counted.

use std::collections::BTreeMap;
use std::path::Path;

use hashvfl_core::Gradient;
use hashvfl_core::protocol::message::{Answer, FromCoordinator, FromParty};

use crate::ground::{COORDINATOR, PARTIES};
use crate::outcome::bits_by_record;

#[derive(Default)]
pub struct Observer {
    /// What each party answered at each step, and its bits of codes.
    answers: BTreeMap<(usize, u64), (String, u64)>,
    /// Bits of the gradient that was sent to each party at each step.
    gradients: BTreeMap<(usize, u64), u64>,
    /// The first promise that was broken.
    pub broken: Option<String>,
}

/// Whether a side has that file in its state folder.
pub fn is_kept(root: &Path, side: &str, name: &str) -> bool {
    root.join(side).join("state").join(name).exists()
}

impl Observer {
    pub fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    /// Something leaves a party: at each step the same.
    pub fn note_answer(&mut self, party: usize, message: &FromParty) {
        let FromParty::Answer(step, answer) = message else { return };
        let bits = match answer {
            Answer::Codes(bytes) => 8 * bytes.len() as u64,
            _ => 0,
        };
        let said = (format!("{answer:?}"), bits);
        let before = self.answers.entry((party, *step)).or_insert_with(|| said.clone());
        if *before != said {
            self.breaks(format!("{} answers step {step} in two ways", PARTIES[party]));
        }
    }

    /// Something leaves the coordinator.
    pub fn note_gradient(&mut self, party: usize, message: &FromCoordinator) {
        if let FromCoordinator::Gradient { step, gradient: Gradient::F32(values) } = message {
            self.gradients.insert((party, *step), 32 * values.len() as u64);
        }
    }

    /// Bits that have left a side.
    fn bits_left(&self, side: &str) -> u64 {
        match PARTIES.iter().position(|party| *party == side) {
            Some(of) => {
                self.answers.iter().filter(|((party, _), _)| *party == of).map(|(_, (_, bits))| bits).sum()
            }
            None => self.gradients.values().sum(),
        }
    }

    /// Holds sides against each other, and ledgers against what has left; no process runs.
    pub fn compare(&mut self, root: &Path) {
        let decided = is_kept(root, COORDINATOR, "top.safetensors");
        for party in PARTIES {
            let counts = is_kept(root, party, "bottom.safetensors");
            if counts && !decided {
                self.breaks(format!("the model of {party} counts, and nobody has decided that"));
            }
            if decided && !counts && !is_kept(root, party, "bottom.pending.safetensors") {
                self.breaks(format!("the run has finished without the model of {party}"));
            }
        }
        for side in PARTIES.into_iter().chain([COORDINATOR]) {
            let left = self.bits_left(side);
            match bits_by_record(root, side) {
                Ok(counted) if counted.values().sum::<u64>() < left => {
                    self.breaks(format!("{left} bits left {side}, and its ledger counts fewer"));
                }
                Ok(_) => {}
                Err(error) => self.breaks(error),
            }
        }
    }
}
