//! Checks on the evaluation itself, which every report tells.

use hashvfl_core::codes::randomised_response::Response;
use hashvfl_core::random::{shuffle, stream};

use crate::evaluation::adversary::{Adversary, Release};
use crate::evaluation::findings::Comparison;
use crate::evaluation::grid::Grid;
use crate::evaluation::victim::{AttackSurface, Records, VictimContext};
use crate::evidence::observed::ObservedAt;
use crate::report::{Check, CheckId};

/// Skill that shuffled codes may take from an attack: regressions on noise are chosen a little too often.
const HARMLESS: f64 = 0.01;

/// An attack on shuffled codes must fall to what it knows without codes, and not far below.
pub fn shuffled(victim: &VictimContext, codes: &AttackSurface) -> anyhow::Result<Check> {
    let records = [&victim.test.auxiliary[..], &victim.test.targets].concat();
    let mut order = records.clone();
    shuffle(&mut order, &mut stream(victim.config.seed, "shuffled codes", &[]));
    let observed = codes.observed.shuffled(&records, &order);
    let surface = AttackSurface { observed: &observed, ..codes.clone() };
    // Records elsewhere keep their codes: an adversary that has them would learn from these.
    let test = Records { elsewhere: Vec::new(), ..victim.test.clone() };
    let mut grid = Grid::new(victim, &surface, &test, &[Release::OneCode]);
    let with = grid.outcome(Adversary::Stranger, Release::OneCode)?;
    let without = grid.outcome(Adversary::Stranger, Release::Nothing)?;
    let gain = victim.test.scorer.gain(&with.errors, &without.errors);
    Ok(Check {
        name: CheckId::ShuffledCodes,
        held: gain.low <= 0.0 && gain.high >= -HARMLESS,
        detail: format!(
            "skill gained by shuffled codes: {:.4} ({:.4} to {:.4})",
            gain.value, gain.low, gain.high
        ),
    })
}

/// Standard errors below zero that are no chance, where hundreds of pairs are compared.
const BEYOND_CHANCE: f64 = 4.0;
/// Skill that choosing by few held-out records may cost, which the targets' standard errors do not hold.
const COST_OF_CHOICE: f64 = 0.01;
/// Standard errors to either side of a 95 % interval.
const REACH: f64 = 1.96;

/// Whoever knows more, or has seen or owns more, must not do worse beyond chance.
pub fn never_falls(comparisons: &[Comparison]) -> Check {
    let falls = |comparison: &&Comparison| {
        let error = (comparison.gain.high - comparison.gain.low) / (2.0 * REACH);
        comparison.gain.value < -BEYOND_CHANCE * error - COST_OF_CHOICE
    };
    let fell: Vec<String> = comparisons
        .iter()
        .filter(falls)
        .map(|fell| format!("{} by {:.4}", fell.of, -fell.gain.value))
        .collect();
    Check {
        name: CheckId::NeverFalls,
        held: fell.is_empty() && !comparisons.is_empty(),
        detail: match fell.is_empty() {
            true => format!("{} pairs were compared", comparisons.len()),
            false => format!("of {} pairs: {}", comparisons.len(), fell.join("; ")),
        },
    }
}

/// The manifest's model must give the very codes of the transcript.
pub fn same_codes(victim: &VictimContext, codes: &AttackSurface) -> anyhow::Result<Check> {
    let records = &victim.test.targets;
    let encoded = victim.owner.encoder.encode(victim.owner.columns.gather(records), records.len());
    let seen = codes.observed.gather(victim.place, ObservedAt::Frozen, records)?;
    let same = encoded.iter().zip(&seen).filter(|(v, bit)| (**v >= 0.0) == (**bit > 0.0)).count();
    let (bits, detail) = (seen.len() as f64, format!("{same} of {} bits are equal", seen.len()));
    let name = CheckId::SameCodes;
    let Some(epsilon) = victim.evidence.coordinator.run.randomised_response else {
        return Ok(Check { name, held: same == seen.len(), detail });
    };
    // Which bits are flipped only the party's key tells; how many, everybody knows.
    let fraction = 1.0 - Response::flip_probability(epsilon);
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
            of: "a pair".into(),
        };
        assert!(never_falls(&[comparison(0.1, 0.01), comparison(-0.01, 0.01), comparison(0.0, 0.0)]).held);
        let check = never_falls(&[comparison(0.1, 0.01), comparison(-0.05, 0.01)]);
        assert!(!check.held && check.detail.contains("a pair by 0.0500"), "{}", check.detail);
        assert!(!never_falls(&[]).held, "nothing compared shows nothing");
    }
}
