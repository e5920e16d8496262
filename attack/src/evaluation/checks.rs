//! Checks on the evaluation itself, which every report tells.

use anyhow::Context;
use hashvfl_core::codes::randomised_response::Response;
use hashvfl_core::random::{shuffle, stream};
use hashvfl_leakage::metrics::error::squared_errors;
use hashvfl_leakage::regression::column_means;
use hashvfl_learning::Classifier;

use crate::evaluation::adversary::{Adversary, ObservedRelease};
use crate::evaluation::findings::Comparison;
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::victim::{AttackSurface, Records, VictimContext};
use crate::evidence::observed::ObservedAt;
use crate::report::{Check, CheckId};

/// Attacks whose figures are not there hide what they would have found.
pub fn all_ran(failed: &[String]) -> Check {
    let detail = if failed.is_empty() { "none ended with an error".to_string() } else { failed.join("; ") };
    Check { name: CheckId::AllRan, held: failed.is_empty(), detail }
}

/// A check that could not be made does not hold.
pub fn or_failed(name: CheckId, check: anyhow::Result<Check>) -> Check {
    check.unwrap_or_else(|error| Check {
        name,
        held: false,
        detail: format!("it could not be made: {error:#}"),
    })
}

/// An attack on shuffled codes must fall to what it knows without codes, and not below.
pub fn shuffled(victim: &VictimContext, codes: &AttackSurface) -> anyhow::Result<Check> {
    let records = [&victim.test.auxiliary[..], &victim.test.targets].concat();
    let mut order = records.clone();
    shuffle(&mut order, &mut stream(victim.config.seed, "shuffled codes", &[]));
    let observed = codes.observed.shuffled(&records, &order);
    let surface = AttackSurface { observed: &observed, ..codes.clone() };
    // Records elsewhere keep their codes: an adversary that has them would learn from these.
    let test = Records { elsewhere: Vec::new(), ..victim.test.clone() };
    let mut grid = AdversaryGrid::new(victim, &surface, &test, &[ObservedRelease::OneCode]);
    let cells =
        [ObservedRelease::OneCode, ObservedRelease::Nothing].map(|release| (Adversary::Stranger, release));
    grid.outcome(Adversary::Stranger, ObservedRelease::OneCode)?;
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
        detail: format!(
            "{detail}; with flips, {expected:.0} are expected, give or take {:.0}",
            5.0 * deviation
        ),
    })
}

/// Most that outputs may differ, as a part of their variance, where another processor rounds otherwise than the run's.
const ROUNDED: f64 = 1e-3;

/// The top model that was made `again` from labels, codes and the coordinator's seed must be the one that was `kept`: to the last
/// bit, or in what they say of so many `records` with these codes, `parts`.
pub fn same_top(kept: &Classifier, again: &Classifier, parts: &[Vec<f32>], records: usize) -> Check {
    let name = CheckId::SameTop;
    if kept.snapshot() == again.snapshot() {
        return Check { name, held: true, detail: "it is equal to the last bit".to_string() };
    }
    let [of_kept, of_again] = [kept, again].map(|top| top.predict(parts, records));
    let width = of_kept.len() / records.max(1);
    let mean = column_means(&of_kept, width, records).repeat(records);
    let [apart, spread] =
        [&of_again, &mean].map(|other| squared_errors(&of_kept, other, width).iter().sum::<f64>());
    Check {
        name,
        held: apart <= ROUNDED * spread,
        detail: format!("outputs differ by {:.1e} of their variance", apart / spread),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Estimate;

    #[test]
    fn an_attack_that_failed_and_a_check_that_could_not_be_made_do_not_hold() {
        assert!(all_ran(&[]).held);
        let check = all_ran(&["steering, which ended with an error: no transcript".to_string()]);
        assert!(!check.held && check.detail.contains("no transcript"), "{}", check.detail);
        let check = or_failed(CheckId::SameCodes, Err(anyhow::anyhow!("no codes")));
        assert!(!check.held && check.detail.ends_with("no codes"), "{}", check.detail);
    }

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
