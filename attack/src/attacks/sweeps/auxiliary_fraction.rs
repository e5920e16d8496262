//! How much the adversary's own records help it.

use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack};
use crate::evaluation::findings::ChartId;
use crate::evidence::knowledge::Fact;
use crate::report::{Chart, Check, CheckId, Curve, Knowledge, Metric};

/// The conditional mean over the fraction of auxiliary records, and whether it grows.
pub struct OverAuxiliaryFraction;

impl Attack for OverAuxiliaryFraction {
    fn about(&self) -> About {
        About { title: "leakage over the auxiliary fraction", knows: &[Knowledge::Labels], needs: &[] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, codes) = (evaluation.victim, &evaluation.surfaces.codes);
        let (mut points, mut errors) = (Vec::new(), Vec::new());
        for fraction in &victim.config.auxiliary_fractions {
            let context = victim.context(codes, &victim.test, *fraction);
            let attacked = context.conditional_mean(&[Fact::Label, Fact::AllCodes])?;
            points.push((fraction * 100.0, attacked.skill()));
            errors.push(attacked.errors);
        }
        if let [first, .., last] = errors.as_slice() {
            let gain = victim.test.scorer.gain(last, first);
            evaluation.findings.checks.push(Check {
                name: CheckId::MoreRecordsHelp,
                held: gain.low > 0.0,
                detail: format!(
                    "skill gained between the smallest and the largest fraction: {:.3} ({:.3} to {:.3})",
                    gain.value, gain.low, gain.high
                ),
            });
        }
        let name = format!("conditional mean of {}, labels and all parties' codes", codes.defence);
        let chart = Chart {
            title: "Leakage over the auxiliary fraction".into(),
            x: "auxiliary records, per cent".into(),
            log_x: true,
            y: Metric::Skill.into(),
            curves: vec![Curve { name, points }],
        };
        evaluation.findings.charts.insert(ChartId::AuxiliaryFraction, chart);
        Ok(())
    }
}
