//! What an adversary sees that has the victim's encoder, or may ask it: codes of all records that it owns, not only of those
//! that the run has sent.

use hashvfl_core::codes::randomised_response::Response;
use hashvfl_core::random::{stream, uniform};

use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::observed::{Observed, ObservedAt};
use crate::report::CutKind;

/// What was seen, and the codes of all owned records, flipped as often as the run says. `None` where the encoder is not known.
pub fn queried(victim: &VictimContext, surface: &AttackSurface) -> Option<Observed> {
    let encoder = surface.encoders.get(victim.place)?;
    let asked = &victim.test.elsewhere;
    let values = encoder.encode(victim.owner.columns.gather(asked), asked.len());
    let codes = flipped(victim, surface.cut, victim.test_context(surface).at_cut(values));
    Some(surface.observed.with(victim.place, ObservedAt::Frozen, asked, &codes))
}

/// Codes flipped as often as the run says, where it has randomised response.
pub fn flipped(victim: &VictimContext, cut: CutKind, mut codes: Vec<f32>) -> Vec<f32> {
    let epsilon = victim.evidence.coordinator.run.randomised_response;
    let Some(epsilon) = epsilon.filter(|_| cut == CutKind::Codes) else { return codes };
    let probability = Response::flip_probability(epsilon) as f32;
    let mut rng = stream(victim.config.seed, "flips of codes that nobody asked for", &[codes.len() as u64]);
    codes.iter_mut().filter(|_| uniform(&mut rng) < probability).for_each(|code| *code = -*code);
    codes
}
