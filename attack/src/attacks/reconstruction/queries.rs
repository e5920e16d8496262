//! What an adversary sees that has the victim's encoder, or may ask it: codes of all records that it owns, not only of those
//! that the run has sent.

use hashvfl_core::CodeForm;
use hashvfl_core::codes::randomised_response::Response;
use hashvfl_core::random::{below, stream, uniform};

use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::observed::{Observed, ObservedAt};
use crate::report::CutKind;

/// What was seen, and the codes of all owned records, flipped as often as the run says. `None` where the encoder is not known.
pub fn queried(victim: &VictimContext, surface: &AttackSurface) -> Option<Observed> {
    let encoder = surface.encoders.get(victim.place)?;
    let asked = &victim.test.elsewhere;
    let values = encoder.encode(victim.owner.columns.gather(asked), asked.len());
    let codes = flipped(victim, surface, victim.test_context(surface).at_cut(values));
    Some(surface.observed.with(victim.place, ObservedAt::Frozen, asked, &codes))
}

/// Codes flipped as often as the run says, where it has randomised response.
pub fn flipped(victim: &VictimContext, surface: &AttackSurface, mut codes: Vec<f32>) -> Vec<f32> {
    let epsilon = victim.evidence.coordinator.run.randomised_response;
    let Some(epsilon) = epsilon.filter(|_| surface.cut == CutKind::Codes) else { return codes };
    let form = surface.observed.forms[victim.place];
    let probability = Response::change_probability(epsilon, form) as f32;
    let mut rng = stream(victim.config.seed, "flips of codes that nobody asked for", &[codes.len() as u64]);
    for latent in codes.chunks_exact_mut(form.bits_per_latent()) {
        if uniform(&mut rng) >= probability {
            continue;
        }
        // Of a sign there is one other level.
        let step = if form.is_signs() { 1 } else { 1 + below(&mut rng, form.thresholds()) };
        form.put_level((CodeForm::level(latent) + step) % form.levels(), latent);
    }
    codes
}
