//! How much the adversary's own records help it.

use crate::attacks::reconstruction::conditional_mean::KNOWS;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::{Adversary, Release};
use crate::evaluation::attack::{About, Attack};
use crate::evaluation::findings::{ChartId, Comparison};
use crate::evaluation::grid::AdversaryGrid;
use crate::report::{Chart, Curve, Metric};

/// The conditional mean of one code over the fraction of the records that the adversary owns.
pub struct OverAuxiliaryFraction;

impl Attack for OverAuxiliaryFraction {
    fn about(&self) -> About {
        About { title: "leakage over the auxiliary fraction", knows: KNOWS, needs: &[] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, codes) = (evaluation.victim, &evaluation.surfaces.codes);
        let rows = victim.evidence.frozen_records();
        let adversary = Adversary::Stranger;
        let (mut points, mut before): (Vec<_>, Option<Vec<f64>>) = (Vec::new(), None);
        for fraction in &victim.config.auxiliary_fractions {
            let records = victim.at_fraction(&victim.test, rows, *fraction);
            let mut grid = AdversaryGrid::new(victim, codes, &records, &[Release::OneCode]);
            let attacked = grid.outcome(adversary, Release::OneCode)?;
            points.push((fraction * 100.0, attacked.skill()));
            if let Some(before) = before {
                let gain = victim.test.scorer.gain(&attacked.errors, &before);
                let of = format!("{adversary} with {fraction} of the records, below a smaller fraction");
                let pair = [Release::OneCode, Release::Nothing].map(|release| (adversary, release));
                let chance = grid.compare(pair, String::new()).map_or(0.0, |pair| pair.chance);
                evaluation.findings.comparisons.push(Comparison { gain, chance, of });
            }
            before = Some(attacked.errors);
        }
        let name = format!("conditional mean of one code, {}", codes.defence);
        let chart = Chart {
            title: "Leakage over the auxiliary fraction".into(),
            x: "records that the adversary owns, per cent of all".into(),
            log_x: true,
            y: Metric::Skill.into(),
            curves: vec![Curve { name, points }],
        };
        evaluation.findings.charts.insert(ChartId::AuxiliaryFraction, chart);
        Ok(())
    }
}
