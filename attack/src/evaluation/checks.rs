//! Checks on the evaluation itself, which every report tells.

use anyhow::Context;
use hashvfl_core::codes::randomised_response::Response;
use hashvfl_core::random::{shuffle, stream};

use crate::evaluation::adversary::{Adversary, Release};
use crate::evaluation::findings::Comparison;
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::victim::{AttackSurface, Records, VictimContext};
use crate::evidence::observed::ObservedAt;
use crate::report::{Check, CheckId};

/// An attack on shuffled codes must fall to what it knows without codes, and not below.
pub fn shuffled(victim: &VictimContext, codes: &AttackSurface) -> anyhow::Result<Check> {
    let records = [&victim.test.auxiliary[..], &victim.test.targets].concat();
    let mut order = records.clone();
    shuffle(&mut order, &mut stream(victim.config.seed, "shuffled codes", &[]));
    let observed = codes.observed.shuffled(&records, &order);
    let surface = AttackSurface { observed: &observed, ..codes.clone() };
    // Records elsewhere keep their codes: an adversary that has them would learn from these.
    let test = Records { elsewhere: Vec::new(), ..victim.test.clone() };
    let mut grid = AdversaryGrid::new(victim, &surface, &test, &[Release::OneCode]);
    let cells = [Release::OneCode, Release::Nothing].map(|release| (Adversary::Stranger, release));
    grid.outcome(Adversary::Stranger, Release::OneCode)?;
    let comparison = grid.compare(cells, "shuffled codes".into()).context("a cell was not filled")?;
    let gain = comparison.gain;
    Ok(Check {
        name: CheckId::ShuffledCodes,
        held: gain.low <= 0.0 && !comparison.falls(),
        detail: format!(
            "skill gained by shuffled codes: {:.4} ({:.4} to {:.4})",
            gain.value, gain.low, gain.high
        ),
    })
}

/// Standard errors below zero that are no chance, where hundreds of pairs are compared.
const BEYOND_CHANCE: f64 = 4.0;
/// Standard errors to either side of a 95 % interval.
const REACH: f64 = 1.96;

impl Comparison {
    /// Whether less was had for more beyond chance: that of the targets, pair by pair, and that of the records which chose.
    fn falls(&self) -> bool {
        let of_targets = (self.gain.high - self.gain.low) / (2.0 * REACH);
        self.gain.value < -BEYOND_CHANCE * of_targets.hypot(self.chance) - ROUNDING
    }
}

/// Skill that is none: figures are sums of f32.
const ROUNDING: f64 = 1e-6;

/// Whoever knows more, or has seen or owns more, must not do worse beyond chance.
pub fn never_falls(comparisons: &[Comparison]) -> Check {
    let fell: Vec<String> = comparisons
        .iter()
        .filter(|comparison| comparison.falls())
        .map(|fell| format!("{} by {:.4}", fell.of, -fell.gain.value))
        .collect();
    let most = comparisons.iter().map(|comparison| -comparison.gain.value).fold(0.0, f64::max);
    Check {
        name: CheckId::NeverFalls,
        held: fell.is_empty() && !comparisons.is_empty(),
        detail: match fell.is_empty() {
            true => format!(
                "{} pairs were compared; the largest fall, by chance, is {most:.4}",
                comparisons.len()
            ),
            false => format!("of {} pairs: {}", comparisons.len(), fell.join("; ")),
        },
    }
}

/// The manifest's model must give the very codes of the transcript.
pub fn same_codes(victim: &VictimContext, codes: &AttackSurface) -> anyhow::Result<Check> {
    let records = &victim.test.targets;
    let encoded = victim.owner.encoder.encode(victim.owner.columns.gather(records), records.len());
    let seen = codes.observed.gather(victim.place, ObservedAt::Frozen, records)?;
    let form = codes.observed.forms[victim.place];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Estimate;

    #[test]
    fn less_for_more_knowledge_fails_and_chance_does_not() {
        let comparison = |value: f64, reach: f64| Comparison {
            gain: Estimate { value, low: value - reach, high: value + reach },
            chance: 0.0,
            of: "a pair".into(),
        };
        assert!(never_falls(&[comparison(0.1, 0.01), comparison(-0.01, 0.01), comparison(0.0, 0.0)]).held);
        let check = never_falls(&[comparison(0.1, 0.01), comparison(-0.05, 0.01)]);
        assert!(!check.held && check.detail.contains("a pair by 0.0500"), "{}", check.detail);
        // Few records that chose leave more to chance.
        assert!(never_falls(&[Comparison { chance: 0.02, ..comparison(-0.05, 0.01) }]).held);
        assert!(!never_falls(&[comparison(-0.025, 0.01)]).held, "no allowance beyond chance");
        assert!(!never_falls(&[]).held, "nothing compared shows nothing");
    }
}
