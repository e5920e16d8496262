//! The codes of several epochs of one record: each says something that the others do not.

use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack};
use crate::evaluation::findings::ChartId;
use crate::evidence::knowledge::Fact;
use crate::report::{Chart, Curve, Knowledge, Metric};

/// The conditional mean of training records, over the number of epochs whose codes were seen.
pub struct OverEpochs;

impl Attack for OverEpochs {
    fn about(&self) -> About {
        About { title: "leakage over epochs", knows: &[Knowledge::Labels], needs: &[] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let context = victim.training_context(&surfaces.codes);
        evaluation.keep(context.conditional_mean(&[])?);
        evaluation.keep(context.conditional_mean(&[Fact::Label])?);
        let mut curves = Vec::new();
        for surface in [&surfaces.codes, &surfaces.floats] {
            let context = victim.training_context(surface);
            let all = surface.observed.epochs();
            let mut points = Vec::new();
            let powers = (0..).map(|power| 1_u32 << power).take_while(|epochs| *epochs < all);
            for epochs in powers.chain([all]).filter(|epochs| *epochs > 0) {
                let attacked = context.conditional_mean(&[Fact::EpochCodes(epochs)])?;
                points.push((f64::from(epochs), attacked.skill()));
                if epochs == all {
                    evaluation.keep(attacked);
                    let facts = [Fact::Label, Fact::EpochCodes(epochs)];
                    evaluation.keep(context.conditional_mean(&facts)?);
                }
            }
            curves.push(Curve { name: surface.defence.to_string(), points });
        }
        let chart = Chart {
            title: "Leakage over epochs, on training records".into(),
            x: "epochs whose codes the adversary has".into(),
            log_x: true,
            y: Metric::Skill.into(),
            curves,
        };
        evaluation.findings.charts.insert(ChartId::Epochs, chart);
        Ok(())
    }
}
