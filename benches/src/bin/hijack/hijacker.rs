//! The hijacker of one run, with labels or without.

use hashvfl_attack::active::fsha::{Auxiliary, Fsha};
use hashvfl_attack::active::hijacker::Hijacker;
use hashvfl_attack::active::urvfl::{Urvfl, UrvflKnowledge};
use hashvfl_learning::Encoder;
use hashvfl_learning::bottom::BottomError;

use crate::sender::Sender;

/// The hijacker that `sender` is, if it is one, in a run of so many `updates` of which `steps` are made. `model` gives a bottom model
/// of the victim's architecture that learns for so many updates.
pub fn hijacker<'a>(
    sender: &Sender,
    known: UrvflKnowledge<'a>,
    updates: u64,
    steps: u64,
    model: impl FnOnce(u64) -> Result<Encoder, BottomError>,
) -> anyhow::Result<Option<Hijacker<'a>>> {
    Ok(match sender {
        Sender::Hijacker { config, .. } => {
            let values = known.columns.gather(known.auxiliary);
            let auxiliary = Auxiliary { values, columns: known.columns.cols(), scales: Vec::new() };
            Some(Hijacker::Fsha(Box::new(Fsha::new(config.clone(), model(updates)?, auxiliary))))
        }
        Sender::Labelled { config, .. } => {
            let surrogate = model(config.updates(steps))?;
            Some(Hijacker::Urvfl(Box::new(Urvfl::new(config, surrogate, known, steps))))
        }
        _ => None,
    })
}
