//! How much the adversary's own records help it.

use std::collections::BTreeMap;

use crate::attacks::reconstruction::conditional_mean::KNOWS;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::{Adversary, ObservedRelease};
use crate::evaluation::attack::{About, Attack};
use crate::evaluation::findings::{ChartId, Comparison};
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::score::moments;
use crate::evaluation::victim::VictimContext;
use crate::report::{Chart, Curve, Metric};
use hashvfl_leakage::metrics::error;
use hashvfl_leakage::regression::ensemble::paired;

/// The conditional mean of one code over the fraction of the records that the adversary owns.
pub struct OverAuxiliaryFraction;

impl Attack for OverAuxiliaryFraction {
    fn about(&self) -> About {
        About { title: "leakage over the auxiliary fraction", knows: KNOWS, needs: &[] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, codes) = (evaluation.victim, &evaluation.surfaces.codes);
        let rows = victim.evidence.frozen_records();
        let adversaries =
            if victim.config.quick { vec![Adversary::Stranger] } else { Adversary::all(victim) };
        let (mut points, mut before) = (Vec::new(), BTreeMap::<Adversary, Tried>::new());
        for fraction in &victim.config.auxiliary_fractions {
            let records = victim.at_fraction(&victim.test, rows, *fraction);
            let mut grid = AdversaryGrid::new(victim, codes, &records, &[ObservedRelease::OneCode]);
            if let Some(usual) = evaluation.grids.get(&codes.cut) {
                // The largest fraction is the usual one.
                grid = grid.filled_from(usual, &[ObservedRelease::Nothing, ObservedRelease::OneCode]);
            }
            for adversary in &adversaries {
                let attacked = grid.outcome(*adversary, ObservedRelease::OneCode)?;
                if *adversary == Adversary::Stranger {
                    points.push((fraction * 100.0, attacked.skill()));
                }
                let (judges, guess, _) = grid.columns(*adversary, ObservedRelease::OneCode)?;
                let tried = Tried::new(victim, attacked.errors, judges, &guess);
                if let Some(less) = before.remove(adversary) {
                    let gain = victim.test.scorer.gain(&tried.errors, &less.errors);
                    let of = format!("{adversary} with {fraction} of the records, below a smaller fraction");
                    let chance = chance(&tried, &less);
                    evaluation.findings.comparisons.push(Comparison { gain, chance, of });
                }
                before.insert(*adversary, tried);
            }
        }
        let name = format!("conditional mean of one code, {}", codes.defence);
        let chart = Chart {
            title: "Leakage over the auxiliary fraction".into(),
            x: "records that the adversary owns, % of all".into(),
            log_x: true,
            y: Metric::Skill.into(),
            curves: vec![Curve { name, points }],
        };
        evaluation.findings.charts.insert(ChartId::AuxiliaryFraction, chart);
        Ok(())
    }
}

/// What an adversary with one fraction of the records made of the targets, and of the records that chose its regressions.
struct Tried {
    /// Squared error of each target.
    errors: Vec<f64>,
    /// The records that chose, without which each of them was guessed.
    judges: Vec<u32>,
    /// Squared error of each of them, and that of the mean.
    missed: Vec<f64>,
    reference: Vec<f64>,
}

impl Tried {
    /// By a `guess` [judges, columns], in units that are the same for all fractions.
    fn new(victim: &VictimContext, errors: Vec<f64>, judges: Vec<u32>, guess: &[f32]) -> Self {
        let columns = &victim.owner.columns;
        let (mean, deviation) = moments(columns, &victim.test.auxiliary);
        let image = victim.owner.image.is_some();
        let scales: Vec<f32> = deviation
            .iter()
            .map(|deviation| match image {
                true => 1.0,
                false if *deviation > 1e-6 => 1.0 / *deviation,
                false => 0.0,
            })
            .collect();
        let scaled = |values: &[f32]| -> Vec<f32> {
            values.iter().zip(scales.iter().cycle()).map(|(value, scale)| value * scale).collect()
        };
        let truth = scaled(&columns.gather(&judges));
        let squared = |guess: &[f32]| error::squared_errors(&truth, &scaled(guess), columns.cols());
        let (missed, reference) = (squared(guess), squared(&mean.repeat(judges.len())));
        Self { errors, judges, missed, reference }
    }
}

/// Standard error, in skill, of what the records that chose for both fractions say that the greater one gains. A greater fraction
/// begins with the records of a smaller one, so these are the same.
fn chance(more: &Tried, less: &Tried) -> f64 {
    let shared = more.judges.iter().zip(&less.judges).take_while(|(one, other)| one == other).count();
    let (_, deviation) = paired(&less.missed[..shared], &more.missed[..shared]);
    let scale = error::mean(&less.reference[..shared]);
    if scale > 0.0 { deviation / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::{stream, uniform};
    use hashvfl_leakage::metrics::ratio;

    use super::*;
    use crate::evaluation::checks::never_falls;

    #[test]
    fn a_greater_fraction_that_is_drawn_to_the_mean_by_five_points_fails() {
        let mut rng = stream(1, "fractions test", &[]);
        let mut draw = || f64::from(uniform(&mut rng));
        let reference: Vec<f64> = (0..600).map(|_| 0.5 + draw()).collect();
        let errors: Vec<f64> = reference.iter().map(|reference| 0.8 * draw() * reference).collect();
        let fall = |points: f64, draw: &mut dyn FnMut() -> f64| {
            let worse: Vec<f64> =
                errors.iter().zip(&reference).map(|(e, r)| e + 2.0 * points * draw() * r).collect();
            let tried = |missed: &[f64], judges: u32| Tried {
                errors: missed.to_vec(),
                judges: (0..judges).collect(),
                missed: missed[..judges as usize].to_vec(),
                reference: reference[..judges as usize].to_vec(),
            };
            let (more, less) = (tried(&worse, 600), tried(&errors, 300));
            let gain = ratio::skill_gain(&more.errors, &less.errors, &reference);
            Comparison { gain, chance: chance(&more, &less), of: "a greater fraction".into() }
        };
        let check = never_falls(&[fall(0.05, &mut draw)]);
        assert!(!check.held && check.detail.contains("a greater fraction by 0.0"), "{}", check.detail);
        assert!(never_falls(&[fall(0.0, &mut draw)]).held);
    }
}
