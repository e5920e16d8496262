//! The same run with other code lengths: one code of test records, and the codes of all epochs of training records.

use hashvfl_core::RunSettings;
use hashvfl_learning::encoder::CutLayer;

use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::findings::{AttackOutcome, ChartId};
use crate::evaluation::victim::AttackSurface;
use crate::evidence::knowledge::{Fact, known};
use crate::evidence::simulation::{RunVariant, simulate};
use crate::report::{Chart, Curve, Defence, Estimate, Knowledge, Metric, Population, Sent};

/// The conditional mean at each code length that the config names.
pub struct OverCodeLengths;

impl Attack for OverCodeLengths {
    fn about(&self) -> About {
        About {
            title: "leakage over the code's length",
            knows: &[Knowledge::Labels, Knowledge::OwnColumns],
            needs: &[Need::CodeLengths, Need::Signs],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let mut lengths = evaluation.victim.config.bits.clone();
        lengths.sort_unstable();
        lengths.dedup();
        let strongest = evaluation.findings.strongest.clone();
        let codes = if strongest.contains(&Fact::AllCodes) { "all parties' codes" } else { "the code" };
        let mut facts: Vec<String> = known(&strongest).iter().map(ToString::to_string).collect();
        facts.push(codes.to_string());
        let mut curves = [
            "conditional mean of one code of a test record".to_string(),
            format!("conditional mean of {}", facts.join(" and ")),
            "conditional mean of all epochs' codes of a training record".to_string(),
        ]
        .map(|name| Curve { name, points: Vec::new() });
        for bits in lengths {
            for (curve, skill) in curves.iter_mut().zip(at(evaluation, bits, &strongest)?) {
                curve.points.push((bits as f64, skill));
            }
        }
        let chart = Chart {
            title: "Leakage over the code's length".into(),
            x: "bits of a code".into(),
            log_x: true,
            y: Metric::Skill.into(),
            curves: curves.to_vec(),
        };
        evaluation.findings.charts.insert(ChartId::CodeLength, chart);
        Ok(())
    }
}

/// Repeats the run with codes of `bits` bits: skill from one code, from what the strongest adversary knows, and
/// from the codes of all epochs.
fn at(evaluation: &mut PrivacyEvaluation, bits: usize, strongest: &[Fact]) -> anyhow::Result<[Estimate; 3]> {
    let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
    evaluation.say(&format!("simulating the run with d = {bits}"));
    let settings = RunSettings { bits, ..victim.evidence.coordinator.run.clone() };
    let path = evaluation.out.join(format!("simulated-d{bits}.parquet"));
    let simulated = simulate(victim.evidence, &RunVariant::new(&settings, CutLayer::Hash), &path)?;
    let defence = Defence::new(Sent::OtherLength { bits });
    let surface = AttackSurface::repeated(&simulated, &surfaces.codes, defence);
    let context = victim.test_context(&surface);
    let of_epochs = [Fact::EpochCodes(surface.observed.epochs())];
    let attacked = [
        context.conditional_mean(&[Fact::Code])?,
        context.conditional_mean(strongest)?,
        victim.training_context(&surface).conditional_mean(&of_epochs)?,
    ];
    let skills = attacked.each_ref().map(AttackOutcome::skill);
    attacked.into_iter().for_each(|attacked| evaluation.keep(attacked));
    let point = evaluation.price("hash codes", format!("d = {bits}"), &surface, Population::Test);
    evaluation.findings.utility.push(point);
    Ok(skills)
}
