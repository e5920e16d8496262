//! Checks on the evaluation itself, which every report tells.

use hashvfl_core::codes::randomised_response::Response;
use hashvfl_core::random::{shuffle, stream};

use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::knowledge::Fact;
use crate::evidence::observed::ObservedAt;
use crate::report::{Check, CheckId};

/// An attack on shuffled codes must fall to what it knows without codes.
pub fn shuffled(victim: &VictimContext, codes: &AttackSurface) -> anyhow::Result<Check> {
    let split = &victim.test.split;
    let auxiliary = split.auxiliary(victim.config.auxiliary_fraction());
    let records: Vec<u32> = auxiliary.iter().chain(&split.targets).copied().collect();
    let mut order = records.clone();
    shuffle(&mut order, &mut stream(victim.config.seed, "shuffled codes", &[]));
    let observed = codes.observed.shuffled(&records, &order);
    let surface = AttackSurface { observed: &observed, ..codes.clone() };
    let context = victim.test_context(&surface);
    let with = context.conditional_mean(&[Fact::Label, Fact::AllCodes])?;
    let without = context.conditional_mean(&[Fact::Label])?;
    let gain = victim.test.scorer.gain(&with.errors, &without.errors);
    Ok(Check {
        name: CheckId::ShuffledCodes,
        held: gain.low <= 0.0,
        detail: format!(
            "skill gained by shuffled codes: {:.4} ({:.4} to {:.4})",
            gain.value, gain.low, gain.high
        ),
    })
}

/// The manifest's model must give the very codes of the transcript.
pub fn same_codes(victim: &VictimContext, codes: &AttackSurface) -> anyhow::Result<Check> {
    let records = &victim.test.split.targets;
    let encoded = victim.owner.encoder.encode(victim.owner.columns.gather(records), records.len());
    let seen = codes.observed.gather(victim.place, ObservedAt::Frozen, records)?;
    let form = codes.observed.form;
    let same_sign = |(v, bit): (&f32, &f32)| (*v >= 0.0) == (*bit > 0.0);
    let latents = encoded.chunks(form.bits_per_latent()).zip(seen.chunks(form.bits_per_latent()));
    let same = latents.clone().filter(|(own, sent)| own.iter().zip(*sent).all(same_sign)).count();
    let (count, each) = (latents.len(), if form.is_signs() { "bits" } else { "levels" });
    let (bits, detail) = (count as f64, format!("{same} of {count} {each} are equal"));
    let name = CheckId::SameCodes;
    let Some(epsilon) = victim.evidence.coordinator.run.randomised_response else {
        return Ok(Check { name, held: same == count, detail });
    };
    // Which bits are flipped only the party's key tells; how many, everybody knows.
    let fraction = 1.0 - Response::change_probability(epsilon, form);
    let (expected, deviation) = (bits * fraction, (bits * fraction * (1.0 - fraction)).sqrt());
    Ok(Check {
        name,
        held: (same as f64 - expected).abs() <= 5.0 * deviation,
        detail: format!("{detail}, {expected:.0} within {:.0} expected under flips", 5.0 * deviation),
    })
}
